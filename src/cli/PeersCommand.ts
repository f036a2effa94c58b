/** `annals peers`: what peers there are and what each serves. Its flags are in `peersOptions.ts`. */
import type * as Effect from "effect/Effect"
import type { ExitCode } from "./exitCodes.ts"
import { peersFlags, peersOptions, type PeersOptions } from "./peersOptions.ts"
import { makeCommand, type Loader } from "./Program.ts"

/** What it does, in one sentence. */
export const peersDescription =
  "Connects to peers and reports each: its client, its head, and what it serves how far back."

/** The command; `load` imports its program, `finish` takes the exit code. */
export const peersCommand = (
  load: Loader<PeersOptions>,
  finish: (code: ExitCode) => Effect.Effect<void>,
) =>
  makeCommand({
    name: "peers",
    description: peersDescription,
    flags: peersFlags,
    check: peersOptions,
    load,
    finish,
  })
