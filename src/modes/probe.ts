/**
 * The probe: which Layers make a program that measures how fast peers serve headers and receipts.
 * Nothing is kept: no database, no bloom, no root, no server, no data directory.
 *
 *     peers ─▶ scheduler ─▶ fetch (headers, receipts) ═▶ process (count) ═▶ write (discard)
 */
import { randomBytes } from "node:crypto"
import { Clock, Effect, Fiber, Layer, Option } from "effect"
import { Chain } from "../chain/Chain.ts"
import { ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { ProbeOptions } from "../cli/syncOptions.ts"
import type { UsageError } from "../cli/UsageError.ts"
import { BlockRanges } from "../domain/blockRanges.ts"
import { Fetcher } from "../fetch/Fetcher.ts"
import { FetchPlan } from "../fetch/FetchPlan.ts"
import { ProcessUsage } from "../observe/ProcessUsage.ts"
import { reportProgress } from "../observe/Progress.ts"
import { Stats } from "../observe/Stats.ts"
import { Stop } from "../observe/Stop.ts"
import { summarize } from "../observe/summary.ts"
import { Terminal } from "../observe/Terminal.ts"
import { PeerCache } from "../peers/PeerCache.ts"
import type { PooledPeer } from "../peers/PeerPool.ts"
import { Processor } from "../process/Processor.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { WorkList } from "../scheduler/WorkList.ts"
import { Settings } from "../Settings.ts"
import { Writer } from "../write/Writer.ts"
import { tuneEngine } from "../wire/tuneEngine.ts"
import { clientId } from "./clientId.ts"
import { elapsedSince, gatherPeers, tellNoPeers } from "./gatherPeers.ts"
import { chooseNetwork, lastBlock, networkLayer, networkSettings } from "./network.ts"
import { endWithStoreError } from "./storeErrors.ts"
import { tellMissing } from "./tellMissing.ts"

/** Runs a probe; prints its summary on stdout, at its end and on Ctrl-C. */
export const runProbe = (
  options: ProbeOptions,
): Effect.Effect<ExitCode, UsageError, Stop | Terminal> =>
  Effect.scoped(
    Effect.gen(function* () {
      tuneEngine()
      const chosen = yield* chooseNetwork(options)
      const { chain } = chosen
      const { receiptsPerRequest } = options
      const surroundings = Layer.mergeAll(
        Settings.layer({ ...networkSettings(options), receiptsPerRequest }),
        Stats.layer,
        ProcessUsage.layer,
        Chain.layer(chain),
      )
      // A key for this run only: a probe writes nothing, not even its key.
      const identity = { privateKey: new Uint8Array(randomBytes(32)), clientId }
      const layers = Layer.provideMerge(
        networkLayer(options, chosen, identity, cacheOf(options)),
        surroundings,
      )
      return yield* Effect.provide(probe(options), layers)
    }),
  ).pipe(Effect.catchTag("StoreError", endWithStoreError))

/** A probe remembers its peers only where it is told to: otherwise it writes nothing. */
const cacheOf = ({ peerCache, network }: ProbeOptions) =>
  peerCache === undefined || network === "devnet"
    ? PeerCache.layerNone
    : PeerCache.layerFile(peerCache)

/** The stages between the pool of peers and nothing: what makes this program a probe. */
export const probeStages = Writer.layerDiscard.pipe(
  Layer.provide(Processor.layerCount),
  Layer.provide(Fetcher.layer),
  Layer.provideMerge(Scheduler.layer),
  Layer.provide(FetchPlan.layerProbe),
)

/** How a probe ended. */
interface ProbeEnd {
  readonly code: ExitCode
  readonly complete: boolean
  /** Undefined when the run ended before the head was known. */
  readonly endBlock: number | undefined
  /** When work began, on the run's clock. */
  readonly startedMs: number
  readonly failed: BlockRanges
}

const probe = Effect.fnUntraced(function* (options: ProbeOptions) {
  const stop = yield* Stop
  const terminal = yield* Terminal
  const stats = yield* Stats
  const usage = yield* ProcessUsage
  const chain = yield* Chain
  const beganMs = yield* Clock.currentTimeMillis
  let cpuAtStartMs = usage.cpuMs()

  const none = (code: ExitCode): ProbeEnd => ({
    code,
    complete: false,
    endBlock: options.endBlock,
    startedMs: beganMs,
    failed: BlockRanges.empty,
  })
  const gathered = yield* Effect.raceFirst(
    Effect.map(gatherPeers, Option.some),
    Effect.as(stop.requested, Option.none<ReadonlyArray<PooledPeer>>()),
  )
  let end: ProbeEnd
  if (Option.isNone(gathered)) end = none(exitCodeOfSignal(yield* stop.requested))
  else if (gathered.value.length === 0) {
    yield* tellNoPeers
    end = none(ExitCode.noPeers)
  } else {
    cpuAtStartMs = usage.cpuMs()
    const last = yield* Effect.raceFirst(lastBlock(options), Effect.as(stop.requested, undefined))
    end =
      last === undefined
        ? none(exitCodeOfSignal(yield* stop.requested))
        : yield* probeRange(options, last)
  }
  const summary = summarize(stats, {
    mode: "probe",
    network: chain.name,
    startBlock: options.startBlock,
    endBlock: end.endBlock,
    complete: end.complete,
    elapsedMs: yield* elapsedSince(end.startedMs),
    cpuMs: usage.cpuMs() - cpuAtStartMs,
    maxRssMib: usage.maxRssMib(),
    receiptsPerRequest: options.receiptsPerRequest,
    failedBlocks: [...end.failed.ranges()],
    limits: yield* Settings,
  })
  yield* terminal.data(JSON.stringify(summary))
  return end.code
})

/** Probes up to `endBlock`, until all is done, nothing more can be hoped for, or it is stopped. */
const probeRange = Effect.fnUntraced(function* (options: ProbeOptions, endBlock: number) {
  const { startBlock } = options
  const terminal = yield* Terminal
  const stop = yield* Stop
  const startedMs = yield* Clock.currentTimeMillis
  const end = { endBlock, startedMs, complete: false, failed: BlockRanges.empty }
  if (endBlock < startBlock) {
    const line = `annals: nothing to probe: the peers' head less the rollback window is block ${endBlock}, below the start block ${startBlock}`
    yield* terminal.log(line, "error")
    return { ...end, code: ExitCode.gaps }
  }
  const work = BlockRanges.of(startBlock, endBlock)
  return yield* Effect.gen(function* () {
    const scheduler = yield* Scheduler
    const writer = yield* Writer
    const progress = yield* Effect.fork(reportProgress)
    const finished = Effect.zipRight(writer.run, scheduler.finished)
    const outcome: ProbeEnd = yield* Effect.raceFirst(
      Effect.map(finished, (failed) => {
        const complete = failed.count === 0
        return { ...end, complete, failed, code: complete ? ExitCode.complete : ExitCode.gaps }
      }),
      Effect.map(stop.requested, (signal) => ({ ...end, code: exitCodeOfSignal(signal) })),
    )
    yield* Fiber.interrupt(progress)
    yield* tellMissing(outcome.failed, "no peer served them")
    return outcome
  }).pipe(Effect.provide(Layer.provide(probeStages, WorkList.layer(work))))
})
