/** Runs the commands on a store in memory of the terminal: what they print, and their exit code. */
import { Effect, Layer } from "effect"
import type { ExitCode } from "../../src/cli/exitCodes.ts"
import { Stop } from "../../src/observe/Stop.ts"
import { Terminal } from "../../src/observe/Terminal.ts"

/** Runs a mode; whoever reads the output gets it whole. */
export const runMode = <E>(mode: Effect.Effect<ExitCode, E, Stop | Terminal>) =>
  Effect.gen(function* () {
    const written = { stdout: "", stderr: "" }
    const output = (name: keyof typeof written) => ({
      write: (text: string) => (written[name] += text),
    })
    const terminal = Terminal.layerWith({
      stdout: output("stdout"),
      stderr: output("stderr"),
      environment: {},
    })
    const code = yield* Effect.provide(mode, Layer.merge(terminal, Stop.layerMemory))
    return { code, ...written }
  })
