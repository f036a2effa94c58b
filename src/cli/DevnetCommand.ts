/** `annals devnet`: local peers that serve a chain. Its flags and rules are in `devnetOptions.ts`. */
import type * as Effect from "effect/Effect"
import { devnetFlags, devnetOptions, type DevnetOptions } from "./devnetOptions.ts"
import type { ExitCode } from "./exitCodes.ts"
import { makeCommand, type Loader } from "./Program.ts"

/** What it does, in one sentence. */
export const devnetDescription =
  "Serves a chain from real peers on 127.0.0.1 and prints their enodes, until SIGINT."

/** The command; `load` imports the devnet, `finish` takes its exit code. */
export const devnetCommand = (
  load: Loader<DevnetOptions>,
  finish: (code: ExitCode) => Effect.Effect<void>,
) =>
  makeCommand({
    name: "devnet",
    description: devnetDescription,
    flags: devnetFlags,
    check: devnetOptions,
    load,
    finish,
  })
