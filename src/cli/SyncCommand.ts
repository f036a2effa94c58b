/** `annals sync`: fetches a range of history. Its flags and their rules are in `syncOptions.ts`. */
import type { ExitCode } from "./exitCodes.ts"
import { makeCommand, type Loader } from "./Program.ts"
import { probeOptions, syncFlags, type ProbeOptions } from "./syncOptions.ts"
import type * as Effect from "effect/Effect"

/** What it does, in one sentence. */
export const syncDescription =
  "Fetches a range of history from peers; for now only to measure them (--benchmark)."

/** The command; `load` imports the probe, `finish` takes its exit code. */
export const syncCommand = (
  load: Loader<ProbeOptions>,
  finish: (code: ExitCode) => Effect.Effect<void>,
) =>
  makeCommand({
    name: "sync",
    description: syncDescription,
    flags: syncFlags,
    check: probeOptions,
    load,
    finish,
  })
