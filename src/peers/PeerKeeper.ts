/**
 * Looks after a session from its opening to its end, whoever dialled whom: measures what the peer
 * serves, puts it into the pool, measures again when time or a miss asks for it, and takes it out.
 *
 *     session ─▶ head measured ─▶ in the pool ⇄ measured again ─▶ left
 *
 * What to measure and when is decided by the pure `upkeep.ts`. A failed measurement is struck like
 * any other failure, up to the ban, and so is a breach of the session's rules
 * (`breachConsequence.ts`). What a session shows of a node goes to the {@link PeerCache}.
 */
import { Clock, Context, Duration, Effect, Fiber, Layer, Queue } from "effect"
import { Blame } from "../fetch/Blame.ts"
import type { MissingHeaders, WrongHeader } from "../fetch/FetchError.ts"
import { Stats } from "../observe/Stats.ts"
import { makePlaces } from "../Places.ts"
import { type MeasuredHead, OurHead } from "../serving/OurHead.ts"
import { Settings } from "../Settings.ts"
import type { Session, SessionClosed } from "../wire/Session.ts"
import { type RequestError, Timeout } from "../wire/WireError.ts"
import { breachConsequence } from "./breachConsequence.ts"
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
/** Of these, peers that dialled us: who comes in must not keep those that we chose from their turn. */
const INBOUND_MEASURED_AT_ONCE = 8
/** How long a measurement may take, in deadlines of a request, and at least, in ms. */
const MEASUREMENT_DEADLINES = 6
const LEAST_MEASUREMENT_MS = 20_000
/** How often it is looked whether something is to be measured again. */
const LOOK_EVERY_MS = 12_000
/** Heads seen by others that may wait: the last one tells enough. */
const MOST_SEEN_HEADS = 4
/** Misses that may wait to be looked at; of more, the newest tell enough. */
const MOST_MISSES = 16

type MeasureError = RequestError | WrongHeader | MissingHeaders

/** What came of a measurement. */
type Measured<A> =
  | { readonly _tag: "Found"; readonly value: A }
  | { readonly _tag: "Failed"; readonly over: boolean }

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
  const ownPlaces = makePlaces(MEASURED_AT_ONCE - INBOUND_MEASURED_AT_ONCE)
  const inboundPlaces = makePlaces(INBOUND_MEASURED_AT_ONCE)
  const deadlineMs = Math.max(MEASUREMENT_DEADLINES * requestTimeoutMs, LEAST_MEASUREMENT_MS)

  /**
   * Measures once. A failure is struck, and waited out; none then, and whether the session is over.
   * Never to be interrupted for the end of the session: what breaks the protocol ends it too, and is
   * to be struck all the same.
   */
  const attempt = <A>(
    session: Session,
    measuring: Effect.Effect<A, MeasureError>,
  ): Effect.Effect<Measured<A>> =>
    (session.inbound ? inboundPlaces : ownPlaces)
      .within(
        // Each answer in time, and no end of questions: that is slow too.
        Effect.timeoutFail(measuring, {
          duration: Duration.millis(deadlineMs),
          onTimeout: () =>
            new Timeout({ peerId: session.peerId, what: "headers", afterMs: deadlineMs }),
        }),
      )
      .pipe(
        Effect.map((value): Measured<A> => ({ _tag: "Found", value })),
        Effect.catchAll((error) =>
          Effect.gen(function* () {
            const standing = yield* blame.punish(session.peerId, blame.count(error).peer)
            if (standing.banned) yield* session.disconnect("useless_peer")
            const over = yield* Effect.raceFirst(
              Effect.as(session.closed, true),
              Effect.as(sleepUntil(standing.usableFromMs), false),
            )
            return { _tag: "Failed" as const, over }
          }),
        ),
      )

  const headOf = (session: Session, hint?: number): Effect.Effect<Measured<HeaderInHand>> =>
    attempt(session, measureHead(timed(session, cache), requestTimeoutMs, hint)).pipe(
      Effect.tap((measured) =>
        measured._tag === "Found"
          ? Effect.zipRight(
              cache.note(session.peerId, { head: measured.value.header.number }),
              // Anyone can dial us, as often as they like: whom we chose says what is announced.
              session.inbound ? Effect.void : ourHead.offer(session.peerId, measured.value),
            )
          : Effect.void,
      ),
    )

  /** Asks until the head is measured; undefined when the session is over before that. */
  const firstHead = Effect.fnUntraced(function* (session: Session) {
    for (;;) {
      const measured = yield* headOf(session)
      if (measured._tag === "Found") return measured.value.header.number
      if (measured.over) return undefined
    }
  })

  /** Carries a measurement out; gives what it makes of the account, undefined when all is over. */
  const measure = Effect.fnUntraced(function* (
    session: Session,
    head: number,
    measurement: Measurement,
  ) {
    const measured =
      measurement._tag === "Head"
        ? yield* Effect.map(
            headOf(session, measurement.hint),
            mapped(({ header }) => header.number),
          )
        : yield* attempt(session, measureFloor(session, { ...measurement, head }, requestTimeoutMs))
    if (measured._tag === "Failed" && measured.over) return undefined
    const nowMs = yield* Clock.currentTimeMillis
    return (upkeep: Upkeep): Upkeep => {
      if (measured._tag === "Failed") return afterFailedMeasurement(upkeep, measurement, nowMs)
      const { value } = measured
      return measurement._tag === "Head"
        ? afterHead(upkeep, value ?? 0, announcedBy(session), nowMs)
        : afterFloor(upkeep, measurement.kind, value, nowMs)
    }
  })

  /** Measures again whenever it is time to, or something was missed, until the session is over. */
  const upkeepOf = Effect.fnUntraced(function* (
    session: Session,
    misses: Queue.Dequeue<Miss>,
    heads: Queue.Dequeue<MeasuredHead>,
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
    yield* Effect.fork(Effect.forever(noting))
    const seeing = Effect.gen(function* () {
      const head = yield* Queue.take(heads)
      const nowMs = yield* Clock.currentTimeMillis
      yield* change((known) => afterHead(known, head.header.number, announcedBy(session), nowMs))
      if (!session.inbound) yield* ourHead.offer(session.peerId, head)
    })
    yield* Effect.fork(Effect.forever(seeing))
    const idle = Effect.raceFirst(
      Effect.as(session.closed, true),
      Effect.as(Effect.timeoutOption(Queue.take(wakes), Duration.millis(LOOK_EVERY_MS)), false),
    )
    for (;;) {
      const nowMs = yield* Clock.currentTimeMillis
      const measurement = nextMeasurement(upkeep, announcedBy(session), nowMs)
      if (measurement === undefined) {
        if (yield* idle) return
        continue
      }
      const learned = yield* measure(session, upkeep.head, measurement)
      if (learned === undefined) return
      yield* change(learned)
    }
  })

  const inPool = Effect.fnUntraced(function* (session: Session, head: number) {
    const misses = yield* Queue.sliding<Miss>(MOST_MISSES)
    const heads = yield* Queue.sliding<MeasuredHead>(MOST_SEEN_HEADS)
    const upkeep = startUpkeep(head, announcedBy(session), yield* Clock.currentTimeMillis)
    const entry = {
      peer: session,
      serves: servesOf(upkeep),
      drop: session.disconnect("useless_peer"),
      missed: (kind: Miss["kind"], block: number) => {
        misses.unsafeOffer({ kind, block })
      },
      sawHead: (head: MeasuredHead) => {
        heads.unsafeOffer(head)
      },
    }
    const upkeeping = yield* Effect.acquireUseRelease(
      pool.join(entry),
      (joined) =>
        joined
          ? Effect.zipLeft(Effect.fork(upkeepOf(session, misses, heads, upkeep)), session.closed)
          : Effect.as(session.disconnect("already_connected"), Fiber.void),
      (joined) => (joined ? pool.leave(session.peerId) : Effect.void),
    )
    yield* Fiber.join(upkeeping)
  })

  return {
    keep: Effect.fnUntraced(function* (session: Session) {
      stats.sessionOpened(session.peerId, session.client, session.ethVersion, session.inbound)
      if (pool.has(session.peerId)) yield* session.disconnect("already_connected")
      else {
        const head = yield* firstHead(session)
        if (head !== undefined) yield* inPool(session, head)
      }
      const closed = yield* session.closed
      stats.network.sessionClosed(closed.by, closed.reason)
      const { breach } = closed
      if (breach !== undefined) {
        stats.network.broken(breach)
        yield* blame.punish(session.peerId, breachConsequence(breach))
      }
      return describeClosed(closed)
    }),
  }
})

const mapped =
  <A, B>(change: (value: A) => B) =>
  (measured: Measured<A>): Measured<B> =>
    measured._tag === "Found" ? { _tag: "Found", value: change(measured.value) } : measured

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
