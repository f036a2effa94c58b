/**
 * `sync --serve`: the server beside a sync, in a thread of its own, and what the sync tells it of
 * itself: how it stands, and its counters, when they are asked for.
 */
import { Context, Effect, Option, type Scope } from "effect"
import type { ServerOptions } from "../cli/serveOptions.ts"
import { ByteGate, type ByteGateShape } from "../fetch/ByteGate.ts"
import { SyncState } from "../follow/SyncState.ts"
import { IngestStats } from "../observe/IngestStats.ts"
import { Stats } from "../observe/Stats.ts"
import { type SyncReadings, syncMetricsText } from "../observe/syncMetrics.ts"
import { Terminal } from "../observe/Terminal.ts"
import { PeerPool, type PeerPoolShape } from "../peers/PeerPool.ts"
import type { ServeError } from "../rpc/server/ServeError.ts"
import { type Serving, startServing } from "../rpc/server/ServeThread.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import type { SchedulerShape } from "../scheduler/SchedulerShape.ts"
import { Settings } from "../Settings.ts"
import { clientId } from "./clientId.ts"

/** Where the readings of a run come from; each is there once the part of the program is. */
export class SyncSources extends Context.Tag("annals/SyncSources")<
  SyncSources,
  {
    pool?: PeerPoolShape
    gate?: ByteGateShape
    scheduler?: SchedulerShape
  }
>() {}

/** Notes down the network that was just built. */
export const noteNetwork = Effect.gen(function* () {
  const sources = yield* SyncSources
  sources.pool = yield* PeerPool
  sources.gate = yield* ByteGate
})

/** Notes down the scheduler, where somebody asks for readings. */
export const noteScheduler = Effect.gen(function* () {
  const sources = Option.getOrUndefined(yield* Effect.serviceOption(SyncSources))
  if (sources !== undefined) sources.scheduler = yield* Scheduler
})

/** Serves the store in `directory` until the scope ends, and says where. */
export const serveBeside = Effect.fnUntraced(function* (
  options: ServerOptions,
  directory: string,
): Effect.fn.Return<
  Serving,
  ServeError,
  Scope.Scope | SyncSources | SyncState | Stats | IngestStats | Settings | Terminal
> {
  const sources = yield* SyncSources
  const state = yield* SyncState
  const counters = yield* Stats
  const ingest = yield* IngestStats
  const { bytesInFlight } = yield* Settings
  const terminal = yield* Terminal
  const serving = yield* startServing(
    { ...options, directory, clientVersion: clientId },
    {
      report: state.report,
      metricsText: () =>
        syncMetricsText({
          report: state.report(),
          counters,
          ingest,
          ...load(sources, bytesInFlight),
        }),
    },
  )
  yield* terminal.log(`annals: JSON-RPC of ${directory} is served at ${serving.url}`)
  return serving
})

const load = (
  { pool, gate, scheduler }: SyncSources["Type"],
  totalBytes: number,
): Pick<SyncReadings, "peers" | "queues" | "budgets"> => ({
  // All of these answer at once: they read what is in memory.
  peers: (pool === undefined ? [] : Effect.runSync(pool.connected)).map(({ peer }) => ({
    state: "pooled",
    client: peer.client,
  })),
  queues:
    scheduler === undefined
      ? []
      : Object.entries(Effect.runSync(scheduler.progress))
          .filter(([name]) => name !== "done")
          .map(([name, items]) => ({ name, items })),
  budgets:
    gate === undefined
      ? []
      : [{ name: "in_flight", usedBytes: totalBytes - gate.free(), totalBytes }],
})
