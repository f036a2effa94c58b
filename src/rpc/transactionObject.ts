/**
 * Transactions as `eth_getTransaction*` and full blocks show them.
 *
 * In: a transaction's bytes as `readBody` gives them, and where it stands. Out: the object of
 * execution-apis' `TransactionInfo` schema, with the sender recovered from the signature.
 *
 * Invariants: fields that the type does not have are left out. Of a type that is not known, or of
 * fields that no fork knows, only hash, type and place are told; nothing is made up.
 */
import { toHex0x } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { type Quantity, quantityToBigInt } from "../domain/quantity.ts"
import {
  legacyChainId,
  readAccessList,
  readAuthorizations,
  readTransaction,
  readVersionedHashes,
  type Transaction,
  transactionType,
} from "../domain/transactions.ts"
import type { BlockFacts } from "./blockFacts.ts"
import { type JsonObject, type JsonValue, numberText, quantityText } from "./json.ts"
import { recovered, type SenderOf } from "./senderCache.ts"

/**
 * The object of the transaction `bytes` that stands at `index` of its block; `hash` is its hash, where
 * that is known, and `senderOf` tells its sender.
 */
export const transactionObject = (
  facts: BlockFacts,
  index: number,
  bytes: Uint8Array,
  senderOf: SenderOf = recovered,
  hash: string = toHex0x(keccak256(bytes)),
): JsonObject => {
  const object: Fields = {
    blockHash: facts.blockHash,
    blockNumber: facts.blockNumber,
    blockTimestamp: facts.blockTimestamp,
    hash,
    transactionIndex: numberText(index),
    type: numberText(transactionType(bytes)),
  }
  const transaction = readTransaction(bytes)
  if (transaction === undefined) return object
  const sender = senderOf(index, transaction)
  object["from"] = sender === undefined ? null : toHex0x(sender)
  object["to"] = recipientText(transaction)
  object["nonce"] = quantityText(transaction.nonce)
  object["gas"] = quantityText(transaction.gasLimit)
  object["value"] = quantityText(transaction.value)
  object["input"] = toHex0x(transaction.input)
  object["gasPrice"] = numberText(effectiveGasPrice(transaction, facts.baseFee))
  addFees(object, transaction)
  addLists(object, transaction)
  addSignature(object, transaction)
  return object
}

/** An object that is being made: a full block has hundreds, and to spread parts of it is slow. */
type Fields = Record<string, JsonValue>

/** Whom the transaction calls; null when it creates a contract. */
export const recipientText = ({ to }: Transaction): string | null =>
  to.length === 0 ? null : toHex0x(to)

/**
 * Wei that were paid per gas in a block with this base fee (EIP-1559): what the sender offers above
 * it, but no more in all than the sender allows.
 */
export const effectiveGasPrice = (
  { gasPrice, maxFeePerGas, maxPriorityFeePerGas }: Transaction,
  baseFee: bigint | undefined,
): bigint => {
  if (maxFeePerGas === undefined || maxPriorityFeePerGas === undefined) {
    return gasPrice === undefined ? 0n : quantityToBigInt(gasPrice)
  }
  const most = quantityToBigInt(maxFeePerGas)
  const offered = (baseFee ?? 0n) + quantityToBigInt(maxPriorityFeePerGas)
  return most < offered ? most : offered
}

const addFees = (object: Fields, transaction: Transaction): void => {
  const { maxFeePerGas, maxPriorityFeePerGas, maxFeePerBlobGas } = transaction
  addQuantity(object, "maxFeePerGas", maxFeePerGas)
  addQuantity(object, "maxPriorityFeePerGas", maxPriorityFeePerGas)
  addQuantity(object, "maxFeePerBlobGas", maxFeePerBlobGas)
}

const addLists = (
  object: Fields,
  { accessList, blobVersionedHashes, authorizationList }: Transaction,
): void => {
  if (accessList !== undefined) object["accessList"] = accessListOf(accessList)
  if (blobVersionedHashes !== undefined) {
    object["blobVersionedHashes"] = readVersionedHashes(blobVersionedHashes).map(toHex0x)
  }
  if (authorizationList !== undefined) {
    object["authorizationList"] = authorizationsOf(authorizationList)
  }
}

const accessListOf = (item: Uint8Array): JsonValue =>
  readAccessList(item).map(({ address, storageKeys }) => ({
    address: toHex0x(address),
    storageKeys: storageKeys.map(toHex0x),
  }))

const authorizationsOf = (item: Uint8Array): JsonValue =>
  readAuthorizations(item).map(({ chainId, address, nonce, yParity, r, s }) => ({
    chainId: quantityText(chainId),
    address: toHex0x(address),
    nonce: quantityText(nonce),
    yParity: quantityText(yParity),
    r: quantityText(r),
    s: quantityText(s),
  }))

/** chainId, v, r, s and, of typed transactions, yParity (which repeats v). */
const addSignature = (object: Fields, { type, chainId, v, r, s }: Transaction): void => {
  const legacyId = type === 0 ? legacyChainId(v) : undefined
  addQuantity(object, "chainId", chainId)
  if (legacyId !== undefined) object["chainId"] = numberText(legacyId)
  object["v"] = quantityText(v)
  object["r"] = quantityText(r)
  object["s"] = quantityText(s)
  if (type !== 0) object["yParity"] = object["v"]
}

const addQuantity = (object: Fields, name: string, quantity: Quantity | undefined): void => {
  if (quantity !== undefined) object[name] = quantityText(quantity)
}
