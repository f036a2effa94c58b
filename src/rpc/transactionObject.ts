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
import { recoverSender } from "../domain/signature.ts"
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

/** The object of the transaction `bytes` that stands at `index` of its block. */
export const transactionObject = (
  facts: BlockFacts,
  index: number,
  bytes: Uint8Array,
): JsonObject => {
  const place = {
    blockHash: facts.blockHash,
    blockNumber: facts.blockNumber,
    blockTimestamp: facts.blockTimestamp,
    hash: toHex0x(keccak256(bytes)),
    transactionIndex: numberText(index),
    type: numberText(transactionType(bytes)),
  }
  const transaction = readTransaction(bytes)
  if (transaction === undefined) return place
  const sender = recoverSender(transaction)
  return {
    ...place,
    from: sender === undefined ? null : toHex0x(sender),
    to: recipientText(transaction),
    nonce: quantityText(transaction.nonce),
    gas: quantityText(transaction.gasLimit),
    value: quantityText(transaction.value),
    input: toHex0x(transaction.input),
    gasPrice: numberText(effectiveGasPrice(transaction, facts.baseFee)),
    ...feeFields(transaction),
    ...listFields(transaction),
    ...signatureFields(transaction),
  }
}

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

const feeFields = (transaction: Transaction): JsonObject => {
  const { maxFeePerGas, maxPriorityFeePerGas, maxFeePerBlobGas } = transaction
  return {
    ...quantityField("maxFeePerGas", maxFeePerGas),
    ...quantityField("maxPriorityFeePerGas", maxPriorityFeePerGas),
    ...quantityField("maxFeePerBlobGas", maxFeePerBlobGas),
  }
}

const listFields = ({
  accessList,
  blobVersionedHashes,
  authorizationList,
}: Transaction): JsonObject => ({
  ...(accessList && { accessList: accessListOf(accessList) }),
  ...(blobVersionedHashes && {
    blobVersionedHashes: readVersionedHashes(blobVersionedHashes).map(toHex0x),
  }),
  ...(authorizationList && { authorizationList: authorizationsOf(authorizationList) }),
})

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
const signatureFields = ({ type, chainId, v, r, s }: Transaction): JsonObject => {
  const legacyId = type === 0 ? legacyChainId(v) : undefined
  return {
    ...quantityField("chainId", chainId),
    ...(legacyId !== undefined && { chainId: numberText(legacyId) }),
    v: quantityText(v),
    r: quantityText(r),
    s: quantityText(s),
    ...(type !== 0 && { yParity: quantityText(v) }),
  }
}

const quantityField = (name: string, quantity: Quantity | undefined): JsonObject =>
  quantity === undefined ? {} : { [name]: quantityText(quantity) }
