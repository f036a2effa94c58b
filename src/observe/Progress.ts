/**
 * Shows how a run goes: on a terminal a live line several times a second, elsewhere a line every
 * ten seconds. A run that follows the head shows how far behind it is, and since when.
 */
import { Clock, Duration, Effect, Option } from "effect"
import { SyncState } from "../follow/SyncState.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { IngestStats } from "./IngestStats.ts"
import { followLine, progressLine } from "./progressLine.ts"
import { Stats } from "./Stats.ts"
import { Terminal } from "./Terminal.ts"

const LIVE_EVERY_MS = 250
const PLAIN_EVERY_MS = 10_000
/** Rates are taken over this long: calm enough to read, quick enough to show a stall. */
const RATE_OVER_MS = 5_000

interface Sample {
  readonly atMs: number
  readonly blocks: number
  readonly bytes: number
}

/** Reports until it is interrupted. */
export const reportProgress: Effect.Effect<never, never, Scheduler | Stats | Terminal> = Effect.gen(
  function* () {
    const scheduler = yield* Scheduler
    const stats = yield* Stats
    const terminal = yield* Terminal
    const ingest = Option.getOrUndefined(yield* Effect.serviceOption(IngestStats))
    const sync = Option.getOrUndefined(yield* Effect.serviceOption(SyncState))
    const everyMs = terminal.interactive ? LIVE_EVERY_MS : PLAIN_EVERY_MS
    const sample = Effect.map(Clock.currentTimeMillis, (atMs): Sample => ({
      atMs,
      blocks: stats.blocksSucceeded,
      bytes: stats.bytesReceived,
    }))
    const samples = [yield* sample]

    const atTheHead = Effect.map(Clock.currentTimeMillis, (nowMs) => {
      if (sync?.facts().phase !== "following") return undefined
      const { storedBlock, stalled } = sync.facts()
      const { headBlock, blocksBehind, behindSinceMs, reorgs } = sync.report()
      return followLine({
        storedBlock,
        headBlock,
        blocksBehind,
        behindSinceMs,
        nowMs,
        reorgs,
        stalled,
        peersActive: stats.peersPooled,
        peersKnown: stats.peers.size,
      })
    })

    const line = Effect.gen(function* () {
      const following = yield* atTheHead
      if (following !== undefined) return following
      const progress = yield* scheduler.progress
      const now = yield* sample
      samples.push(now)
      // The oldest sample that is left is at least the span of the rate away, once there are such.
      while (samples.length > 2 && now.atMs - samples[1]!.atMs >= RATE_OVER_MS) samples.shift()
      const first = samples[0]!
      const seconds = Math.max(now.atMs - first.atMs, 1) / 1000
      const { receipts, headers } = stats.latencies
      return progressLine({
        done: progress.done,
        total: stats.blocksRequested,
        inFlight: progress.assigned,
        queued: progress.pending,
        blocksPerSec: (now.blocks - first.blocks) / seconds,
        mibPerSec: (now.bytes - first.bytes) / seconds / 2 ** 20,
        peersActive: stats.peersPooled,
        peersKnown: stats.peers.size,
        latency: (receipts.count > 0 ? receipts : headers).percentiles(),
        requeued: stats.requeued,
        kept: ingest,
      })
    })

    return yield* Effect.sleep(Duration.millis(everyMs)).pipe(
      Effect.zipRight(line),
      Effect.flatMap(terminal.progress),
      Effect.forever,
      Effect.ensuring(terminal.endProgress),
    )
  },
)
