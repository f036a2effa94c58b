/**
 * The methods of JSON-RPC that are answered from the store alone.
 *
 * In: a method's name and its parameters, as the client sent them. Out: the result, or an
 * {@link RpcError}. Source of names, fields and errors: the execution-apis specification; EIP-1474
 * for the older methods.
 *
 * Invariants:
 * - What is unknown is `null`: a hash, a transaction, a number above the highest stored block.
 * - What is part of the chain but not stored is never empty: it is 4444 (EIP-4444), in every method.
 * - An answer about a hash is about the block, or transaction, with that hash, also when the chain
 *   was changed between two looks at the store.
 * - `pending` is `latest`: a history node builds no blocks.
 */
import { Effect } from "effect"
import type { BlobParameters } from "../chain/chainSpec.ts"
import { toHex0x } from "../domain/hex.ts"
import type { SyncReport } from "../observe/syncReport.ts"
import {
  blockObject,
  blockTransactionObject,
  rawBlock,
  rawReceipts,
  transactionCount,
  uncleCount,
  uncleObject,
} from "./blockObject.ts"
import {
  attempt,
  findBlock,
  findHeader,
  findTransaction,
  type FoundTransaction,
  reading,
} from "./ChainLookup.ts"
import { ChainReader, type StoredBlock } from "./ChainReader.ts"
import { type JsonValue, numberText } from "./json.ts"
import { logObject } from "./logObject.ts"
import {
  type BlockRef,
  parameters,
  parseBlockName,
  parseBlockRef,
  parseFlag,
  parseHash,
  parseLogQuery,
  parseQuantity,
} from "./params.ts"
import { queryLogs } from "./QueryLogs.ts"
import { receiptObject, receiptObjects } from "./receiptObject.ts"
import { rpcCodes, RpcError } from "./rpcError.ts"
import type { RpcLimits } from "./rpcLimits.ts"
import type { SenderCache, SenderOf } from "./senderCache.ts"

/** What a call needs beside the store. */
export interface CallContext {
  readonly limits: RpcLimits
  /** Name, version and platform, as `web3_clientVersion` tells them. */
  readonly clientVersion: string
  /** How the sync stands that fills the store; undefined where none is known. */
  readonly report: () => SyncReport | undefined
  readonly senders: SenderCache
  /** Lets others have the thread for a while. */
  readonly pause: Effect.Effect<void>
}

type Answer = Effect.Effect<JsonValue, RpcError, ChainReader>

type Method = (params: unknown, context: CallContext) => Answer

/**
 * Calls a method of {@link historyMethods}. The client is to blame for -32601 and -32602, the store
 * for -32603; the rest of the errors say what is missing, or too much.
 */
export const callHistoryMethod = (
  method: string,
  params: unknown,
  context: CallContext,
): Effect.Effect<JsonValue, RpcError, ChainReader> => {
  const call = methods.get(method)
  return call === undefined
    ? Effect.fail(
        new RpcError(
          rpcCodes.methodNotFound,
          `the method ${method} does not exist/is not available`,
        ),
      )
    : call(params, context)
}

/** A method without parameters. */
const withoutParameters =
  (answer: (context: CallContext) => Answer): Method =>
  (params, context) =>
    Effect.zipRight(
      attempt(() => parameters(params, 0)),
      answer(context),
    )

/** A method about one block, which `parse` reads from the parameters; null when it is unknown. */
const aboutBlock =
  <Rest>(
    least: number,
    parse: (values: ReadonlyArray<unknown>) => readonly [BlockRef, Rest],
    answer: (block: StoredBlock, rest: Rest, senderOf: SenderOf) => JsonValue | undefined,
    wantsSenders: (rest: Rest) => boolean = () => false,
  ): Method =>
  (params, context) =>
    Effect.gen(function* () {
      const [ref, rest] = yield* attempt(() => parse(parameters(params, least)))
      const block = yield* findBlock(ref)
      if (block === undefined) return null
      const senderOf = wantsSenders(rest)
        ? yield* allSenders(block, context)
        : anySender(block, context)
      return (yield* attempt(() => answer(block, rest, senderOf))) ?? null
    })

/** Milliseconds of recovering between two pauses. */
const SLICE_MS = 4

/** Recovers the senders of a block before they are needed: those of a large one take long. */
const allSenders = Effect.fnUntraced(function* (
  block: StoredBlock,
  { senders, pause }: CallContext,
) {
  const known = yield* attempt(() => senders.ofBlock(block))
  const work = known.recoverAll(block.body)
  const slice = (): boolean => {
    const startedMs = performance.now()
    while (performance.now() - startedMs < SLICE_MS) if (work.next().done === true) return true
    return false
  }
  while (!(yield* attempt(slice))) yield* pause
  return known.of
})

/** Where the sender of one transaction is needed, or of none. */
const anySender =
  (block: StoredBlock, { senders }: CallContext): SenderOf =>
  (index, transaction) =>
    senders.ofBlock(block).of(index, transaction)

/** The same method by number and by hash. */
const byNumberAndHash = <Rest>(
  names: readonly [string, string],
  least: number,
  parseRest: (values: ReadonlyArray<unknown>) => Rest,
  answer: (block: StoredBlock, rest: Rest, senderOf: SenderOf) => JsonValue | undefined,
  wantsSenders?: (rest: Rest) => boolean,
): ReadonlyArray<readonly [string, Method]> => [
  [
    names[0],
    aboutBlock(
      least,
      (values) => [{ name: parseBlockName(values[0], 0) }, parseRest(values)],
      answer,
      wantsSenders,
    ),
  ],
  [
    names[1],
    aboutBlock(
      least,
      (values) => [{ hash: parseHash(values[0], 0) }, parseRest(values)],
      answer,
      wantsSenders,
    ),
  ],
]

const nothing = (): undefined => undefined
const flagAfter = (values: ReadonlyArray<unknown>): boolean => parseFlag(values[1], 1)
const indexAfter = (values: ReadonlyArray<unknown>): number => parseQuantity(values[1], 1)

/** The block is named in any way. */
const anyRef = (values: ReadonlyArray<unknown>): readonly [BlockRef, undefined] => [
  parseBlockRef(values[0], 0),
  undefined,
]

/** What the store's chain charges for blobs, and since when. */
const blobSchedule: Effect.Effect<ReadonlyArray<BlobParameters>, never, ChainReader> = Effect.map(
  ChainReader,
  ({ chain }) => chain.rules.blobSchedule,
)

const blockNumber: Answer = Effect.gen(function* () {
  const reader = yield* ChainReader
  const { latest } = yield* reading(reader.extent)
  if (latest === undefined) {
    return yield* Effect.fail(new RpcError(rpcCodes.serverError, "no block is stored yet"))
  }
  return numberText(latest)
})

/** EIP-1474: false, or how far a sync has come. */
const syncing = ({ report }: CallContext): Answer =>
  Effect.gen(function* () {
    const state = report()
    if (state?.phase !== "backfill") return false
    const reader = yield* ChainReader
    const { latest } = yield* reading(reader.extent)
    const current = latest ?? state.startBlock
    return {
      startingBlock: numberText(state.startBlock),
      currentBlock: numberText(current),
      highestBlock: numberText(state.headBlock ?? state.targetBlock ?? current),
    }
  })

const getBlockReceipts: Method = (params, context) =>
  Effect.gen(function* () {
    const ref = yield* attempt(() => parseBlockRef(parameters(params, 1)[0], 0))
    const block = yield* findBlock(ref)
    if (block === undefined) return null
    const schedule = yield* blobSchedule
    const senderOf = yield* allSenders(block, context)
    return yield* attempt(() => receiptObjects(block, schedule, senderOf))
  })

/** A method about the transaction with a hash; null when it is unknown. */
const aboutTransaction =
  (
    answer: (
      found: FoundTransaction,
      schedule: ReadonlyArray<BlobParameters>,
      senderOf: SenderOf,
    ) => JsonValue | undefined,
  ): Method =>
  (params, context) =>
    Effect.gen(function* () {
      const hash = yield* attempt(() => parseHash(parameters(params, 1)[0], 0))
      const found = yield* findTransaction(hash)
      if (found === undefined) return null
      const schedule = yield* blobSchedule
      const senderOf = anySender(found.block, context)
      return (yield* attempt(() => answer(found, schedule, senderOf))) ?? null
    })

const getRawHeader: Method = (params) =>
  Effect.gen(function* () {
    const ref = yield* attempt(() => parseBlockRef(parameters(params, 1)[0], 0))
    const found = yield* findHeader(ref)
    return found === undefined ? null : toHex0x(found.header)
  })

const getLogs: Method = (params, { limits }) =>
  Effect.gen(function* () {
    const query = yield* attempt(() => parseLogQuery(parameters(params, 1)[0]))
    const logs = yield* queryLogs(query, limits)
    return logs.map((log) => logObject(log, false))
  })

const methods: ReadonlyMap<string, Method> = new Map<string, Method>([
  [
    "eth_chainId",
    withoutParameters(() => Effect.map(ChainReader, ({ chain }) => numberText(chain.chainId))),
  ],
  // Of every network that annals knows, and of every genesis.json, the id is the chain's.
  [
    "net_version",
    withoutParameters(() => Effect.map(ChainReader, ({ chain }) => String(chain.chainId))),
  ],
  ["web3_clientVersion", withoutParameters(({ clientVersion }) => Effect.succeed(clientVersion))],
  ["eth_blockNumber", withoutParameters(() => blockNumber)],
  ["eth_syncing", withoutParameters(syncing)],
  ...byNumberAndHash(
    ["eth_getBlockByNumber", "eth_getBlockByHash"],
    2,
    flagAfter,
    blockObject,
    (full) => full,
  ),
  ...byNumberAndHash(
    ["eth_getBlockTransactionCountByNumber", "eth_getBlockTransactionCountByHash"],
    1,
    nothing,
    (block) => numberText(transactionCount(block)),
  ),
  ...byNumberAndHash(
    ["eth_getTransactionByBlockNumberAndIndex", "eth_getTransactionByBlockHashAndIndex"],
    2,
    indexAfter,
    blockTransactionObject,
  ),
  ...byNumberAndHash(
    ["eth_getUncleCountByBlockNumber", "eth_getUncleCountByBlockHash"],
    1,
    nothing,
    (block) => numberText(uncleCount(block)),
  ),
  ...byNumberAndHash(
    ["eth_getUncleByBlockNumberAndIndex", "eth_getUncleByBlockHashAndIndex"],
    2,
    indexAfter,
    uncleObject,
  ),
  [
    "eth_getTransactionByHash",
    aboutTransaction(({ block, index }, _schedule, senderOf) =>
      blockTransactionObject(block, index, senderOf),
    ),
  ],
  [
    "eth_getTransactionReceipt",
    aboutTransaction(({ block, index }, schedule, senderOf) =>
      receiptObject(block, index, schedule, senderOf),
    ),
  ],
  ["eth_getBlockReceipts", getBlockReceipts],
  ["eth_getLogs", getLogs],
  ["debug_getRawHeader", getRawHeader],
  ["debug_getRawBlock", aboutBlock(1, anyRef, (block) => toHex0x(rawBlock(block)))],
  ["debug_getRawReceipts", aboutBlock(1, anyRef, rawReceipts)],
  ["debug_getRawTransaction", aboutTransaction(({ bytes }) => toHex0x(bytes))],
])

/** The methods that {@link callHistoryMethod} answers. */
export const historyMethods: ReadonlySet<string> = new Set(methods.keys())
