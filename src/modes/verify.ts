/**
 * `annals verify`: whether all that the store claims can be computed from it again. It only reads,
 * beside a running sync too, and mends nothing.
 */
import { Effect } from "effect"
import { ExitCode } from "../cli/exitCodes.ts"
import type { VerifyOptions } from "../cli/verifyOptions.ts"
import type { Stop } from "../observe/Stop.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Store } from "../write/Store.ts"
import { commitDefaults, type Damage, type VerifyReport } from "../write/storeProtocol.ts"
import { type OpenStore, runOnStore, showProgress } from "./withStore.ts"

/** Verifies the store; ends with 4 when something is wrong with it. */
export const runVerify = (
  options: VerifyOptions,
  open: OpenStore = Store.layer,
): Effect.Effect<ExitCode, never, Stop | Terminal> =>
  runOnStore(
    open({ directory: options.dataDir, purpose: { kind: "read" }, ...commitDefaults }),
    (store) =>
      Effect.gen(function* () {
        const terminal = yield* Terminal
        const report = yield* showProgress("verified", store.verify)
        yield* terminal.data(options.json ? JSON.stringify(jsonOf(report)) : textOf(report))
        return report.damageCount === 0 ? ExitCode.complete : ExitCode.failedChecks
      }),
  )

const jsonOf = (report: VerifyReport) => ({
  ok: report.damageCount === 0,
  blocks: report.blocks,
  transactions: report.transactions,
  receipts: report.transactions,
  logs: report.logs,
  rows: report.rows,
  damage_count: report.damageCount,
  damages: report.damages.map(({ blockNumber, what, expected, actual }) => ({
    block_number: blockNumber,
    what,
    expected,
    actual,
  })),
})

const textOf = (report: VerifyReport): string => {
  const { blocks, transactions, logs, rows, damageCount, damages } = report
  const seen = `${blocks} blocks, ${transactions} transactions, ${logs} logs, ${rows} rows of tables`
  if (damageCount === 0) return `all is well: ${seen}`
  const more = damageCount - damages.length
  return [
    `damage in ${damageCount} places: ${seen}`,
    ...damages.map(damageText),
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join("\n")
}

const damageText = ({ blockNumber, what, expected, actual }: Damage): string =>
  `block ${blockNumber}: ${what}: expected ${expected}, found ${actual}`
