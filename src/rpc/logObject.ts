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
