/**
 * One row of `transactions`, from a transaction and its receipt.
 *
 * In: the transaction's bytes, a cursor on its receipt, and what the rest of the block has to say
 * ({@link RowContext}). Out: values appended in the order of `tables.ts`. Invariant: transaction
 * and receipt can be written again from the row (and the rows of its logs) byte for byte.
 */
import type { FlatReceiptCursor } from "../domain/logs.ts"
import { exactInteger, type Quantity } from "../domain/quantity.ts"
import { RlpError } from "../domain/rlp.ts"
import { contractAddress, recoverSender } from "../domain/signature.ts"
import {
  legacyChainId,
  readTransaction,
  readVersionedHashes,
  type Transaction,
  transactionType,
} from "../domain/transactions.ts"
import { type BindValue, viewOf, wideInteger, wideOrNull, word } from "./rowValues.ts"

/**
 * Whose senders are recovered, at about a millisecond each: nobody's; those of contract creations,
 * for `contract_address`; or everybody's, for `from_address` too.
 */
export type Senders = "none" | "creations" | "all"

/** What a transaction's row needs of its block. */
export interface RowContext {
  readonly blockNumber: number
  /** Wei per gas; undefined before London. */
  readonly baseFee: number | bigint | undefined
  readonly senders: Senders
}

/**
 * Appends the row of the transaction `bytes`, whose keccak256 is `hash`, and gives the cumulative
 * gas of its receipt; `gasBefore` is that of the one before. RlpError: the receipt is of another type.
 */
export const pushTransaction = (
  context: RowContext,
  index: number,
  { bytes, hash }: { readonly bytes: Uint8Array; readonly hash: Uint8Array },
  receipt: FlatReceiptCursor,
  gasBefore: number | bigint,
  out: Array<BindValue>,
): number | bigint => {
  const type = transactionType(bytes)
  if (receipt.type !== type) throw new RlpError("a receipt of another type", receipt.outcomeStart)
  const transaction = readTransaction(bytes)
  const gas = exactInteger(receipt.bytes, receipt.gasStart, receipt.gasEnd)
  const sender = transaction && senderOf(context, transaction)
  out.push(context.blockNumber, index, hash, type)
  pushCall(context, transaction, sender, out)
  out.push(bytes.length)
  out.push(wideOrNull(transaction?.gasLimit), gasUsed(gasBefore, gas), wideInteger(gas))
  pushFees(context, transaction, out)
  pushOutcome(receipt, out)
  out.push(createdContract(transaction, sender), receipt.countLogs())
  pushListsAndSignature(transaction, out)
  out.push(transaction === undefined ? bytes : null)
  return gas
}

/** EIP-4844: GAS_PER_BLOB. */
const GAS_PER_BLOB = 131_072

const senderOf = ({ senders }: RowContext, transaction: Transaction): Uint8Array | undefined => {
  const wanted = senders === "all" || (senders === "creations" && transaction.to.length === 0)
  return wanted ? recoverSender(transaction) : undefined
}

const createdContract = (
  transaction: Transaction | undefined,
  sender: Uint8Array | undefined,
): BindValue =>
  transaction === undefined || sender === undefined || transaction.to.length > 0
    ? null
    : contractAddress(sender, transaction.nonce)

/** chain_id to n_input_zero_bytes. */
const pushCall = (
  context: RowContext,
  transaction: Transaction | undefined,
  sender: Uint8Array | undefined,
  out: Array<BindValue>,
): void => {
  if (transaction === undefined) {
    out.push(null, null, null, null, null, null, null)
    return
  }
  const { nonce, to, value, input } = transaction
  out.push(
    chainIdOf(transaction),
    wideOrNull(nonce),
    context.senders === "all" ? (sender ?? null) : null,
    to.length === 0 ? null : to,
    word(value),
    input,
    countZeros(input),
  )
}

/** gas_price to blob_gas_used. */
const pushFees = (
  context: RowContext,
  transaction: Transaction | undefined,
  out: Array<BindValue>,
): void => {
  if (transaction === undefined) {
    out.push(null, null, null, null, null)
    return
  }
  const { maxFeePerGas, maxPriorityFeePerGas, maxFeePerBlobGas, blobVersionedHashes } = transaction
  const blobs = blobVersionedHashes && readVersionedHashes(blobVersionedHashes).length
  out.push(
    effectiveGasPrice(transaction, context.baseFee),
    wideOrNull(maxFeePerGas),
    wideOrNull(maxPriorityFeePerGas),
    wideOrNull(maxFeePerBlobGas),
    blobs === undefined ? null : blobs * GAS_PER_BLOB,
  )
}

/** success and post_state. */
const pushOutcome = (receipt: FlatReceiptCursor, out: Array<BindValue>): void => {
  const { bytes, outcomeStart, outcomeEnd } = receipt
  const length = outcomeEnd - outcomeStart
  if (length === 32) out.push(null, viewOf(bytes, outcomeStart, outcomeEnd))
  else out.push(length, null)
}

/** access_list to s. */
const pushListsAndSignature = (
  transaction: Transaction | undefined,
  out: Array<BindValue>,
): void => {
  if (transaction === undefined) {
    out.push(null, null, null, null, null, null)
    return
  }
  const { accessList, blobVersionedHashes, authorizationList, v, r, s } = transaction
  out.push(accessList ?? null, blobVersionedHashes ?? null, authorizationList ?? null)
  out.push(wideOrNull(v), word(r), word(s))
}

const chainIdOf = ({ chainId, v }: Transaction): BindValue => {
  if (chainId !== undefined) return wideOrNull(chainId)
  const signedFor = legacyChainId(v)
  if (signedFor === undefined) return null
  return signedFor <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(signedFor) : wideInteger(signedFor)
}

/** What was paid per gas (EIP-1559); NULL for a fee market transaction in a block without one. */
const effectiveGasPrice = (
  { gasPrice, maxFeePerGas, maxPriorityFeePerGas }: Transaction,
  baseFee: number | bigint | undefined,
): BindValue => {
  if (maxFeePerGas === undefined || maxPriorityFeePerGas === undefined) return wideOrNull(gasPrice)
  if (baseFee === undefined) return null
  const most = numberOf(maxFeePerGas)
  const offered = sum(baseFee, numberOf(maxPriorityFeePerGas))
  return wideInteger(most < offered ? most : offered)
}

const gasUsed = (before: number | bigint, after: number | bigint): BindValue => {
  if (after < before) return null
  if (typeof before === "number" && typeof after === "number") return after - before
  return wideInteger(BigInt(after) - BigInt(before))
}

const numberOf = (quantity: Quantity): number | bigint => exactInteger(quantity, 0, quantity.length)

const sum = (a: number | bigint, b: number | bigint): number | bigint => {
  const exact = typeof a === "number" && typeof b === "number" && a + b <= Number.MAX_SAFE_INTEGER
  return exact ? a + b : BigInt(a) + BigInt(b)
}

const countZeros = (bytes: Uint8Array): number => {
  let zeros = 0
  // Without a branch, which calldata would mispredict: only 0 - 1 has its top bit set.
  for (let at = 0; at < bytes.length; at++) zeros += (bytes[at]! - 1) >>> 31
  return zeros
}
