/** `annals verify`: whether the store is whole. Its flags are in `verifyOptions.ts`. */
import type * as Effect from "effect/Effect"
import type { ExitCode } from "./exitCodes.ts"
import { makeCommand, type Loader } from "./Program.ts"
import { verifyFlags, verifyOptions, type VerifyOptions } from "./verifyOptions.ts"

/** What it does, in one sentence. */
export const verifyDescription =
  "Recomputes every hash, link and root from the store and holds its tables against them; also while a sync runs."

/** The command; `load` imports its program, `finish` takes the exit code. */
export const verifyCommand = (
  load: Loader<VerifyOptions>,
  finish: (code: ExitCode) => Effect.Effect<void>,
) =>
  makeCommand({
    name: "verify",
    description: verifyDescription,
    flags: verifyFlags,
    check: verifyOptions,
    load,
    finish,
  })
