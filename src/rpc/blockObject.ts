/**
 * Blocks and uncles as `eth_getBlockBy*` and `eth_getUncleBy*` show them, and what is said of a
 * block without showing it.
 *
 * In: a stored block. Out: the object of execution-apis' `Block` schema, with the hashes of the
 * transactions or with the transactions themselves; nothing is decoded that the answer lacks.
 * RlpError: the stored bytes do not have the form of a block.
 */
import {
  countBody,
  nextTransaction,
  openBody,
  readWithdrawal,
  type BodyParts,
} from "../domain/body.ts"
import { toHex0x } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { consensusReceipts } from "../domain/receipts.ts"
import { encodeList, prefixBytes, RlpReader } from "../domain/rlp.ts"
import { blockFacts, blockInstant } from "./blockFacts.ts"
import type { StoredBlock } from "./ChainReader.ts"
import { headerObject } from "./headerObject.ts"
import { type JsonObject, numberText, quantityText } from "./json.ts"
import { recovered, type SenderOf } from "./senderCache.ts"
import { transactionHashes } from "./transactionHashes.ts"
import { transactionObject } from "./transactionObject.ts"

/** The object of a block; `full` wants the transactions with their senders, not their hashes. */
export const blockObject = (
  block: StoredBlock,
  full: boolean,
  senderOf: SenderOf = recovered,
): JsonObject => {
  const parts = openBody(block.body)
  const { withdrawals } = parts
  return {
    ...headerObject(block.hash, block.header),
    size: numberText(blockSize(block)),
    transactions: full ? transactionsOf(block, parts, senderOf) : hashesOf(parts),
    uncles: parts.uncles.restItems().map((header) => toHex0x(keccak256(header))),
    ...(withdrawals && { withdrawals: withdrawals.restItems().map(withdrawalObject) }),
  }
}

/**
 * The object of a block's uncle at `index`: a block without transactions; undefined when the block
 * has no such uncle.
 */
export const uncleObject = (block: StoredBlock, index: number): JsonObject | undefined => {
  const header = openBody(block.body).uncles.restItems()[index]
  if (header === undefined) return undefined
  const hash = keccak256(header)
  const size = encodeList([header, NO_ITEMS, NO_ITEMS]).length
  return { ...headerObject(hash, header), size: numberText(size), uncles: [] }
}

/** The object of the block's transaction at `index`; undefined when there is no such one. */
export const blockTransactionObject = (
  block: StoredBlock,
  index: number,
  senderOf: SenderOf = recovered,
): JsonObject | undefined => {
  const bytes = transactionBytes(block, index)
  if (bytes === undefined) return undefined
  return transactionObject(blockFacts(block, blockInstant(block.header)), index, bytes, senderOf)
}

/** The bytes of the transaction at `index` as its hash takes them (EIP-2718); undefined: none. */
export const transactionBytes = (
  block: Pick<StoredBlock, "body">,
  index: number,
): Uint8Array | undefined => {
  const { transactions } = openBody(block.body)
  for (let at = 0; !transactions.done; at++) {
    const bytes = nextTransaction(transactions)
    if (at === index) return bytes
  }
  return undefined
}

/** How many transactions the block has. */
export const transactionCount = ({ body }: Pick<StoredBlock, "body">): number =>
  countBody(body).transactions

/** How many uncles the block has. */
export const uncleCount = ({ body }: Pick<StoredBlock, "body">): number => countBody(body).uncles

/** RLP of the block as blocks are gossiped: `[header, transactions, uncles, withdrawals?]`. */
export const rawBlock = ({ header, body }: Pick<StoredBlock, "header" | "body">): Uint8Array =>
  encodeList([header, RlpReader.list(body).rest()])

/** Each receipt as the receipts trie holds it, blooms and all (EIP-2718). */
export const rawReceipts = ({ receipts }: Pick<StoredBlock, "receipts">): ReadonlyArray<string> =>
  consensusReceipts(receipts, 69).map(toHex0x)

/** The empty list. */
const NO_ITEMS = Uint8Array.of(0xc0)

/** Bytes of {@link rawBlock}, without making it. */
const blockSize = ({ header, body }: StoredBlock): number => {
  const payload = header.length + RlpReader.list(body).rest().length
  return prefixBytes(payload) + payload
}

const hashesOf = ({ transactions }: BodyParts): ReadonlyArray<string> =>
  transactionHashes(readTransactions(transactions))

const readTransactions = (transactions: RlpReader): ReadonlyArray<Uint8Array> => {
  const all: Array<Uint8Array> = []
  while (!transactions.done) all.push(nextTransaction(transactions))
  return all
}

const transactionsOf = (
  block: StoredBlock,
  parts: BodyParts,
  senderOf: SenderOf,
): ReadonlyArray<JsonObject> => {
  const facts = blockFacts(block, blockInstant(block.header))
  const transactions = readTransactions(parts.transactions)
  const hashes = transactionHashes(transactions)
  return transactions.map((bytes, index) =>
    transactionObject(facts, index, bytes, senderOf, hashes[index]),
  )
}

/** EIP-4895; amounts in Gwei. */
const withdrawalObject = (item: Uint8Array): JsonObject => {
  const { index, validatorIndex, address, amount } = readWithdrawal(item)
  return {
    index: quantityText(index),
    validatorIndex: quantityText(validatorIndex),
    address: toHex0x(address),
    amount: quantityText(amount),
  }
}
