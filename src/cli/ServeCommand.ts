/** `annals serve`: JSON-RPC over the store. Its flags are in `serveOptions.ts`. */
import type * as Effect from "effect/Effect"
import type { ExitCode } from "./exitCodes.ts"
import { makeCommand, type Loader } from "./Program.ts"
import { serveFlags, serveOptions, type ServeOptions } from "./serveOptions.ts"

/** What it does, in one sentence. */
export const serveDescription =
  "Serves JSON-RPC over the store, on HTTP and WebSocket, until it is stopped; also beside a running sync."

/** The command; `load` imports its program, `finish` takes the exit code. */
export const serveCommand = (
  load: Loader<ServeOptions>,
  finish: (code: ExitCode) => Effect.Effect<void>,
) =>
  makeCommand({
    name: "serve",
    description: serveDescription,
    flags: serveFlags,
    check: serveOptions,
    load,
    finish,
  })
