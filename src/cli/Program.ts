/**
 * What a command runs, and how a command is made of its flags, the check of its options and its
 * program.
 *
 * In: a {@link CommandSpec}. Out: a command of @effect/cli that hands the program's exit code to
 * `finish`. The program is imported only once the options have passed, so that help and refusals
 * load nothing of it.
 *
 * Invariant: a handler never fails. A refusal is one line and code 2; what nobody foresaw is one
 * line and code 1, with its cause at `--log-level debug`.
 */
import * as Command from "@effect/cli/Command"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import type { Checked } from "./checked.ts"
import { ExitCode } from "./exitCodes.ts"
import { flagOptions } from "./FlagOptions.ts"
import type { Flags, RawOptions } from "./flags.ts"
import { UsageError } from "./UsageError.ts"

/**
 * Runs to its end and says how it ended. It watches {@link Stop} and returns the signal's code
 * after an orderly end; it fails only with what the user has to mend (an unreadable file, a busy
 * port).
 */
export type Program<Options> = (
  options: Options,
) => Effect.Effect<ExitCode, UsageError, Stop | Terminal>

/** Imports a program when it is needed. */
export type Loader<Options> = () => Promise<Program<Options>>

/** What makes a command. */
export interface CommandSpec<Name extends string, F extends Flags, Options> {
  readonly name: Name
  readonly description: string
  readonly flags: F
  readonly check: (raw: RawOptions<F>) => Checked<Options>
  readonly load: Loader<Options>
  readonly finish: (code: ExitCode) => Effect.Effect<void>
}

/** The command of @effect/cli that a spec describes. */
export const makeCommand = <Name extends string, F extends Flags, Options>(
  spec: CommandSpec<Name, F, Options>,
) =>
  Command.make(spec.name, { flags: flagOptions(spec.flags) }, ({ flags }) =>
    Effect.suspend(() => {
      const options = spec.check(flags)
      if (!options.ok) return Effect.fail(new UsageError({ reason: options.reason }))
      return Effect.flatMap(Effect.promise(spec.load), (program) => program(options.value))
    }).pipe(
      Effect.catchAllCause((cause) =>
        Effect.flatMap(Terminal, (terminal) => reportCause(terminal, cause)),
      ),
      Effect.flatMap(spec.finish),
    ),
  ).pipe(Command.withDescription(spec.description))

/** Says on stderr why a program ended without a code of its own, and gives the code. */
export const reportCause = (
  terminal: Terminal["Type"],
  cause: Cause.Cause<UsageError>,
): Effect.Effect<ExitCode> => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "Some") return reportUsage(terminal, failure.value.reason)
  const squashed = Cause.squash(cause)
  const message = squashed instanceof Error ? squashed.message : String(squashed)
  return terminal
    .log(`annals: unexpected error: ${message}`, "error")
    .pipe(Effect.zipRight(Effect.logDebug("cause", cause)), Effect.as(ExitCode.unexpected))
}

/** Says on stderr what is wrong with what was asked for, and gives the code. */
export const reportUsage = (terminal: Terminal["Type"], reason: string): Effect.Effect<ExitCode> =>
  Effect.as(terminal.log(`annals: ${reason}`, "error"), ExitCode.usage)
