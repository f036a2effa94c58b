/**
 * The chains of the simulated world: true ones, and forged ones of which every block passes its own
 * checks. Made once a process and shared by all seeds, since making them costs more than a seed.
 */
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import {
  makeServedChain,
  type ServedChain,
  type SourceBlock,
} from "../../src/devnet/servedChain.ts"
import { addToBloom, BLOOM_BYTES } from "../../src/domain/bloom.ts"
import { EMPTY_TRIE_ROOT } from "../../src/domain/header.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { encodeBytes, encodeList, encodeUint, RlpReader } from "../../src/domain/rlp.ts"
import { orderedTrieRoot } from "../../src/domain/trieRoot.ts"
import { Dice } from "./dice.ts"

/** The chain spec that all of them belong to. */
export const spec = generatedChainSpec()

/** How many true chains there are. */
export const TRUE_CHAINS = 24

const made = new Map<string, ServedChain>()

const once = (key: string, make: () => ServedChain): ServedChain => {
  const known = made.get(key)
  if (known !== undefined) return known
  const chain = make()
  made.set(key, chain)
  return chain
}

/**
 * A true chain, of 10 to 34 blocks above genesis, by its number from 0. From {@link TRUE_CHAINS} on it
 * is the one of so many numbers less with some large blocks in it.
 */
export const trueChain = (number: number): ServedChain =>
  once(`true ${number}`, () =>
    number >= TRUE_CHAINS
      ? enlarged(trueChain(number - TRUE_CHAINS))
      : generateChain({
          blocks: 10 + ((number * 17) % 25),
          shape: number % 8 === 7 ? "light" : "tiny",
          seed: 1_000 + number,
        }),
  )

/** A chain that has nothing but genesis in common with the true one of this number. */
export const otherChain = (number: number): ServedChain =>
  once(`other ${number}`, () =>
    generateChain({ blocks: trueChain(number).lastBlock, shape: "tiny", seed: 9_000 + number }),
  )

/**
 * The true chain up to the block below `from`; from there on headers are other ones that link to
 * each other, over the true bodies and receipts. Only a trusted hash tells it from the true one.
 */
export const forkedChain = (number: number, from: number): ServedChain =>
  once(`fork ${number} ${from}`, () => {
    const truth = trueChain(number)
    const blocks: Array<SourceBlock> = []
    let parent: Uint8Array | undefined
    for (const at of truth.numbers) {
      if (at === 0) continue
      let header = truth.headerAt(at)!
      if (at === from) header = withField(header, STATE_ROOT, keccak256(header))
      else if (parent !== undefined) header = withField(header, PARENT_HASH, parent)
      if (at >= from) parent = keccak256(header)
      blocks.push({
        header,
        body: truth.bodyAt(at)!,
        receipts: truth.receipts68At(at)!,
        path: "(forged)",
        offset: 0,
      })
    }
    return makeServedChain(blocks, { genesisHeader: truth.headerAt(0)! })
  })

/** Above what a frame may have that is read whatever memory there is, also compressed. */
const LARGE_BYTES = 80 * 1024
/** Every so many blocks of a chain with large ones. */
const LARGE_EVERY = 2

/**
 * The chain with a body, or a list of receipts, of more than 64 KiB in some of its blocks, in turn: one
 * transaction with as much calldata, or one log with as much data.
 */
const enlarged = (chain: ServedChain): ServedChain => {
  const blocks: Array<SourceBlock> = []
  let parent = chain.hashAt(0)!
  for (const at of chain.numbers) {
    if (at === 0) continue
    const isLarge = at % LARGE_EVERY === LARGE_EVERY - 1
    const plain = {
      header: chain.headerAt(at)!,
      body: chain.bodyAt(at)!,
      receipts: chain.receipts68At(at)!,
    }
    const block = isLarge ? largeBlock(plain.header, at) : plain
    const header = withFields(block.header, [[PARENT_HASH, encodeBytes(parent)]])
    parent = keccak256(header)
    blocks.push({ ...block, header, path: "(enlarged)", offset: 0 })
  }
  return makeServedChain(blocks, { genesisHeader: chain.headerAt(0)! })
}

/** A block under the other fields of a header of Prague. */
const largeBlock = (
  header: Uint8Array,
  number: number,
): Pick<SourceBlock, "header" | "body" | "receipts"> => {
  const noise = new Dice(number)
  const [calldata, data] = number % 4 === 1 ? [LARGE_BYTES, 100] : [100, LARGE_BYTES]
  const input = encodeBytes(noise.bytes(calldata))
  const address = noise.bytes(20)
  const gasUsed = encodeUint(5_000_000)
  const [v, word] = [encodeUint(27), encodeBytes(new Uint8Array(32).fill(1))]
  const none = encodeList([])
  const to = encodeBytes(address)
  const transaction = encodeList([
    encodeUint(number),
    gasUsed,
    gasUsed,
    to,
    encodeUint(0),
    input,
    v,
    word,
    word,
  ])
  const bloom = new Uint8Array(BLOOM_BYTES)
  addToBloom(bloom, address)
  const log = encodeList([to, none, encodeBytes(noise.bytes(data))])
  const receipt = encodeList([encodeUint(1), gasUsed, encodeBytes(bloom), encodeList([log])])
  const fields = withFields(header, [
    [TRANSACTIONS_ROOT, encodeBytes(orderedTrieRoot([transaction]))],
    [RECEIPTS_ROOT, encodeBytes(orderedTrieRoot([receipt]))],
    [LOGS_BLOOM, encodeBytes(bloom)],
    [GAS_USED, gasUsed],
    [WITHDRAWALS_ROOT, encodeBytes(EMPTY_TRIE_ROOT)],
  ])
  const body = encodeList([encodeList([transaction]), none, none])
  return { header: fields, body, receipts: encodeList([receipt]) }
}

/** Places of fields in a header (yellow paper 4.4; EIP-4895). */
const PARENT_HASH = 0
const STATE_ROOT = 3
const TRANSACTIONS_ROOT = 4
const RECEIPTS_ROOT = 5
const LOGS_BLOOM = 6
const GAS_USED = 10
const WITHDRAWALS_ROOT = 16

const withField = (header: Uint8Array, field: number, hash: Uint8Array): Uint8Array =>
  withFields(header, [[field, encodeBytes(hash)]])

/** The header with other items in these places. */
const withFields = (
  header: Uint8Array,
  changes: ReadonlyArray<readonly [field: number, item: Uint8Array]>,
): Uint8Array => {
  const fields = [...RlpReader.list(header).restItems()]
  for (const [field, item] of changes) fields[field] = item
  return encodeList(fields)
}
