/**
 * `annals peers`: which Layers make a program that finds peers and reports what each of them is and
 * serves. Nothing is kept.
 *
 *     sources ─▶ dialler ─▶ pool ─▶ survey ─▶ JSON or a table
 *
 * It ends when its time is up, on a signal, or as soon as nothing more can come of it: all peers
 * there are to try were tried, and those that are connected were asked everything. Where peers can
 * be discovered, there are always more to try.
 */
import { randomBytes } from "node:crypto"
import { Clock, Duration, Effect, Layer, Option } from "effect"
import { Chain } from "../chain/Chain.ts"
import { formatEnode } from "../chain/enode.ts"
import { ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import type { PeersOptions } from "../cli/peersOptions.ts"
import type { UsageError } from "../cli/UsageError.ts"
import { Stats } from "../observe/Stats.ts"
import { Stop } from "../observe/Stop.ts"
import { networkSummary, type Summary } from "../observe/summary.ts"
import { Terminal } from "../observe/Terminal.ts"
import { PeerCache } from "../peers/PeerCache.ts"
import { Dialer } from "../peers/Dialer.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { Survey } from "../peers/Survey.ts"
import { type PeerJson, peerJson, type PeerSurvey, surveyTable } from "../peers/surveyTable.ts"
import { Settings } from "../Settings.ts"
import { tuneEngine } from "../wire/tuneEngine.ts"
import { clientId } from "./clientId.ts"
import { tellNoPeers } from "./gatherPeers.ts"
import { type ChosenNetwork, chooseNetwork, networkLayer, networkSettings } from "./network.ts"

/** The JSON of `annals peers`; see DESIGN "Command line". */
export interface PeersReport {
  readonly network: string
  readonly peers: ReadonlyArray<PeerJson>
  /** What became of each node that was dialled. */
  readonly tried: ReadonlyArray<{ readonly enode: string; readonly outcome: string }>
  readonly network_counters: Summary["peers"]["network"]
}

/** Reports the peers; ends with 0 when there is one at least, otherwise with 6. */
export const runPeers = (
  options: PeersOptions,
): Effect.Effect<ExitCode, UsageError, Stop | Terminal> =>
  Effect.scoped(
    Effect.gen(function* () {
      tuneEngine()
      const chosen = yield* chooseNetwork(options)
      const surroundings = Layer.mergeAll(
        Settings.layer(networkSettings(options)),
        Stats.layer,
        Chain.layer(chosen.chain),
      )
      // A key for this run only: nothing is written, not even a key.
      const identity = { privateKey: new Uint8Array(randomBytes(32)), clientId }
      const layers = Survey.layer.pipe(
        Layer.provideMerge(networkLayer(options, chosen, identity, PeerCache.layerNone)),
        Layer.provideMerge(surroundings),
      )
      return yield* Effect.provide(surveyPeers(options, chosen), layers)
    }),
  )

/** Surveys until it is over, prints what was found, and gives the exit code. */
const surveyPeers = Effect.fnUntraced(function* (options: PeersOptions, chosen: ChosenNetwork) {
  const stop = yield* Stop
  const terminal = yield* Terminal
  const dialer = yield* Dialer
  const survey = yield* Survey

  const over = canDiscover(options, chosen)
    ? dialer.noneLeft
    : Effect.race(dialer.noneLeft, staticSettled(chosen))
  const signal = yield* Effect.raceFirst(
    over.pipe(
      Effect.race(tellProgress),
      Effect.timeoutOption(Duration.millis(options.forMs)),
      Effect.as(Option.none()),
    ),
    Effect.map(stop.requested, Option.some),
  ).pipe(Effect.ensuring(terminal.endProgress))

  const peers = yield* survey.peers
  const report = yield* makeReport(chosen.chain.name, peers)
  yield* terminal.data(options.json ? JSON.stringify(report) : textOf(report, peers))
  if (Option.isSome(signal)) return exitCodeOfSignal(signal.value)
  if (peers.length > 0) return ExitCode.complete
  yield* tellNoPeers
  return ExitCode.noPeers
})

/** Whether there is anything to discover peers by: a chain may have neither bootnodes nor lists. */
const canDiscover = ({ discovery }: PeersOptions, { chain }: ChosenNetwork): boolean => {
  const { bootnodes = chain.bootnodes, dnsTrees = chain.dnsTrees, enabled } = discovery
  return enabled && bootnodes.length + dnsTrees.length > 0
}

/** How often it is looked whether all is done. */
const LOOK_EVERY_MS = 50
/** Between the end of a dial and its session being counted there is a moment; it lasts no look. */
const LOOKS_IN_A_ROW = 2

/** How long a peer that could not be reached may take, in waits before a second dial. */
const REDIALS = 2

/**
 * Completes when all who are connected were asked everything, and each static peer was dialled, those
 * that could not be reached with time for a second dial; or there is no place for more sessions.
 */
const staticSettled = Effect.fnUntraced(function* ({ peers }: ChosenNetwork) {
  const { maxPeers, redialMs } = yield* Settings
  const { network } = yield* Stats
  const pool = yield* PeerPool
  const dialer = yield* Dialer
  const survey = yield* Survey
  const enodes = peers.map(formatEnode)
  const startMs = yield* Clock.currentTimeMillis

  const allTried = Effect.gen(function* () {
    const records = new Map((yield* dialer.records).map((record) => [record.enode, record]))
    if (!enodes.every((enode) => records.has(enode))) return false
    if ((yield* Clock.currentTimeMillis) - startMs >= REDIALS * redialMs) return true
    const found = new Set((yield* survey.peers).map(({ peerId }) => peerId))
    return peers.every((peer) => found.has(peer.nodeId) || records.get(formatEnode(peer))?.final)
  })
  const settled = Effect.gen(function* () {
    const pooled = (yield* pool.connected).length
    // A session that is open and not in the pool is one whose head is being measured.
    const measuring = network.sessionsOpened - network.sessionsClosed > pooled
    if (measuring || !(yield* survey.allAsked)) return false
    return pooled >= maxPeers || (yield* allTried)
  })
  for (let looks = 0; looks < LOOKS_IN_A_ROW;) {
    yield* Effect.sleep(Duration.millis(LOOK_EVERY_MS))
    looks = (yield* settled) ? looks + 1 : 0
  }
})

const TELL_EVERY_MS = 10_000
const TELL_LIVE_EVERY_MS = 500

/** Says how far it is, for ever. */
const tellProgress = Effect.gen(function* () {
  const terminal = yield* Terminal
  const survey = yield* Survey
  const pool = yield* PeerPool
  const { network } = yield* Stats
  const startMs = yield* Clock.currentTimeMillis
  const everyMs = terminal.interactive ? TELL_LIVE_EVERY_MS : TELL_EVERY_MS
  const tell = Effect.gen(function* () {
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - startMs) / 1000)
    const known = (yield* survey.peers).length
    const now = (yield* pool.connected).length
    yield* terminal.progress(
      `${seconds} s: ${known} peers, ${now} connected now, ${network.dialled} dials`,
    )
  })
  // The first line waits: where all is done in a moment, there is nothing to say.
  return yield* Effect.forever(Effect.zipRight(Effect.sleep(Duration.millis(everyMs)), tell))
})

const makeReport = Effect.fnUntraced(function* (network: string, peers: ReadonlyArray<PeerSurvey>) {
  const dialer = yield* Dialer
  const records = yield* dialer.records
  const report: PeersReport = {
    network,
    peers: peers.map(peerJson),
    tried: records.map(({ enode, outcome }) => ({ enode, outcome })),
    network_counters: networkSummary((yield* Stats).network, yield* Settings),
  }
  return report
})

const textOf = ({ network, tried }: PeersReport, peers: ReadonlyArray<PeerSurvey>): string => {
  const end = `${network}: ${peers.length} peers surveyed, ${tried.length} nodes tried`
  return peers.length === 0 ? end : `${surveyTable(peers)}\n${end}`
}
