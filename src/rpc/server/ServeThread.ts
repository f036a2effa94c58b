/**
 * The server beside a sync: in a thread of its own, so that neither holds up the other.
 *
 * In: settings, and what the sync says of itself. Out: the address, once it listens. The thread reads
 * the store by itself; this thread only tells it how the sync stands, twice a second, and its metrics
 * when they are asked for.
 *
 * Invariants: the thread ends with the scope, within {@link END_MS}. One that ends by itself is not
 * started again: whoever waits for `ended` is told.
 */
import { Deferred, Duration, Effect, Runtime, type Scope } from "effect"
import type { SyncReport } from "../../observe/syncReport.ts"
import { isProgram, startThread, type Thread } from "../../threads/Thread.ts"
import { threadProgram } from "../../threads/threadProgram.ts"
import type { Listening } from "./RpcServer.ts"
import { ServeError } from "./ServeError.ts"
import type { FromServer, ToServer } from "./serveMessages.ts"
import type { ServeSettings } from "./serveSettings.ts"

/** What the sync says of itself; both are asked on this thread and have to be cheap. */
export interface SyncVoice {
  readonly report: () => SyncReport
  /** Prometheus' text. */
  readonly metricsText: () => string
}

/** A server that listens in its thread. */
export interface Serving extends Listening {
  /** Fails when the thread ends before the scope does; never succeeds. */
  readonly ended: Effect.Effect<never, ServeError>
}

/** How often the thread is told how the sync stands. */
const REPORT_EVERY_MS = 500
/** How long the thread may take to listen. */
const START_MS = 30_000
/** How long it may take to end: what is under way has its own deadline, and the store is closed. */
const END_MS = 10_000

/** Serves until the scope ends. ServeError: it cannot listen, or read the store. */
export const startServing = (
  settings: ServeSettings,
  voice: SyncVoice,
): Effect.Effect<Serving, ServeError, Scope.Scope> =>
  startServingWith(settings, voice, threadProgram("rpc/server/serverThread.js"))

/** As {@link startServing}, with the thread's program given by its path. */
export const startServingWith = Effect.fn("ServeThread.start")(function* (
  settings: ServeSettings,
  voice: SyncVoice,
  program: string | undefined,
): Effect.fn.Return<Serving, ServeError, Scope.Scope> {
  if (!isProgram(program)) {
    return yield* lost("its program, serverThread.js, is missing: npm run build")
  }
  const listening = yield* Deferred.make<Listening, ServeError>()
  const ended = yield* Deferred.make<never, ServeError>()
  const runFork = Runtime.runFork(yield* Effect.runtime())
  const over = (error: ServeError): void => {
    Deferred.unsafeDone(listening, error)
    Deferred.unsafeDone(ended, error)
  }
  const heard = (message: FromServer): void => {
    switch (message.kind) {
      case "listening":
        return Deferred.unsafeDone(listening, Effect.succeed(message.at))
      case "failed":
        return over(new ServeError({ failure: message.failure }))
      case "metrics":
        return thread.tell({ kind: "metrics", id: message.id, text: voice.metricsText() })
      case "warning":
        return void runFork(Effect.logWarning(message.text))
      case "ended":
        return
    }
  }
  const thread: Thread<ToServer> = yield* Effect.acquireRelease(
    Effect.sync(() =>
      startThread<ToServer, FromServer>({
        program,
        name: "annals-server",
        heard,
        over: (why) => over(lost(`it ${why}`)),
      }),
    ),
    // It ends in order, or it is ended.
    ({ tell, endAfter }) =>
      Effect.suspend(() => {
        tell({ kind: "stop" })
        return endAfter(Deferred.await(ended), END_MS)
      }),
  )
  thread.tell({ kind: "start", settings })
  yield* Effect.forkScoped(
    Effect.forever(
      Effect.sync(() => thread.tell({ kind: "report", report: voice.report() })).pipe(
        Effect.zipRight(Effect.sleep(Duration.millis(REPORT_EVERY_MS))),
      ),
    ),
  )
  const at = yield* Deferred.await(listening).pipe(
    Effect.timeoutFail({
      duration: Duration.millis(START_MS),
      onTimeout: () => lost(`it does not listen after ${START_MS} ms`),
    }),
  )
  return { ...at, ended: Deferred.await(ended) }
})

const lost = (detail: string): ServeError => new ServeError({ failure: { kind: "thread", detail } })
