/**
 * Filters that are polled (execution-apis: `eth_newFilter`, `eth_newBlockFilter`,
 * `eth_getFilterChanges`, `eth_getFilterLogs`, `eth_uninstallFilter`).
 *
 * In: queries and polls. Out: what is new since the last poll; after a reorganisation the logs that
 * went, with `removed: true`, before those that came. A filter keeps no logs, only its place in the
 * chain, so that none is lost however much comes between two polls: what is more than one answer may
 * hold is in the next one.
 *
 * Invariants: a filter that nobody polls for {@link EXPIRES_MS} is gone; an unknown one, and one that
 * cannot say any more what was removed, is answered with -32000 "filter not found", upon which
 * clients make a new one. `eth_newPendingTransactionFilter` does not exist: nothing here is pending.
 */
import { randomBytes } from "node:crypto"
import { Clock, Context, Duration, Effect, ExecutionStrategy, Exit, Layer, Scope } from "effect"
import { toHex0x } from "../../domain/hex.ts"
import { ChainReader } from "../ChainReader.ts"
import type { JsonValue } from "../json.ts"
import { logObject } from "../logObject.ts"
import type { LogQuery } from "../params.ts"
import { queryLogs } from "../QueryLogs.ts"
import { invalidParams, RpcError, rpcCodes } from "../rpcError.ts"
import type { RpcLimits } from "../rpcLimits.ts"
import { afterTelling, newBlocks } from "./chainCursor.ts"
import { ChainWatcher, type Place } from "./ChainWatcher.ts"
import { Slots } from "./Slots.ts"
import {
  type LogInterest,
  moveOn,
  movingRefusal,
  tellLogsBy,
  type TellLimits,
  tooDeep,
} from "./TellLogs.ts"

/** How long a filter lives that is not polled; geth's time. */
export const EXPIRES_MS = 5 * 60_000
const SWEEP_EVERY_MS = 30_000
/** Hashes in one answer of a filter of blocks. */
const MOST_HASHES = 2_000

/** A poll, by whoever answers it. */
export interface Poll<A> {
  /** What it may cost. */
  readonly limits: TellLimits
  /** Makes the answer, or fails where it does not fit. */
  readonly give: (changes: ReadonlyArray<JsonValue>) => Effect.Effect<A, RpcError>
  /** Is given what takes the telling back, should the answer be lost after all. */
  readonly told: (undo: () => void) => void
}

/** See the module. */
export interface FiltersShape {
  /** The new filter's id. */
  readonly newLogFilter: (query: LogQuery) => Effect.Effect<string, RpcError>
  readonly newBlockFilter: Effect.Effect<string, RpcError>
  /** What is new; it counts as told only with an answer. */
  readonly changes: <A>(id: string, poll: Poll<A>) => Effect.Effect<A, RpcError>
  /** All logs that match now; RpcError too for a filter of blocks. */
  readonly logs: (
    id: string,
    limits: TellLimits,
  ) => Effect.Effect<ReadonlyArray<JsonValue>, RpcError>
  /** Whether there was one. */
  readonly uninstall: (id: string) => Effect.Effect<boolean>
}

/** See {@link FiltersShape}. */
export class Filters extends Context.Tag("annals/rpc/Filters")<Filters, FiltersShape>() {
  /** Filters that end with the scope. */
  static readonly layer = (
    limits: RpcLimits,
  ): Layer.Layer<Filters, never, ChainReader | ChainWatcher | Slots> =>
    Layer.scoped(Filters, makeFilters(limits))
}

interface Filter {
  readonly scope: Scope.CloseableScope
  /** One poll at a time: two would both be told the same. */
  readonly turn: Effect.Semaphore
  /** Undefined: of blocks. */
  readonly query: LogQuery | undefined
  readonly place: Place
  readonly changes: <A>(poll: Poll<A>) => Effect.Effect<A, RpcError>
  polledMs: number
}

const makeFilters = Effect.fnUntraced(function* (limits: RpcLimits) {
  const reader = yield* ChainReader
  const watcher = yield* ChainWatcher
  const slots = yield* Slots
  const owner = yield* Effect.scope
  const filters = new Map<string, Filter>()

  const end = (id: string): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const filter = filters.get(id)
      if (filter === undefined) return Effect.succeed(false)
      filters.delete(id)
      return Effect.as(Scope.close(filter.scope, Exit.void), true)
    })

  const add = (
    query: LogQuery | undefined,
    changesOf: (place: Place) => Filter["changes"],
  ): Effect.Effect<string, RpcError> =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(owner, ExecutionStrategy.sequential)
      const enter = Effect.zipRight(slots.take, watcher.place(query !== undefined))
      const place = yield* Scope.extend(enter, scope).pipe(
        Effect.mapError((error) => (error instanceof RpcError ? error : movingRefusal(error))),
        Effect.onError(() => Scope.close(scope, Exit.void)),
      )
      const id = toHex0x(randomBytes(ID_BYTES))
      const turn = yield* Effect.makeSemaphore(1)
      const polledMs = yield* Clock.currentTimeMillis
      filters.set(id, { scope, turn, query, place, changes: changesOf(place), polledMs })
      return id
    }).pipe(Effect.uninterruptible)

  const polled = (id: string): Effect.Effect<Filter, RpcError> =>
    Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
      const filter = filters.get(id)
      if (filter === undefined) return Effect.fail(notFound())
      filter.polledMs = nowMs
      return Effect.succeed(filter)
    })

  const hashes = <A>(place: Place, { give, told }: Poll<A>): Effect.Effect<A, RpcError> =>
    watcher
      .settled(
        ({ extent: { earliest }, head }) =>
          Effect.gen(function* () {
            if (place.cursor.lost) return yield* Effect.fail(tooDeep())
            const span = newBlocks(place.cursor, { earliest, head }, MOST_HASHES)
            const found: Array<JsonValue> = []
            for (let at = span?.[0] ?? 1; at <= (span?.[1] ?? 0); at++) {
              const header = yield* reader.headerAt(at)
              if (header !== undefined) found.push(toHex0x(header.hash))
            }
            return { found, upTo: span?.[1] }
          }),
        ({ found, upTo }) =>
          Effect.uninterruptible(
            Effect.map(give(found), (answer) => {
              told(moveOn(place, afterTelling(place.cursor, upTo)))
              return answer
            }),
          ),
      )
      .pipe(Effect.mapError((error) => (error instanceof RpcError ? error : movingRefusal(error))))

  yield* Effect.forkScoped(
    Effect.sleep(Duration.millis(SWEEP_EVERY_MS)).pipe(
      Effect.zipRight(Clock.currentTimeMillis),
      Effect.flatMap((nowMs) => {
        const old = [...filters].filter(([, { polledMs }]) => nowMs - polledMs >= EXPIRES_MS)
        return Effect.forEach(old, ([id]) => end(id), { discard: true })
      }),
      Effect.forever,
    ),
  )

  return {
    newLogFilter: (query) => {
      const { blocks, filter } = query
      if ("hash" in blocks) {
        const says = "a filter is of blocks to come: for a block by its hash there is eth_getLogs"
        return Effect.fail(invalidParams(says))
      }
      return add(query, (place) => {
        const interest: LogInterest = {
          filter,
          // Names of blocks that move bound nothing that is still to come.
          fromBlock: typeof blocks.from === "number" ? blocks.from : 0,
          toBlock: typeof blocks.to === "number" ? blocks.to : Infinity,
          place,
          stride: limits.logBlocks,
        }
        return ({ limits, give, told }) =>
          tellLogsBy(
            watcher,
            reader,
            interest,
            limits,
            ({ removed, added }) => give([...removed, ...added]),
            "all",
            told,
          )
      })
    },
    newBlockFilter: Effect.suspend(() => add(undefined, (place) => (poll) => hashes(place, poll))),
    changes: (id, poll) =>
      Effect.flatMap(polled(id), (filter) =>
        filter.turn
          .withPermits(1)(Effect.suspend(() => filter.changes(poll)))
          .pipe(Effect.tapError(() => (filter.place.cursor.lost ? end(id) : Effect.void))),
      ),
    logs: (id, given) =>
      Effect.flatMap(polled(id), ({ query }) =>
        query === undefined
          ? Effect.fail(notFound())
          : queryLogs(query, { ...limits, ...given }).pipe(
              Effect.map((logs) => logs.map((log) => logObject(log, false))),
              Effect.provideService(ChainReader, reader),
            ),
      ),
    uninstall: end,
  } satisfies FiltersShape
})

const ID_BYTES = 16

/** In geth's words: clients that read them make a new filter. */
const notFound = (): RpcError => new RpcError(rpcCodes.serverError, "filter not found")
