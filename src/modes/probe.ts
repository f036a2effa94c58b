/**
 * The probe: which Layers make a program that measures how fast peers serve headers and receipts.
 * Nothing is kept: no database, no bloom, no root, no server, no data directory.
 *
 *     peers ─▶ scheduler ─▶ fetch (headers, receipts) ═▶ process (count) ═▶ write (discard)
 */
import { randomBytes } from "node:crypto"
import { Clock, Effect, Fiber, Layer, Option } from "effect"
import { Chain } from "../chain/Chain.ts"
import type { ChainSpec } from "../chain/chainSpec.ts"
import { resolveNetwork } from "../chain/Network.ts"
import { ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { ProbeOptions } from "../cli/syncOptions.ts"
import { UsageError } from "../cli/UsageError.ts"
import { clientId } from "./clientId.ts"
import { startEmbeddedDevnet } from "../devnet/EmbeddedDevnet.ts"
import { generatedChainSpec } from "../devnet/generatedChain.ts"
import { BlockRanges } from "../domain/blockRanges.ts"
import { Blame } from "../fetch/Blame.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import { Fetcher } from "../fetch/Fetcher.ts"
import { ProcessUsage } from "../observe/ProcessUsage.ts"
import { reportProgress } from "../observe/Progress.ts"
import { Stats } from "../observe/Stats.ts"
import { Stop } from "../observe/Stop.ts"
import { summarize } from "../observe/summary.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Dialer } from "../peers/Dialer.ts"
import { PeerConnector } from "../peers/PeerConnector.ts"
import { type PooledPeer, PeerPool } from "../peers/PeerPool.ts"
import { PeerSource } from "../peers/PeerSource.ts"
import { Reputation } from "../peers/Reputation.ts"
import { Processor } from "../process/Processor.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { WorkList } from "../scheduler/WorkList.ts"
import { Settings, type SettingsShape } from "../Settings.ts"
import { Writer } from "../write/Writer.ts"
import { elapsedSince, gatherPeers, tellNoPeers } from "./gatherPeers.ts"

/** Runs a probe; prints its summary on stdout, at its end and on Ctrl-C. */
export const runProbe = (
  options: ProbeOptions,
): Effect.Effect<ExitCode, UsageError, Stop | Terminal> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { chain, peers } = yield* networkOf(options)
      const surroundings = Layer.mergeAll(
        Settings.layer(settingsOf(options)),
        Stats.layer,
        ProcessUsage.layer,
        Chain.layer(chain),
      )
      // A key for this run only: a probe writes nothing, not even its key.
      const identity = { privateKey: new Uint8Array(randomBytes(32)), clientId }
      const network = Dialer.layer.pipe(
        Layer.provideMerge(PeerSource.layerStatic(peers)),
        Layer.provide(PeerConnector.layer(identity)),
        Layer.provideMerge(Blame.layer),
        Layer.provideMerge(Layer.mergeAll(ByteGate.layer, Reputation.layer, PeerPool.layer)),
      )
      return yield* Effect.provide(probe(options), Layer.provideMerge(network, surroundings))
    }),
  )

/** The stages between the pool of peers and nothing: what makes this program a probe. */
export const probeStages = Writer.layerDiscard.pipe(
  Layer.provide(Processor.layerCount),
  Layer.provide(Fetcher.layerReceipts),
  Layer.provideMerge(Scheduler.layer),
)

const settingsOf = (options: ProbeOptions): Partial<SettingsShape> => ({
  blocksPerAssignment: options.blocksPerAssignment,
  receiptsPerRequest: options.receiptsPerRequest,
  requestTimeoutMs: options.timeoutMs,
  giveUpMs: options.giveUpMs,
  rollbackWindowBlocks: options.rollbackWindow,
  maxPeers: options.maxPeers,
  minPeers: options.minPeers,
  maxConcurrentDials: options.maxConcurrentDials,
})

/**
 * The chain and the peers to dial. `devnet` starts its own, unless it is told which peers of a
 * generated chain (`annals devnet --generate`) to use.
 */
const networkOf = Effect.fnUntraced(function* (options: ProbeOptions) {
  if (options.network !== "devnet") {
    const chain: ChainSpec = yield* resolveNetwork(options.network).pipe(
      Effect.mapError(
        ({ name, reason }) => new UsageError({ reason: `--network ${name}: ${reason}` }),
      ),
    )
    return { chain, peers: options.peers }
  }
  if (options.peers.length > 0) return { chain: generatedChainSpec(), peers: options.peers }
  return yield* startEmbeddedDevnet.pipe(
    Effect.mapError(({ reason }) => new UsageError({ reason: `--network devnet: ${reason}` })),
  )
})

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
    end = yield* probeRange(options, options.endBlock ?? headOf(gathered.value, options))
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
  })
  yield* terminal.data(JSON.stringify(summary))
  return end.code
})

/** The highest block that is history for some peer: its head less the rollback window. */
const headOf = (peers: ReadonlyArray<PooledPeer>, options: ProbeOptions): number =>
  Math.max(...peers.map(({ range }) => range.to)) - options.rollbackWindow

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
    yield* tellMissing(outcome.failed)
    return outcome
  }).pipe(Effect.provide(Layer.provide(probeStages, WorkList.layer(work))))
})

/** How many missing ranges are named on stderr; the summary has them all. */
const MOST_RANGES = 10

const tellMissing = Effect.fnUntraced(function* (failed: BlockRanges) {
  if (failed.count === 0) return
  const terminal = yield* Terminal
  const ranges = [...failed.ranges()]
  const named = ranges.slice(0, MOST_RANGES).map(([from, to]) => `${from}-${to}`)
  const more = ranges.length > MOST_RANGES ? ` and ${ranges.length - MOST_RANGES} more ranges` : ""
  const line = `annals: ${failed.count} blocks are missing, no peer served them: ${named.join(", ")}${more}`
  yield* terminal.log(line, "error")
})
