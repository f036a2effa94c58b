/**
 * Ingest: which Layers make a program that fills the store with checked history.
 *
 *     peers ─▶ scheduler ─▶ fetch (headers, bodies, receipts) ═▶ process (check) ═▶ write (store)
 *
 * The profile is the same with the time of each stage in its summary.
 */
import { mkdtemp, rm } from "node:fs/promises"
import os from "node:os"
import path from "node:path"
import { Clock, Effect, Fiber, Layer, Option } from "effect"
import { Chain } from "../chain/Chain.ts"
import { chainRulesText } from "../chain/chainRules.ts"
import type { Anchor, ChainSpec } from "../chain/chainSpec.ts"
import { ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { IngestOptions } from "../cli/syncOptions.ts"
import { UsageError } from "../cli/UsageError.ts"
import { and, BlockRanges } from "../domain/blockRanges.ts"
import { equalBytes, toHex0x } from "../domain/hex.ts"
import { Fetcher } from "../fetch/Fetcher.ts"
import { layerIngestPlan } from "../fetch/IngestPlan.ts"
import { watchBackfill } from "../follow/BackfillState.ts"
import { FULL_QUORUM } from "../follow/quorum.ts"
import { SyncState } from "../follow/SyncState.ts"
import { IngestStats } from "../observe/IngestStats.ts"
import { ingestText, summarizeIngest } from "../observe/ingestSummary.ts"
import { ProcessUsage } from "../observe/ProcessUsage.ts"
import { reportProgress } from "../observe/Progress.ts"
import { Stats } from "../observe/Stats.ts"
import { Stop, type StopSignal } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { loadNodeKey } from "../peers/NodeKey.ts"
import { PeerCache } from "../peers/PeerCache.ts"
import type { PooledPeer } from "../peers/PeerPool.ts"
import { layerChecking } from "../process/CheckingProcessor.ts"
import { CheckPool } from "../process/CheckPool.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { WorkList } from "../scheduler/WorkList.ts"
import { OurHead } from "../serving/OurHead.ts"
import { Settings } from "../Settings.ts"
import { Store } from "../write/Store.ts"
import { commitDefaults, DATABASE_FILE, type OpenOptions } from "../write/storeProtocol.ts"
import { layerStorePeerCache } from "../write/StorePeerCache.ts"
import { layerStoreReader } from "../write/StoreReader.ts"
import { layerStoreWriter } from "../write/StoreWriter.ts"
import { Writer } from "../write/Writer.ts"
import { tuneEngine } from "../wire/tuneEngine.ts"
import { clientId } from "./clientId.ts"
import { abandonRequests, followHead, followScheduler } from "./followHead.ts"
import { elapsedSince, gatherPeers, tellNoPeers } from "./gatherPeers.ts"
import { noteNetwork, noteScheduler, serveBeside, SyncSources } from "./serveBeside.ts"
import { chooseNetwork, lastBlock, networkLayer, networkSettings } from "./network.ts"
import { endWithStoreError } from "./storeErrors.ts"
import { tellMissing } from "./tellMissing.ts"

/** Most blocks in a request where the user sets no ceiling: what Besu serves of bodies. */
const MOST_BLOCKS_PER_REQUEST = 128
/** Batches a peer works on at once: the headers of the next travel beside this one's receipts. */
const SLOTS_PER_PEER = 2

/** Runs an ingest, or a profile. */
export const runIngest = (
  options: IngestOptions,
): Effect.Effect<ExitCode, UsageError, Stop | Terminal> =>
  Effect.scoped(
    Effect.gen(function* () {
      tuneEngine()
      const chosen = yield* chooseNetwork(options)
      const { chain } = chosen
      const trusted = yield* trustedHashes(chain, options.trustedHashes)
      const directory = yield* dataDirectory(options)
      const storeOptions: OpenOptions = {
        directory,
        purpose: {
          kind: "sync",
          network: chain.name,
          chainId: chain.chainId,
          genesisHash: chain.genesisHash,
          chainRules: chainRulesText(chain),
          tables: options.tables,
          checks: [...options.verify],
          trusted,
        },
        ...commitDefaults,
      }
      const store = yield* Layer.build(
        options.workers === 0 ? Store.layerInline(storeOptions) : Store.layer(storeOptions),
      )
      const privateKey = yield* loadNodeKey(directory).pipe(
        Effect.mapError((error) => new UsageError({ reason: `${error.path}: ${error.reason}` })),
      )
      const surroundings = Layer.mergeAll(
        Settings.layer({
          ...networkSettings(options),
          receiptsPerRequest: options.receiptsPerRequest ?? MOST_BLOCKS_PER_REQUEST,
          slotsPerPeer: SLOTS_PER_PEER,
          ...(options.follow === undefined ? {} : { followEveryMs: options.follow.everyMs }),
        }),
        SyncState.layer(options.startBlock),
        Layer.sync(SyncSources, () => ({})),
        Stats.layer,
        IngestStats.layer,
        ProcessUsage.layer,
        Chain.layer(chain),
      )
      const network = networkLayer(
        options,
        chosen,
        { privateKey, clientId },
        cacheOf(options),
        layerStoreReader(directory),
      )
      // The network is let go before tables are built: nobody would listen to it any more.
      const fetched = Effect.provide(
        Effect.zipRight(noteNetwork, measured(ingestRange(options))),
        network,
      )
      return yield* served(options, directory, ingest(options, directory, fetched)).pipe(
        Effect.provide(surroundings),
        Effect.provide(store),
      )
    }),
  ).pipe(Effect.catchTag("StoreError", endWithStoreError))

/** Runs `run` beside a server, where the options ask for one, which has to last as long as it. */
const served = <E, R>(
  { serve }: IngestOptions,
  directory: string,
  run: Effect.Effect<ExitCode, E, R>,
) => {
  if (serve === undefined) return run
  return Effect.gen(function* () {
    const serving = yield* serveBeside(serve, directory).pipe(
      Effect.mapError(({ message }) => new UsageError({ reason: message })),
    )
    const { log } = yield* Terminal
    const ended = Effect.catchAll(serving.ended, ({ message }) =>
      Effect.as(log(`annals: ${message}`, "error"), ExitCode.unexpected),
    )
    return yield* Effect.raceFirst(run, ended)
  })
}

/** Peers of a devnet have new keys every time; all others are remembered in the store. */
const cacheOf = ({ network }: IngestOptions): Layer.Layer<PeerCache, never, Store | Stats> =>
  network === "devnet" ? PeerCache.layerNone : layerStorePeerCache

/** The pinned hashes of the chain and those of the user; the two must not contradict each other. */
const trustedHashes = (
  chain: ChainSpec,
  named: ReadonlyArray<Anchor>,
): Effect.Effect<ReadonlyArray<Anchor>, UsageError> => {
  const pinned: ReadonlyArray<Anchor> = [
    { blockNumber: 0, hash: chain.genesisHash },
    ...chain.anchors,
  ]
  for (const { blockNumber, hash } of named) {
    const known = pinned.find((anchor) => anchor.blockNumber === blockNumber)
    if (known !== undefined && !equalBytes(known.hash, hash)) {
      const reason = `--trusted-hash ${blockNumber}:${toHex0x(hash)} contradicts ${chain.name}, whose block ${blockNumber} is ${toHex0x(known.hash)}`
      return Effect.fail(new UsageError({ reason }))
    }
  }
  return Effect.succeed([...chain.anchors, ...named])
}

/** Where the store is: a profile that was told no place uses one that goes with it. */
const dataDirectory = (options: IngestOptions) =>
  options.mode === "ingest" || options.dataDirGiven
    ? Effect.succeed(options.dataDir)
    : Effect.acquireRelease(
        Effect.promise(async () => mkdtemp(path.join(os.tmpdir(), "annals-profile-"))),
        (directory) => Effect.promise(async () => rm(directory, { recursive: true, force: true })),
      )

/** How an ingest ended. */
interface IngestEnd {
  readonly code: ExitCode
  readonly complete: boolean
  readonly endBlock: number | undefined
  readonly startedMs: number
  /** Processor time of the process when work began. */
  readonly cpuAtStartMs: number
  readonly failed: BlockRanges
}

/** An end, and what it took until then: before the goodbyes, and before tables are built. */
interface MeasuredEnd extends IngestEnd {
  readonly elapsedMs: number
  readonly cpuMs: number
}

const measured = <E, R>(range: Effect.Effect<IngestEnd, E, R>) =>
  Effect.gen(function* () {
    const end = yield* range
    const elapsedMs = yield* elapsedSince(end.startedMs)
    const cpuMs = (yield* ProcessUsage).cpuMs() - end.cpuAtStartMs
    return { ...end, elapsedMs, cpuMs }
  })

const ingest = Effect.fnUntraced(function* <E, R>(
  options: IngestOptions,
  directory: string,
  range: Effect.Effect<MeasuredEnd, E, R>,
) {
  const terminal = yield* Terminal
  const stop = yield* Stop
  const store = yield* Store
  const stats = yield* Stats
  const ingestStats = yield* IngestStats
  const usage = yield* ProcessUsage
  const chain = yield* Chain
  const fetched = yield* range
  const end = yield* Effect.raceFirst(
    Effect.as(fillTables(options, fetched), fetched),
    Effect.map(stop.requested, (signal) => ({
      ...fetched,
      complete: false,
      code: exitCodeOfSignal(signal),
    })),
  )
  const summary = summarizeIngest(
    stats,
    {
      mode: options.mode,
      network: chain.name,
      startBlock: options.startBlock,
      endBlock: end.endBlock,
      complete: end.complete,
      elapsedMs: end.elapsedMs,
      cpuMs: end.cpuMs,
      maxRssMib: usage.maxRssMib(),
      receiptsPerRequest: options.receiptsPerRequest ?? MOST_BLOCKS_PER_REQUEST,
      failedBlocks: [...end.failed.ranges()],
      limits: yield* Settings,
    },
    { stored: yield* store.status, counters: ingestStats, checks: [...options.verify] },
  )
  const file = path.join(directory, DATABASE_FILE)
  yield* terminal.data(
    options.json ? JSON.stringify(summary) : ingestText(summary, file, options.tables),
  )
  return end.code
})

/**
 * Fetches what of the range is missing, until it is there, hopeless, or stopped; then follows the
 * head, where the options say so.
 */
export const ingestRange = (options: IngestOptions) =>
  Effect.flatMap(Effect.serviceOption(SyncState), (state) =>
    Effect.provide(
      fetchRange(options),
      Option.match(state, {
        onSome: (known) => Layer.succeed(SyncState, known),
        onNone: () => SyncState.layer(options.startBlock),
      }),
    ),
  )

const fetchRange = Effect.fnUntraced(function* (options: IngestOptions) {
  const { startBlock, follow } = options
  const { opened } = yield* Store
  const ourHead = yield* OurHead
  yield* ourHead.stored(opened.covered["payloads"] ?? [])
  const stop = yield* Stop
  const terminal = yield* Terminal
  const stored = BlockRanges.fromRanges(opened.covered["payloads"] ?? [])
  const usage = yield* ProcessUsage
  const beganMs = yield* Clock.currentTimeMillis
  const ended = (code: ExitCode, fields: Partial<IngestEnd> = {}): IngestEnd => ({
    code,
    complete: code === ExitCode.complete,
    endBlock: options.endBlock,
    startedMs: beganMs,
    cpuAtStartMs: usage.cpuMs(),
    failed: BlockRanges.empty,
    ...fields,
  })
  const { endBlock } = options
  yield* tellLessChecked(options)
  if (endBlock !== undefined && stored.runEnd(startBlock) >= endBlock) {
    yield* terminal.log(`annals: blocks ${startBlock} to ${endBlock} are stored already`)
    return ended(ExitCode.complete)
  }
  const gathered = yield* Effect.raceFirst(
    Effect.map(gatherPeers, Option.some),
    Effect.as(stop.requested, Option.none<ReadonlyArray<PooledPeer>>()),
  )
  if (Option.isNone(gathered)) return ended(exitCodeOfSignal(yield* stop.requested))
  if (gathered.value.length === 0) {
    yield* tellNoPeers
    return ended(ExitCode.noPeers)
  }
  // A run that follows waits for no history: on a young chain there is none below the window.
  const range = follow === undefined ? options : { ...options, startBlock: -options.rollbackWindow }
  const quorum = follow === undefined ? undefined : FULL_QUORUM
  const last = yield* Effect.raceFirst(
    lastBlock(range, quorum),
    Effect.as(stop.requested, undefined),
  )
  if (last === undefined) return ended(exitCodeOfSignal(yield* stop.requested))
  if (last < startBlock && follow === undefined) {
    const line = `annals: nothing to fetch: the peers' head less the rollback window is block ${last}, below the start block ${startBlock}`
    yield* terminal.log(line, "error")
    return ended(ExitCode.gaps, { endBlock: last })
  }
  const work = BlockRanges.of(startBlock, last).subtract(stored)
  const guessedBytes =
    options.tables.length > 0 ? GUESSED_BLOCK_BYTES_WITH_TABLES : GUESSED_BLOCK_BYTES
  yield* tellWork(work, stored.count, opened.databaseBytes, guessedBytes)
  const startedMs = yield* Clock.currentTimeMillis
  const cpuAtStartMs = usage.cpuMs()
  if (follow !== undefined) {
    const store = yield* Store
    const run = {
      flags: follow,
      startBlock,
      historyEnd: last,
      afterHistory: (storedBlock: number) =>
        fillTables(options, { ...ended(ExitCode.complete), endBlock: storedBlock }).pipe(
          Effect.provideService(Store, store),
          Effect.provideService(Terminal, terminal),
        ),
    }
    const code = yield* Effect.scoped(followHead(run)).pipe(
      Effect.provide(Layer.provide(followStages(options), WorkList.layer(BlockRanges.empty))),
    )
    const { storedBlock } = (yield* SyncState).facts()
    return ended(code, { endBlock: storedBlock, startedMs, cpuAtStartMs })
  }
  const state = yield* SyncState
  return yield* Effect.scoped(
    Effect.zipRight(Effect.forkScoped(watchBackfill(startBlock, last, stored)), fetchWork(work)),
  ).pipe(
    Effect.zipLeft(state.update({ phase: "ended" })),
    Effect.map(({ code, failed }) =>
      ended(code, { failed, endBlock: last, startedMs, cpuAtStartMs }),
    ),
    Effect.provide(Layer.provide(ingestStages(options), WorkList.layer(work))),
  )
})

/** The stages between the pool of peers and the store: what makes this program an ingest. */
export const ingestStages = (
  { workers, verify }: Pick<IngestOptions, "workers" | "verify">,
  pool: Layer.Layer<CheckPool> = workers === 0
    ? CheckPool.layerInline
    : CheckPool.layerThreads(workers),
) =>
  layerStoreWriter.pipe(
    Layer.provide(layerChecking(verify)),
    Layer.provide(pool),
    Layer.provide(Fetcher.layer),
    Layer.provideMerge(Scheduler.layer),
    Layer.provide(layerIngestPlan),
  )

/** The same stages over work without an end, with the landing of blocks near the head. */
export const followStages = (
  options: Pick<IngestOptions, "workers" | "verify" | "startBlock" | "rollbackWindow">,
  pool: Layer.Layer<CheckPool> = options.workers === 0
    ? CheckPool.layerInline
    : CheckPool.layerThreads(options.workers),
) =>
  layerStoreWriter.pipe(
    Layer.provide(layerChecking(options.verify)),
    Layer.provide(pool),
    Layer.provide(Fetcher.layer),
    Layer.provideMerge(followScheduler(options.startBlock, options.rollbackWindow)),
    Layer.provide(layerIngestPlan),
  )

const fetchWork = Effect.fnUntraced(function* (work: BlockRanges) {
  const scheduler = yield* Scheduler
  const writer = yield* Writer
  const stop = yield* Stop
  yield* noteScheduler
  // Scoped: whatever ends the run, the line is not drawn any more.
  const progress = yield* Effect.forkScoped(reportProgress)
  const stopping = yield* Effect.forkScoped(Effect.tap(stop.requested, () => abandonRequests))
  const [, failed] = yield* Effect.all([writer.run, scheduler.finished], {
    concurrency: "unbounded",
  })
  yield* Fiber.interrupt(progress)
  const signal = yield* Fiber.poll(stopping)
  yield* Fiber.interrupt(stopping)
  if (Option.isSome(signal)) {
    const asked: StopSignal = yield* stop.requested
    return { code: exitCodeOfSignal(asked), failed: BlockRanges.empty }
  }
  if (failed.count === 0) return { code: ExitCode.complete, failed }
  const refuted = and(yield* scheduler.refuted, failed).next(work.next(0) ?? 0) !== undefined
  const why = refuted ? "what was offered for them failed its checks" : "no peer served them"
  yield* tellMissing(failed, why)
  return { code: refuted ? ExitCode.failedChecks : ExitCode.gaps, failed }
})

/** Builds the rows of blocks that were stored before without them; needs no peer. */
const fillTables = Effect.fnUntraced(function* (options: IngestOptions, end: IngestEnd) {
  const { endBlock } = end
  if (!end.complete || endBlock === undefined || options.tables.length === 0) return
  const store = yield* Store
  const wanted = BlockRanges.of(options.startBlock, endBlock)
  const before = BlockRanges.fromRanges(store.opened.covered["payloads"] ?? [])
  const lacking = options.tables.some((table) => {
    const rows = BlockRanges.fromRanges(store.opened.covered[table] ?? [])
    return and(wanted, before.subtract(rows)).next(0) !== undefined
  })
  if (!lacking) return
  const terminal = yield* Terminal
  yield* terminal.log(`annals: building ${options.tables.join(", ")} of what was stored before`)
  yield* store.buildTables({
    tables: options.tables,
    addresses: [],
    topic0s: [],
    senders: false,
    startBlock: options.startBlock,
    endBlock,
  })
})

/** What is stored is not fetched again; whoever asks for more checks than it passed is told so. */
const tellLessChecked = Effect.fnUntraced(function* ({ startBlock, endBlock }: IngestOptions) {
  const { opened } = yield* Store
  const blocks = BlockRanges.fromRanges(
    opened.lessChecked.map(([from, to]) => [
      Math.max(from, startBlock),
      Math.min(to, endBlock ?? to),
    ]),
  )
  if (blocks.count === 0) return
  const terminal = yield* Terminal
  const line = `annals: ${blocks.count} stored blocks of the range have passed fewer checks than this run's --verify: annals verify checks them for everything`
  yield* terminal.log(line, "warning")
})

/** What a block is taken to need on disk before any is stored: one of today's mainnet, packed. */
const GUESSED_BLOCK_BYTES = 110_000
/** The same with all tables. */
const GUESSED_BLOCK_BYTES_WITH_TABLES = 400_000
/** What a second is taken to bring: slow peers far away. */
const GUESSED_BLOCKS_PER_SEC = 200
/** Below this nobody needs a warning. */
const LARGE_RUN_BLOCKS = 1_000

const tellWork = Effect.fnUntraced(function* (
  work: BlockRanges,
  storedBlocks: number,
  databaseBytes: number,
  guessedBytes: number,
) {
  if (work.count < LARGE_RUN_BLOCKS) return
  const terminal = yield* Terminal
  const known = storedBlocks >= LARGE_RUN_BLOCKS
  const blockBytes = known ? databaseBytes / storedBlocks : guessedBytes
  const gigabytes = (work.count * blockBytes) / 1e9
  const minutes = work.count / GUESSED_BLOCKS_PER_SEC / 60
  const size = `${known ? "about" : "at most about"} ${gigabytes.toPrecision(2)} GB`
  const time = `about ${minutes < 1 ? "a minute" : `${Math.ceil(minutes)} minutes`} at ${GUESSED_BLOCKS_PER_SEC} blocks/s`
  yield* terminal.log(`annals: ${work.count} blocks are missing: ${size}, ${time}`)
})
