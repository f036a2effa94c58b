/**
 * Statements that put rows of blocks into the store, take them out, and keep its account of them.
 * All of them run within a transaction that somebody else commits.
 */
import { Cause, Effect, Exit } from "effect"
import { type BlockRange, BlockRanges } from "../domain/blockRanges.ts"
import { Coverage, type CoverageChange } from "./coverage.ts"
import { parseDataset } from "./datasets.ts"
import type { BlockLink, Segment } from "./segmentList.ts"
import { Segments } from "./segments.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import type { StoreError } from "./StoreError.ts"
import type { TrustedHash } from "./storeProtocol.ts"
import { bytesAt, numberAt, textAt, type Row } from "./storedValues.ts"
import type { TableRows } from "./tableRows.ts"
import { columnNames, insertSql, metaKeys, optionalTables, type TableName } from "./tables.ts"

/** Rows a statement: more gains nothing. */
const ROWS_PER_STATEMENT = 32

/** Statements that were written once. */
const inserts = new Map<string, string>()

const insertText = (table: TableName, count: number): string => {
  const key = `${table} ${count}`
  let text = inserts.get(key)
  if (text === undefined) {
    text = insertSql(table, count)
    inserts.set(key, text)
  }
  return text
}

/** Inserts rows; they must not be there. */
export const insertRows = Effect.fnUntraced(function* (database: StoreDatabase, rows: TableRows) {
  const { table, count, values } = rows
  const width = columnNames(table).length
  for (let at = 0; at < count; at += ROWS_PER_STATEMENT) {
    const some = Math.min(ROWS_PER_STATEMENT, count - at)
    const bound = some === count ? values : values.slice(at * width, (at + some) * width)
    yield* database.run(insertText(table, some), bound)
  }
})

/** How much of the counted things some blocks have. */
export interface Counts {
  readonly transactions: number
  readonly logs: number
}

/** Takes all rows of the blocks `from` to `to` out and gives what they counted. */
export const deleteBlocks = Effect.fnUntraced(function* (
  database: StoreDatabase,
  from: number,
  to: number,
) {
  const [row] = yield* database.rows(
    "SELECT coalesce(sum(transaction_count), 0), coalesce(sum(log_count), 0) FROM blocks WHERE block_number BETWEEN ? AND ?",
    [from, to],
  )
  for (const table of ["payloads", "blocks", ...optionalTables] as const) {
    yield* database.run(`DELETE FROM ${table} WHERE block_number BETWEEN ? AND ?`, [from, to])
  }
  const counts: Counts = { transactions: numberAt(row, 0), logs: numberAt(row, 1) }
  return counts
})

/** Keys of `meta` under which the store counts what it holds, so that nobody has to scan it. */
const totalKeys = { transactions: "transaction_count", logs: "log_count" } as const

/** Reads the counts of the whole store. */
export const readTotals = Effect.fnUntraced(function* (database: StoreDatabase) {
  const read = (key: string): Effect.Effect<number, StoreError> =>
    Effect.map(database.rows("SELECT value FROM meta WHERE key = ?", [key]), ([row]) =>
      row === undefined ? 0 : Number(textAt(row, 0)),
    )
  const totals: Counts = {
    transactions: yield* read(totalKeys.transactions),
    logs: yield* read(totalKeys.logs),
  }
  return totals
})

/** Writes the counts of the whole store. */
export const writeTotals = (
  database: StoreDatabase,
  totals: Counts,
): Effect.Effect<void, StoreError> =>
  database.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?), (?, ?)", [
    totalKeys.transactions,
    String(totals.transactions),
    totalKeys.logs,
    String(totals.logs),
  ])

/** Brings `coverage` up to date. */
export const writeCoverage = Effect.fnUntraced(function* (
  database: StoreDatabase,
  { cleared, added }: CoverageChange,
  datasets: ReadonlyArray<string>,
) {
  for (const [from, to] of cleared) {
    for (const dataset of datasets) {
      yield* database.run("DELETE FROM coverage WHERE dataset = ? AND from_block BETWEEN ? AND ?", [
        dataset,
        from,
        to,
      ])
    }
  }
  for (const { dataset, from, to, anchored, checks } of added) {
    yield* database.run(
      "INSERT INTO coverage (dataset, from_block, to_block, anchored, checks) VALUES (?, ?, ?, ?, ?)",
      [dataset, from, to, anchored ? 1 : 0, checks],
    )
  }
})

/** Whether the checks of a run, as `coverage` names them, compare blocks with their neighbours. */
export const checksLinks = (checks: string): boolean => checks.split(",").includes("links")

/** A row of `coverage`: from, to, anchored, checks. */
export const COVERAGE_COLUMNS = "from_block, to_block, anchored, checks"

/** Reads what `coverage` says, for a run that trusts `trusted`. */
export const loadCoverage = Effect.fnUntraced(function* (
  database: StoreDatabase,
  trusted: ReadonlyMap<number, Uint8Array>,
) {
  const rows = yield* database.rows(
    `SELECT ${COVERAGE_COLUMNS} FROM coverage WHERE dataset = 'payloads' ORDER BY from_block`,
  )
  const segments = yield* Effect.forEach(rows, (row) => loadSegment(database, row))
  const datasets = new Map<string, BlockRanges>()
  for (const row of yield* database.rows("SELECT DISTINCT dataset FROM coverage")) {
    const name = textAt(row, 0)
    if (parseDataset(name) === undefined) continue
    const ranges = yield* database.rows(
      "SELECT from_block, to_block FROM coverage WHERE dataset = ?",
      [name],
    )
    const blocks = ranges.map((range) => [numberAt(range, 0), numberAt(range, 1)] as const)
    datasets.set(name, BlockRanges.fromRanges(blocks))
  }
  // The segments ask in the middle of a decision; SQLite answers at once, on this very thread.
  const linkOf = (blockNumber: number): BlockLink => {
    const answer = Effect.runSyncExit(readLink(database, blockNumber))
    if (Exit.isSuccess(answer)) return answer.value
    throw Cause.squash(answer.cause)
  }
  return new Coverage(new Segments({ segments, trusted, linkOf }), datasets, segments)
})

const loadSegment = Effect.fnUntraced(function* (database: StoreDatabase, row: Row) {
  const from = numberAt(row, 0)
  const to = numberAt(row, 1)
  const checks = textAt(row, 3)
  const { parentHash } = yield* readLink(database, from)
  const { hash } = yield* readLink(database, to)
  const segment: Segment = {
    from,
    to,
    firstParentHash: parentHash,
    lastHash: hash,
    anchored: numberAt(row, 2) === 1,
    checks,
    linked: checksLinks(checks),
  }
  return segment
})

const readLink = (
  database: StoreDatabase,
  blockNumber: number,
): Effect.Effect<BlockLink, StoreError> =>
  Effect.map(
    database.rows("SELECT block_hash, parent_hash FROM blocks WHERE block_number = ?", [
      blockNumber,
    ]),
    ([row]) => ({ hash: bytesAt(row, 0), parentHash: bytesAt(row, 1) }),
  )

/** The rows of a table that a block has, in the order of their keys, every integer a bigint. */
export const storedRows = (
  database: StoreDatabase,
  table: TableName,
  blockNumber: number,
): Effect.Effect<ReadonlyArray<Row>, StoreError> =>
  database.exactRows(storedRowsSql(table), [blockNumber])

const storedRowsSql = (table: TableName): string => {
  // The second column numbers the rows of a block, in `logs` the third one does.
  const order = table === "logs" ? "log_index" : columnNames(table)[1]!
  return `SELECT ${columnNames(table).join(", ")} FROM ${table} WHERE block_number = ? ORDER BY ${order}`
}

/** Numbers and hashes of the stored blocks of a range, rising. */
export const readHashes = (
  database: StoreDatabase,
  [from, to]: BlockRange,
): Effect.Effect<ReadonlyArray<TrustedHash>, StoreError> =>
  Effect.map(
    database.rows(
      "SELECT block_number, block_hash FROM blocks WHERE block_number BETWEEN ? AND ? ORDER BY block_number",
      [from, to],
    ),
    (rows) => rows.map((row) => ({ blockNumber: numberAt(row, 0), hash: bytesAt(row, 1).slice() })),
  )

/** Writes down that blocks `from` to `to` were replaced; hashes as `reorgs` has them. */
export const writeReorg = (
  database: StoreDatabase,
  reorg: {
    readonly noticedAtMs: number
    readonly from: number
    readonly to: number
    readonly oldHash: Uint8Array
    readonly newHash: Uint8Array
  },
): Effect.Effect<void, StoreError> =>
  database.run(
    "INSERT INTO reorgs (noticed_at_ms, from_block, to_block, old_hash, new_hash) VALUES (?, ?, ?, ?, ?)",
    [reorg.noticedAtMs, reorg.from, reorg.to, reorg.oldHash, reorg.newHash],
  )

/** Forgets what a trusted head has said of blocks above `blockNumber`. */
export const dropMarksAbove = (
  database: StoreDatabase,
  blockNumber: number,
): Effect.Effect<void, StoreError> =>
  database.run("DELETE FROM meta WHERE key IN (?, ?) AND CAST(value AS INTEGER) > ?", [
    metaKeys.safeBlock,
    metaKeys.finalizedBlock,
    blockNumber,
  ])

/** Notes a block that a trusted head has called safe, or finalized. */
export const writeMark = (
  database: StoreDatabase,
  mark: "safe" | "finalized",
  blockNumber: number,
): Effect.Effect<void, StoreError> =>
  database.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", [
    mark === "safe" ? metaKeys.safeBlock : metaKeys.finalizedBlock,
    String(blockNumber),
  ])
