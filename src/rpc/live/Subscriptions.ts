/**
 * What one connection has subscribed to (geth's `eth_subscribe`: `newHeads`, `logs`).
 *
 * In: calls of the connection, moves of the chain. Out: notifications, through a `send` that waits
 * while the client is slow. After a reorganisation the logs that went come first, newest block first
 * and with `removed: true`; then the new heads; then the new logs; each of them rising.
 *
 * Nothing is kept for a slow client but his place in the chain. Of a leap forward, as a backfill
 * makes them, he is told the last `WINDOW_BLOCKS` heads, and all logs, as fast as he takes
 * them. Who cannot be told what was removed is disconnected.
 *
 * Invariant: a subscription is told nothing before the answer with its id was sent.
 */
import { randomBytes } from "node:crypto"
import { Data, Duration, Effect, ExecutionStrategy, Exit, Scope } from "effect"
import { toHex0x } from "../../domain/hex.ts"
import { ChainReader } from "../ChainReader.ts"
import { headerObject } from "../headerObject.ts"
import type { JsonValue } from "../json.ts"
import { parseLogQuery } from "../params.ts"
import { invalidParams, RpcError } from "../rpcError.ts"
import type { RpcLimits } from "../rpcLimits.ts"
import { afterTelling } from "./chainCursor.ts"
import { ChainWatcher, type Place } from "./ChainWatcher.ts"
import { Slots } from "./Slots.ts"
import { type LogInterest, movingRefusal, tellLogs } from "./TellLogs.ts"

/** A connection cannot be told any more what its subscriptions missed. */
export class SubscriptionLost extends Data.TaggedError("SubscriptionLost")<{
  /** One line, for the client. */
  readonly reason: string
}> {}

/** See the module. */
export interface Subscriber {
  /** The subscription's id; it sleeps until {@link Subscriber.begin}. */
  readonly subscribe: (params: ReadonlyArray<unknown>) => Effect.Effect<string, RpcError>
  /** The client knows the id now. */
  readonly begin: (id: string) => void
  readonly unsubscribe: (id: unknown) => Effect.Effect<boolean>
  /** Tells the client whatever there is to tell, until it fails. */
  readonly run: Effect.Effect<never, SubscriptionLost>
}

/** Sends `result`, JSON, to the client of `subscription`; waits while it is slow. */
export type Notify = (subscription: string, result: string) => Effect.Effect<void>

interface Subscription {
  readonly scope: Scope.CloseableScope
  readonly place: Place
  /** Undefined: of heads. */
  readonly interest: LogInterest | undefined
  awake: boolean
}

/** Pause after the store could not be read, before it is tried again. */
const RETRY_MS = 1_000

/** Subscriptions of one connection, which end with the scope. */
export const makeSubscriber = Effect.fnUntraced(function* (limits: RpcLimits, notify: Notify) {
  const reader = yield* ChainReader
  const watcher = yield* ChainWatcher
  const slots = yield* Slots
  const owner = yield* Effect.scope
  const subscriptions = new Map<string, Subscription>()
  /** Those that may have to be told something: after a move of the chain all, else who just began. */
  const due = new Set<string>()
  const news = yield* Effect.makeLatch(false)
  yield* watcher.listen(() => {
    for (const id of subscriptions.keys()) due.add(id)
    news.unsafeOpen()
  })

  const add = (interestOf: ((place: Place) => LogInterest) | undefined) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(owner, ExecutionStrategy.sequential)
      const enter = Effect.zipRight(slots.take, watcher.place(interestOf !== undefined))
      const place = yield* Scope.extend(enter, scope).pipe(
        Effect.mapError((error) => (error instanceof RpcError ? error : movingRefusal(error))),
        Effect.onError(() => Scope.close(scope, Exit.void)),
      )
      const id = toHex0x(randomBytes(ID_BYTES))
      subscriptions.set(id, { scope, place, interest: interestOf?.(place), awake: false })
      return id
    }).pipe(Effect.uninterruptible)

  const awakeAmong = (ids: ReadonlyArray<string>): ReadonlyArray<readonly [string, Subscription]> =>
    ids.flatMap((id) => {
      const subscription = subscriptions.get(id)
      return subscription?.awake === true ? [[id, subscription] as const] : []
    })

  const send = (id: string, results: ReadonlyArray<JsonValue>): Effect.Effect<void> =>
    Effect.forEach(
      results,
      // It may be over meanwhile.
      (result) => (subscriptions.has(id) ? notify(id, JSON.stringify(result)) : Effect.void),
      { discard: true },
    )

  /** The logs that went. */
  const tellRemoved = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
    for (const [id, { interest, place }] of awakeAmong(ids)) {
      if (interest === undefined) continue
      while (place.cursor.removed.length > 0 && subscriptions.has(id)) {
        const { removed } = yield* tellLogs(watcher, reader, interest, limits, "removed")
        yield* send(id, removed)
      }
    }
  })

  const tellHeads = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
    for (const [id, { interest, place }] of awakeAmong(ids)) {
      if (interest !== undefined) continue
      const { blocks } = yield* watcher.settled(
        ({ window, head }) =>
          Effect.sync(() => ({
            blocks: window.filter(({ blockNumber }) => blockNumber >= place.cursor.next),
            head,
          })),
        (read) =>
          Effect.sync(() => {
            place.cursor = { ...afterTelling(place.cursor, read.head), lost: false }
            return read
          }),
      )
      yield* send(
        id,
        blocks.map(({ hash, header }) => headerObject(hash, header)),
      )
    }
  })

  const tellAdded = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
    for (const [id, { interest }] of awakeAmong(ids)) {
      if (interest === undefined) continue
      let more = true
      while (more && subscriptions.has(id)) {
        const told = yield* tellLogs(watcher, reader, interest, limits)
        yield* send(id, [...told.removed, ...told.added])
        more = told.more
      }
    }
  })

  const tell = (ids: ReadonlyArray<string>): Effect.Effect<void, SubscriptionLost> =>
    Effect.all([tellRemoved(ids), tellHeads(ids), tellAdded(ids)], { discard: true }).pipe(
      Effect.catchAll((error) => {
        if (
          error instanceof RpcError &&
          awakeAmong(ids).some(([, { place }]) => place.cursor.lost)
        ) {
          return Effect.fail(new SubscriptionLost({ reason: error.message }))
        }
        // What was not told is told the next time.
        for (const id of ids) due.add(id)
        return Effect.sleep(Duration.millis(RETRY_MS)).pipe(Effect.zipRight(news.open))
      }),
    )

  const round = Effect.suspend(() => {
    const ids = [...due]
    due.clear()
    return tell(ids)
  })

  return {
    subscribe: (params) =>
      Effect.suspend(() => {
        const [kind, query] = params
        if (kind === "newHeads") return add(undefined)
        if (kind !== "logs") {
          return Effect.fail(invalidParams("there are subscriptions to newHeads and to logs"))
        }
        return Effect.flatMap(readFilter(query), (filter) =>
          add((place) => ({
            filter,
            fromBlock: 0,
            toBlock: Infinity,
            place,
            stride: limits.logBlocks,
          })),
        )
      }),
    begin: (id) => {
      const subscription = subscriptions.get(id)
      if (subscription === undefined) return
      subscription.awake = true
      due.add(id)
      news.unsafeOpen()
    },
    unsubscribe: (id) =>
      Effect.suspend(() => {
        const subscription = typeof id === "string" ? subscriptions.get(id) : undefined
        if (typeof id !== "string" || subscription === undefined) return Effect.succeed(false)
        subscriptions.delete(id)
        return Effect.as(Scope.close(subscription.scope, Exit.void), true)
      }),
    run: Effect.forever(news.await.pipe(Effect.zipRight(news.close), Effect.zipRight(round))),
  } satisfies Subscriber
})

const ID_BYTES = 16

/** Of a subscription only addresses and topics count: all of it is to come. */
const readFilter = (query: unknown) =>
  Effect.try({
    try: () => parseLogQuery(query ?? {}, 1).filter,
    catch: (error) => error,
  }).pipe(
    Effect.catchAll((error) =>
      error instanceof RpcError ? Effect.fail(error) : Effect.die(error),
    ),
  )
