/**
 * Requests of JSON-RPC to their answers, whatever they came by.
 *
 * In: the text of a request, and the connection that it came by, where that can be told things later.
 * Out: the text of the answer, or none. Nothing fails: what is wrong is in the answer.
 *
 * Time is counted twice. `callMs` is what the calls of a request may work, and begins for each when
 * its turn has come: who stands in a line behind two hundred others has not been slow. How long a
 * request may stand in lines is `waitMs`.
 *
 * Invariants: all calls of a batch share both deadlines and one budget of bytes; a request is
 * answered within `callMs` and `waitMs`; a call that is interrupted, since nobody waits for it
 * any more, stops; an answer never says how an error came about.
 */
import { Clock, Context, Duration, Effect, Exit, Layer } from "effect"
import type { SyncReport } from "../../observe/syncReport.ts"
import { countCall, countResponse } from "../../observe/Metrics.ts"
import { makePlaces, type Places } from "../../Places.ts"
import type { ChainReader } from "../ChainReader.ts"
import { type CallContext, callHistoryMethod, historyMethods } from "../HistoryMethods.ts"
import type { JsonValue } from "../json.ts"
import type { Filters } from "../live/Filters.ts"
import type { Subscriber } from "../live/Subscriptions.ts"
import { RpcError, rpcCodes } from "../rpcError.ts"
import type { RpcLimits } from "../rpcLimits.ts"
import { SenderCache } from "../senderCache.ts"
import type { ByteBudget } from "./byteBudget.ts"
import {
  batchText,
  errorText,
  type Incoming,
  readEnvelope,
  resultText,
  type RpcId,
} from "./envelope.ts"
import { type LiveCall, liveMethods } from "./LiveMethods.ts"
import { LoopTurns } from "./LoopTurns.ts"
import { callsAtOnce, resultsAtOnce } from "./serveSettings.ts"

/** An answer, ready to be sent. */
export interface Answer {
  /** Undefined: nobody is to be answered. */
  readonly text: string | undefined
  /** To be called when it was sent: subscriptions begin. */
  readonly sent: () => void
  /** To be called when it is in memory no longer, sent or not. */
  readonly release: () => void
}

/** See the module. */
export interface RpcCallsShape {
  /** `subscriber`: the connection, where it can be told things later. */
  readonly answer: (text: string, subscriber?: Subscriber) => Effect.Effect<Answer>
}

/** What the answers depend on beside the store. */
export interface RpcContext {
  readonly limits: RpcLimits
  readonly clientVersion: string
  readonly report: () => SyncReport | undefined
  /** For the bytes of all answers that were not taken yet. */
  readonly budget: ByteBudget
  /** See `Deadlines`. */
  readonly waitMs: number
}

/** See {@link RpcCallsShape}. */
export class RpcCalls extends Context.Tag("annals/rpc/RpcCalls")<RpcCalls, RpcCallsShape>() {
  /** Answers from the store that is there. */
  static readonly layer = (
    context: RpcContext,
  ): Layer.Layer<RpcCalls, never, ChainReader | Filters> =>
    Layer.effect(
      RpcCalls,
      Effect.gen(function* () {
        const services = yield* Effect.context<ChainReader | Filters>()
        const lanes = {
          logs: makePlaces(resultsAtOnce),
          others: makePlaces(resultsAtOnce),
        }
        const loop = new LoopTurns()
        const shared = { ...context, lanes, pause: loop.turn, senders: new SenderCache() }
        return {
          answer: (text, subscriber) =>
            Effect.provide(answerText(text, { ...shared, subscriber }), services),
        }
      }),
    )
}

interface CallSite extends RpcContext, CallContext {
  readonly subscriber: Subscriber | undefined
  /** Who has a turn, of all clients: first come, first served. */
  readonly lanes: Readonly<Record<"logs" | "others", Places>>
}

/** What the calls of one request share. */
interface Shared {
  readonly site: CallSite
  /** When all waiting and working has to be over. */
  readonly endsMs: number
  /** How long its calls have worked, all together. */
  workedMs: number
  /** Bytes that the answers may still take. */
  left: number
  /** Subscriptions that were made. */
  readonly begun: Array<string>
  /** Give back what was taken of the budget. */
  readonly releases: Array<() => void>
  /** Take back what calls have done, of those whose answers nobody will have. */
  readonly undos: Array<Effect.Effect<void>>
}

const answerText = Effect.fnUntraced(function* (text: string, site: CallSite) {
  const { limits } = site
  const shared: Shared = {
    site,
    endsMs: (yield* Clock.currentTimeMillis) + limits.callMs + site.waitMs,
    workedMs: 0,
    left: limits.responseBytes,
    begun: [],
    releases: [],
    undos: [],
  }
  const release = (): void => shared.releases.forEach((giveBack) => giveBack())
  return yield* Effect.onInterrupt(answerWith(text, shared, release), () =>
    Effect.zipRight(Effect.sync(release), undone(shared.undos)),
  )
})

const answerWith = Effect.fnUntraced(function* (text: string, shared: Shared, release: () => void) {
  const { limits, subscriber } = shared.site
  const envelope = readEnvelope(text, limits.batchCalls)
  const answered =
    envelope.kind === "single"
      ? yield* answerCall(envelope.call, shared)
      : batchText(
          yield* Effect.forEach(envelope.calls, (call) => answerCall(call, shared), {
            concurrency: callsAtOnce,
          }),
        )
  yield* countResponse(answered?.length ?? 0)
  const sent = (): void => shared.begun.forEach((id) => subscriber?.begin(id))
  return { text: answered, sent, release } satisfies Answer
})

/** Takes back what was done, the last first. */
const undone = (undos: Array<Effect.Effect<void>>): Effect.Effect<void> =>
  Effect.suspend(() =>
    Effect.forEach(undos.splice(0).toReversed(), (undo) => undo, { discard: true }),
  )

/** The text of one call's answer. */
const answerCall = Effect.fnUntraced(function* (incoming: Incoming, shared: Shared) {
  if (incoming.kind === "refused") {
    yield* countCall(NO_CALL, outcomeOf(incoming.error), 0)
    return errorText(incoming.id, incoming.error)
  }
  const { id, method, params } = incoming
  const began = yield* Clock.currentTimeNanos
  const outcome = yield* answerOf(id ?? null, method, params, shared).pipe(
    Effect.map((answer) => ({ answer, name: "ok" })),
    Effect.catchAll((error) =>
      Effect.succeed({ answer: errorText(id ?? null, error), name: outcomeOf(error) }),
    ),
  )
  const elapsedMs = Number((yield* Clock.currentTimeNanos) - began) / 1e6
  yield* countCall(knownMethods.has(method) ? method : UNKNOWN, outcome.name, elapsedMs)
  return id === undefined ? undefined : outcome.answer
})

/**
 * The text of a call's result, once its turn has come; a bug is the program's own fault.
 */
const answerOf = (
  id: RpcId,
  method: string,
  params: ReadonlyArray<unknown>,
  shared: Shared,
): Effect.Effect<string, RpcError, ChainReader | Filters> => {
  const undos: Array<Effect.Effect<void>> = []
  return Effect.zipRight(shared.site.pause, working(id, method, params, shared, undos)).pipe(
    shared.site.lanes[logMethods.has(method) ? "logs" : "others"].within,
    (inTurn) =>
      Effect.flatMap(timeLeft(shared), (leftMs) =>
        Effect.timeoutFail(inTurn, {
          duration: Duration.millis(leftMs),
          onTimeout: () => tooBusy(),
        }),
      ),
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(
        Effect.logWarning(`${method} failed`, defect),
        Effect.fail(new RpcError(rpcCodes.internalError, "internal error")),
      ),
    ),
    Effect.onExit((exit) =>
      Exit.isSuccess(exit) ? Effect.sync(() => void shared.undos.push(...undos)) : undone(undos),
    ),
  )
}

/** The text of a call's result, within what the request's calls may still work. */
const working = (
  id: RpcId,
  method: string,
  params: ReadonlyArray<unknown>,
  shared: Shared,
  undos: Array<Effect.Effect<void>>,
): Effect.Effect<string, RpcError, ChainReader | Filters> =>
  Effect.flatMap(Clock.currentTimeMillis, (beganMs) => {
    const { site, begun } = shared
    const { limits, subscriber } = site
    const leftMs = limits.callMs - shared.workedMs
    if (leftMs <= 0) return Effect.fail(tooSlow(shared))
    const responseBytes = Math.max(0, shared.left - resultText(id, "").length)
    const within = { ...limits, responseBytes, callMs: leftMs }
    const give = (result: JsonValue) => resultWithin(id, result, shared)
    return call(method, params, site, { subscriber, limits: within, give, undos, begun }).pipe(
      Effect.timeoutFail({
        duration: Duration.millis(leftMs),
        onTimeout: () => tooSlow(shared),
      }),
      Effect.ensuring(
        Effect.map(Clock.currentTimeMillis, (nowMs) => {
          shared.workedMs += nowMs - beganMs
        }),
      ),
    )
  })

/** Milliseconds until the end of all waiting. */
const timeLeft = (shared: Shared): Effect.Effect<number, RpcError> =>
  Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
    nowMs < shared.endsMs ? Effect.succeed(shared.endsMs - nowMs) : Effect.fail(tooBusy()),
  )

const tooBusy = (): RpcError =>
  new RpcError(rpcCodes.limitExceeded, "the server is busy: try again later")

const tooSlow = ({ site }: Shared): RpcError =>
  new RpcError(rpcCodes.limitExceeded, `the call took longer than ${site.limits.callMs} ms`)

const call = (
  method: string,
  params: ReadonlyArray<unknown>,
  site: CallSite,
  calling: LiveCall,
): Effect.Effect<string, RpcError, ChainReader | Filters> => {
  const live = liveMethods.get(method)
  const { limits, give } = calling
  return live === undefined
    ? Effect.flatMap(callHistoryMethod(method, params, { ...site, limits }), give)
    : live(params, calling)
}

/** The answer's text, if there is room for it. */
const resultWithin = (
  id: RpcId,
  result: JsonValue,
  shared: Shared,
): Effect.Effect<string, RpcError> =>
  Effect.suspend(() => {
    const answer = resultText(id, JSON.stringify(result))
    const { limits, budget } = shared.site
    if (answer.length > shared.left) {
      const says = `the answer is larger than ${limits.responseBytes} bytes: ask for less at once`
      return Effect.fail(new RpcError(rpcCodes.limitExceeded, says))
    }
    const release = budget.take(answer.length)
    if (release === undefined) {
      const says = "too many answers are waiting to be sent: try again later"
      return Effect.fail(new RpcError(rpcCodes.limitExceeded, says))
    }
    shared.left -= answer.length
    shared.releases.push(release)
    return Effect.succeed(answer)
  })

const knownMethods: ReadonlySet<string> = new Set([...historyMethods, ...liveMethods.keys()])
/** What takes long: logs of many blocks. */
const logMethods: ReadonlySet<string> = new Set([
  "eth_getLogs",
  "eth_getFilterLogs",
  "eth_getFilterChanges",
])
/** In metrics: all methods that there are not, and what is no call. */
const UNKNOWN = "unknown"
const NO_CALL = "none"

const outcomes: ReadonlyMap<number, string> = new Map(
  Object.entries(rpcCodes).map(([name, code]) => [code, name]),
)

/** In metrics: an error by its name. */
const outcomeOf = ({ code }: RpcError): string => outcomes.get(code) ?? "other"
