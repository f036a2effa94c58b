/**
 * The part of an ingest that follows the head: the same stages over work that has no end, until a
 * signal, a broken store, a reorganisation below the window, or history that nobody serves ends it.
 */
import { Effect, Fiber, Layer } from "effect"
import { Chain } from "../chain/Chain.ts"
import { ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { FollowOptions } from "../cli/followOptions.ts"
import { ChainTop } from "../follow/ChainTop.ts"
import { follow, type FollowEnd } from "../follow/Follower.ts"
import { SyncState } from "../follow/SyncState.ts"
import { makeTrustedHead } from "../follow/TrustedHead.ts"
import { reportProgress } from "../observe/Progress.ts"
import { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { Settings } from "../Settings.ts"
import type { StoreError } from "../write/StoreError.ts"
import { Writer } from "../write/Writer.ts"
import { noteScheduler } from "./serveBeside.ts"
import { tellMissing } from "./tellMissing.ts"

/** What the run follows. */
export interface FollowRun {
  readonly flags: FollowOptions
  readonly startBlock: number
  /** The last block below the window of the head that was measured at the start. */
  readonly historyEnd: number
  /** Runs once when the history is stored; told the last block of it. */
  readonly afterHistory: (storedBlock: number) => Effect.Effect<void, StoreError>
}

/** The stages of a run that follows, from the work of the scheduler to the landing of blocks. */
export const followScheduler = (startBlock: number, windowBlocks: number) =>
  ChainTop.layer(startBlock, windowBlocks).pipe(Layer.provideMerge(Scheduler.layerOpen))

/** Follows to the end; gives the exit code. */
export const followHead = Effect.fnUntraced(function* (run: FollowRun) {
  const { flags, startBlock, historyEnd, afterHistory } = run
  const scheduler = yield* Scheduler
  const writer = yield* Writer
  const stop = yield* Stop
  const chainTop = yield* ChainTop
  const chain = yield* Chain
  const state = yield* SyncState
  yield* noteScheduler
  const progress = yield* Effect.forkScoped(reportProgress)
  const pipeline = yield* Effect.forkScoped(
    Effect.all([writer.run, scheduler.finished], { concurrency: "unbounded", discard: true }),
  )
  const following = follow({
    startBlock,
    historyEnd,
    afterHistory,
    trustedPeers: new Set(flags.trustedPeers),
    trustedHead:
      flags.trustedHead === undefined
        ? undefined
        : makeTrustedHead(flags.trustedHead, chain.chainId),
  })
  const code = yield* Effect.flatMap(following, tellEnd).pipe(
    Effect.raceFirst(Effect.map(stop.requested, exitCodeOfSignal)),
    // A pipeline that fails ends the run; by itself it does not end.
    Effect.raceFirst(Effect.zipRight(Fiber.join(pipeline), Effect.never)),
  )
  yield* chainTop.retarget(undefined)
  yield* abandonRequests
  yield* Fiber.join(pipeline)
  yield* Fiber.interrupt(progress)
  yield* state.update({ phase: "ended" })
  return code
})

const tellEnd = (end: FollowEnd): Effect.Effect<ExitCode, never, Terminal | Settings> =>
  end._tag === "TooDeep"
    ? tellTooDeep(end.tip)
    : Effect.as(tellMissing(end.missing, "no peer served them"), ExitCode.gaps)

const tellTooDeep = Effect.fnUntraced(function* (tip: number) {
  const terminal = yield* Terminal
  const { rollbackWindowBlocks } = yield* Settings
  const line = `annals: the chain went another way more than ${rollbackWindowBlocks} blocks below block ${tip}, the last that is stored: the store is left as it is; --rollback-window allows more`
  yield* terminal.log(line, "error")
  return ExitCode.deepReorg
})

/**
 * An orderly stop: nothing more is assigned, what was asked for is let go, and what is fetched
 * already goes through to the store.
 */
export const abandonRequests = Effect.gen(function* () {
  const scheduler = yield* Scheduler
  const pool = yield* PeerPool
  yield* scheduler.stop
  const peers = yield* pool.connected
  yield* Effect.forEach(peers, ({ drop }) => drop, { discard: true })
})
