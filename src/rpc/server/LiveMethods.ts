/**
 * The methods about what goes on after their call: filters and subscriptions.
 *
 * In: a method's parameters, and what its call has at hand. Out: the text of its result. What was
 * made is taken back where nobody is told its id: each method leaves the way to do so in `undos`.
 * Source: execution-apis `eth/filter.yaml`; go-ethereum's `eth_subscribe`.
 */
import { Effect } from "effect"
import type { JsonValue } from "../json.ts"
import { Filters } from "../live/Filters.ts"
import type { Subscriber } from "../live/Subscriptions.ts"
import { parameters, parseLogQuery } from "../params.ts"
import { invalidParams, RpcError, rpcCodes } from "../rpcError.ts"
import type { RpcLimits } from "../rpcLimits.ts"

/** What a call has at hand. */
export interface LiveCall {
  /** The connection that it came by, where that can be told things later. */
  readonly subscriber: Subscriber | undefined
  /** What is left of the request's. */
  readonly limits: RpcLimits
  /** The text of the call's result, if there is room for it. */
  readonly give: (result: JsonValue) => Effect.Effect<string, RpcError>
  /** Is told what takes back what the call has done. */
  readonly undos: Array<Effect.Effect<void>>
  /** Is told which subscriptions begin when the answer was sent. */
  readonly begun: Array<string>
}

/** A method: its parameters to the text of its result. */
export type LiveMethod = (
  params: ReadonlyArray<unknown>,
  call: LiveCall,
) => Effect.Effect<string, RpcError, Filters>

/** Makes what lives on and answers its id; `end` ends it, where nobody is told the id. */
const made = <R>(
  id: Effect.Effect<string, RpcError, R>,
  end: (id: string) => Effect.Effect<boolean>,
  { give, undos }: LiveCall,
): Effect.Effect<string, RpcError, R> =>
  Effect.uninterruptible(
    Effect.flatMap(id, (id) => {
      undos.push(Effect.asVoid(end(id)))
      return give(id)
    }),
  )

/** A poll may take a part of the time, so that it notices by itself that it has asked for too much. */
const POLL_SHARE = 0.5

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

/** The methods by their names. */
export const liveMethods: ReadonlyMap<string, LiveMethod> = new Map<string, LiveMethod>([
  [
    "eth_newFilter",
    (params, calling) =>
      Effect.flatMap(
        parsed(() => parseLogQuery(parameters(params, 1)[0])),
        (query) =>
          Effect.flatMap(Filters, ({ newLogFilter, uninstall }) =>
            made(newLogFilter(query), uninstall, calling),
          ),
      ),
  ],
  [
    "eth_newBlockFilter",
    (params, calling) =>
      Effect.zipRight(
        parsed(() => parameters(params, 0)),
        Effect.flatMap(Filters, ({ newBlockFilter, uninstall }) =>
          made(newBlockFilter, uninstall, calling),
        ),
      ),
  ],
  [
    "eth_getFilterChanges",
    (params, { limits, give, undos }) =>
      Effect.flatMap(idOf(params), (id) =>
        Effect.flatMap(Filters, ({ changes }) =>
          changes(id, {
            limits: { ...limits, callMs: limits.callMs * POLL_SHARE },
            give,
            told: (undo) => undos.push(Effect.sync(undo)),
          }),
        ),
      ),
  ],
  [
    "eth_getFilterLogs",
    (params, { limits, give }) =>
      Effect.flatMap(idOf(params), (id) =>
        Effect.flatMap(Filters, ({ logs }) => Effect.flatMap(logs(id, limits), give)),
      ),
  ],
  [
    "eth_uninstallFilter",
    (params, { give }) =>
      Effect.flatMap(idOf(params), (id) =>
        Effect.flatMap(Filters, ({ uninstall }) => Effect.flatMap(uninstall(id), give)),
      ),
  ],
  [
    "eth_subscribe",
    (params, calling) => {
      const { subscriber } = calling
      if (subscriber === undefined) return Effect.fail(noSubscriptions())
      const id = Effect.tap(subscriber.subscribe(params), (id) =>
        Effect.sync(() => calling.begun.push(id)),
      )
      return made(id, subscriber.unsubscribe, calling)
    },
  ],
  [
    "eth_unsubscribe",
    (params, { subscriber, give }) =>
      subscriber === undefined
        ? Effect.fail(noSubscriptions())
        : Effect.flatMap(idOf(params), (id) => Effect.flatMap(subscriber.unsubscribe(id), give)),
  ],
])
