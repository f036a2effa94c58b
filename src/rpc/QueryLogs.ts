/**
 * `eth_getLogs`, and what filters and subscriptions ask in the same way.
 *
 * In: a query as `parseLogQuery` gives it, and limits. Out: the matching logs in the order of the
 * chain, all of them, or an {@link RpcError}.
 *
 * Invariants: never a part of the logs; never an empty list because blocks are missing. No more is
 * read than an answer of `responseBytes` holds. The logs of one block are given however many there
 * are, so that a client that asks for less and less gets everything in the end.
 */
import { Effect } from "effect"
import type { BlockRange } from "../domain/blockRanges.ts"
import { equalBytes } from "../domain/hex.ts"
import { numberNamed, reading } from "./ChainLookup.ts"
import {
  type ChainExtent,
  ChainReader,
  type LogFilter,
  type NotStored,
  type QueryTooSlow,
  type ReadFailed,
  type StoredLog,
  type TooManyLogs,
} from "./ChainReader.ts"
import { numberText } from "./json.ts"
import type { LogQuery } from "./params.ts"
import { invalidParams, prunedHistory, rpcCodes, RpcError } from "./rpcError.ts"
import type { RpcLimits } from "./rpcLimits.ts"

/** What a query of logs may cost. */
export type LogLimits = Pick<RpcLimits, "logBlocks" | "logResults" | "responseBytes" | "callMs">

/** The logs that match. Source: execution-apis, `eth_getLogs`; EIP-234 for a block's hash. */
export const queryLogs = (
  { filter, blocks }: LogQuery,
  limits: LogLimits,
): Effect.Effect<ReadonlyArray<StoredLog>, RpcError, ChainReader> =>
  "hash" in blocks
    ? logsOfBlock(filter, blocks.hash, limits)
    : Effect.flatMap(rangeOf(blocks, limits), (range) => logsOfRange(filter, range, limits))

/** The numbers that a query's range stands for now, within what is stored and allowed. */
const rangeOf = Effect.fnUntraced(function* (
  { from, to }: Extract<LogQuery["blocks"], { readonly from: unknown }>,
  limits: LogLimits,
) {
  const reader = yield* ChainReader
  const extent: ChainExtent = yield* reading(reader.extent)
  const range: BlockRange = [yield* numberNamed(from, extent), yield* numberNamed(to, extent)]
  const refusal = refusalOf(range, extent, limits)
  return refusal === undefined ? range : yield* Effect.fail(refusal)
})

const refusalOf = (
  [from, to]: BlockRange,
  { highest }: ChainExtent,
  { logBlocks }: LogLimits,
): RpcError | undefined => {
  // The words of both are those of the specification's test cases.
  if (from > to) return invalidParams("invalid block range params")
  if (highest === undefined || to > highest) {
    return invalidParams("block range extends beyond current head block")
  }
  return to - from + 1 > logBlocks ? tooWide([from, to], logBlocks) : undefined
}

/** Indexers read what would do from the last sentence. */
const tooWide = ([from, to]: BlockRange, most: number): RpcError =>
  invalidParams(
    `block range is too wide: ${to - from + 1} blocks, at most ${most} are allowed. ` +
      tryInstead([from, from + most - 1]),
  )

const tryInstead = ([from, to]: BlockRange): string =>
  `Try with this block range [${numberText(from)}, ${numberText(to)}].`

const logsOfRange = Effect.fnUntraced(function* (
  filter: LogFilter,
  range: BlockRange,
  { logResults, responseBytes, callMs }: LogLimits,
) {
  const reader = yield* ChainReader
  const results = range[0] === range[1] ? Number.MAX_SAFE_INTEGER : logResults
  return yield* Effect.mapError(
    reader.logs(filter, range, { results, bytes: responseBytes - 1, ms: callMs }),
    refusalFor,
  )
})

/** Why a query of logs was not answered, in the client's words. */
export const refusalFor = (
  error: ReadFailed | NotStored | TooManyLogs | QueryTooSlow,
): RpcError => {
  switch (error._tag) {
    case "NotStored":
      return prunedHistory()
    case "TooManyLogs":
      return new RpcError(
        rpcCodes.limitExceeded,
        `query returned more than ${error.limit} results. ${tryInstead(error.fits)}`,
      )
    case "QueryTooSlow":
      return new RpcError(
        rpcCodes.limitExceeded,
        `query took longer than ${error.limitMs} ms: ask for fewer blocks, or for rarer addresses or topics`,
      )
    case "ReadFailed":
      return new RpcError(rpcCodes.internalError, "the stored history cannot be read")
  }
}

const logsOfBlock = Effect.fnUntraced(function* (
  filter: LogFilter,
  hash: Uint8Array,
  limits: LogLimits,
) {
  const reader = yield* ChainReader
  const number = yield* reading(reader.numberOf(hash))
  if (number === undefined) return yield* Effect.fail(unknownHash())
  const logs = yield* logsOfRange(filter, [number, number], limits)
  // The block may have been replaced before its logs were read.
  const header = yield* reading(reader.headerAt(number))
  if (header === undefined || !equalBytes(header.hash, hash))
    return yield* Effect.fail(unknownHash())
  return logs
})

/** EIP-234: a hash that is not of the chain is an error, lest it look like a block without logs. */
const unknownHash = (): RpcError => new RpcError(rpcCodes.serverError, "unknown block")
