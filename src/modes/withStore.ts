/**
 * What the commands on a store have in common: opening it, stopping on a signal, and saying in one
 * line why it cannot be used.
 */
import { Duration, Effect, type Layer } from "effect"
import { type ExitCode, exitCodeOfSignal } from "../cli/exitCodes.ts"
import { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Store, type StoreShape } from "../write/Store.ts"
import type { StoreError } from "../write/StoreError.ts"
import type { OpenOptions, StoreProgress } from "../write/storeProtocol.ts"
import { endWithStoreError } from "./storeErrors.ts"

/** How a store is opened: in a thread of its own, or on this one. */
export type OpenStore = (options: OpenOptions) => Layer.Layer<Store, StoreError>

/** Runs `use` on a store; ends with the signal's code when it is stopped, with 7 when it fails. */
export const runOnStore = (
  store: Layer.Layer<Store, StoreError>,
  use: (store: StoreShape) => Effect.Effect<ExitCode, StoreError, Terminal>,
): Effect.Effect<ExitCode, never, Stop | Terminal> =>
  Effect.gen(function* () {
    const stop = yield* Stop
    return yield* Effect.raceFirst(
      Effect.provide(Effect.flatMap(Store, use), store),
      Effect.map(stop.requested, exitCodeOfSignal),
    )
  }).pipe(Effect.catchTag("StoreError", endWithStoreError))

const LIVE_EVERY_MS = 250
const PLAIN_EVERY_MS = 10_000

/**
 * Shows how far `work` is while it runs; `verb` is what is done to the blocks. On a terminal it is
 * a live line, elsewhere a line every ten seconds.
 */
export const showProgress = <A, E>(
  verb: string,
  work: (onProgress: (progress: StoreProgress) => void) => Effect.Effect<A, E>,
): Effect.Effect<A, E, Terminal> =>
  Effect.gen(function* () {
    const terminal = yield* Terminal
    let last: StoreProgress = { done: 0, total: 0 }
    const everyMs = terminal.interactive ? LIVE_EVERY_MS : PLAIN_EVERY_MS
    const tell = Effect.sleep(Duration.millis(everyMs)).pipe(
      Effect.zipRight(
        Effect.suspend(() => terminal.progress(`${verb} ${last.done}/${last.total} blocks`)),
      ),
      Effect.forever,
      Effect.ensuring(terminal.endProgress),
    )
    return yield* Effect.raceFirst(
      work((progress) => {
        last = progress
      }),
      tell,
    )
  })

/** Ranges as text, the first of them by name: `1-5, 9-9 and 3 more`. */
export const rangesText = (ranges: ReadonlyArray<readonly [number, number]>): string => {
  const named = ranges.slice(0, MOST_RANGES).map(([from, to]) => `${from}-${to}`)
  const more = ranges.length - named.length
  return `${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}`
}

const MOST_RANGES = 10
