/**
 * Runs the program as the process: its streams, its signals, its exit code.
 *
 * In: the whole program as an effect. Out: the process ends with its code; with 1 and one line on
 * stderr for what nobody foresaw; with 130 or 143 at once on a second signal. Stdout is flushed
 * before the end.
 */
import * as Runtime from "@effect/platform/Runtime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as RuntimeFlags from "effect/RuntimeFlags"
import { Stop } from "../observe/Stop.ts"
import { Terminal, loggerLayer, makeTerminal } from "../observe/Terminal.ts"
import { ExitCode, exitCodeOfSignal } from "./exitCodes.ts"

/** Ends the process for an error that no fiber could report. */
const abort = (error: unknown): void => {
  const message = error instanceof Error ? error.message : String(error)
  const { stderr, stdout } = process
  const terminal = makeTerminal({ stdout, stderr, environment: process.env })
  terminal.unsafeLog(`annals: unexpected error: ${message}`, "error")
  process.exit(ExitCode.unexpected)
}

const processLayer = Layer.mergeAll(
  // Nobody reads Effect's own counters of fibers, which every fiber would pay for.
  RuntimeFlags.disableRuntimeMetrics,
  loggerLayer,
  Stop.layerProcess((signal) => process.exit(exitCodeOfSignal(signal))),
).pipe(Layer.provideMerge(Terminal.layerProcess(abort)))

/** A timer without a purpose keeps Node alive while every fiber waits for another. */
const KEEP_ALIVE_MS = 2 ** 31 - 1

const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  const keepAlive = setInterval(() => undefined, KEEP_ALIVE_MS)
  process.on("uncaughtException", abort)
  fiber.addObserver((exit) =>
    teardown(exit, (code) => {
      clearInterval(keepAlive)
      // A failed write is told of only after its callbacks, and must still change the code.
      process.stdout.write("", () => setImmediate(() => process.exit(code)))
    }),
  )
})

/** Runs `program` and ends the process with the code that it gives. */
export const launch = (program: Effect.Effect<ExitCode, never, Stop | Terminal>): void =>
  runMain(Effect.provide(program, processLayer), {
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, onExit) => {
      if (Exit.isFailure(exit)) abort(Cause.squash(exit.cause))
      else onExit(Number(exit.value))
    },
  })
