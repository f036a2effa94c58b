/** `annals status`: what the store holds. Its flags are in `statusOptions.ts`. */
import type * as Effect from "effect/Effect"
import type { ExitCode } from "./exitCodes.ts"
import { makeCommand, type Loader } from "./Program.ts"
import { statusFlags, statusOptions, type StatusOptions } from "./statusOptions.ts"

/** What it does, in one sentence. */
export const statusDescription =
  "Says what the store holds: ranges, gaps, counts, size; also while a sync runs."

/** The command; `load` imports its program, `finish` takes the exit code. */
export const statusCommand = (
  load: Loader<StatusOptions>,
  finish: (code: ExitCode) => Effect.Effect<void>,
) =>
  makeCommand({
    name: "status",
    description: statusDescription,
    flags: statusFlags,
    check: statusOptions,
    load,
    finish,
  })
