/**
 * The command line as one effect.
 *
 * In: the arguments, the environment, and a loader per program. Out: the exit code; help, version
 * and completions on stdout, refusals as one line on stderr.
 *
 * Invariants: never fails, never shows a stack, writes nothing to stdout when it refuses.
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import manifest from "../../package.json" with { type: "json" }
import type { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { logLevels, prepareCommandLine, type Environment } from "./commandLine.ts"
import { devnetCommand, devnetDescription } from "./DevnetCommand.ts"
import { devnetFlags, type DevnetOptions } from "./devnetOptions.ts"
import { ExitCode } from "./exitCodes.ts"
import { helpText, type HelpContents } from "./help.ts"
import { peersCommand, peersDescription } from "./PeersCommand.ts"
import { peersFlags, type PeersOptions } from "./peersOptions.ts"
import { reportCause, reportUsage, type Loader } from "./Program.ts"
import { serveCommand, serveDescription } from "./ServeCommand.ts"
import { serveFlags, type ServeOptions } from "./serveOptions.ts"
import { statusCommand, statusDescription } from "./StatusCommand.ts"
import { statusFlags, type StatusOptions } from "./statusOptions.ts"
import { syncCommand, syncDescription, type SyncPrograms } from "./SyncCommand.ts"
import { syncFlags } from "./syncOptions.ts"
import { tablesCommand, tablesDescription } from "./TablesCommand.ts"
import { tablesFlags, type TablesOptions } from "./tablesOptions.ts"
import { verifyCommand, verifyDescription } from "./VerifyCommand.ts"
import { verifyFlags, type VerifyOptions } from "./verifyOptions.ts"

/** The programs behind the commands. */
export interface Programs extends SyncPrograms {
  readonly peers: Loader<PeersOptions>
  readonly status: Loader<StatusOptions>
  readonly verify: Loader<VerifyOptions>
  readonly tables: Loader<TablesOptions>
  readonly serve: Loader<ServeOptions>
  readonly devnet: Loader<DevnetOptions>
}

const description = "Ethereum's history, fetched straight from the peers of the devp2p network."
const commandFlags = {
  sync: syncFlags,
  peers: peersFlags,
  status: statusFlags,
  verify: verifyFlags,
  tables: tablesFlags,
  serve: serveFlags,
  devnet: devnetFlags,
}
const helpContents: HelpContents = {
  version: manifest.version,
  description,
  commands: {
    sync: { description: syncDescription, flags: syncFlags },
    peers: { description: peersDescription, flags: peersFlags },
    status: { description: statusDescription, flags: statusFlags },
    verify: { description: verifyDescription, flags: verifyFlags },
    tables: { description: tablesDescription, flags: tablesFlags },
    serve: { description: serveDescription, flags: serveFlags },
    devnet: { description: devnetDescription, flags: devnetFlags },
  },
  logLevels,
}

/** Runs the command that `argv` (without runtime and script) names. */
export const runCli = (
  argv: ReadonlyArray<string>,
  environment: Environment,
  programs: Programs,
): Effect.Effect<ExitCode, never, Stop | Terminal> =>
  Effect.gen(function* () {
    const terminal = yield* Terminal
    const prepared = prepareCommandLine(argv, environment, commandFlags)
    if (!prepared.ok) return yield* reportUsage(terminal, prepared.reason)
    if (prepared.value.kind === "help") {
      yield* terminal.data(helpText(helpContents, prepared.value.command))
      return ExitCode.complete
    }
    const code = yield* Ref.make<ExitCode>(ExitCode.complete)
    const finish = (ended: ExitCode): Effect.Effect<void> => Ref.set(code, ended)
    const command = Command.make("annals").pipe(
      Command.withDescription(description),
      Command.withSubcommands([
        syncCommand(programs, finish),
        peersCommand(programs.peers, finish),
        statusCommand(programs.status, finish),
        verifyCommand(programs.verify, finish),
        tablesCommand(programs.tables, finish),
        serveCommand(programs.serve, finish),
        devnetCommand(programs.devnet, finish),
      ]),
    )
    const run = Command.run(command, { name: "annals", version: manifest.version })
    const { words } = prepared.value
    const tidy = words[0] === "--completions" ? withoutWizard : (text: string): string => text
    return yield* run(["node", "annals", ...words]).pipe(
      Effect.zipRight(Ref.get(code)),
      Effect.provide(libraryLayer),
      // The library has said what is wrong by then, through the console below.
      Effect.catchIf(ValidationError.isValidationError, () => Effect.succeed(ExitCode.usage)),
      Effect.catchAllCause((cause) => reportCause(terminal, cause)),
      withTerminalConsole(terminal, tidy),
    )
  })

const libraryLayer = Layer.mergeAll(
  NodeFileSystem.layer,
  NodePath.layer,
  NodeTerminal.layer,
  CliConfig.layer({
    isCaseSensitive: true,
    // Guesses are made before the library sees a flag, and among all flags of a command.
    autoCorrectLimit: 0,
  }),
)

/** The library's completions offer its wizard, which is no part of this program. */
const withoutWizard = (text: string): string =>
  text
    .split("\n")
    .filter((line) => !/--wizard\[|-l wizard /.test(line))
    .join("\n")
    .replaceAll(" --wizard", "")

/** What the library prints goes through the terminal. */
const withTerminalConsole =
  (terminal: Terminal["Type"], tidy: (text: string) => string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Console.consoleWith((console) =>
      Effect.withConsole(effect, {
        ...console,
        log: (...parts) => terminal.data(tidy(parts.join(" ").trimEnd())),
        error: (...parts) => terminal.log(parts.join(" ").trim(), "error"),
      }),
    )
