/**
 * The wish that the program end in order.
 *
 * In: SIGINT or SIGTERM, or a test's own request. Out: {@link StopShape.requested}, which programs
 * await or race with; they finish what must be finished, report, and return the exit code of the
 * signal.
 *
 * Invariant: the first request stands; later ones change nothing here.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Terminal } from "./Terminal.ts"

/** The signals that ask for an end. */
export type StopSignal = "SIGINT" | "SIGTERM"

const signals: ReadonlyArray<StopSignal> = ["SIGINT", "SIGTERM"]

/** The wish, and how to utter it. */
export interface StopShape {
  /** Waits for the first request and gives its signal; may be awaited by many, any number of times. */
  readonly requested: Effect.Effect<StopSignal>
  /** Whether an end was asked for, without waiting. */
  readonly isRequested: Effect.Effect<boolean>
  /** Asks for an end. */
  readonly request: (signal: StopSignal) => Effect.Effect<void>
}

const fromDeferred = (deferred: Deferred.Deferred<StopSignal>): StopShape => ({
  requested: Deferred.await(deferred),
  isRequested: Deferred.isDone(deferred),
  request: (signal) => Effect.asVoid(Deferred.succeed(deferred, signal)),
})

/** Whether and why the program is to end. */
export class Stop extends Context.Tag("annals/Stop")<Stop, StopShape>() {
  /** Nobody but the program itself, or a test, asks. */
  static readonly layerMemory: Layer.Layer<Stop> = Layer.effect(
    Stop,
    Effect.map(Deferred.make<StopSignal>(), fromDeferred),
  )

  /**
   * The process's signals ask. The first is said on stderr and asks for an orderly end; any later
   * one is handed to `onSecond`, which ends the process at once.
   */
  static readonly layerProcess = (
    onSecond: (signal: StopSignal) => void,
  ): Layer.Layer<Stop, never, Terminal> =>
    Layer.scoped(
      Stop,
      Effect.gen(function* () {
        const terminal = yield* Terminal
        const deferred = yield* Deferred.make<StopSignal>()
        let asked = false
        const listener = (signal: NodeJS.Signals): void => {
          const known: StopSignal = signal === "SIGTERM" ? "SIGTERM" : "SIGINT"
          if (asked) return onSecond(known)
          asked = true
          terminal.unsafeLog(`annals: ${known}: stopping; a second signal ends at once`)
          Deferred.unsafeDone(deferred, Effect.succeed(known))
        }
        yield* Effect.acquireRelease(
          Effect.sync(() => signals.forEach((signal) => process.on(signal, listener))),
          () => Effect.sync(() => signals.forEach((signal) => process.off(signal, listener))),
        )
        return fromDeferred(deferred)
      }),
    )
}
