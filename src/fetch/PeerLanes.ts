/**
 * How peers are asked: one at a time for each kind of part, or a few, with a deadline that follows the peer,
 * and with the bytes of the answer reserved before. Who holds parts never waits for bytes: a turn
 * takes all the kinds that it is for, then reserves for all of them, then asks. What is learned of a peer (how fast it answers,
 * what its blocks weigh) is kept with it, and forgotten with it.
 */
import { Effect, Fiber, Option, type Scope } from "effect"
import { type RequestKind, Stats } from "../observe/Stats.ts"
import type { Peer } from "../peers/Peer.ts"
import { Settings } from "../Settings.ts"
import { deadline } from "../wire/Deadline.ts"
import { type RequestError, Timeout } from "../wire/WireError.ts"
import { ByteGate } from "./ByteGate.ts"
import { FetchPlan } from "./FetchPlan.ts"
import { afterPace, afterTrip, deadlineMs, type Pace, unknownPace, usefulAtOnce } from "./pace.ts"
import { afterSizes, planRequests, predictBytes, type SizeEstimate, unknownSize } from "./sizing.ts"

/** A kind of part that is asked for by hash. */
export type PartKind = Exclude<RequestKind, "headers">

/** What every answer carries. */
interface Answer {
  /** Decoded payload. */
  readonly bytes: number
  readonly elapsedMs: number
}

/** One request, ready to be sent with a deadline. */
export interface Question<A extends Answer> {
  readonly peer: Peer
  readonly kind: RequestKind
  /** What was reserved for its answer; afterwards exactly the answer's bytes are held. */
  readonly reservedBytes: number
  readonly send: (timeoutMs: number) => Effect.Effect<A, RequestError>
  /** What to do with an answer that came after its deadline; its bytes are held by then. */
  readonly late?: (answer: A) => Effect.Effect<void>
  /** Told why no late answer came: a lie is one, however late. */
  readonly lateFailed?: (error: RequestError) => Effect.Effect<void>
}

interface Lane {
  readonly turns: Effect.Semaphore
  pace: Pace
  size: SizeEstimate
}

/** What is known of a peer. */
interface PeerLines {
  readonly lanes: Record<RequestKind, Lane>
  /** The least that an answer takes; 0 while there was none. */
  tripMs: number
  /** Requests of one kind that may be under way. */
  atOnce: number
  /** Requests for parts that are under way. */
  partsOpen: number
}

/** A guess is exceeded now and then; what is exceeded is overdrawn. */
const RESERVE_MARGIN = 1.25

const kindOrder: ReadonlyArray<RequestKind> = ["headers", "bodies", "receipts"]

/** After its deadline a request is listened for this many times as long. */
const LATE_TIMES = 3

/** Gives how the peers of this run are asked. */
export const makePeerLanes = Effect.fnUntraced(function* (scope: Scope.Scope) {
  const settings = yield* Settings
  const plan = yield* FetchPlan
  const stats = yield* Stats
  const gate = yield* ByteGate
  const peers = new WeakMap<Peer, PeerLines>()
  // What a block weighs is the block's nature first: a new peer starts from what others showed.
  const sizes: Record<RequestKind, SizeEstimate> = {
    headers: unknownSize,
    bodies: unknownSize,
    receipts: unknownSize,
  }

  const linesOf = (peer: Peer): PeerLines => {
    const known = peers.get(peer)
    if (known !== undefined) return known
    const atOnce = plan.requests === "fixed" ? plan.requestsAtOnce : 1
    const fresh = (kind: RequestKind): Lane => ({
      turns: Effect.unsafeMakeSemaphore(atOnce),
      pace: unknownPace,
      size: sizes[kind],
    })
    const lanes = {
      headers: fresh("headers"),
      bodies: fresh("bodies"),
      receipts: fresh("receipts"),
    }
    const lines = { lanes, tripMs: 0, atOnce, partsOpen: 0 }
    peers.set(peer, lines)
    return lines
  }
  const laneOf = (peer: Peer, kind: RequestKind): Lane => linesOf(peer).lanes[kind]

  /** Learns how long a peer takes, and lets it have as many requests at once as are of use. */
  const learnPace = Effect.fnUntraced(function* (
    peer: Peer,
    kind: RequestKind,
    elapsedMs: number,
    alone: boolean,
  ) {
    const lines = linesOf(peer)
    const { lanes } = lines
    lanes[kind].pace = afterPace(lanes[kind].pace, elapsedMs)
    // Headers are the shortest of all answers.
    if (kind === "headers") lines.tripMs = afterTrip(lines.tripMs, elapsedMs, alone)
    if (plan.requests === "fixed" || kind === "headers") return
    const useful = plan.kinds.map((each) =>
      usefulAtOnce(lines.tripMs, lanes[each].pace, plan.requestsAtOnce),
    )
    const atOnce = Math.max(...useful)
    if (atOnce === lines.atOnce) return
    lines.atOnce = atOnce
    for (const { turns } of Object.values(lanes)) yield* turns.resize(atOnce)
  })

  /** Sends; afterwards exactly the answer's bytes are held, or none after a failure. */
  const exchange = <A extends Answer>(question: Question<A>, timeoutMs: number) =>
    Effect.gen(function* () {
      const { reservedBytes, kind, peer } = question
      stats.requests[kind] += 1
      const lines = linesOf(peer)
      const alone = lines.partsOpen === 0
      const parts = kind === "headers" ? 0 : 1
      lines.partsOpen += parts
      const answer = yield* question.send(timeoutMs).pipe(
        Effect.onError(() => Effect.sync(() => gate.release(reservedBytes))),
        Effect.ensuring(Effect.sync(() => (lines.partsOpen -= parts))),
      )
      if (answer.bytes > reservedBytes) gate.overdraw(answer.bytes - reservedBytes)
      else gate.release(reservedBytes - answer.bytes)
      stats.answered(kind, answer.elapsedMs, answer.bytes)
      yield* learnPace(peer, kind, answer.elapsedMs, alone)
      return answer
    })

  /** Waits until the deadline, and listens on in the background for what comes later. */
  const exchangeOrLate = <A extends Answer>(
    question: Question<A>,
    timeoutMs: number,
    late: (answer: A) => Effect.Effect<void>,
  ) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkIn(exchange(question, timeoutMs * LATE_TIMES), scope)
      const { peer, kind: what } = question
      const inTime = yield* Effect.asSome(Fiber.join(fiber)).pipe(
        Effect.raceFirst(Effect.as(deadline(timeoutMs, peer.heldMs), Option.none())),
        Effect.onInterrupt(() => Fiber.interrupt(fiber)),
      )
      if (Option.isSome(inTime)) return inTime.value
      const listening = Fiber.join(fiber).pipe(
        Effect.flatMap(late),
        Effect.catchAll((error) => question.lateFailed?.(error) ?? Effect.void),
      )
      yield* Effect.forkIn(listening, scope)
      return yield* new Timeout({ peerId: peer.peerId, what, afterMs: timeoutMs })
    })

  /** Asks; for who has the turn and has reserved. */
  const ask = <A extends Answer>(question: Question<A>): Effect.Effect<A, RequestError> =>
    Effect.suspend(() => {
      const { peer, kind, late } = question
      const floorMs = settings.requestTimeoutMs
      const fixed = plan.requests === "fixed"
      const timeoutMs = fixed ? floorMs : deadlineMs(laneOf(peer, kind).pace, floorMs)
      return late === undefined || fixed
        ? exchange(question, timeoutMs)
        : exchangeOrLate(question, timeoutMs, late)
    })

  /**
   * Runs `use` when it is the turn of all these kinds at this peer and their bytes are free. Turns
   * are taken in one order, so that two batches of a peer never wait for each other.
   */
  const inTurn = <A, E>(
    peer: Peer,
    kinds: ReadonlyArray<RequestKind>,
    reserveBytes: number,
    use: Effect.Effect<A, E>,
  ): Effect.Effect<A, E> =>
    kindOrder
      .filter((kind) => kinds.includes(kind))
      .reduceRight(
        (inner, kind) => laneOf(peer, kind).turns.withPermits(1)(inner),
        Effect.zipRight(gate.reserve(reserveBytes), use),
      )

  return {
    ask,
    inTurn,
    /** Requests of one kind that may be under way at the peer now. */
    atOnce: (peer: Peer): number => linesOf(peer).atOnce,
    /** How many of the next blocks, which use this gas, go into the next request. */
    nextCount: (peer: Peer, kind: PartKind, gasUsed: ReadonlyArray<number>): number => {
      const mostBlocks = settings.receiptsPerRequest
      if (plan.requests === "fixed") return Math.min(mostBlocks, gasUsed.length)
      const { size } = laneOf(peer, kind)
      const bounds = { targetBytes: settings.answerTargetBytes, mostBlocks }
      return planRequests(gasUsed.slice(0, mostBlocks + 1), size, bounds)[0] ?? 0
    },
    /** What to reserve for an answer about blocks that use this gas together. */
    reserveFor: (peer: Peer, kind: PartKind, gasUsed: ReadonlyArray<number>): number => {
      if (plan.requests === "fixed") return settings.receiptsAnswerBytes
      const { size } = laneOf(peer, kind)
      const predicted = gasUsed.reduce((sum, gas) => sum + predictBytes(size, gas), 0)
      return Math.min(settings.receiptsAnswerBytes, Math.ceil(predicted * RESERVE_MARGIN))
    },
    /** An answer of a kind weighed `bytes` for blocks that used this gas together. */
    learnSize: (peer: Peer, kind: PartKind, bytes: number, gasUsed: number): void => {
      const lane = laneOf(peer, kind)
      lane.size = afterSizes(lane.size, bytes, gasUsed)
      sizes[kind] = lane.size
    },
  }
})

/** How the peers of a run are asked. */
export type PeerLanes = Effect.Effect.Success<ReturnType<typeof makePeerLanes>>
