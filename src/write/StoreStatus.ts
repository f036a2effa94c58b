/**
 * How much a store holds, from its own account: `coverage` and `meta`. No table is scanned, so that
 * it costs the same on a store of any size; whether the account is true is what `verify` tells.
 */
import { Effect } from "effect"
import { BlockRanges, type BlockRange } from "../domain/blockRanges.ts"
import { schemaVersion } from "./schema.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import type { DatasetStatus, StoreStatus } from "./storeProtocol.ts"
import { checksLinks, COVERAGE_COLUMNS, readTotals } from "./StoreRows.ts"
import { numberAt, textAt, type Row } from "./storedValues.ts"
import { metaKeys } from "./tables.ts"

/** Reads the status on one view of the database. */
export const readStatus = Effect.fn("Store.status")(function* (database: StoreDatabase) {
  return yield* database.snapshot(
    Effect.gen(function* () {
      const facts = yield* database.rows("SELECT key, value FROM meta")
      const meta = new Map(facts.map((row) => [textAt(row, 0), textAt(row, 1)]))
      const rows = yield* database.rows(
        `SELECT ${COVERAGE_COLUMNS}, dataset FROM coverage ORDER BY dataset, from_block`,
      )
      const stored = rows.filter((row) => textAt(row, 4) === "payloads")
      const payloads = BlockRanges.fromRanges(stored.map(rangeOf))
      const { transactions, logs } = yield* readTotals(database)
      const status: StoreStatus = {
        network: meta.get(metaKeys.network) ?? "",
        chainId: meta.get(metaKeys.chainId) ?? "",
        genesisHash: meta.get(metaKeys.genesisHash) ?? "",
        schema: schemaVersion,
        blocks: payloads.count,
        ...countTrust(stored),
        transactions,
        logs,
        databaseBytes: yield* database.sizeBytes,
        datasets: datasetsOf(rows, payloads),
      }
      return status
    }),
  )
})

const links = (row: Row): boolean => checksLinks(textAt(row, 3))

const rangeOf = (row: Row): BlockRange => [numberAt(row, 0), numberAt(row, 1)]

const datasetsOf = (
  rows: ReadonlyArray<Row>,
  payloads: BlockRanges,
): ReadonlyArray<DatasetStatus> => {
  const names = new Set(rows.map((row) => textAt(row, 4)))
  const bounds = [...payloads.ranges()]
  const first = bounds[0]?.[0] ?? 0
  const last = bounds.at(-1)?.[1] ?? -1
  return [...names].map((name) => {
    const own = rows.filter((row) => textAt(row, 4) === name)
    const blocks = BlockRanges.fromRanges(own.map(rangeOf))
    const gaps = BlockRanges.of(first, last).subtract(blocks)
    return {
      name,
      blocks: blocks.count,
      ranges: [...blocks.ranges()],
      gaps: [...gaps.ranges()],
    }
  })
}

/**
 * Counts anchored, linked and lone blocks of rising rows. Neighbouring runs whose links were both
 * checked link to each other: the segments see to it.
 */
const countTrust = (
  rows: ReadonlyArray<Row>,
): Pick<StoreStatus, "anchored" | "linked" | "alone"> => {
  const counts = { anchored: 0, linked: 0, alone: 0 }
  rows.forEach((row, at) => {
    const [from, to] = rangeOf(row)
    const touches = (other: Row | undefined, reaches: (range: BlockRange) => boolean): boolean =>
      other !== undefined && links(other) && reaches(rangeOf(other))
    const neighboured =
      to > from ||
      touches(rows[at - 1], (below) => below[1] === from - 1) ||
      touches(rows[at + 1], (above) => above[0] === to + 1)
    const blocks = to - from + 1
    if (numberAt(row, 2) === 1) counts.anchored += blocks
    else if (links(row) && neighboured) counts.linked += blocks
    else counts.alone += blocks
  })
  return counts
}
