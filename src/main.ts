#!/usr/bin/env node
/** Starts the program. Each command's code is imported when it runs. */
import { runCli } from "./cli/Cli.ts"
import { launch } from "./cli/Launch.ts"

launch(
  runCli(process.argv.slice(2), process.env, {
    probe: async () => (await import("./modes/probe.ts")).runProbe,
    ingest: async () => (await import("./modes/ingest.ts")).runIngest,
    peers: async () => (await import("./modes/peers.ts")).runPeers,
    status: async () => (await import("./modes/status.ts")).runStatus,
    verify: async () => (await import("./modes/verify.ts")).runVerify,
    tables: async () => (await import("./modes/tables.ts")).runTables,
    serve: async () => (await import("./modes/serve.ts")).runServe,
    devnet: async () => (await import("./modes/devnet.ts")).runDevnet,
  }),
)
