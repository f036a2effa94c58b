/**
 * What an ingest does between its network and its end: it gathers peers, finds out where the range
 * ends, and fetches what of it is not stored; or follows the head.
 *
 * In: the options, over the network and an open store. Out: {@link IngestEnd}. A signal ends it at
 * any time, in order.
 */
import { Clock, Effect, Fiber, Layer, Option } from "effect"
import { ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { FollowOptions } from "../cli/followOptions.ts"
import type { IngestOptions } from "../cli/syncOptions.ts"
import { and, BlockRanges } from "../domain/blockRanges.ts"
import { watchBackfill } from "../follow/BackfillState.ts"
import { FULL_QUORUM } from "../follow/quorum.ts"
import { SyncState } from "../follow/SyncState.ts"
import { ProcessUsage } from "../observe/ProcessUsage.ts"
import { reportProgress } from "../observe/Progress.ts"
import { Stop, type StopSignal } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { WorkList } from "../scheduler/WorkList.ts"
import { OurHead } from "../serving/OurHead.ts"
import { Store } from "../write/Store.ts"
import { Writer } from "../write/Writer.ts"
import { fillTables } from "./fillTables.ts"
import { abandonRequests, followHead } from "./followHead.ts"
import { gatherPeers, tellNoPeers } from "./gatherPeers.ts"
import { followStages, ingestStages } from "./ingestStages.ts"
import { lastBlock } from "./network.ts"
import { noteScheduler } from "./serveBeside.ts"
import { tellMissing } from "./tellMissing.ts"
import { tellLessChecked, tellWork } from "./tellWork.ts"

/** How an ingest ended. */
export interface IngestEnd {
  readonly code: ExitCode
  readonly complete: boolean
  readonly endBlock: number | undefined
  readonly startedMs: number
  /** Processor time of the process when work began. */
  readonly cpuAtStartMs: number
  readonly failed: BlockRanges
}

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
  const { startBlock, endBlock, follow } = options
  const { opened } = yield* Store
  const ourHead = yield* OurHead
  yield* ourHead.stored(opened.covered["payloads"] ?? [])
  const terminal = yield* Terminal
  const stored = BlockRanges.fromRanges(opened.covered["payloads"] ?? [])
  const usage = yield* ProcessUsage
  const beganMs = yield* Clock.currentTimeMillis
  const ended = (code: ExitCode, fields: Partial<IngestEnd> = {}): IngestEnd => ({
    code,
    complete: code === ExitCode.complete,
    endBlock,
    startedMs: beganMs,
    cpuAtStartMs: usage.cpuMs(),
    failed: BlockRanges.empty,
    ...fields,
  })
  yield* tellLessChecked(options)
  if (endBlock !== undefined && stored.runEnd(startBlock) >= endBlock) {
    yield* terminal.log(`annals: blocks ${startBlock} to ${endBlock} are stored already`)
    return ended(ExitCode.complete)
  }
  const gathered = yield* unlessStopped(gatherPeers)
  if (!gathered.ok) return ended(gathered.code)
  if (gathered.value.length === 0) {
    yield* tellNoPeers
    return ended(ExitCode.noPeers)
  }
  const found = yield* unlessStopped(endOf(options))
  if (!found.ok) return ended(found.code)
  const last = found.value
  if (last < startBlock && follow === undefined) {
    const line = `annals: nothing to fetch: the peers' head less the rollback window is block ${last}, below the start block ${startBlock}`
    yield* terminal.log(line, "error")
    return ended(ExitCode.gaps, { endBlock: last })
  }
  const work = BlockRanges.of(startBlock, last).subtract(stored)
  yield* tellWork(options, work, stored.count)
  const startedMs = yield* Clock.currentTimeMillis
  const cpuAtStartMs = usage.cpuMs()
  const { code, ...fields } =
    follow === undefined
      ? yield* backfill(options, last, stored, work)
      : yield* followFrom(options, follow, last)
  return ended(code, { ...fields, startedMs, cpuAtStartMs })
})

/** What `run` gives, or the exit code of the signal that came before. */
const unlessStopped = <A, E, R>(run: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Stop, ({ requested }) =>
    Effect.raceFirst(
      Effect.map(run, (value) => ({ ok: true as const, value })),
      Effect.map(requested, (signal) => ({ ok: false as const, code: exitCodeOfSignal(signal) })),
    ),
  )

/** The last block of the range, or of the history below the window of a run that follows. */
const endOf = (options: IngestOptions) =>
  options.follow === undefined
    ? lastBlock(options)
    : // It waits for no history: on a young chain there is none below the window.
      lastBlock({ ...options, startBlock: -options.rollbackWindow }, FULL_QUORUM)

/** Fetches the range's missing blocks. */
const backfill = Effect.fnUntraced(function* (
  options: IngestOptions,
  last: number,
  stored: BlockRanges,
  work: BlockRanges,
) {
  const state = yield* SyncState
  const watch = watchBackfill(options.startBlock, last, stored)
  return yield* Effect.scoped(Effect.zipRight(Effect.forkScoped(watch), fetchWork(work))).pipe(
    Effect.zipLeft(state.update({ phase: "ended" })),
    Effect.map((end) => ({ ...end, endBlock: last })),
    Effect.provide(Layer.provide(ingestStages(options), WorkList.layer(work))),
  )
})

/** Fetches the history below the window, then follows the head to the end of the run. */
const followFrom = Effect.fnUntraced(function* (
  options: IngestOptions,
  flags: FollowOptions,
  historyEnd: number,
) {
  const store = yield* Store
  const terminal = yield* Terminal
  const run = {
    flags,
    startBlock: options.startBlock,
    historyEnd,
    afterHistory: (storedBlock: number) =>
      fillTables(options, storedBlock).pipe(
        Effect.provideService(Store, store),
        Effect.provideService(Terminal, terminal),
      ),
  }
  const code = yield* Effect.scoped(followHead(run)).pipe(
    Effect.provide(Layer.provide(followStages(options), WorkList.layer(BlockRanges.empty))),
  )
  const { storedBlock } = (yield* SyncState).facts()
  return { code, endBlock: storedBlock }
})

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
  const disputed = and(yield* scheduler.disputed, failed).next(0) !== undefined
  const why = refuted
    ? "what was offered for them failed its checks"
    : disputed
      ? "peers contradict each other about them, and no trusted hash tells who is right"
      : "no peer served them"
  yield* tellMissing(failed, why)
  return { code: refuted ? ExitCode.failedChecks : ExitCode.gaps, failed }
})
