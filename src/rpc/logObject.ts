/**
 * Logs as `eth_getLogs`, receipts and subscriptions show them.
 *
 * In: a log and where it stands. Out: the object of execution-apis' `Log` schema.
 * Invariant: `logIndex` counts through the block, not through the transaction.
 */
import { toHex0x } from "../domain/hex.ts"
import type { StoredLog } from "./ChainReader.ts"
import { type JsonObject, numberText } from "./json.ts"

/** Where the logs of one transaction stand, already in the words of JSON. */
export interface LogPlace {
  readonly blockNumber: string
  readonly blockHash: string
  readonly blockTimestamp: string
  readonly transactionHash: string
  readonly transactionIndex: string
}

/** The object of a log; `removed` says that its block has left the chain (execution-apis, `Log`). */
export const logObject = (log: StoredLog, removed: boolean): JsonObject =>
  placedLog(
    {
      blockNumber: numberText(log.blockNumber),
      blockHash: toHex0x(log.blockHash),
      blockTimestamp: numberText(log.blockTimestamp),
      transactionHash: toHex0x(log.transactionHash),
      transactionIndex: numberText(log.transactionIndex),
    },
    log,
    removed,
  )

/** As {@link logObject}, where several logs share a place. */
export const placedLog = (
  place: LogPlace,
  log: Pick<StoredLog, "address" | "topics" | "data" | "logIndex">,
  removed: boolean,
): JsonObject => ({
  address: toHex0x(log.address),
  topics: log.topics.map(toHex0x),
  data: toHex0x(log.data),
  blockNumber: place.blockNumber,
  transactionHash: place.transactionHash,
  transactionIndex: place.transactionIndex,
  blockHash: place.blockHash,
  blockTimestamp: place.blockTimestamp,
  logIndex: numberText(log.logIndex),
  removed,
})

/**
 * How long the text of a log's object is, which is not made for it, and of a comma behind it. So many
 * logs make a list of one byte more than the sum.
 */
export const logTextBytes = (log: StoredLog): number =>
  FIXED_BYTES +
  TOPIC_TEXT_BYTES * log.topics.length -
  (log.topics.length > 0 ? 1 : 0) +
  2 * log.data.length +
  digits(log.blockNumber) +
  digits(log.blockTimestamp) +
  digits(log.transactionIndex) +
  digits(log.logIndex)

const digits = (value: number): number => value.toString(16).length

/** Quotation marks, `0x`, 32 bytes, and a comma. */
const TOPIC_TEXT_BYTES = 2 + 2 + 64 + 1

/** All but topics, data, and the digits of four numbers. */
const FIXED_BYTES = ((): number => {
  const hash = new Uint8Array(32)
  const shortest: StoredLog = {
    blockNumber: 0,
    blockHash: hash,
    blockTimestamp: 0,
    transactionHash: hash,
    transactionIndex: 0,
    logIndex: 0,
    address: hash.subarray(0, 20),
    topics: [],
    data: hash.subarray(0, 0),
  }
  return JSON.stringify(logObject(shortest, false)).length + 1 - 4
})()
