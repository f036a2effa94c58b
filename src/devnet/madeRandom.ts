/**
 * What made chains draw from: a seeded generator, and addresses of which few are frequent.
 *
 * Invariant: the same seed gives the same draws on every machine; integer arithmetic and IEEE sums
 * and quotients only.
 */

/** The sfc32 generator (Chris Doty-Humphrey, PractRand): 128 bits of state, three adds a draw. */
export class Random {
  #a: number
  #b: number
  #c = 0x9e3779b9
  #counter = 1

  constructor(seed: number) {
    this.#a = seed >>> 0
    this.#b = Math.floor(seed / 2 ** 32) >>> 0
    for (let i = 0; i < 15; i++) this.next()
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor((this.next() / 2 ** 32) * bound)
  }

  /** Overwrites `bytes[from, to)`. */
  write(bytes: Uint8Array, from: number, to: number): void {
    let at = from
    for (; at + 4 <= to; at += 4) {
      const word = this.next()
      bytes[at] = word
      bytes[at + 1] = word >>> 8
      bytes[at + 2] = word >>> 16
      bytes[at + 3] = word >>> 24
    }
    for (; at < to; at++) bytes[at] = this.next()
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    this.write(bytes, 0, length)
    return bytes
  }
}

const ADDRESSES = 200_000
const ADDRESS_BYTES = 20
const GUIDE_SLOTS = 1 << 16

/** Accounts and contracts of a chain; the k-th is drawn with a weight of 1/k (Zipf's law). */
export class AddressBook {
  readonly #addresses: Uint8Array
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
    this.#addresses = random.bytes(ADDRESSES * ADDRESS_BYTES)
  }

  /** A view of 20 bytes; not to be written to. */
  draw(): Uint8Array {
    const { cumulative, guide, total } = zipf()
    const unit = this.#random.next() / 2 ** 32
    const wanted = unit * total
    let rank = guide[Math.floor(unit * GUIDE_SLOTS)]!
    while (cumulative[rank]! <= wanted) rank += 1
    return this.#addresses.subarray(rank * ADDRESS_BYTES, (rank + 1) * ADDRESS_BYTES)
  }
}

interface Zipf {
  /** Sum of the weights up to and with each rank. */
  readonly cumulative: Float64Array
  /** The first rank that a draw in each of the equal slices of the unit interval can have. */
  readonly guide: Uint32Array
  readonly total: number
}

let zipfTables: Zipf | undefined

const zipf = (): Zipf => (zipfTables ??= makeZipf())

const makeZipf = (): Zipf => {
  const cumulative = new Float64Array(ADDRESSES)
  let total = 0
  for (let rank = 0; rank < ADDRESSES; rank++) cumulative[rank] = total += 1 / (rank + 1)
  const guide = new Uint32Array(GUIDE_SLOTS)
  let rank = 0
  for (let slot = 0; slot < GUIDE_SLOTS; slot++) {
    while (cumulative[rank]! <= (slot / GUIDE_SLOTS) * total) rank += 1
    guide[slot] = rank
  }
  return { cumulative, guide, total }
}
