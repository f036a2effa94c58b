/**
 * Requests of JSON-RPC to their answers, whatever they came by.
 *
 * In: the text of a request, and the connection that it came by, where that can be told things later.
 * Out: the text of the answer, or none. Nothing fails: what is wrong is in the answer.
 *
 * Invariants: all calls of a batch share one deadline and one budget of bytes; a call that is
 * interrupted, since nobody waits for it any more, stops; an answer never says how an error came
 * about.
 */
import { Clock, Context, Duration, Effect, Layer } from "effect"
import type { SyncReport } from "../../observe/syncReport.ts"
import { countCall, countResponse } from "../../observe/Metrics.ts"
import { ChainReader } from "../ChainReader.ts"
import { callHistoryMethod, historyMethods } from "../HistoryMethods.ts"
import type { JsonValue } from "../json.ts"
import { Filters } from "../live/Filters.ts"
import type { Subscriber } from "../live/Subscriptions.ts"
import { parameters, parseLogQuery } from "../params.ts"
import { invalidParams, RpcError, rpcCodes } from "../rpcError.ts"
import type { RpcLimits } from "../rpcLimits.ts"
import type { ByteBudget } from "./byteBudget.ts"
import {
  batchText,
  errorText,
  type Incoming,
  readEnvelope,
  resultText,
  type RpcId,
} from "./envelope.ts"
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
          logs: yield* Effect.makeSemaphore(resultsAtOnce),
          others: yield* Effect.makeSemaphore(resultsAtOnce),
        }
        const loop = new LoopTurns()
        return {
          answer: (text, subscriber) =>
            Effect.provide(answerText(text, { ...context, subscriber, lanes, loop }), services),
        }
      }),
    )
}

interface CallSite extends RpcContext {
  readonly subscriber: Subscriber | undefined
  /** Who has a turn, of all clients: first come, first served. */
  readonly lanes: Readonly<Record<"logs" | "others", Effect.Semaphore>>
  readonly loop: LoopTurns
}

/** What the calls of one request share. */
interface Shared {
  readonly site: CallSite
  readonly endsMs: number
  /** Bytes that the answers may still take. */
  left: number
  /** Subscriptions that were made. */
  readonly begun: Array<string>
  /** Give back what was taken of the budget. */
  readonly releases: Array<() => void>
}

type Result = Effect.Effect<JsonValue, RpcError, ChainReader | Filters>

const answerText = Effect.fnUntraced(function* (text: string, site: CallSite) {
  const { limits } = site
  const shared: Shared = {
    site,
    endsMs: (yield* Clock.currentTimeMillis) + limits.callMs,
    left: limits.responseBytes,
    begun: [],
    releases: [],
  }
  const release = (): void => shared.releases.forEach((giveBack) => giveBack())
  return yield* Effect.onInterrupt(answerWith(text, shared, release), () => Effect.sync(release))
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
 * The text of a call's result within what is left of the time, the wait for a turn included; a bug
 * is the program's own fault.
 */
const answerOf = (
  id: RpcId,
  method: string,
  params: ReadonlyArray<unknown>,
  shared: Shared,
): Effect.Effect<string, RpcError, ChainReader | Filters> =>
  Effect.gen(function* () {
    yield* shared.site.loop.turn
    const leftMs = yield* timeLeft(shared)
    const limits = { ...shared.site.limits, callMs: leftMs }
    return yield* resultWithin(id, yield* call(method, params, limits, shared), shared)
  }).pipe(
    shared.site.lanes[logMethods.has(method) ? "logs" : "others"].withPermits(1),
    (inTurn) =>
      Effect.flatMap(timeLeft(shared), (leftMs) =>
        Effect.timeoutFail(inTurn, {
          duration: Duration.millis(leftMs),
          onTimeout: () => tooSlow(shared),
        }),
      ),
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(
        Effect.logWarning(`${method} failed`, defect),
        Effect.fail(new RpcError(rpcCodes.internalError, "internal error")),
      ),
    ),
  )

/** Milliseconds until the request's deadline. */
const timeLeft = (shared: Shared): Effect.Effect<number, RpcError> =>
  Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
    nowMs < shared.endsMs ? Effect.succeed(shared.endsMs - nowMs) : Effect.fail(tooSlow(shared)),
  )

const tooSlow = ({ site }: Shared): RpcError =>
  new RpcError(rpcCodes.limitExceeded, `the call took longer than ${site.limits.callMs} ms`)

const call = (
  method: string,
  params: ReadonlyArray<unknown>,
  limits: RpcLimits,
  shared: Shared,
): Result => {
  const live = liveMethods.get(method)
  return live === undefined
    ? callHistoryMethod(method, params, { ...shared.site, limits })
    : live(params, shared)
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

type LiveMethod = (params: ReadonlyArray<unknown>, shared: Shared) => Result

/** What a parser throws is the client's error; anything else is a bug. */
const parsed = <A>(parse: () => A): Effect.Effect<A, RpcError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(parse())
    } catch (error) {
      if (error instanceof RpcError) return Effect.fail(error)
      throw error
    }
  })

const idOf = (params: ReadonlyArray<unknown>): Effect.Effect<string, RpcError> =>
  parsed(() => {
    const [id] = parameters(params, 1)
    if (typeof id === "string") return id
    throw invalidParams("invalid argument 0: an id has to be a string")
  })

/** Where nothing can be told to the client unasked: over HTTP. */
const noSubscriptions = (): RpcError =>
  new RpcError(rpcCodes.methodNotFound, "notifications are for WebSockets: poll a filter instead")

const liveMethods: ReadonlyMap<string, LiveMethod> = new Map<string, LiveMethod>([
  [
    "eth_newFilter",
    (params) =>
      Effect.flatMap(
        parsed(() => parseLogQuery(parameters(params, 1)[0])),
        (query) => Effect.flatMap(Filters, (filters) => filters.newLogFilter(query)),
      ),
  ],
  [
    "eth_newBlockFilter",
    (params) =>
      Effect.zipRight(
        parsed(() => parameters(params, 0)),
        Effect.flatMap(Filters, (filters) => filters.newBlockFilter),
      ),
  ],
  [
    "eth_getFilterChanges",
    (params) =>
      Effect.flatMap(idOf(params), (id) => Effect.flatMap(Filters, ({ changes }) => changes(id))),
  ],
  [
    "eth_getFilterLogs",
    (params) =>
      Effect.flatMap(idOf(params), (id) => Effect.flatMap(Filters, ({ logs }) => logs(id))),
  ],
  [
    "eth_uninstallFilter",
    (params) =>
      Effect.flatMap(idOf(params), (id) =>
        Effect.flatMap(Filters, ({ uninstall }) => uninstall(id)),
      ),
  ],
  [
    "eth_subscribe",
    (params, { site: { subscriber }, begun }) =>
      subscriber === undefined
        ? Effect.fail(noSubscriptions())
        : Effect.tap(subscriber.subscribe(params), (id) => Effect.sync(() => begun.push(id))),
  ],
  [
    "eth_unsubscribe",
    (params, { site: { subscriber } }) =>
      subscriber === undefined
        ? Effect.fail(noSubscriptions())
        : Effect.flatMap(idOf(params), (id) => subscriber.unsubscribe(id)),
  ],
])

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
