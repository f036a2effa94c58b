/** `annals sync`: fetches a range of history. Its flags and their rules are in `syncOptions.ts`. */
import { availableParallelism } from "node:os"
import * as Effect from "effect/Effect"
import type { ExitCode } from "./exitCodes.ts"
import { makeCommand, type Loader, type Program } from "./Program.ts"
import {
  syncFlags,
  syncOptions,
  type IngestOptions,
  type ProbeOptions,
  type SyncOptions,
} from "./syncOptions.ts"

/** What it does, in one sentence. */
export const syncDescription =
  "Fetches a range of history from peers, checks each block and keeps it in a store; with --benchmark it measures."

/** The programs behind it. */
export interface SyncPrograms {
  readonly probe: Loader<ProbeOptions>
  /** Of `sync` and of `sync --benchmark profile`. */
  readonly ingest: Loader<IngestOptions>
}

/** The command; it imports the program that its options ask for, `finish` takes the exit code. */
export const syncCommand = (
  programs: SyncPrograms,
  finish: (code: ExitCode) => Effect.Effect<void>,
) =>
  makeCommand({
    name: "sync",
    description: syncDescription,
    flags: syncFlags,
    check: (raw) => syncOptions(raw, availableParallelism()),
    load: async () => loadAndRun(programs),
    finish,
  })

/** Imports one program only: a probe loads nothing of a store, an ingest nothing of a probe. */
const loadAndRun =
  (programs: SyncPrograms): Program<SyncOptions> =>
  (options) =>
    options.kind === "probe"
      ? Effect.flatMap(Effect.promise(programs.probe), (run) => run(options))
      : Effect.flatMap(Effect.promise(programs.ingest), (run) => run(options))
