/** What every mode does when its store cannot be used: one clear line, and the exit code for it. */
import { Effect } from "effect"
import { ExitCode } from "../cli/exitCodes.ts"
import { Terminal } from "../observe/Terminal.ts"
import type { StoreError } from "../write/StoreError.ts"

/** Says what is wrong with the store on stderr, and gives exit code 7. */
export const endWithStoreError = (error: StoreError): Effect.Effect<ExitCode, never, Terminal> =>
  Effect.flatMap(Terminal, (terminal) =>
    Effect.as(terminal.log(`annals: ${error.message}`, "error"), ExitCode.store),
  )
