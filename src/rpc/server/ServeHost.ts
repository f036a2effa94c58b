/**
 * The server's side of its protocol, in a thread of its own.
 *
 * In: {@link ToServer} messages from a port. Out: {@link FromServer} messages to it. The store is read
 * on this thread. After `stop` the server ends in order, the port is closed, and with nothing else
 * to do the thread ends. A bug is thrown, which ends the thread, and with it the run.
 */
import type { MessagePort } from "node:worker_threads"
import { Cause, Deferred, Effect, Exit, FiberId, Inspectable, Logger, LogLevel } from "effect"
import type { SyncReport } from "../../observe/syncReport.ts"
import { layerChainReader } from "../../write/ChainReaderSession.ts"
import { StoreError } from "../../write/StoreError.ts"
import { serveRpc, type SyncSource } from "./RpcServer.ts"
import { ServeError, type ServeFailure } from "./ServeError.ts"
import type { FromServer, ToServer } from "./serveMessages.ts"
import type { ServeSettings } from "./serveSettings.ts"

/** A report that is older says nothing about how the sync stands now. */
const REPORT_FRESH_MS = 10_000

/** Serves on behalf of whoever is at the other end of `port`. */
export const serveFor = (port: MessagePort): void => {
  const say = (message: FromServer): void => port.postMessage(message)
  const stop = Deferred.unsafeMake<void>(FiberId.none)
  const sync = new RemoteSync(say)

  port.on("message", (message: ToServer) => {
    switch (message.kind) {
      case "start":
        void Effect.runPromiseExit(serve(message.settings, sync, say, Deferred.await(stop))).then(
          (exit) => {
            const failure = Exit.isFailure(exit) ? failureOf(exit.cause) : undefined
            if (failure !== undefined) say({ kind: "failed", failure })
            say({ kind: "ended" })
            port.close()
          },
        )
        return
      case "report":
        return sync.reported(message.report)
      case "metrics":
        return sync.answered(message.id, message.text)
      case "stop":
        return Deferred.unsafeDone(stop, Effect.void)
    }
  })
}

const serve = (
  settings: ServeSettings,
  sync: SyncSource,
  say: (message: FromServer) => void,
  stopped: Effect.Effect<void>,
): Effect.Effect<void, ServeError | StoreError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const at = yield* serveRpc(settings, sync)
      say({ kind: "listening", at })
      yield* stopped
    }),
  ).pipe(
    Effect.provide(layerChainReader(settings.directory)),
    Effect.provide(Logger.replace(Logger.defaultLogger, warningsTo(say))),
  )

/** This thread has no terminal: what is logged as a warning or worse goes to the one who has. */
const warningsTo = (say: (message: FromServer) => void): Logger.Logger<unknown, void> =>
  Logger.make(({ logLevel, message, cause }) => {
    if (LogLevel.lessThan(logLevel, LogLevel.Warning)) return
    const parts = Array.isArray(message) ? message : [message]
    const words = parts.map((part) => Inspectable.toStringUnknown(part, 0))
    if (!Cause.isEmpty(cause)) words.push(Cause.pretty(cause))
    say({ kind: "warning", text: words.join(" ") })
  })

const failureOf = (cause: Cause.Cause<ServeError | StoreError>): ServeFailure => {
  const error = Cause.squash(cause)
  if (error instanceof ServeError) return error.failure
  if (error instanceof StoreError) return { kind: "store", reason: error.message }
  return { kind: "thread", detail: error instanceof Error ? error.message : String(error) }
}

/** The sync at the other end of the port. */
class RemoteSync implements SyncSource {
  readonly #say: (message: FromServer) => void
  readonly #asked = new Map<number, (text: string) => void>()
  #nextId = 1
  #report: { readonly state: SyncReport; readonly atMs: number } | undefined

  constructor(say: (message: FromServer) => void) {
    this.#say = say
  }

  readonly report = (): SyncReport | undefined => {
    const last = this.#report
    return last !== undefined && performance.now() - last.atMs < REPORT_FRESH_MS
      ? last.state
      : undefined
  }

  /** Whoever asks gives up after a while, and takes the question back. */
  readonly metricsText: Effect.Effect<string> = Effect.async((resume) => {
    const id = this.#nextId++
    this.#asked.set(id, (text) => resume(Effect.succeed(text)))
    this.#say({ kind: "metrics", id })
    return Effect.sync(() => this.#asked.delete(id))
  })

  reported(state: SyncReport): void {
    this.#report = { state, atMs: performance.now() }
  }

  answered(id: number, text: string): void {
    this.#asked.get(id)?.(text)
    this.#asked.delete(id)
  }
}
