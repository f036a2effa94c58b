/** `annals tables`: tables from payloads. Its flags are in `tablesOptions.ts`. */
import type * as Effect from "effect/Effect"
import type { ExitCode } from "./exitCodes.ts"
import { makeCommand, type Loader } from "./Program.ts"
import { tablesFlags, tablesOptions, type TablesOptions } from "./tablesOptions.ts"

/** What it does, in one sentence. */
export const tablesDescription =
  "Builds or extends tables from what the store holds, without a peer; not while a sync runs."

/** The command; `load` imports its program, `finish` takes the exit code. */
export const tablesCommand = (
  load: Loader<TablesOptions>,
  finish: (code: ExitCode) => Effect.Effect<void>,
) =>
  makeCommand({
    name: "tables",
    description: tablesDescription,
    flags: tablesFlags,
    check: tablesOptions,
    load,
    finish,
  })
