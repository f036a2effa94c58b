/**
 * The logs of a block in memory that a filter matches: of blocks that the store no longer has. Pure.
 */
import { nextTransaction, openBody } from "../../domain/body.ts"
import { readHeader } from "../../domain/header.ts"
import { equalBytes } from "../../domain/hex.ts"
import { keccak256 } from "../../domain/keccak.ts"
import { FlatReceiptCursor, LogCursor, TOPIC_STRIDE } from "../../domain/logs.ts"
import type { LogFilter, StoredBlock, StoredLog } from "../ChainReader.ts"

/** Whether a log is of those that `filter` asks for (execution-apis, `Filter`). */
export const matchesLog = (
  { addresses, topics }: LogFilter,
  log: Pick<StoredLog, "address" | "topics">,
): boolean => {
  if (topics.length > log.topics.length) return false
  if (addresses.length > 0 && !addresses.some((one) => equalBytes(one, log.address))) return false
  return topics.every(
    (alternatives, position) =>
      alternatives.length === 0 ||
      alternatives.some((one) => equalBytes(one, log.topics[position]!)),
  )
}

/** The logs of `block` that match, in their order. RlpError: the store's bytes are damaged. */
export const matchingLogs = (block: StoredBlock, filter: LogFilter): ReadonlyArray<StoredLog> => {
  const { timestamp } = readHeader(block.header)
  const { transactions } = openBody(block.body)
  const receipts = new FlatReceiptCursor(block.receipts)
  const found: Array<StoredLog> = []
  let logIndex = 0
  for (let transactionIndex = 0; receipts.next(); transactionIndex++) {
    const transaction = nextTransaction(transactions)
    const logs = new LogCursor(receipts.bytes, receipts.logsStart, receipts.logsEnd)
    let transactionHash: Uint8Array | undefined
    for (; logs.next(); logIndex++) {
      const log = contentOf(logs)
      if (!matchesLog(filter, log)) continue
      transactionHash ??= keccak256(transaction)
      found.push({
        blockNumber: block.blockNumber,
        blockHash: block.hash,
        blockTimestamp: timestamp,
        transactionHash,
        transactionIndex,
        logIndex,
        ...log,
      })
    }
  }
  return found
}

const contentOf = (logs: LogCursor): Pick<StoredLog, "address" | "topics" | "data"> => {
  const { bytes, addressStart, topicsStart, topicCount, dataStart, dataEnd } = logs
  return {
    address: bytes.subarray(addressStart, addressStart + 20),
    topics: Array.from({ length: topicCount }, (_, position) => {
      const at = topicsStart + position * TOPIC_STRIDE
      return bytes.subarray(at, at + 32)
    }),
    data: bytes.subarray(dataStart, dataEnd),
  }
}
