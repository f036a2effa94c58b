/**
 * What of a block's header the objects of its transactions and receipts repeat or follow from.
 *
 * In: the RLP of a header. Out: its time and its fees. RlpError: the bytes are no header.
 */
import { toHex0x } from "../domain/hex.ts"
import { isQuantity, quantityToBigInt } from "../domain/quantity.ts"
import { RlpReader } from "../domain/rlp.ts"
import type { StoredBlock } from "./ChainReader.ts"
import { numberText } from "./json.ts"

/** When a block was, and what gas cost in it. */
export interface BlockInstant {
  /** Unix seconds. */
  readonly timestamp: number
  /** Wei per gas; undefined before London (EIP-1559). */
  readonly baseFee: bigint | undefined
  /** Undefined before Cancun (EIP-4844). */
  readonly excessBlobGas: bigint | undefined
}

/** What the objects of a block's transactions have in common. */
export interface BlockFacts {
  /** `0x…`, as all texts here. */
  readonly blockHash: string
  readonly blockNumber: string
  readonly blockTimestamp: string
  /** Wei per gas; undefined before London. */
  readonly baseFee: bigint | undefined
}

/** Fields before the time, between it and the base fee, and between that and the excess blob gas. */
const BEFORE_TIME = 11
const BEFORE_BASE_FEE = 3
const BEFORE_EXCESS = 2

/** See {@link BlockInstant}; the header's RLP goes in. */
export const blockInstant = (header: Uint8Array): BlockInstant => {
  const fields = RlpReader.list(header)
  for (let field = 0; field < BEFORE_TIME; field++) fields.next()
  const timestamp = fields.nextUint()
  const baseFee = quantityAfter(fields, BEFORE_BASE_FEE)
  const excessBlobGas = quantityAfter(fields, BEFORE_EXCESS)
  return { timestamp, baseFee, excessBlobGas }
}

/** See {@link BlockFacts}. */
export const blockFacts = (
  block: Pick<StoredBlock, "blockNumber" | "hash">,
  { timestamp, baseFee }: BlockInstant,
): BlockFacts => ({
  blockHash: toHex0x(block.hash),
  blockNumber: numberText(block.blockNumber),
  blockTimestamp: numberText(timestamp),
  baseFee,
})

/** The integer behind the next `count` fields; undefined when there is none. */
const quantityAfter = (fields: RlpReader, count: number): bigint | undefined => {
  for (let field = 0; field < count && !fields.done; field++) fields.next()
  if (fields.done || !isQuantity(fields.next())) return undefined
  return quantityToBigInt(fields.payload())
}
