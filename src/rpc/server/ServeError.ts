/** Why a server cannot run, or runs no longer. */
import { Data } from "effect"

/** What went wrong. */
export type ServeFailure =
  /** Nothing can listen there: the user is to blame. `code` is the system's: `EADDRINUSE`, … */
  | { readonly kind: "listen"; readonly host: string; readonly port: number; readonly code: string }
  /** The store cannot be opened for reading. */
  | { readonly kind: "store"; readonly reason: string }
  /** The server's thread is gone, or did not come up. */
  | { readonly kind: "thread"; readonly detail: string }

/** See {@link ServeFailure}; `message` is one line. */
export class ServeError extends Data.TaggedError("ServeError")<{
  readonly failure: ServeFailure
}> {
  override get message(): string {
    const { failure } = this
    switch (failure.kind) {
      case "listen": {
        const { host, port, code } = failure
        const why = code === "EADDRINUSE" ? "another program listens there" : code
        return `nothing can listen at ${host}, port ${port}: ${why}: see --http-host and --http-port`
      }
      case "store":
        return failure.reason
      case "thread":
        return `the server's thread: ${failure.detail}`
    }
  }
}
