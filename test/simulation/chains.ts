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
import { keccak256 } from "../../src/domain/keccak.ts"
import { encodeBytes, encodeList, RlpReader } from "../../src/domain/rlp.ts"

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

/** A true chain, of 10 to 34 blocks above genesis, by its number from 0. */
export const trueChain = (number: number): ServedChain =>
  once(`true ${number}`, () =>
    generateChain({
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

/** Places of fields in a header (yellow paper 4.4). */
const PARENT_HASH = 0
const STATE_ROOT = 3

const withField = (header: Uint8Array, field: number, hash: Uint8Array): Uint8Array => {
  const fields = RlpReader.list(header).restItems()
  return encodeList(fields.with(field, encodeBytes(hash)))
}
