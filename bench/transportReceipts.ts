/**
 * Receipts of mainnet's shape for the transport benchmark, in the consensus form of eth/68: sparse
 * blooms, addresses that follow Zipf's law, padded topics and amounts, so that they compress about
 * as real ones do. The same seed gives the same bytes.
 */
import { keccak256 } from "../src/domain/keccak.ts"
import { concatBytes, encodeBytes, encodeList, encodeUint } from "../src/domain/rlp.ts"

/** How many blocks an answer holds. */
export const BLOCKS_PER_ANSWER = 16

const ACCOUNTS = 20_000

/** A small generator of numbers in [0, 1); good enough for test data. */
const randomOf = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const padded = (value: Uint8Array) => concatBytes([new Uint8Array(32 - value.length), value])

/** Lists of receipts, one a block; `answers` times {@link BLOCKS_PER_ANSWER} of them. */
export const makeReceipts = (answers: number, seed: number): Array<Array<Uint8Array>> => {
  const random = randomOf(seed)
  const bytes = (length: number) => Uint8Array.from({ length }, () => random() * 256)
  const accounts = Array.from({ length: ACCOUNTS }, () => bytes(20))
  const signatures = Array.from({ length: 50 }, () => bytes(32))
  const bits = new Map<Uint8Array, ReadonlyArray<number>>()
  const pick = <T>(from: ReadonlyArray<T>): T =>
    from[Math.floor(from.length ** random() - 1 + random()) % from.length]!
  const topics = accounts.map(padded)

  const log = (bloom: Uint8Array): Uint8Array => {
    const address = pick(accounts)
    const indexed = Array.from({ length: Math.floor(random() * 3) }, () => pick(topics))
    const all = [pick(signatures), ...indexed]
    for (const each of [address, ...all]) setBits(bloom, bits, each)
    const words = 1 + Math.floor(random() * 3)
    const data = concatBytes(
      Array.from({ length: words }, () => padded(bytes(1 + Math.floor(random() * 16)))),
    )
    return encodeList([encodeBytes(address), encodeList(all.map(encodeBytes)), encodeBytes(data)])
  }
  const receipt = (gas: number): Uint8Array => {
    const bloom = new Uint8Array(256)
    const count = random() < 0.3 ? 0 : 1 + Math.floor(random() * 6)
    const logs = Array.from({ length: count }, () => log(bloom))
    const fields = [encodeUint(1), encodeUint(gas), encodeBytes(bloom), encodeList(logs)]
    return encodeBytes(concatBytes([Uint8Array.of(2), encodeList(fields)]))
  }
  const block = (): Uint8Array => {
    const count = 150 + Math.floor(random() * 51)
    return encodeList(Array.from({ length: count }, (_, i) => receipt(21_000 + i * 120_001)))
  }
  return Array.from({ length: answers }, () => Array.from({ length: BLOCKS_PER_ANSWER }, block))
}

/** Sets the three bits of a value in a bloom (yellow paper, 4.3.1). */
const setBits = (
  bloom: Uint8Array,
  known: Map<Uint8Array, ReadonlyArray<number>>,
  value: Uint8Array,
): void => {
  let bits = known.get(value)
  if (bits === undefined) {
    const hash = keccak256(value)
    bits = [0, 2, 4].map((at) => ((hash[at]! << 8) | hash[at + 1]!) & 2047)
    known.set(value, bits)
  }
  for (const bit of bits) bloom[255 - (bit >> 3)]! |= 1 << (bit & 7)
}
