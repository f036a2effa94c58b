/**
 * Keeps sessions with the candidates of the {@link PeerSource}: dials within the limits, measures
 * the head of who answers, puts them into the pool, and dials again who left.
 *
 * One fiber a candidate, in the scope of the Layer:
 *
 *     waiting ─▶ dialling ─▶ measuring the head ─▶ in the pool ─▶ left ─┐
 *        ▲ back-off, ban          │ failure: struck, asked again        │
 *        └────────────────────────┴─────────────────────────────────────┘
 *
 * A node on another chain is never dialled again. A peer that leaves is no fault of its.
 */
import { Clock, Context, Deferred, Duration, Effect, Layer, Stream } from "effect"
import { type Enode, formatEnode } from "../chain/enode.ts"
import { Blame } from "../fetch/Blame.ts"
import { Stats } from "../observe/Stats.ts"
import { Settings, type SettingsShape } from "../Settings.ts"
import type { Session, SessionClosed } from "../wire/Session.ts"
import type { SessionOpenError } from "../wire/WireError.ts"
import { measureHead } from "./HeadProbe.ts"
import { PeerConnector } from "./PeerConnector.ts"
import { PeerPool } from "./PeerPool.ts"
import { PeerSource } from "./PeerSource.ts"
import { Reputation } from "./Reputation.ts"

/** What became of a candidate so far. */
export interface DialRecord {
  readonly enode: string
  /** In a few words: `connection refused`, `wrong genesis: …`, `connected`. */
  readonly outcome: string
  /** Whether it will never be dialled again. */
  readonly final: boolean
}

/** See the module. */
export interface DialerShape {
  /** Every candidate with its last outcome, at most {@link MAX_RECORDS} of them. */
  readonly records: Effect.Effect<ReadonlyArray<DialRecord>>
  /** Completes when no candidate is left that could ever be connected. */
  readonly noneLeft: Effect.Effect<void>
}

const MAX_RECORDS = 1_000

/** A session that lived this long was a good one: the next dial does not wait longer for it. */
const GOOD_SESSION_MS = 10_000

/** See {@link DialerShape}. */
export class Dialer extends Context.Tag("annals/Dialer")<Dialer, DialerShape>() {
  static readonly layer: Layer.Layer<
    Dialer,
    never,
    PeerSource | PeerConnector | PeerPool | Reputation | Blame | Stats | Settings
  > = Layer.scoped(
    Dialer,
    Effect.gen(function* () {
      const settings = yield* Settings
      const source = yield* PeerSource
      const sessions = yield* Effect.makeSemaphore(settings.maxPeers)
      const dials = yield* Effect.makeSemaphore(settings.maxConcurrentDials)
      const records = new Map<string, DialRecord>()
      const noneLeft = yield* Deferred.make<void>()

      const note = (enode: Enode, outcome: string, final: boolean): void => {
        if (!records.has(enode.nodeId) && records.size >= MAX_RECORDS) return
        records.set(enode.nodeId, { enode: formatEnode(enode), outcome, final })
      }

      const keep = yield* makeKeeper({ note, sessions, dials, settings })
      yield* source.candidates.pipe(
        Stream.filter((candidate) => !records.has(candidate.enode.nodeId)),
        Stream.mapEffect(
          ({ enode }) => {
            note(enode, "not dialled yet", false)
            return keep(enode)
          },
          { concurrency: "unbounded" },
        ),
        Stream.runDrain,
        Effect.zipRight(Deferred.succeed(noneLeft, undefined)),
        Effect.forkScoped,
      )
      return {
        records: Effect.sync(() => [...records.values()]),
        noneLeft: Deferred.await(noneLeft),
      }
    }),
  )
}

interface KeeperOptions {
  readonly note: (enode: Enode, outcome: string, final: boolean) => void
  readonly sessions: Effect.Semaphore
  readonly dials: Effect.Semaphore
  readonly settings: SettingsShape
}

/** How one life of a candidate ended: dialled again after a while, or never. */
type LifeEnd = "again" | "again_soon" | "never"

/** Gives the effect that looks after one candidate; it ends when the candidate is hopeless. */
const makeKeeper = Effect.fnUntraced(function* (options: KeeperOptions) {
  const { note, sessions, dials, settings } = options
  const connector = yield* PeerConnector
  const reputation = yield* Reputation
  const join = yield* makeJoiner(settings)

  const waitForBan = (nodeId: string): Effect.Effect<void> =>
    Effect.flatMap(reputation.standing(nodeId), (standing) =>
      standing.banned ? sleepUntil(standing.usableFromMs) : Effect.void,
    )

  const life = (enode: Enode): Effect.Effect<LifeEnd> =>
    Effect.scoped(
      Effect.gen(function* () {
        const session = yield* dials.withPermits(1)(connector.connect(enode))
        note(enode, `connected: ${session.client}, eth/${session.ethVersion}`, false)
        const openedMs = yield* Clock.currentTimeMillis
        const end = yield* join(session)
        note(enode, end, false)
        const livedMs = (yield* Clock.currentTimeMillis) - openedMs
        return livedMs >= GOOD_SESSION_MS ? ("again_soon" as const) : ("again" as const)
      }),
    ).pipe(
      Effect.catchAll((error) =>
        Effect.sync((): LifeEnd => {
          const final = isFinal(error)
          note(enode, describeOpenError(error), final)
          return final ? "never" : "again"
        }),
      ),
    )

  return Effect.fnUntraced(function* (enode: Enode) {
    let waitMs = settings.redialMs
    for (;;) {
      yield* waitForBan(enode.nodeId)
      const end = yield* sessions.withPermits(1)(life(enode))
      if (end === "never") return
      if (end === "again_soon") waitMs = settings.redialMs
      yield* Effect.sleep(Duration.millis(waitMs))
      waitMs = Math.min(waitMs * 2, settings.maxRedialMs)
    }
  })
})

/** Gives the effect that measures a session's head, pools it, and waits for its end. */
const makeJoiner = Effect.fnUntraced(function* (settings: SettingsShape) {
  const pool = yield* PeerPool
  const blame = yield* Blame
  const stats = yield* Stats

  /**
   * Asks until the head is measured; undefined when the session is over before that. A failure is
   * struck like any other, up to the ban.
   */
  const measured = (session: Session): Effect.Effect<number | undefined> =>
    measureHead(session, settings.requestTimeoutMs).pipe(
      Effect.catchAll((error) =>
        Effect.gen(function* () {
          const standing = yield* blame.punish(session.peerId, blame.count(error).peer)
          if (standing.banned) yield* session.disconnect("useless_peer")
          const over = yield* session.closed.pipe(
            Effect.as(true),
            Effect.race(Effect.as(sleepUntil(standing.usableFromMs), false)),
          )
          return over ? undefined : yield* measured(session)
        }),
      ),
    )

  const inPool = (session: Session, head: number): Effect.Effect<void> =>
    Effect.acquireUseRelease(
      pool.join({
        peer: session,
        range: { from: 0, to: head },
        drop: session.disconnect("useless_peer"),
      }),
      (joined) =>
        joined ? Effect.asVoid(session.closed) : session.disconnect("already_connected"),
      (joined) => (joined ? pool.leave(session.peerId) : Effect.void),
    )

  return Effect.fnUntraced(function* (session: Session) {
    stats.sessionOpened(session.peerId, session.client, session.ethVersion)
    const head = yield* measured(session)
    if (head !== undefined) yield* inPool(session, head)
    const closed = yield* session.closed
    return describeClosed(closed)
  })
})

const sleepUntil = (untilMs: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
    untilMs > nowMs ? Effect.sleep(Duration.millis(untilMs - nowMs)) : Effect.void,
  )

/** A node on another chain, or without our protocol, does not change its mind within a run. */
const isFinal = (error: SessionOpenError): boolean =>
  error._tag === "WrongNetwork" || error._tag === "NoCommonProtocol"

const describeClosed = (closed: SessionClosed): string => {
  const why = closed.detail === "" ? closed.reason : `${closed.reason} (${closed.detail})`
  return closed.by === "us" ? `dropped by us: ${why}` : `left: ${why}`
}

/** An opening error in a few words, for people. */
export const describeOpenError = (error: SessionOpenError): string => {
  switch (error._tag) {
    case "ConnectFailed":
      return error.timedOut ? "no answer to the connection" : `not reachable (${error.reason})`
    case "HandshakeFailed":
      return error.timedOut
        ? `silent during the ${error.phase}`
        : `failed in the ${error.phase} (${error.reason})`
    case "WrongNetwork":
      return `on another chain: ${error.what} is ${error.actual}, ours is ${error.expected}`
    case "NoCommonProtocol":
      return `no eth/68 to eth/70, only ${error.offered.join(", ") || "nothing"}`
    case "RefusedByPeer":
      return `refused in the ${error.phase} (${error.reason})`
  }
}
