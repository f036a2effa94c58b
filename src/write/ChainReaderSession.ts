/**
 * The store as a {@link ChainReader}: read through connections of its own, beside whoever writes,
 * on the calling thread.
 *
 * Questions of one block are answered at once on one connection. Long ones, logs and transactions,
 * take a view of their own, {@link VIEWS} at a time, and let others have the thread every
 * {@link SLICE_MS}; the rest of them waits, within its time limit.
 *
 * Invariants: nothing is written; each question is answered from one state of the store, and no
 * state is held longer than its question, and new ones wait where the write-ahead log has to be reset. Where the index
 * cannot be used, the question is answered without it; where it is damaged, whoever builds it is told.
 */
import { Effect, Layer, Scope } from "effect"
import { chainRulesOf } from "../chain/chainRules.ts"
import { BlockRanges, type BlockRange } from "../domain/blockRanges.ts"
import { equalBytes, fromHex } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import {
  type ChainExtent,
  ChainReader,
  type ChainReaderShape,
  IndexBehind,
  NotStored,
  QueryTooSlow,
  ReadFailed,
  type StoredReorg,
  TooManyLogs,
} from "../rpc/ChainReader.ts"
import { turn } from "./chainIndex/ChainIndexBuilder.ts"
import {
  IndexDamaged,
  isDamageOfIndex,
  isOfIndex,
  type StoreIdentity,
} from "./chainIndex/ChainIndexDatabase.ts"
import { type IndexerShape, Indexer, layerIndexer } from "./chainIndex/ChainIndexer.ts"
import type { CatalogMemory } from "./chainIndex/ChainIndexReader.ts"
import { RecentTransactions } from "./chainReaderRecent.ts"
import { scanLogs, scanTransactions, type Sliced } from "./ChainReaderScan.ts"
import { ChainView, damagedPayload, unpackBlock } from "./ChainReaderView.ts"
import { rowsNow, runNow } from "./RowsNow.ts"
import { BLOCK_BY_HASH } from "./schema.ts"
import { openDatabase, type StoreDatabase } from "./StoreDatabase.ts"
import { StoreError } from "./StoreError.ts"
import { commitDefaults } from "./storeProtocol.ts"
import { bytesAt, numberAt, type Row, textAt } from "./storedValues.ts"
import { metaKeys } from "./tables.ts"
import { makeWalGate, MOST_WAL_BYTES, type WalGate, walBytesOf } from "./WalGate.ts"

/** Long questions at a time, each with connections of its own. */
const VIEWS = 4
/** Milliseconds of work between two turns of the thread. */
const SLICE_MS = 4

/** The store in a directory, read on the calling thread, and its index, built in another one. */
export const layerChainReader = (directory: string): Layer.Layer<ChainReader, StoreError> =>
  Layer.provide(
    layerChainReaderOver(directory),
    // Where there is no store nobody is started who could say so, too.
    Layer.provide(layerIndexer(directory), layerReadable(directory)),
  )

/** Nothing; fails when the store cannot be read. */
const layerReadable = (directory: string): Layer.Layer<never, StoreError> =>
  Layer.effectDiscard(
    Effect.scoped(Effect.flatMap(openDatabase(readOptions(directory)), readChain)),
  )

const readOptions = (directory: string) =>
  ({ directory, purpose: { kind: "read" }, ...commitDefaults }) as const

/**
 * As {@link layerChainReader}, with whoever builds the index given; `mostWalBytes`: see `WalGate.ts`.
 */
export const layerChainReaderOver = (
  directory: string,
  mostWalBytes: number = MOST_WAL_BYTES,
): Layer.Layer<ChainReader, StoreError, Indexer> =>
  Layer.scoped(
    ChainReader,
    Effect.flatMap(Indexer, (indexer) => openChainReader(directory, indexer, mostWalBytes)),
  )

/** Opens the store in a directory until the scope ends. Fails when there is none. */
export const openChainReader = Effect.fn("ChainReader.open")(function* (
  directory: string,
  indexer: IndexerShape,
  mostWalBytes: number = MOST_WAL_BYTES,
): Effect.fn.Return<ChainReaderShape, StoreError, Scope.Scope> {
  const options = readOptions(directory)
  const store = yield* openDatabase(options)
  const chain = yield* readChain(store)
  const inView = yield* makeViews(
    options,
    chain.identity,
    indexer,
    yield* makeWalGate(() => walBytesOf(store.file), mostWalBytes),
  )
  const recent = new RecentTransactions()
  const rows = (sql: string, values: ReadonlyArray<number | Uint8Array> = []) =>
    Effect.mapError(store.rows(sql, values), unreadable)
  return {
    chain: chain.facts,
    extent: reading(() => readExtent(store)),
    version: Effect.map(rows("PRAGMA data_version"), ([row]) => numberAt(row, 0)),
    numberOf: (hash) =>
      Effect.map(rows(BLOCK_BY_HASH, [hash, hash]), ([row]) => row && numberAt(row, 0)),
    blockAt: (blockNumber) =>
      Effect.flatMap(rows(BLOCK_AT, [blockNumber]), ([row]) => blockOf(row)),
    headerAt: (blockNumber) =>
      Effect.flatMap(rows(HEADER_AT, [blockNumber]), ([row]) =>
        row === undefined ? Effect.succeed(undefined) : headerOf(row),
      ),
    placeOf: (hash) =>
      inView((view) => scanTransactions(view, recent, hash)).pipe(
        Effect.catchIf(
          (error) => error instanceof NotStored || error instanceof TooManyLogs,
          (error) => Effect.die(error),
        ),
      ),
    logs: (filter, range, limits) =>
      inView((view) => scanLogs(view, filter, range, limits)).pipe(
        Effect.catchTag("IndexBehind", (error) => Effect.die(error)),
        Effect.timeoutFail({
          duration: limits.ms,
          onTimeout: () => new QueryTooSlow({ limitMs: limits.ms }),
        }),
      ),
    reorgsAfter: (reorgId) =>
      Effect.map(rows(REORGS_AFTER, [reorgId]), (found) => found.map(reorgOf)),
  }
})

const BLOCK_AT = `SELECT block_number, block_hash, timestamp, body, receipts, codec, header
  FROM payloads JOIN blocks USING (block_number) WHERE block_number = ?`
const HEADER_AT = `SELECT block_number, block_hash, header
  FROM payloads JOIN blocks USING (block_number) WHERE block_number = ?`
const REORGS_AFTER = `SELECT reorg_id, from_block, to_block, old_hash, new_hash
  FROM reorgs WHERE reorg_id > ? ORDER BY reorg_id`

const readChain = Effect.fnUntraced(function* (store: StoreDatabase) {
  const rows = yield* store.rows("SELECT key, value FROM meta")
  const meta = new Map(rows.map((row) => [textAt(row, 0), textAt(row, 1)]))
  const [chainId, genesisHash] = [meta.get(metaKeys.chainId), meta.get(metaKeys.genesisHash)]
  // A store says whose chain it holds before it holds any.
  if (chainId === undefined || genesisHash === undefined) {
    return yield* new StoreError({ path: store.file, failure: { kind: "missing" } })
  }
  const genesis = fromHex(genesisHash)
  const notes = { chainId: BigInt(chainId), genesisHash: genesis }
  const facts = {
    chainId: Number(chainId),
    network: meta.get(metaKeys.network) ?? "",
    genesisHash: genesis,
    rules: chainRulesOf({ ...notes, text: meta.get(metaKeys.chainRules) }),
  }
  const storeId = meta.get(metaKeys.storeId) ?? ""
  return { facts, identity: { storeId, chainId, genesisHash } }
})

const unreadable = ({ message }: StoreError): ReadFailed => new ReadFailed({ reason: message })

/** Runs what throws a StoreError or a ReadFailed; anything else is a bug. */
const reading = <A>(body: () => A): Effect.Effect<A, ReadFailed> =>
  Effect.try({ try: body, catch: (error) => error }).pipe(
    Effect.catchAll((error) => {
      if (error instanceof ReadFailed) return Effect.fail(error)
      return error instanceof StoreError ? Effect.fail(unreadable(error)) : Effect.die(error)
    }),
  )

const readExtent = (store: StoreDatabase): ChainExtent => {
  runNow(store, "BEGIN")
  try {
    const rows = rowsNow(
      store,
      "SELECT from_block, to_block, anchored FROM coverage WHERE dataset = 'payloads'",
    )
    const facts = rowsNow(store, "SELECT key, value FROM meta WHERE key IN (?, ?)", [
      metaKeys.safeBlock,
      metaKeys.finalizedBlock,
    ])
    const told = new Map(facts.map((row) => [textAt(row, 0), Number(textAt(row, 1))]))
    return extentOf(rows, told)
  } finally {
    runNow(store, "COMMIT")
  }
}

const extentOf = (rows: ReadonlyArray<Row>, told: ReadonlyMap<string, number>): ChainExtent => {
  const blocks = rows.map((row) => [numberAt(row, 0), numberAt(row, 1)] as const)
  const ranges: ReadonlyArray<BlockRange> = [...BlockRanges.fromRanges(blocks).ranges()]
  const highest = ranges.at(-1)?.[1]
  const anchored = rows
    .filter((row) => numberAt(row, 2) === 1)
    .reduce<number | undefined>((most, row) => Math.max(most ?? 0, numberAt(row, 1)), undefined)
  // What is final above the highest stored block makes that one final, too.
  const knownTo = (key: string): number | undefined => {
    const block = told.get(key)
    if (block === undefined || !Number.isSafeInteger(block)) return anchored
    return highest === undefined ? undefined : Math.min(block, highest)
  }
  return {
    ranges,
    earliest: ranges[0]?.[0],
    latest: ranges[0]?.[1],
    highest,
    safe: knownTo(metaKeys.safeBlock),
    finalized: knownTo(metaKeys.finalizedBlock),
  }
}

const blockOf = (row: Row | undefined) =>
  row === undefined
    ? Effect.succeed(undefined)
    : Effect.flatMap(
        Effect.try({ try: () => unpackBlock(row), catch: () => damagedPayload(numberAt(row, 0)) }),
        ({ blockNumber, hash, body, receipts }) => {
          const header = bytesAt(row, 6)
          return equalBytes(keccak256(header), hash)
            ? Effect.succeed({ blockNumber, hash, header, body, receipts })
            : Effect.fail(damagedPayload(blockNumber))
        },
      )

const headerOf = (row: Row) => {
  const [blockNumber, hash, header] = [numberAt(row, 0), bytesAt(row, 1), bytesAt(row, 2)]
  return equalBytes(keccak256(header), hash)
    ? Effect.succeed({ blockNumber, hash, header })
    : Effect.fail(damagedPayload(blockNumber))
}

const reorgOf = (row: Row): StoredReorg => ({
  reorgId: numberAt(row, 0),
  fromBlock: numberAt(row, 1),
  toBlock: numberAt(row, 2),
  oldHash: bytesAt(row, 3),
  newHash: bytesAt(row, 4),
})

type ScanError = ReadFailed | NotStored | TooManyLogs | IndexBehind

/** Gives the function that answers a question in a view of its own. */
const makeViews = Effect.fnUntraced(function* (
  options: Parameters<typeof openDatabase>[0],
  identity: StoreIdentity,
  indexer: IndexerShape,
  gate: WalGate,
) {
  const scope = yield* Effect.scope
  const permits = yield* Effect.makeSemaphore(VIEWS)
  const idle: Array<ChainView> = []
  const memory: CatalogMemory = { last: undefined }
  yield* Effect.addFinalizer(() => Effect.sync(() => idle.forEach((view) => view.forgetIndex())))

  const open = openDatabase(options).pipe(
    Effect.map((store) => new ChainView(store, options.directory, identity, memory)),
    Scope.extend(scope),
  )
  const acquire = Effect.suspend(() => {
    const view = idle.pop()
    return view === undefined ? open : Effect.succeed(view)
  })

  const answer = <A>(ask: (view: ChainView) => Sliced<A>, useIndex: boolean) =>
    gate.through(
      Effect.acquireUseRelease(
        acquire,
        (view) => inSlices(sliced(view, ask, useIndex)),
        (view) =>
          Effect.sync(() => {
            view.end()
            if (!useIndex) view.forgetIndex()
            idle.push(view)
          }),
      ),
    )

  return <A>(ask: (view: ChainView) => Sliced<A>): Effect.Effect<A, ScanError> =>
    permits.withPermits(1)(
      answer(ask, true).pipe(
        Effect.catchIf(isIndexFailure, (error) =>
          Effect.zipRight(tell(indexer, error), answer(ask, false)),
        ),
        Effect.catchAll((error) => {
          if (error instanceof StoreError) return Effect.fail(unreadable(error))
          return error instanceof IndexDamaged ? Effect.die(error) : Effect.fail(error)
        }),
      ),
    )
})

type IndexFailure = IndexDamaged | StoreError

const isIndexFailure = (error: unknown): error is IndexFailure =>
  error instanceof IndexDamaged || (error instanceof StoreError && isOfIndex(error))

/** Damage is told to whoever builds; a file that cannot be read just now may be sound. */
const tell = (indexer: IndexerShape, error: IndexFailure): Effect.Effect<void> => {
  if (error instanceof IndexDamaged) return indexer.damaged(error.reason)
  return isDamageOfIndex(error) ? indexer.damaged(error.message) : Effect.void
}

/** A question within a view that begins with it. */
function* sliced<A>(
  view: ChainView,
  ask: (view: ChainView) => Sliced<A>,
  useIndex: boolean,
): Sliced<A> {
  view.begin(useIndex)
  return yield* ask(view)
}

/** Runs a generator, and lets others have the thread whenever a slice is over. */
const inSlices = Effect.fnUntraced(function* <A>(
  work: Sliced<A>,
): Effect.fn.Return<A, ScanError | IndexFailure> {
  for (;;) {
    const result = yield* slice(work)
    if (result.done === true) return result.value
    yield* turn
  }
})

const slice = <A>(
  work: Sliced<A>,
): Effect.Effect<IteratorResult<void, A>, ScanError | IndexFailure> =>
  Effect.try({
    try: () => {
      const startedMs = performance.now()
      let result = work.next()
      while (result.done !== true && performance.now() - startedMs < SLICE_MS) result = work.next()
      return result
    },
    catch: (error) => error,
  }).pipe(
    Effect.catchAll((error) =>
      isScanError(error) || isIndexFailure(error) || error instanceof StoreError
        ? Effect.fail(error)
        : Effect.die(error),
    ),
  )

const isScanError = (error: unknown): error is ScanError =>
  error instanceof ReadFailed ||
  error instanceof NotStored ||
  error instanceof TooManyLogs ||
  error instanceof IndexBehind
