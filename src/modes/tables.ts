/**
 * `annals tables`: builds or extends tables from the payloads, without a peer. It writes, so it
 * cannot run while a sync does. Stopped, it keeps what is committed and goes on from there the next
 * time.
 */
import { Effect } from "effect"
import { ExitCode } from "../cli/exitCodes.ts"
import type { TablesOptions } from "../cli/tablesOptions.ts"
import type { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Store } from "../write/Store.ts"
import { commitDefaults, type TablesReport } from "../write/storeProtocol.ts"
import { type OpenStore, rangesText, runOnStore, showProgress } from "./withStore.ts"

/** Builds tables; ends with 3 when blocks of a range with an end are not stored. */
export const runTables = (
  options: TablesOptions,
  open: OpenStore = Store.layer,
): Effect.Effect<ExitCode, never, Stop | Terminal> =>
  runOnStore(
    open({ directory: options.dataDir, purpose: { kind: "tables" }, ...commitDefaults }),
    (store) =>
      Effect.gen(function* () {
        const terminal = yield* Terminal
        const { dataDir: _dataDir, json, ...request } = options
        const report = yield* showProgress("built", (onProgress) =>
          store.buildTables(request, onProgress),
        )
        yield* terminal.data(json ? JSON.stringify(jsonOf(report)) : textOf(report))
        return report.missing.length === 0 ? ExitCode.complete : ExitCode.gaps
      }),
  )

const jsonOf = ({ blocks, rows, senders, missing }: TablesReport) => ({
  blocks,
  rows,
  senders,
  missing_blocks: missing,
})

const textOf = ({ blocks, rows, senders, missing }: TablesReport): string =>
  [
    `built ${blocks} blocks: ${rows} rows${senders > 0 ? `, ${senders} senders` : ""}`,
    ...(missing.length > 0 ? [`not stored: ${rangesText(missing)}`] : []),
  ].join("\n")
