/**
 * The one writer of the program: data to stdout, log lines and the progress line to stderr.
 *
 * In: lines, from any fiber. Out: whole lines. On a terminal the progress line stays below what is
 * logged: it is wiped, the log line is written, it is drawn again (`\r\x1b[2K`). Elsewhere a
 * progress line is a line like any other; whoever reports progress then does so more rarely.
 *
 * Invariants: only what {@link TerminalShape.data} is given reaches stdout; a logged line never
 * holds control characters; no colour where `NO_COLOR` is set, `TERM` is `dumb`, or stderr is no
 * terminal.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { fitColumns, stripEscapes, toLine } from "./terminalText.ts"

/** How a log line is set off where there is colour. */
export type Tone = "plain" | "warning" | "error"

/** What can be written. */
export interface TerminalShape {
  /** Whether stderr is a terminal: the progress line is live and may change several times a second. */
  readonly interactive: boolean
  /** Writes to stdout as it is, with a line end if it has none; colour only for a terminal. */
  readonly data: (text: string) => Effect.Effect<void>
  /** Writes one line to stderr. */
  readonly log: (line: string, tone?: Tone) => Effect.Effect<void>
  /** Replaces the progress line. */
  readonly progress: (line: string) => Effect.Effect<void>
  /** Leaves the progress line as it is; what comes next stands below it. */
  readonly endProgress: Effect.Effect<void>
  /** As `log`, for where no effect can run: loggers, handlers of the process. */
  readonly unsafeLog: (line: string, tone?: Tone) => void
}

/** What is written to: `process.stdout` and `process.stderr`, or a test's own. */
export interface Output {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  readonly write: (text: string) => unknown
}

/** Where a terminal writes, and the variables that have a say in it. */
export interface TerminalStreams {
  readonly stdout: Output
  readonly stderr: Output
  readonly environment: Readonly<Record<string, string | undefined>>
}

const WIPE = "\r\u001b[2K"
const RESET = "\u001b[0m"
const COLOURS: Readonly<Record<Tone, string>> = {
  plain: "",
  warning: "\u001b[33m",
  error: "\u001b[31m",
}
const DEFAULT_COLUMNS = 80

/** Whether colour may go to `output` (https://no-color.org: set and not empty means none). */
const hasColour = (output: Output, environment: TerminalStreams["environment"]): boolean =>
  output.isTTY === true && (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb"

/** A writer on the given streams. */
export const makeTerminal = (streams: TerminalStreams): TerminalShape => {
  const { environment, stderr, stdout } = streams
  const live = stderr.isTTY === true
  const dataColour = hasColour(stdout, environment)
  const logColour = hasColour(stderr, environment)
  /** The progress line on the screen; empty when there is none. */
  let drawn = ""
  const around = (write: () => void): void => {
    if (drawn !== "") stderr.write(WIPE)
    write()
    if (drawn !== "") stderr.write(drawn)
  }
  const unsafeLog = (line: string, tone: Tone = "plain"): void => {
    const text = toLine(line)
    const painted = logColour && tone !== "plain" ? `${COLOURS[tone]}${text}${RESET}` : text
    around(() => stderr.write(`${painted}\n`))
  }
  const unsafeData = (text: string): void => {
    const shown = dataColour ? text : stripEscapes(text)
    const write = (): unknown => stdout.write(shown.endsWith("\n") ? shown : `${shown}\n`)
    if (stdout.isTTY === true) around(write)
    else write()
  }
  const unsafeProgress = (line: string): void => {
    const text = toLine(line)
    if (!live) {
      stderr.write(`${text}\n`)
      return
    }
    drawn = fitColumns(text, stderr.columns ?? DEFAULT_COLUMNS)
    stderr.write(`${WIPE}${drawn}`)
  }
  return {
    interactive: live,
    data: (text) => Effect.sync(() => unsafeData(text)),
    log: (line, tone) => Effect.sync(() => unsafeLog(line, tone)),
    progress: (line) => Effect.sync(() => unsafeProgress(line)),
    endProgress: Effect.sync(() => {
      if (drawn !== "") stderr.write("\n")
      drawn = ""
    }),
    unsafeLog,
  }
}

/** The program's writer. */
export class Terminal extends Context.Tag("annals/Terminal")<Terminal, TerminalShape>() {
  /** On streams of one's own; a test reads what they were given. */
  static readonly layerWith = (streams: TerminalStreams): Layer.Layer<Terminal> =>
    Layer.sync(Terminal, () => makeTerminal(streams))

  /**
   * On the process's streams. A reader that closes its end (EPIPE) is no error: what it does not
   * want is dropped. Any other failure of a stream goes to `onFailure`.
   */
  static readonly layerProcess = (onFailure: (error: Error) => void): Layer.Layer<Terminal> =>
    Layer.sync(Terminal, () => {
      const failed = unlessReaderLeft(onFailure)
      // Never taken off again: a write may fail after the last fiber has ended.
      process.stdout.on("error", failed)
      process.stderr.on("error", failed)
      return makeTerminal({
        stdout: process.stdout,
        stderr: process.stderr,
        environment: process.env,
      })
    })
}

const unlessReaderLeft =
  (onFailure: (error: Error) => void) =>
  (error: NodeJS.ErrnoException): void => {
    if (error.code !== "EPIPE") onFailure(error)
  }

/** Sends what is logged through Effect to the {@link Terminal}, a line each. */
export const loggerLayer: Layer.Layer<never, never, Terminal> = Logger.replaceEffect(
  Logger.defaultLogger,
  Effect.map(Terminal, (terminal) =>
    Logger.make<unknown, void>((entry) =>
      terminal.unsafeLog(formatLogLine(entry), toneOf(entry.logLevel)),
    ),
  ),
)

/** `12:34:56 level message key=value: cause`, the time in UTC. */
const formatLogLine = (entry: Logger.Logger.Options<unknown>): string => {
  const message = Array.isArray(entry.message) ? entry.message : [entry.message]
  const words = [
    entry.date.toISOString().slice(11, 19),
    entry.logLevel.label.toLowerCase(),
    ...message.map((part) => Inspectable.toStringUnknown(part, 0)),
    ...Array.from(
      HashMap.entries(entry.annotations),
      ([key, value]) => `${key}=${Inspectable.toStringUnknown(value, 0)}`,
    ),
  ]
  const cause = Cause.isEmpty(entry.cause) ? "" : `: ${Cause.pretty(entry.cause)}`
  return `${words.join(" ")}${cause}`
}

const toneOf = (level: LogLevel.LogLevel): Tone => {
  if (LogLevel.greaterThanEqual(level, LogLevel.Error)) return "error"
  return LogLevel.greaterThanEqual(level, LogLevel.Warning) ? "warning" : "plain"
}
