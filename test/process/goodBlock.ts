/**
 * Blocks that pass all checks, and the means to alter them: for the tests of the checks.
 */
import { generateChain } from "../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import type { ReceiptsForm } from "../../src/domain/receiptList.ts"
import { encodeList, RlpReader } from "../../src/domain/rlp.ts"
import type { UncheckedBlock } from "../../src/process/checkBlock.ts"
import { checks, type Check } from "../../src/process/checks.ts"

/** Every check that there is. */
export const ALL_CHECKS: ReadonlySet<Check> = new Set(checks)

/** Block `blockNumber` of a chain; undefined where the chain has no receipts for it. */
export const blockOf = (
  chain: ServedChain,
  blockNumber: number,
  receiptsForm: ReceiptsForm,
): UncheckedBlock | undefined => {
  const receipts =
    receiptsForm === 68 ? chain.receipts68At(blockNumber) : chain.receipts69At(blockNumber)
  if (receipts === undefined) return undefined
  return {
    blockNumber,
    hash: chain.hashAt(blockNumber)!,
    header: chain.headerAt(blockNumber)!,
    body: chain.bodyAt(blockNumber)!,
    receipts,
    receiptsForm,
  }
}

/** Blocks with transactions of all types, logs and withdrawals, but no uncles. */
export const lightChain = generateChain({ blocks: 12, shape: "light", seed: 3 })

/** Block 5 of {@link lightChain}. */
export const goodBlock = (form: ReceiptsForm): UncheckedBlock => blockOf(lightChain, 5, form)!

/** The items of a list, prefixes included. */
export const itemsOf = (list: Uint8Array): Array<Uint8Array> => RlpReader.list(list).restItems()

/** A list with its item `index` replaced by what `change` makes of it. */
export const withItem = (
  list: Uint8Array,
  index: number,
  change: (item: Uint8Array) => Uint8Array,
): Uint8Array => encodeList(itemsOf(list).map((item, at) => (at === index ? change(item) : item)))

/** A copy of `bytes` with the byte at `at` exclusively ored with `mask`. */
export const flipped = (bytes: Uint8Array, at: number, mask = 1): Uint8Array => {
  // Not `slice`: a Buffer's gives a view.
  const copy = new Uint8Array(bytes)
  copy[at]! ^= mask
  return copy
}

/** The places of a header's fields that tests alter. */
export const FIELD = {
  ommersHash: 1,
  transactionsRoot: 4,
  receiptsRoot: 5,
  logsBloom: 6,
  number: 8,
  gasUsed: 10,
  withdrawalsRoot: 16,
} as const

/** The block under a forged header: one field replaced, and the hash made to fit. */
export const forged = (
  block: UncheckedBlock,
  field: number,
  change: (item: Uint8Array) => Uint8Array,
): UncheckedBlock => {
  const header = withItem(block.header, field, change)
  return { ...block, header, hash: keccak256(header) }
}
