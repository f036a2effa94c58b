#!/usr/bin/env node
/** Starts the program. Each command's code is imported when it runs. */
import { runCli } from "./cli/Cli.ts"
import { launch } from "./cli/Launch.ts"

launch(
  runCli(process.argv.slice(2), process.env, {
    probe: async () => (await import("./modes/probe.ts")).runProbe,
    devnet: async () => (await import("./modes/devnet.ts")).runDevnet,
  }),
)
