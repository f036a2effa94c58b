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
import { Effect, Layer } from "effect"
import { Chain } from "../chain/Chain.ts"
import { chainRulesText } from "../chain/chainRules.ts"
import type { Anchor, ChainSpec } from "../chain/chainSpec.ts"
import { ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { IngestOptions } from "../cli/syncOptions.ts"
import { UsageError } from "../cli/UsageError.ts"
import { equalBytes, toHex0x } from "../domain/hex.ts"
import { SyncState } from "../follow/SyncState.ts"
import { IngestStats } from "../observe/IngestStats.ts"
import { ingestText, summarizeIngest } from "../observe/ingestSummary.ts"
import { ProcessUsage } from "../observe/ProcessUsage.ts"
import { Stats } from "../observe/Stats.ts"
import { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { loadNodeKey } from "../peers/NodeKey.ts"
import { PeerCache } from "../peers/PeerCache.ts"
import { Settings } from "../Settings.ts"
import { Store } from "../write/Store.ts"
import { commitDefaults, DATABASE_FILE, type OpenOptions } from "../write/storeProtocol.ts"
import { layerStorePeerCache } from "../write/StorePeerCache.ts"
import { layerStoreReader } from "../write/StoreReader.ts"
import { tuneEngine } from "../wire/tuneEngine.ts"
import { clientId } from "./clientId.ts"
import { fillTables } from "./fillTables.ts"
import { elapsedSince } from "./gatherPeers.ts"
import { type IngestEnd, ingestRange } from "./ingestRange.ts"
import { chooseNetwork, networkLayer, networkSettings } from "./network.ts"
import { noteNetwork, serveBeside, SyncSources } from "./serveBeside.ts"
import { endWithStoreError } from "./storeErrors.ts"

/** Most blocks in a request where the user sets no ceiling: what Besu serves of bodies. */
const MOST_BLOCKS_PER_REQUEST = 128
/** Most batches a peer works on at once, where its round trips are long; otherwise two. */
const SLOTS_PER_PEER = 4

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
    Effect.as(
      fetched.complete && fetched.endBlock !== undefined
        ? fillTables(options, fetched.endBlock)
        : Effect.void,
      fetched,
    ),
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
