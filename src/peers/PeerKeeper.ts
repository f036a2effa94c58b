/**
 * Looks after a session from its opening to its end, whoever dialled whom: measures what the peer
 * serves, puts it into the pool, measures again when time or a miss asks for it, and takes it out.
 *
 *     session ─▶ head measured ─▶ in the pool ⇄ measured again ─▶ left
 *
 * What to measure and when is decided by the pure `upkeep.ts`. A failed measurement is struck like
 * any other failure, up to the ban. What a session shows of a node goes to the {@link PeerCache}.
 */
import { Clock, Context, Duration, Effect, Layer, Option, Queue } from "effect"
import { Blame } from "../fetch/Blame.ts"
import type { MissingHeaders, WrongHeader } from "../fetch/FetchError.ts"
import { Stats } from "../observe/Stats.ts"
import { OurHead } from "../serving/OurHead.ts"
import { Settings } from "../Settings.ts"
import type { Session, SessionClosed } from "../wire/Session.ts"
import type { RequestError } from "../wire/WireError.ts"
import { measureFloor } from "./FloorProbe.ts"
import { type HeaderInHand, type HeadSubject, measureHead } from "./HeadProbe.ts"
import { PeerCache, type PeerCacheShape } from "./PeerCache.ts"
import { PeerPool } from "./PeerPool.ts"
import {
  afterFailedMeasurement,
  afterFloor,
  afterHead,
  afterMiss,
  type Announced,
  type Measurement,
  type Miss,
  nextMeasurement,
  sameServes,
  servesOf,
  startUpkeep,
  type Upkeep,
} from "./upkeep.ts"

/** See the module. */
export interface PeerKeeperShape {
  /** Looks after a session until it ends; gives how it ended, in a few words. */
  readonly keep: (session: Session) => Effect.Effect<string>
}

/** Peers that are measured at once: more would crowd out the fetching. */
const MEASURED_AT_ONCE = 24
/** How often it is looked whether something is to be measured again. */
const LOOK_EVERY_MS = 12_000
/** Misses that may wait to be looked at; of more, the newest tell enough. */
const MOST_MISSES = 16

type MeasureError = RequestError | WrongHeader | MissingHeaders

/** See {@link PeerKeeperShape}. */
export class PeerKeeper extends Context.Tag("annals/PeerKeeper")<PeerKeeper, PeerKeeperShape>() {
  static readonly layer: Layer.Layer<
    PeerKeeper,
    never,
    PeerPool | Blame | Stats | Settings | PeerCache | OurHead
  > = Layer.effect(
    PeerKeeper,
    Effect.suspend(() => makeKeeper),
  )
}

const makeKeeper = Effect.gen(function* () {
  const { requestTimeoutMs } = yield* Settings
  const pool = yield* PeerPool
  const blame = yield* Blame
  const stats = yield* Stats
  const cache = yield* PeerCache
  const ourHead = yield* OurHead
  const places = yield* Effect.makeSemaphore(MEASURED_AT_ONCE)

  /** Measures once; none after a failure, which is struck. */
  const attempt = <A>(
    session: Session,
    measuring: Effect.Effect<A, MeasureError>,
  ): Effect.Effect<Option.Option<A>> =>
    places
      .withPermits(1)(measuring)
      .pipe(
        Effect.asSome,
        Effect.catchAll((error) =>
          Effect.gen(function* () {
            const standing = yield* blame.punish(session.peerId, blame.count(error).peer)
            if (standing.banned) yield* session.disconnect("useless_peer")
            const untilMs = standing.usableFromMs
            yield* Effect.race(session.closed, sleepUntil(untilMs))
            return Option.none<A>()
          }),
        ),
      )

  const headOf = (session: Session, hint?: number): Effect.Effect<Option.Option<HeaderInHand>> =>
    attempt(session, measureHead(timed(session, cache), requestTimeoutMs, hint)).pipe(
      Effect.tap((found) =>
        Option.isSome(found)
          ? Effect.zipRight(
              cache.note(session.peerId, { head: found.value.header.number }),
              ourHead.offer(session.peerId, found.value),
            )
          : Effect.void,
      ),
    )

  /** Asks until the head is measured; none when the session is over before that. */
  const firstHead = (session: Session): Effect.Effect<Option.Option<HeaderInHand>> =>
    headOf(session).pipe(
      Effect.repeat({ until: Option.isSome }),
      Effect.raceFirst(Effect.as(session.closed, Option.none<HeaderInHand>())),
    )

  /** Carries a measurement out; gives what it makes of the account. */
  const measure = Effect.fnUntraced(function* (
    session: Session,
    head: number,
    measurement: Measurement,
  ) {
    if (measurement._tag === "Head") {
      const found = yield* headOf(session, measurement.hint)
      const nowMs = yield* Clock.currentTimeMillis
      return (upkeep: Upkeep): Upkeep =>
        Option.isNone(found)
          ? afterFailedMeasurement(upkeep, measurement, nowMs)
          : afterHead(upkeep, found.value.header.number, announcedBy(session), nowMs)
    }
    const question = { ...measurement, head }
    const found = yield* attempt(session, measureFloor(session, question, requestTimeoutMs))
    const nowMs = yield* Clock.currentTimeMillis
    return (upkeep: Upkeep): Upkeep =>
      Option.isNone(found)
        ? afterFailedMeasurement(upkeep, measurement, nowMs)
        : afterFloor(upkeep, measurement.kind, found.value, nowMs)
  })

  /** Measures again whenever it is time to, or something was missed; until it is interrupted. */
  const upkeepOf = Effect.fnUntraced(function* (
    session: Session,
    misses: Queue.Dequeue<Miss>,
    start: Upkeep,
  ) {
    const wakes = yield* Queue.sliding<void>(1)
    let upkeep = start
    const change = (change: (upkeep: Upkeep) => Upkeep): Effect.Effect<void> => {
      const before = servesOf(upkeep)
      upkeep = change(upkeep)
      const after = servesOf(upkeep)
      return sameServes(before, after) ? Effect.void : pool.changed(session.peerId, after)
    }
    // Beside the measuring: what is missed meanwhile is not offered from then on either.
    const noting = Effect.gen(function* () {
      const miss = yield* Queue.take(misses)
      const nowMs = yield* Clock.currentTimeMillis
      yield* change((known) => afterMiss(known, miss, nowMs))
      yield* Queue.offer(wakes, undefined)
    })
    const measuring = Effect.gen(function* () {
      const nowMs = yield* Clock.currentTimeMillis
      const measurement = nextMeasurement(upkeep, announcedBy(session), nowMs)
      if (measurement !== undefined) {
        return yield* change(yield* measure(session, upkeep.head, measurement))
      }
      yield* Effect.timeoutOption(Queue.take(wakes), Duration.millis(LOOK_EVERY_MS))
    })
    return yield* Effect.raceFirst(Effect.forever(noting), Effect.forever(measuring))
  })

  const inPool = Effect.fnUntraced(function* (session: Session, head: number) {
    const misses = yield* Queue.sliding<Miss>(MOST_MISSES)
    const upkeep = startUpkeep(head, announcedBy(session), yield* Clock.currentTimeMillis)
    const entry = {
      peer: session,
      serves: servesOf(upkeep),
      drop: session.disconnect("useless_peer"),
      missed: (kind: Miss["kind"], block: number) => {
        misses.unsafeOffer({ kind, block })
      },
    }
    yield* Effect.acquireUseRelease(
      pool.join(entry),
      (joined) =>
        joined
          ? Effect.raceFirst(session.closed, upkeepOf(session, misses, upkeep))
          : session.disconnect("already_connected"),
      (joined) => (joined ? pool.leave(session.peerId) : Effect.void),
    )
  })

  return {
    keep: Effect.fnUntraced(function* (session: Session) {
      stats.sessionOpened(session.peerId, session.client, session.ethVersion, session.inbound)
      const head = yield* firstHead(session)
      if (Option.isSome(head)) yield* inPool(session, head.value.header.number)
      const closed = yield* session.closed
      stats.network.sessionClosed(closed.by, closed.reason)
      return describeClosed(closed)
    }),
  }
})

const announcedBy = (session: Session): Announced | undefined => {
  const range = session.announcedRange()
  return range && { earliest: range.earliestBlock, latest: range.latestBlock }
}

/** A session whose answers, small as they are here, tell the cache its round trip. */
const timed = (session: Session, cache: PeerCacheShape): HeadSubject => ({
  peerId: session.peerId,
  status: session.status,
  announcedRange: session.announcedRange,
  getBlockHeaders: (query, timeoutMs) =>
    Effect.tap(session.getBlockHeaders(query, timeoutMs), ({ elapsedMs }) =>
      cache.note(session.peerId, { roundTripMs: elapsedMs }),
    ),
})

const sleepUntil = (untilMs: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
    untilMs > nowMs ? Effect.sleep(Duration.millis(untilMs - nowMs)) : Effect.void,
  )

const describeClosed = (closed: SessionClosed): string => {
  const why = closed.detail === "" ? closed.reason : `${closed.reason} (${closed.detail})`
  return closed.by === "us" ? `dropped by us: ${why}` : `left: ${why}`
}
