/**
 * A whole ingest in memory: the real scheduler, fetch, checks and store, inline, with peers that are
 * swapped for fakes by a Layer, on the test's clock.
 */
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { Duration, Effect, Fiber, Layer, TestClock } from "effect"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { ingestStages } from "../../src/modes/ingestStages.ts"
import { IngestStats } from "../../src/observe/IngestStats.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { type Serves, servesAll } from "../../src/peers/Peer.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import type { CheckPool } from "../../src/process/CheckPool.ts"
import { Scheduler } from "../../src/scheduler/Scheduler.ts"
import { WorkList } from "../../src/scheduler/WorkList.ts"
import { checks } from "../../src/process/checks.ts"
import { Settings, type SettingsShape } from "../../src/Settings.ts"
import { Store } from "../../src/write/Store.ts"
import { commitDefaults, type TrustedHash } from "../../src/write/storeProtocol.ts"
import { Writer } from "../../src/write/Writer.ts"
import type { FakePeer } from "./FakePeer.ts"

/** A peer of a run. */
export interface RunPeer extends FakePeer {
  /** What the pool takes it to serve from the start; all kinds of its range when not given. */
  readonly serves?: Serves
  /** What the pool takes it to serve after its first miss; it does not learn when not given. */
  readonly measured?: Serves
}

/** What is ingested, from whom, and how. */
export interface RunOptions {
  readonly peers: ReadonlyArray<RunPeer>
  readonly work?: BlockRanges
  readonly trusted?: ReadonlyArray<TrustedHash>
  readonly settings?: Partial<SettingsShape>
  /** Where the store is; a fresh place that goes with the test when not given. */
  readonly directory?: string
  /** Replaces the checks. */
  readonly pool?: Layer.Layer<CheckPool>
  /** How long every write takes, on the test's clock. */
  readonly writeMs?: number
}

/** A folder that goes with the test. */
export const freshDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(os.tmpdir(), "annals-pipeline-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true })),
)

/** A pool that holds these peers from the start. */
const poolOf = (peers: ReadonlyArray<RunPeer>): Layer.Layer<PeerPool, never, Stats> =>
  Layer.effect(
    PeerPool,
    Effect.gen(function* () {
      const pool = yield* PeerPool
      const stats = yield* Stats
      for (const { peer, range, serves = servesAll(range), measured } of peers) {
        const { peerId } = peer
        stats.sessionOpened(peerId, peer.client, peer.ethVersion)
        const learn = measured === undefined ? Effect.void : pool.changed(peerId, measured)
        const missed = () => Effect.runFork(learn)
        yield* pool.join({ peer, serves, drop: pool.leave(peerId), missed })
      }
      return pool
    }),
  ).pipe(Layer.provide(PeerPool.layer))

/** Ingests into a fresh store with all tables; gives what came of it. */
export const ingest = (options: RunOptions) =>
  Effect.gen(function* () {
    const { peers, work = BlockRanges.of(0, 120), trusted = [], settings, writeMs = 0 } = options
    const directory = options.directory ?? (yield* freshDirectory)
    const chain = generatedChainSpec()
    const store = Store.layerInline({
      directory,
      purpose: {
        kind: "sync",
        network: "memory",
        chainId: chain.chainId,
        genesisHash: chain.genesisHash,
        tables: ["transactions", "logs", "withdrawals", "uncles"],
        checks,
        trusted,
      },
      ...commitDefaults,
    })
    const slowed = Layer.effect(
      Store,
      Effect.map(Store, (shape) => ({
        ...shape,
        write: (...written: Parameters<typeof shape.write>) =>
          Effect.delay(shape.write(...written), Duration.millis(writeMs)),
      })),
    ).pipe(Layer.provide(store))
    let leastFree = Infinity
    const program = Effect.gen(function* () {
      const scheduler = yield* Scheduler
      const writer = yield* Writer
      const gate = yield* ByteGate
      const stats = yield* Stats
      const { status, verify } = yield* Store
      const clock = yield* Effect.clock
      const startedMs = clock.unsafeCurrentTimeMillis()
      const free = gate.free()
      yield* Effect.sync(() => {
        leastFree = Math.min(leastFree, gate.free())
      }).pipe(Effect.zipRight(Effect.sleep(Duration.millis(20))), Effect.forever, Effect.fork)
      const [, failed] = yield* Effect.all([writer.run, scheduler.finished], {
        concurrency: "unbounded",
      })
      const banned = [...stats.peers.values()].filter((peer) => peer.bans > 0)
      return {
        failed: [...failed.ranges()],
        failures: Object.fromEntries(stats.failures),
        banned: banned.map((peer) => peer.client).sort(),
        refuted: (yield* scheduler.refuted).count,
        heldBytes: free - gate.free(),
        mostHeldBytes: free - leastFree,
        /** The peers that sent a part of some block, and of how many. */
        used: Object.fromEntries(
          [...stats.peers.values()]
            .filter((peer) => peer.blocks > 0)
            .map((peer) => [peer.client, peer.blocks]),
        ),
        elapsedMs: clock.unsafeCurrentTimeMillis() - startedMs,
        retries: stats.requeued,
        succeeded: stats.blocksSucceeded,
        status: yield* status,
        damage: (yield* verify()).damages,
      }
    })
    const surroundings = Layer.mergeAll(Reputation.layer, poolOf(peers)).pipe(
      Layer.provideMerge(
        Layer.mergeAll(
          Settings.layer({
            slotsPerPeer: 2,
            receiptsPerRequest: 128,
            giveUpMs: 5_000,
            ...settings,
          }),
          Stats.layer,
          IngestStats.layer,
        ),
      ),
    )
    const fiber = yield* program.pipe(
      Effect.provide(
        ingestStages({ workers: 0, verify: new Set(checks) }, options.pool).pipe(
          Layer.provideMerge(Blame.layer),
          Layer.provideMerge(ByteGate.layer),
          Layer.provideMerge(WorkList.layer(work)),
          Layer.provideMerge(writeMs > 0 ? slowed : store),
          Layer.provideMerge(surroundings),
        ),
      ),
      Effect.fork,
    )
    for (let step = 0; step < 20_000; step++) {
      if ((yield* Fiber.poll(fiber))._tag === "Some") break
      // The store is loaded and answers in real time: let its promises settle between the ticks.
      yield* Effect.promise(async () => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust(Duration.millis(20))
    }
    return yield* Fiber.join(fiber)
  })
