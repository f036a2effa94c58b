/**
 * Answers what peers ask: headers, bodies and receipts from the history that is held, empty lists
 * for what is not, always in time.
 *
 * In: a session and a request. Out: the payload of its answer. The header of the head that we
 * announce comes from memory, so that it is there also where nothing is stored.
 *
 * Invariants: an answer is worked out within {@link AnswerOptions.deadlineMs}, otherwise it is
 * empty; at most `atOnce` are worked on over all sessions, the others wait within that time; while
 * `unsentBytes` of answers are in memory because peers do not take them, further ones are empty; a
 * session that asks more often than `rate`, or has cost more than `sessionCost`, waits its turn, as
 * do all when they have cost more than `cost` together. It is not told that we have nothing: it
 * would believe it; since few requests of a session are worked on at once, it slows down. Where a turn
 * would be too long in coming it gets nothing, after as long a wait as any. What cannot be read is answered like what is not held: it is no fault of the peer, and no
 * reason for the program to end. Requests are counted, as are those that had to wait and those that
 * got nothing for what they would have cost.
 */
import { Clock, Context, Duration, Effect, Layer } from "effect"
import { Stats } from "../observe/Stats.ts"
import type { EthRequest, HeadersQuery } from "../wire/ethMessages.ts"
import type { EthVersion } from "../wire/hello.ts"
import type { UnsentAnswers } from "../wire/Serving.ts"
import type { Session, SessionOptions } from "../wire/Session.ts"
import {
  type AnswerItems,
  type AnswerLimits,
  cutReceipts,
  encodeAnswer,
  receiptsQuery,
  servedLimits,
  whole,
} from "./answers.ts"
import { makePlaces } from "../Places.ts"
import { HistoryReader, type HistoryReaderShape, type HistoryUnavailable } from "./HistoryReader.ts"
import { OurHead, type OurHeadShape } from "./OurHead.ts"
import {
  type Bucket,
  type BucketRate,
  correctTokens,
  fullBucket,
  reserveToken,
} from "../domain/tokenBucket.ts"

/** See the module. */
export interface HistoryAnswersShape {
  /** Answers a request of a session; for {@link SessionOptions.onRequest}. */
  readonly onRequest: NonNullable<SessionOptions["onRequest"]>
  /** For {@link SessionOptions.unsentAnswers} of every session that is answered. */
  readonly unsent: UnsentAnswers
}

/** What serving may cost. */
export interface AnswerOptions {
  /** From when a request is taken up to its answer. 2 s: peers give up after 4 s and more. */
  readonly deadlineMs: number
  /** Answers that are worked on at once. 16: up to 32 MiB in memory, were all of them full. */
  readonly atOnce: number
  /** Bytes of answers that peers have not taken. 32 MiB: a slow reader in each of 16 places. */
  readonly unsentBytes: number
  /** Requests of a session. 200 a second: an annals next door that takes all it can asks about so often. */
  readonly rate: BucketRate
  /**
   * What a session's answers may cost, in bytes: theirs, `requestCost` for each, and
   * {@link LOOKUP_BYTES} for each hash asked for. 8 MiB a second, 32 at once: who asks for more than
   * that would be served at the cost of our own sync.
   */
  readonly sessionCost: BucketRate
  /**
   * The same of all sessions. 32 MiB a second, 64 at once: a tenth of a core, a sixth where all
   * answers are empty.
   */
  readonly cost: BucketRate
  /**
   * What a request costs beside its answer, in bytes of an answer that take about as long. 32 KiB:
   * 0.1 to 0.2 ms. So all sessions together have a thousand empty answers a second.
   */
  readonly requestCost: number
  readonly limits: AnswerLimits
}

/** The values without which nothing is said. */
export const answerDefaults: AnswerOptions = {
  deadlineMs: 2_000,
  atOnce: 16,
  unsentBytes: 32 * 1024 * 1024,
  rate: { perSecond: 200, burst: 400 },
  sessionCost: { perSecond: 8 * 1024 * 1024, burst: 32 * 1024 * 1024 },
  cost: { perSecond: 32 * 1024 * 1024, burst: 64 * 1024 * 1024 },
  requestCost: 32 * 1024,
  limits: servedLimits,
}

/** What it costs to look a hash up, in bytes of an answer that take as long. */
const LOOKUP_BYTES = 256

/** See {@link HistoryAnswersShape}. */
export class HistoryAnswers extends Context.Tag("annals/HistoryAnswers")<
  HistoryAnswers,
  HistoryAnswersShape
>() {
  static readonly layer: Layer.Layer<HistoryAnswers, never, HistoryReader | OurHead | Stats> =
    Layer.suspend(() => HistoryAnswers.layerWith({}))

  /** With other limits. */
  static readonly layerWith = (
    options: Partial<AnswerOptions>,
  ): Layer.Layer<HistoryAnswers, never, HistoryReader | OurHead | Stats> =>
    Layer.effect(HistoryAnswers, makeAnswers({ ...answerDefaults, ...options }))
}

const makeAnswers = Effect.fnUntraced(function* (options: AnswerOptions) {
  const { deadlineMs, limits, requestCost } = options
  const reader = yield* HistoryReader
  const ourHead = yield* OurHead
  const { served } = (yield* Stats).network
  const places = makePlaces(options.atOnce)
  const unsent: UnsentAnswers = { bytes: 0 }
  const turns = makeTurns(options)
  let told = false

  /** An empty answer, because another would cost too much. */
  const nothing = (): AnswerItems => {
    served.refused += 1
    return whole([])
  }

  const unavailable = ({ reason }: HistoryUnavailable): Effect.Effect<AnswerItems> =>
    Effect.suspend(() => {
      const once = told ? Effect.void : Effect.logWarning(`peers get empty answers: ${reason}`)
      told = true
      return Effect.as(once, whole([]))
    })

  const itemsOf = (
    version: EthVersion,
    request: EthRequest,
  ): Effect.Effect<AnswerItems, HistoryUnavailable> => {
    if (unsent.bytes >= options.unsentBytes) return Effect.sync(nothing)
    switch (request._tag) {
      case "GetBlockHeaders":
        return Effect.map(headersOf(reader, ourHead, request, limits), whole)
      case "GetBlockBodies":
        return Effect.map(reader.bodies(request.hashes.slice(0, limits.lookups), limits), whole)
      case "GetReceipts":
        return Effect.map(
          reader.receipts(
            receiptsQuery(version, { ...request, hashes: request.hashes.slice(0, limits.lookups) }),
            limits,
          ),
          (lists) => cutReceipts(version, lists),
        )
    }
  }

  const onRequest: HistoryAnswersShape["onRequest"] = Effect.fnUntraced(
    function* (session, request) {
      const version = session.ethVersion
      served.requests += 1
      const waitMs = turns.take(session, yield* Clock.currentTimeMillis)
      if (waitMs === undefined) {
        // At once it would cost nothing to be refused, and nothing would slow such a peer down.
        yield* Effect.sleep(Duration.millis(deadlineMs / 2))
        return encodeAnswer(version, request, nothing())
      }
      if (waitMs > 0) served.delayed += 1
      const turn = waitMs === 0 ? Effect.void : Effect.sleep(Duration.millis(waitMs))
      const work = places.within(Effect.suspend(() => itemsOf(version, request)))
      const answer = yield* Effect.zipRight(turn, work).pipe(
        Effect.timeoutTo({
          duration: Duration.millis(deadlineMs),
          onSuccess: (items) => items,
          onTimeout: nothing,
        }),
        Effect.catchTag("HistoryUnavailable", unavailable),
      )
      const payload = encodeAnswer(version, request, answer)
      const asked = request._tag === "GetBlockHeaders" ? 0 : request.hashes.length
      const lookups = Math.min(asked, limits.lookups)
      turns.settle(session, requestCost + payload.length + lookups * LOOKUP_BYTES)
      return payload
    },
  )
  return { onRequest, unsent }
})

/**
 * Headers from what is held; where it has none at the start, that of our head from memory, and what
 * follows it. By number what is held comes first: it is checked, and one chain.
 */
const headersOf = (
  reader: HistoryReaderShape,
  ourHead: OurHeadShape,
  query: HeadersQuery,
  limits: AnswerLimits,
): Effect.Effect<ReadonlyArray<Uint8Array>, HistoryUnavailable> =>
  typeof query.start === "number"
    ? Effect.flatMap(reader.headers(query, limits), (held) =>
        held.length > 0 ? Effect.succeed(held) : headersFromMemory(reader, ourHead, query, limits),
      )
    : headersFromMemory(reader, ourHead, query, limits)

const headersFromMemory = (
  reader: HistoryReaderShape,
  ourHead: OurHeadShape,
  query: HeadersQuery,
  limits: AnswerLimits,
): Effect.Effect<ReadonlyArray<Uint8Array>, HistoryUnavailable> => {
  const first = query.limit === 0 ? undefined : ourHead.headerOf(query.start)
  if (first === undefined) return reader.headers(query, limits)
  const start = first.number + (query.skip + 1) * (query.reverse ? -1 : 1)
  if (query.limit === 1 || start < 0 || !Number.isSafeInteger(start)) {
    return Effect.succeed([first.bytes])
  }
  return Effect.map(
    reader.headers(
      { ...query, start, limit: query.limit - 1 },
      { ...limits, items: limits.items - 1 },
    ),
    (rest) => [first.bytes, ...rest],
  )
}

/** What is known of a session that asks. */
interface Asker {
  requests: Bucket
  cost: Bucket
  /** What its last answer cost: the next is taken to cost as much until it is there. */
  lastCost: number
  /** What its answers under way were taken to cost, in the order of the requests. */
  readonly open: Array<number>
}

/** The turns of sessions: how long each request waits, by what those before have cost. */
const makeTurns = ({ rate, sessionCost, cost, deadlineMs }: AnswerOptions) => {
  // What is known of sessions that are gone is gone with them.
  const askers = new WeakMap<Session, Asker>()
  let all: Bucket | undefined

  const askerOf = (session: Session, nowMs: number): Asker => {
    const known = askers.get(session)
    if (known !== undefined) return known
    const fresh: Asker = {
      requests: fullBucket(rate, nowMs),
      cost: fullBucket(sessionCost, nowMs),
      lastCost: 0,
      open: [],
    }
    askers.set(session, fresh)
    return fresh
  }

  return {
    /** How long a session's next request waits for its turn; undefined: longer than it may. */
    take: (session: Session, nowMs: number): number | undefined => {
      // The other half is for the answer itself.
      const mostWaitMs = deadlineMs / 2
      const asker = askerOf(session, nowMs)
      const guess = asker.lastCost
      const before = all ?? fullBucket(cost, nowMs)
      const inTime = reserveToken(rate, asker.requests, nowMs, mostWaitMs)
      const own = reserveToken(sessionCost, asker.cost, nowMs, mostWaitMs, guess)
      const shared = reserveToken(cost, before, nowMs, mostWaitMs, guess)
      const waits = [inTime.waitMs, own.waitMs, shared.waitMs]
      const waitMs = waits.reduce((longest, wait) =>
        longest === undefined || wait === undefined ? undefined : Math.max(longest, wait),
      )
      if (waitMs === undefined) return undefined
      asker.requests = inTime.bucket
      asker.cost = own.bucket
      all = shared.bucket
      asker.open.push(guess)
      return waitMs
    },
    /** The answer to a request that had its turn is there, and cost so much. */
    settle: (session: Session, bytes: number): void => {
      const asker = askers.get(session)
      const guess = asker?.open.shift()
      if (asker === undefined || guess === undefined || all === undefined) return
      asker.cost = correctTokens(asker.cost, guess - bytes)
      all = correctTokens(all, guess - bytes)
      asker.lastCost = bytes
    },
  }
}
