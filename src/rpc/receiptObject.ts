/**
 * Receipts as `eth_getTransactionReceipt` and `eth_getBlockReceipts` show them.
 *
 * In: a stored block and the chain's blob schedule. Out: objects of execution-apis' `ReceiptInfo`
 * schema: what the receipt says, and what follows from the transaction, its block, and the receipts
 * before it. Receipts are stored without blooms (EIP-7642); they are made again from the logs.
 *
 * RlpError: the stored bytes do not have the form of a block.
 */
import type { BlobParameters } from "../chain/chainSpec.ts"
import { addSpanToBloom, BLOOM_BYTES } from "../domain/bloom.ts"
import { nextTransaction, openBody } from "../domain/body.ts"
import { toHex0x } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { FlatReceiptCursor, LogCursor, TOPIC_STRIDE } from "../domain/logs.ts"
import { exactInteger } from "../domain/quantity.ts"
import { RlpError } from "../domain/rlp.ts"
import { contractAddress } from "../domain/signature.ts"
import { readTransaction, readVersionedHashes, type Transaction } from "../domain/transactions.ts"
import { blobBaseFee, GAS_PER_BLOB } from "./blobFee.ts"
import { type BlockFacts, blockFacts, type BlockInstant, blockInstant } from "./blockFacts.ts"
import type { StoredBlock } from "./ChainReader.ts"
import { type JsonObject, type JsonValue, numberText } from "./json.ts"
import { type LogPlace, placedLog } from "./logObject.ts"
import { recovered, type SenderOf } from "./senderCache.ts"
import { effectiveGasPrice, recipientText } from "./transactionObject.ts"
import { transactionHashes } from "./transactionHashes.ts"

/** What the receipts of one block have in common. */
interface ReceiptContext {
  readonly facts: BlockFacts
  /** Wei; undefined where it is not known, or there are no blobs yet. */
  readonly blobGasPrice: bigint | undefined
  readonly senderOf: SenderOf
}

/** The objects of all receipts of a block, in their order. */
export const receiptObjects = (
  block: StoredBlock,
  schedule: ReadonlyArray<BlobParameters>,
  senderOf: SenderOf = recovered,
): ReadonlyArray<JsonObject> => {
  const context = contextOf(block, schedule, senderOf)
  const hashes = transactionHashes([...transactionsOf(block)])
  const objects: Array<JsonObject> = []
  walkReceipts(block, (at) => {
    objects.push(objectAt(context, at, hashes[at.index]!))
    return true
  })
  return objects
}

/** The object of the receipt at `index`; undefined when the block has no such transaction. */
export const receiptObject = (
  block: StoredBlock,
  index: number,
  schedule: ReadonlyArray<BlobParameters>,
  senderOf: SenderOf = recovered,
): JsonObject | undefined => {
  let object: JsonObject | undefined
  walkReceipts(block, (at) => {
    if (at.index < index) return true
    const hash = toHex0x(keccak256(at.transaction))
    object = objectAt(contextOf(block, schedule, senderOf), at, hash)
    return false
  })
  return object
}

/** A receipt, its transaction, and what came before it in the block. */
interface ReceiptAt {
  readonly index: number
  readonly transaction: Uint8Array
  /** Stands on the receipt. */
  readonly receipt: FlatReceiptCursor
  readonly cumulativeGas: bigint
  readonly gasBefore: bigint
  readonly logsBefore: number
}

/** Calls `visit` for each receipt, until it says false. */
const walkReceipts = (block: StoredBlock, visit: (at: ReceiptAt) => boolean): void => {
  const { transactions } = openBody(block.body)
  const receipt = new FlatReceiptCursor(block.receipts)
  let gasBefore = 0n
  let logsBefore = 0
  for (let index = 0; receipt.next(); index++) {
    const transaction = nextTransaction(transactions)
    const cumulativeGas = BigInt(exactInteger(receipt.bytes, receipt.gasStart, receipt.gasEnd))
    if (!visit({ index, transaction, receipt, cumulativeGas, gasBefore, logsBefore })) return
    gasBefore = cumulativeGas
    logsBefore += receipt.countLogs()
  }
  if (!transactions.done) throw new RlpError("more transactions than receipts", 0)
}

function* transactionsOf({ body }: StoredBlock): Generator<Uint8Array> {
  const { transactions } = openBody(body)
  while (!transactions.done) yield nextTransaction(transactions)
}

const contextOf = (
  block: StoredBlock,
  schedule: ReadonlyArray<BlobParameters>,
  senderOf: SenderOf,
): ReceiptContext => {
  const instant = blockInstant(block.header)
  const blobGasPrice = blobGasPriceOf(instant, schedule)
  return { facts: blockFacts(block, instant), blobGasPrice, senderOf }
}

const blobGasPriceOf = (
  { excessBlobGas, timestamp }: BlockInstant,
  schedule: ReadonlyArray<BlobParameters>,
): bigint | undefined =>
  excessBlobGas === undefined ? undefined : blobBaseFee(excessBlobGas, timestamp, schedule)

const objectAt = (
  { facts, blobGasPrice, senderOf }: ReceiptContext,
  at: ReceiptAt,
  transactionHash: string,
): JsonObject => {
  const { receipt, cumulativeGas, gasBefore } = at
  const transaction = readTransaction(at.transaction)
  const place: LogPlace = {
    blockHash: facts.blockHash,
    blockNumber: facts.blockNumber,
    blockTimestamp: facts.blockTimestamp,
    transactionHash,
    transactionIndex: numberText(at.index),
  }
  const { logs, bloom } = logsOf(place, receipt, at.logsBefore)
  const object: Fields = {
    blockHash: place.blockHash,
    blockNumber: place.blockNumber,
    transactionHash,
    transactionIndex: place.transactionIndex,
    type: numberText(receipt.type),
  }
  addOutcome(object, receipt)
  object["cumulativeGasUsed"] = numberText(cumulativeGas)
  object["gasUsed"] = numberText(cumulativeGas > gasBefore ? cumulativeGas - gasBefore : 0n)
  object["logs"] = logs
  object["logsBloom"] = toHex0x(bloom)
  if (transaction === undefined) return object
  addParties(object, transaction, senderOf(at.index, transaction))
  object["effectiveGasPrice"] = numberText(effectiveGasPrice(transaction, facts.baseFee))
  if (transaction.blobVersionedHashes !== undefined) {
    addBlobs(object, transaction.blobVersionedHashes, blobGasPrice)
  }
  return object
}

/** An object that is being made. */
type Fields = Record<string, JsonValue>

/** EIP-658: a status since Byzantium, the state's root before. */
const addOutcome = (
  object: Fields,
  { bytes, outcomeStart, outcomeEnd }: FlatReceiptCursor,
): void => {
  const length = outcomeEnd - outcomeStart
  if (length === 32) object["root"] = toHex0x(bytes.subarray(outcomeStart, outcomeEnd))
  else object["status"] = numberText(length)
}

const addParties = (
  object: Fields,
  transaction: Transaction,
  sender: Uint8Array | undefined,
): void => {
  const creates = transaction.to.length === 0 && sender !== undefined
  object["from"] = sender === undefined ? null : toHex0x(sender)
  object["to"] = recipientText(transaction)
  object["contractAddress"] = creates ? toHex0x(contractAddress(sender, transaction.nonce)) : null
}

const addBlobs = (object: Fields, hashes: Uint8Array, blobGasPrice: bigint | undefined): void => {
  object["blobGasUsed"] = numberText(GAS_PER_BLOB * readVersionedHashes(hashes).length)
  if (blobGasPrice !== undefined) object["blobGasPrice"] = numberText(blobGasPrice)
}

/** The objects of a receipt's logs, and the filter of their addresses and topics. */
const logsOf = (
  place: LogPlace,
  { bytes, logsStart, logsEnd }: FlatReceiptCursor,
  logsBefore: number,
): { readonly logs: ReadonlyArray<JsonObject>; readonly bloom: Uint8Array } => {
  const bloom = new Uint8Array(BLOOM_BYTES)
  const logs: Array<JsonObject> = []
  const cursor = new LogCursor(bytes, logsStart, logsEnd)
  while (cursor.next()) {
    const { addressStart, topicsStart, topicCount, dataStart, dataEnd } = cursor
    addSpanToBloom(bloom, bytes, addressStart, addressStart + ADDRESS_BYTES)
    const topics: Array<Uint8Array> = []
    for (let topic = 0; topic < topicCount; topic++) {
      const at = topicsStart + TOPIC_STRIDE * topic
      addSpanToBloom(bloom, bytes, at, at + TOPIC_BYTES)
      topics.push(bytes.subarray(at, at + TOPIC_BYTES))
    }
    const address = bytes.subarray(addressStart, addressStart + ADDRESS_BYTES)
    const data = bytes.subarray(dataStart, dataEnd)
    logs.push(
      placedLog(place, { address, topics, data, logIndex: logsBefore + logs.length }, false),
    )
  }
  return { logs, bloom }
}

const ADDRESS_BYTES = 20
const TOPIC_BYTES = 32
