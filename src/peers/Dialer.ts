/**
 * Keeps sessions with the best of the candidates that the {@link PeerSource} names: dials within the
 * limits, gives who answers to the {@link PeerKeeper}, and dials again who left.
 *
 *     known ─▶ dialling ─▶ kept ─▶ left ─┐
 *       ▲ back-off, ban                  │
 *       └────────────────────────────────┘
 *
 * Whom to dial next is decided by the pure {@link CandidateBook}. A node on another chain is never
 * dialled again; one whose ban still runs, be it from an earlier run, not before its end. A peer that
 * leaves is no fault of its. What a dial or a session shows of a node goes to the {@link PeerCache}.
 */
import { Clock, Context, Deferred, Duration, Effect, FiberSet, Layer, Stream } from "effect"
import { type Enode, formatEnode } from "../chain/enode.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import { Stats } from "../observe/Stats.ts"
import { Settings } from "../Settings.ts"
import type { Session } from "../wire/Session.ts"
import type { SessionOpenError } from "../wire/WireError.ts"
import type { PeerFacts } from "./cacheEntries.ts"
import { CandidateBook, type CandidateRank, type DialOutcome } from "./candidateBook.ts"
import { describeOpenError, openErrorName } from "./openErrors.ts"
import { PeerCache } from "./PeerCache.ts"
import { PeerConnector } from "./PeerConnector.ts"
import { PeerKeeper } from "./PeerKeeper.ts"
import { type Candidate, PeerSource } from "./PeerSource.ts"
import { Reputation } from "./Reputation.ts"
import { Rotation, type Seat } from "./rotation.ts"

/** What became of a candidate so far. */
export interface DialRecord {
  readonly enode: string
  /** In a few words: `not reachable (ECONNREFUSED)`, `on another chain: …`, `connected: …`. */
  readonly outcome: string
  /** Whether it will never be dialled again. */
  readonly final: boolean
}

/** See the module. */
export interface DialerShape {
  /** Candidates that were dialled, with their last outcome; at most {@link MOST_RECORDS}. */
  readonly records: Effect.Effect<ReadonlyArray<DialRecord>>
  /** Completes when no candidate is left that could ever be connected. */
  readonly noneLeft: Effect.Effect<void>
  /** Whether every candidate there can be was dialled, and who answered is measured. */
  readonly quiet: Effect.Effect<boolean>
}

const MOST_RECORDS = 1_000

/** A session that lived this long was a good one: the next dial does not wait longer for it. */
const GOOD_SESSION_MS = 10_000

/** How often free places are looked over when nothing else says so. */
const LOOK_EVERY_MS = 50

/** How often it is looked who is of no use: what peers serve is counted over such spans. */
const ROTATE_LOOK_MS = 5_000

/** A session that we opened. */
interface Sitting {
  readonly session: Session
  readonly sinceMs: number
  /** Whether it was let go to make room. */
  useless: boolean
}

/** See {@link DialerShape}. */
export class Dialer extends Context.Tag("annals/Dialer")<Dialer, DialerShape>() {
  /** Tells the peer cache what becomes of nodes. */
  static readonly layerCached: Layer.Layer<
    Dialer,
    never,
    PeerSource | PeerConnector | PeerKeeper | Reputation | ByteGate | Stats | Settings | PeerCache
  > = Layer.scoped(
    Dialer,
    Effect.suspend(() => makeDialer),
  )

  /** Without a cache. */
  static readonly layer: Layer.Layer<
    Dialer,
    never,
    PeerSource | PeerConnector | PeerKeeper | Reputation | ByteGate | Stats | Settings
  > = Layer.provide(Dialer.layerCached, PeerCache.layerNone)
}

const makeDialer = Effect.gen(function* () {
  const settings = yield* Settings
  const source = yield* PeerSource
  const reputation = yield* Reputation
  const gate = yield* ByteGate
  const stats = yield* Stats
  const book = new CandidateBook({ firstMs: settings.redialMs, mostMs: settings.maxRedialMs })
  const records = new Map<string, DialRecord>()
  const noneLeft = yield* Deferred.make<void>()
  const lives = yield* FiberSet.make()
  const rotation = new Rotation()
  const places = Math.min(settings.maxPeers, settings.maxOutbound)
  /** The sessions that we opened, by node id. */
  const sitting = new Map<string, Sitting>()
  let dialling = 0
  let sourceEnded = false

  const note = (enode: Enode, outcome: string, final: boolean): void => {
    if (!records.has(enode.nodeId) && records.size >= MOST_RECORDS) return
    records.set(enode.nodeId, { enode: formatEnode(enode), outcome, final })
  }
  const live = yield* makeLife({
    note,
    connecting: (under) => {
      dialling += under ? 1 : -1
    },
    opened: (session, sinceMs) => {
      sitting.set(session.peerId, { session, sinceMs, useless: false })
    },
  })

  const run = Effect.fnUntraced(function* (enode: Enode) {
    const outcome = yield* live(enode)
    const letGo = sitting.get(enode.nodeId)?.useless === true
    sitting.delete(enode.nodeId)
    const { banned, usableFromMs } = yield* reputation.standing(enode.nodeId)
    const nowMs = yield* Clock.currentTimeMillis
    book.settle(enode.nodeId, letGo ? "useless" : outcome, nowMs, banned ? usableFromMs : 0)
  })

  /** When all places are taken and somebody waits: lets the slowest of the useless go. */
  const rotate = Effect.fnUntraced(function* (nowMs: number) {
    const seats = [...sitting].map(([peerId, { sinceMs }]): Seat => ({
      peerId,
      sinceMs,
      named: book.isStatic(peerId),
      blocks: stats.peers.get(peerId)?.blocks ?? 0,
    }))
    const full = (yield* FiberSet.size(lives)) >= places
    // While the later stages hold the room for answers, nobody is given anything to serve.
    const starved = gate.free() < settings.bytesInFlight / 4
    // At the head of the chain there is less to fetch than there are peers.
    const missing = stats.blocksRequested - stats.blocksSucceeded
    const idle = starved || (stats.blocksRequested > 0 && missing < stats.peersPooled)
    if (!full || idle || !book.ready(nowMs)) return rotation.observe(seats, nowMs, idle)
    const seat = sitting.get(rotation.victim(seats, nowMs) ?? "")
    if (seat === undefined) return
    seat.useless = true
    stats.network.rotated += 1
    yield* seat.session.disconnect("too_many_peers")
  })

  /** Fills the free places with the best who may be dialled now. */
  const fill = Effect.gen(function* () {
    const nowMs = yield* Clock.currentTimeMillis
    while (dialling < settings.maxConcurrentDials) {
      if ((yield* FiberSet.size(lives)) >= places) return
      const enode = book.next(nowMs)
      if (enode === undefined) break
      const { banned, usableFromMs } = yield* reputation.standing(enode.nodeId)
      if (banned && usableFromMs > nowMs) {
        book.settle(enode.nodeId, "ended", nowMs, usableFromMs)
        continue
      }
      yield* FiberSet.run(lives, run(enode))
      // The dial counts from here on: its fiber has to have begun before the next is chosen.
      yield* Effect.yieldNow()
    }
    if (sourceEnded && !book.hopeful) yield* Deferred.succeed(noneLeft, undefined)
  })

  yield* source.candidates.pipe(
    Stream.runForEach((candidate) =>
      Effect.sync(() => {
        if (book.add(candidate.enode, rankOf(candidate))) stats.network.discovered += 1
      }),
    ),
    Effect.ensuring(
      Effect.sync(() => {
        sourceEnded = true
      }),
    ),
    Effect.forkScoped,
  )
  yield* fill.pipe(
    Effect.zipRight(Effect.sleep(Duration.millis(LOOK_EVERY_MS))),
    Effect.forever,
    Effect.forkScoped,
  )
  yield* Effect.flatMap(Clock.currentTimeMillis, rotate).pipe(
    Effect.zipRight(Effect.sleep(Duration.millis(ROTATE_LOOK_MS))),
    Effect.forever,
    Effect.forkScoped,
  )
  return {
    records: Effect.sync(() => [...records.values()]),
    noneLeft: Deferred.await(noneLeft),
    quiet: Effect.map(
      FiberSet.size(lives),
      (alive) => sourceEnded && !book.untried && dialling === 0 && alive <= stats.peersPooled,
    ),
  }
})

const rankOf = ({ source, forkId }: Candidate): CandidateRank => {
  if (source === "static") return "static"
  if (source === "cache") return "cached"
  return forkId === undefined ? "unknown" : "matching"
}

interface LifeOptions {
  readonly note: (enode: Enode, outcome: string, final: boolean) => void
  /** Told when a dial begins and when it is over, be it with a session. */
  readonly connecting: (under: boolean) => void
  /** Told of every session. */
  readonly opened: (session: Session, sinceMs: number) => void
}

/** Gives the effect that dials a node once, and looks after the session that may come of it. */
const makeLife = Effect.fnUntraced(function* ({ note, connecting, opened }: LifeOptions) {
  const connector = yield* PeerConnector
  const stats = yield* Stats
  const cache = yield* PeerCache
  const { keep } = yield* PeerKeeper

  /** The peer says something now; what else is known of it. */
  const seen = (nodeId: string, facts: PeerFacts = {}) =>
    Effect.flatMap(Clock.currentTimeMillis, (seenMs) => cache.note(nodeId, { ...facts, seenMs }))

  /** What a dial that brought no session says of the node. */
  const remember = (nodeId: string, error: SessionOpenError): Effect.Effect<void> => {
    if (isFinal(error)) return cache.forget(nodeId)
    // A peer that is full is alive, and may have room another time.
    return error._tag === "RefusedByPeer" && isBusy(error.reason)
      ? seen(nodeId)
      : cache.note(nodeId, { failures: 1 })
  }

  const connect = (enode: Enode) =>
    Effect.suspend(() => {
      connecting(true)
      stats.network.dialled += 1
      return Effect.ensuring(
        connector.connect(enode),
        Effect.sync(() => connecting(false)),
      )
    })

  return (enode: Enode): Effect.Effect<DialOutcome> =>
    Effect.scoped(
      Effect.gen(function* () {
        const session = yield* connect(enode)
        note(enode, `connected: ${session.client}, eth/${session.ethVersion}`, false)
        const openedMs = yield* Clock.currentTimeMillis
        opened(session, openedMs)
        const { client, ethVersion } = session
        yield* seen(enode.nodeId, { enode, client, ethVersion })
        const end = yield* Effect.ensuring(keep(session), seen(enode.nodeId))
        note(enode, end, false)
        const livedMs = (yield* Clock.currentTimeMillis) - openedMs
        return livedMs >= GOOD_SESSION_MS ? ("ended" as const) : ("failed" as const)
      }),
    ).pipe(
      Effect.catchAll((error) =>
        Effect.map(remember(enode.nodeId, error), (): DialOutcome => {
          const final = isFinal(error)
          stats.network.refusedFor(openErrorName(error))
          note(enode, describeOpenError(error), final)
          return final ? "wrong" : "failed"
        }),
      ),
    )
})

/** What a peer says that is full, or to which there is a session already. */
const isBusy = (reason: string): boolean =>
  reason === "too_many_peers" || reason === "already_connected"

/** A node on another chain, or without our protocol, does not change its mind within a run. */
const isFinal = (error: SessionOpenError): boolean =>
  error._tag === "WrongNetwork" || error._tag === "NoCommonProtocol"
