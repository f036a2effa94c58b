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
import { contractAddress, recoverSender } from "../domain/signature.ts"
import { readTransaction, readVersionedHashes, type Transaction } from "../domain/transactions.ts"
import { blobBaseFee, GAS_PER_BLOB } from "./blobFee.ts"
import { type BlockFacts, blockFacts, type BlockInstant, blockInstant } from "./blockFacts.ts"
import type { StoredBlock } from "./ChainReader.ts"
import { type JsonObject, numberText } from "./json.ts"
import { type LogPlace, placedLog } from "./logObject.ts"
import { effectiveGasPrice, recipientText } from "./transactionObject.ts"

/** What the receipts of one block have in common. */
interface ReceiptContext {
  readonly facts: BlockFacts
  /** Wei; undefined where it is not known, or there are no blobs yet. */
  readonly blobGasPrice: bigint | undefined
}

/** The objects of all receipts of a block, in their order. */
export const receiptObjects = (
  block: StoredBlock,
  schedule: ReadonlyArray<BlobParameters>,
): ReadonlyArray<JsonObject> => {
  const context = contextOf(block, schedule)
  const objects: Array<JsonObject> = []
  walkReceipts(block, (at) => {
    objects.push(objectAt(context, at))
    return true
  })
  return objects
}

/** The object of the receipt at `index`; undefined when the block has no such transaction. */
export const receiptObject = (
  block: StoredBlock,
  index: number,
  schedule: ReadonlyArray<BlobParameters>,
): JsonObject | undefined => {
  let object: JsonObject | undefined
  walkReceipts(block, (at) => {
    if (at.index < index) return true
    object = objectAt(contextOf(block, schedule), at)
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

const contextOf = (block: StoredBlock, schedule: ReadonlyArray<BlobParameters>): ReceiptContext => {
  const instant = blockInstant(block.header)
  return { facts: blockFacts(block, instant), blobGasPrice: blobGasPriceOf(instant, schedule) }
}

const blobGasPriceOf = (
  { excessBlobGas, timestamp }: BlockInstant,
  schedule: ReadonlyArray<BlobParameters>,
): bigint | undefined =>
  excessBlobGas === undefined ? undefined : blobBaseFee(excessBlobGas, timestamp, schedule)

const objectAt = ({ facts, blobGasPrice }: ReceiptContext, at: ReceiptAt): JsonObject => {
  const { receipt, cumulativeGas, gasBefore } = at
  const transaction = readTransaction(at.transaction)
  const place: LogPlace = {
    blockHash: facts.blockHash,
    blockNumber: facts.blockNumber,
    blockTimestamp: facts.blockTimestamp,
    transactionHash: toHex0x(keccak256(at.transaction)),
    transactionIndex: numberText(at.index),
  }
  const { logs, bloom } = logsOf(place, receipt, at.logsBefore)
  return {
    blockHash: place.blockHash,
    blockNumber: place.blockNumber,
    transactionHash: place.transactionHash,
    transactionIndex: place.transactionIndex,
    type: numberText(receipt.type),
    ...outcomeField(receipt),
    cumulativeGasUsed: numberText(cumulativeGas),
    gasUsed: numberText(cumulativeGas > gasBefore ? cumulativeGas - gasBefore : 0n),
    logs,
    logsBloom: toHex0x(bloom),
    ...(transaction && partyFields(transaction)),
    ...(transaction && {
      effectiveGasPrice: numberText(effectiveGasPrice(transaction, facts.baseFee)),
    }),
    ...(transaction?.blobVersionedHashes &&
      blobFields(transaction.blobVersionedHashes, blobGasPrice)),
  }
}

/** EIP-658: a status since Byzantium, the state's root before. */
const outcomeField = ({ bytes, outcomeStart, outcomeEnd }: FlatReceiptCursor): JsonObject => {
  const length = outcomeEnd - outcomeStart
  return length === 32
    ? { root: toHex0x(bytes.subarray(outcomeStart, outcomeEnd)) }
    : { status: numberText(length) }
}

const partyFields = (transaction: Transaction): JsonObject => {
  const sender = recoverSender(transaction)
  const creates = transaction.to.length === 0 && sender !== undefined
  return {
    from: sender === undefined ? null : toHex0x(sender),
    to: recipientText(transaction),
    contractAddress: creates ? toHex0x(contractAddress(sender, transaction.nonce)) : null,
  }
}

const blobFields = (hashes: Uint8Array, blobGasPrice: bigint | undefined): JsonObject => ({
  blobGasUsed: numberText(GAS_PER_BLOB * readVersionedHashes(hashes).length),
  ...(blobGasPrice !== undefined && { blobGasPrice: numberText(blobGasPrice) }),
})

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
