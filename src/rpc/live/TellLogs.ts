/**
 * The logs that somebody is to be told of: first those of blocks that were removed, newest block
 * first, then those of new blocks, in the order of the chain.
 *
 * In: his place in the chain and what he asks for. Out: log objects; his place moves on only with
 * them, when they are known to fit into an answer, so that what fails is told the next time. Nothing is left out: a leap of thousands of blocks
 * is read in pieces, as large as the limits let them be. Of a few new blocks the logs are taken from
 * memory, where the watcher has them for all who are told.
 */
import { Effect } from "effect"
import type { ChainReaderShape, LogFilter, StoredLog } from "../ChainReader.ts"
import type { JsonValue } from "../json.ts"
import { logObject, logTextBytes } from "../logObject.ts"
import { refusalFor } from "../QueryLogs.ts"
import { rpcCodes, RpcError } from "../rpcError.ts"
import type { RpcLimits } from "../rpcLimits.ts"
import { afterTelling, newBlocks, type Span } from "./chainCursor.ts"
import type { ChainWatcherShape, Place, WatchedBlock } from "./ChainWatcher.ts"
import type { ChainWindow } from "./chainStep.ts"

/** What is asked for, and the blocks that it concerns. */
export interface LogInterest {
  readonly filter: LogFilter
  /** Both inclusive. */
  readonly fromBlock: number
  readonly toBlock: number
  readonly place: Place
  /** Blocks that are read at once; fewer after a query that took too long. */
  stride: number
}

/** What one telling may cost. */
export type TellLimits = Pick<RpcLimits, "logResults" | "responseBytes" | "callMs">

/** What somebody is told. */
export interface LogsTold {
  readonly removed: ReadonlyArray<JsonValue>
  readonly added: ReadonlyArray<JsonValue>
  /** There may be more to tell at once. */
  readonly more: boolean
}

/** What was told cannot be taken back any more: the owner has to begin again. */
export const tooDeep = (): RpcError =>
  new RpcError(
    rpcCodes.serverError,
    "filter not found: a reorganisation went deeper than what is remembered",
  )

/** Why the live chain could not be read, in the client's words. */
export const movingRefusal = (error: { readonly _tag: "ReadFailed" | "ChainMoving" }): RpcError =>
  error._tag === "ReadFailed"
    ? new RpcError(rpcCodes.internalError, "the stored history cannot be read")
    : new RpcError(rpcCodes.serverError, "the chain is changing: ask again")

/** Moves a place on; what it gives takes that back, should the answer be lost after all. */
export const moveOn = (place: Place, cursor: Place["cursor"]): (() => void) => {
  const before = place.cursor
  if (before.next === cursor.next && before.removed.length === cursor.removed.length) {
    return () => undefined
  }
  place.cursor = cursor
  return () => {
    // Where the place has moved again, nobody can say any more what was told.
    place.cursor = place.cursor === cursor ? before : { ...place.cursor, lost: true }
  }
}

/** Reads what is to be told, or what was removed of it, and moves the place on. */
export const tellLogs = (
  watcher: ChainWatcherShape,
  reader: ChainReaderShape,
  interest: LogInterest,
  limits: TellLimits,
  what: "all" | "removed" = "all",
): Effect.Effect<LogsTold, RpcError> =>
  tellLogsBy(watcher, reader, interest, limits, (told) => Effect.succeed(told), what)

/**
 * As {@link tellLogs}; `give` makes an answer of what is told, or fails, and then nothing was told.
 * `moved` is given what takes the telling back.
 */
export const tellLogsBy = <A>(
  watcher: ChainWatcherShape,
  reader: ChainReaderShape,
  interest: LogInterest,
  limits: TellLimits,
  give: (told: LogsTold) => Effect.Effect<A, RpcError>,
  what: "all" | "removed" = "all",
  moved: (undo: () => void) => void = () => undefined,
): Effect.Effect<A, RpcError> => {
  const { place } = interest
  const read = watcher.settled(
    ({ extent: { earliest }, head, window }) =>
      Effect.gen(function* () {
        const { cursor } = place
        if (cursor.lost) return yield* Effect.fail(tooDeep())
        const { removed, left } = yield* removedOf(watcher, interest, limits)
        const span = newBlocks(cursor, { earliest, head }, interest.stride)
        if (left.length > 0 || span === undefined || what === "removed") {
          return { removed, left, added: [], upTo: undefined }
        }
        const { logs, upTo } =
          recentLogs(watcher, window, interest, span, limits) ??
          (yield* logsOf(reader, interest, span, limits))
        return { removed, left, added: logs.map((log) => logObject(log, false)), upTo }
      }),
    ({ removed, left, added, upTo }) =>
      Effect.uninterruptible(
        Effect.map(
          give({ removed, added, more: left.length > 0 || upTo !== undefined }),
          (answer) => {
            moved(moveOn(place, afterTelling(place.cursor, upTo, left)))
            return answer
          },
        ),
      ),
  )
  return Effect.catchTags(read, {
    ReadFailed: (error) => Effect.fail(movingRefusal(error)),
    ChainMoving: (error) => Effect.fail(movingRefusal(error)),
  })
}

/** The logs that went, of as many blocks as an answer holds, and the blocks that are left. */
const removedOf = (
  watcher: ChainWatcherShape,
  { place, filter, fromBlock, toBlock }: LogInterest,
  { responseBytes }: TellLimits,
) =>
  Effect.suspend(() => {
    const removed: Array<JsonValue> = []
    let bytes = 0
    for (const [at, block] of place.cursor.removed.entries()) {
      if (block.blockNumber < fromBlock || block.blockNumber > toBlock) continue
      const logs = watcher.logsOf(block, filter)
      if (logs === undefined) {
        place.cursor = { ...place.cursor, lost: true }
        return Effect.fail(tooDeep())
      }
      bytes += logs.reduce((sum, log) => sum + logTextBytes(log), 0)
      if (bytes > responseBytes * SHARE && removed.length > 0) {
        return Effect.succeed({ removed, left: place.cursor.removed.slice(at) })
      }
      removed.push(...logs.map((log) => logObject(log, true)))
    }
    return Effect.succeed({ removed, left: [] })
  })

interface LogsRead {
  readonly logs: ReadonlyArray<StoredLog>
  readonly upTo: number
}

/** New blocks whose logs are taken from memory: more is a leap, and the store has an index. */
const MOST_RECENT = 8

/** As {@link logsOf}, from memory; undefined where not all of the blocks are there. */
const recentLogs = (
  watcher: ChainWatcherShape,
  window: ChainWindow<WatchedBlock>,
  { filter, fromBlock, toBlock }: LogInterest,
  [from, to]: Span,
  { logResults, responseBytes }: TellLimits,
): LogsRead | undefined => {
  if (to - from >= MOST_RECENT || from < fromBlock || to > toBlock) return undefined
  const blocks = window.filter(({ blockNumber }) => blockNumber >= from && blockNumber <= to)
  if (blocks.length !== to - from + 1) return undefined
  const logs: Array<StoredLog> = []
  for (const block of blocks) {
    const more = watcher.logsOf(block, filter)
    if (more === undefined) return undefined
    if (block.blockNumber > from && logs.length + more.length > logResults) {
      return fitting({ logs, upTo: block.blockNumber - 1 }, responseBytes * SHARE)
    }
    logs.push(...more)
  }
  return fitting({ logs, upTo: to }, responseBytes * SHARE)
}

/** The matching logs of `span`, or of a part of it from its start that is not too much at once. */
const logsOf = Effect.fnUntraced(function* (
  reader: ChainReaderShape,
  interest: LogInterest,
  [from, to]: Span,
  { logResults, responseBytes, callMs }: TellLimits,
): Effect.fn.Return<LogsRead, RpcError> {
  const first = Math.max(from, interest.fromBlock)
  const last = Math.min(to, interest.toBlock)
  if (first > last) return { logs: [], upTo: to }
  const results = first === last ? Number.MAX_SAFE_INTEGER : logResults
  const bytes = responseBytes * SHARE
  const asked = reader.logs(interest.filter, [first, last], { results, bytes, ms: callMs })
  return yield* asked.pipe(
    Effect.map((logs): LogsRead => ({ logs, upTo: to })),
    Effect.catchTag("TooManyLogs", ({ fits }) =>
      Effect.map(
        reader.logs(interest.filter, fits, { results: Infinity, bytes: Infinity, ms: callMs }),
        (logs): LogsRead => ({ logs, upTo: fits[1] }),
      ),
    ),
    Effect.map((read) => fitting(read, bytes)),
    Effect.tapErrorTag("QueryTooSlow", () =>
      Effect.sync(() => {
        interest.stride = Math.max(1, Math.floor((to - from + 1) / SHORTER))
      }),
    ),
    Effect.mapError(refusalFor),
  )
})

/**
 * The part of what was read, from its start, whose text fits into `mostBytes`: whole blocks, at least
 * one. What could not be sent would be lost, since it counts as told.
 */
const fitting = (read: LogsRead, mostBytes: number): LogsRead => {
  let bytes = 0
  for (const [at, log] of read.logs.entries()) {
    const { blockNumber } = log
    bytes += logTextBytes(log)
    if (bytes <= mostBytes || blockNumber === read.logs[0]?.blockNumber) continue
    const whole = read.logs.slice(0, at).filter((log) => log.blockNumber < blockNumber)
    return { logs: whole, upTo: blockNumber - 1 }
  }
  return read
}

/** What removed logs, and new ones, may take of an answer. */
const SHARE = 0.5

/** What is read at once after a query that took too long. */
const SHORTER = 8
