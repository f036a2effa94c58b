/** Tables that a run was asked for, of blocks that were stored without them before it. */
import { Effect } from "effect"
import type { IngestOptions } from "../cli/syncOptions.ts"
import { and, BlockRanges } from "../domain/blockRanges.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Store } from "../write/Store.ts"

/**
 * Builds the rows, up to `endBlock` inclusive, of what had been stored when the run began; nothing
 * where the options name no table, or none lacks any.
 */
export const fillTables = Effect.fnUntraced(function* (
  options: Pick<IngestOptions, "tables" | "startBlock">,
  endBlock: number,
) {
  if (options.tables.length === 0) return
  const store = yield* Store
  const wanted = BlockRanges.of(options.startBlock, endBlock)
  const before = BlockRanges.fromRanges(store.opened.covered["payloads"] ?? [])
  const lacking = options.tables.some((table) => {
    const rows = BlockRanges.fromRanges(store.opened.covered[table] ?? [])
    return and(wanted, before.subtract(rows)).next(0) !== undefined
  })
  if (!lacking) return
  const terminal = yield* Terminal
  yield* terminal.log(`annals: building ${options.tables.join(", ")} of what was stored before`)
  yield* store.buildTables({
    tables: options.tables,
    addresses: [],
    topic0s: [],
    senders: false,
    startBlock: options.startBlock,
    endBlock,
  })
})
