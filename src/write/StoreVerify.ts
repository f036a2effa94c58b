/**
 * Recomputes from the store alone all that it claims: hashes, links and roots of its payloads, the
 * rows of its tables, the ranges of its coverage, its totals.
 *
 * In: an open store, which a sync may be writing to. Out: how much was looked at and what is wrong.
 * Nothing is mended.
 *
 * It goes in pages of some blocks, each on one unchanging view of the database, so that it neither
 * holds the write-ahead log back nor mistakes a commit in between for damage. Every number from 0
 * up belongs to one page: rows in a gap are found too.
 */
import { Effect } from "effect"
import { BlockRanges, type BlockRange } from "../domain/blockRanges.ts"
import { toHex0x } from "../domain/hex.ts"
import { RlpError, RlpReader } from "../domain/rlp.ts"
import { blockDatasets, parseDataset, sendersDataset } from "./datasets.ts"
import { payloadDamages } from "./payloadDamages.ts"
import type { BlockPayload, LogFilter } from "./rows.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import type { StoreError } from "./StoreError.ts"
import type { Damage, StoreProgress, VerifyReport } from "./storeProtocol.ts"
import { readTotals, storedRows } from "./StoreRows.ts"
import { breathe, filteredRows } from "./StoreTables.ts"
import { numberAt, textAt, type Row } from "./storedValues.ts"
import {
  countsOf,
  PAYLOAD_QUERY,
  payloadOfRow,
  splitRows,
  tableRows,
  type TableRows,
} from "./tableRows.ts"
import { columnNames, metaKeys, optionalTables, type OptionalTable } from "./tables.ts"

/** Blocks a page: some megabytes of mainnet's. */
const PAGE_BLOCKS = 32
/** Damages that are told one by one; of the rest only the number. */
const MOST_DAMAGES = 100
const LAST_NUMBER = Number.MAX_SAFE_INTEGER - 1

/** Verifies the whole store. */
export const verifyStore = Effect.fn("Store.verify")(function* (
  database: StoreDatabase,
  onProgress: (progress: StoreProgress) => void,
) {
  const findings = new Findings()
  const version = yield* dataVersion(database)
  const [count] = yield* database.rows(
    "SELECT coalesce(sum(to_block - from_block + 1), 0) FROM coverage WHERE dataset = 'payloads'",
  )
  const total = numberAt(count, 0)
  for (let from = 0; from <= LAST_NUMBER;) {
    from = yield* database.snapshot(verifyPage(database, findings, from))
    onProgress({ done: findings.blocks, total })
    yield* breathe
  }
  yield* database.snapshot(verifyTotals(database, findings, version))
  return findings.report()
})

/** What was found so far, and what the next block is held against. */
class Findings {
  blocks = 0
  transactions = 0
  logs = 0
  rows = 0
  damageCount = 0
  readonly damages: Array<Damage> = []
  /** The block before, where it was readable. */
  last: { readonly blockNumber: number; readonly hash: Uint8Array } | undefined

  add(blockNumber: number, what: string, expected: string, actual: string): void {
    this.damageCount += 1
    if (this.damages.length < MOST_DAMAGES) {
      this.damages.push({ blockNumber, what, expected, actual })
    }
  }

  report(): VerifyReport {
    const { blocks, transactions, logs, rows, damageCount, damages } = this
    return { blocks, transactions, logs, rows, damageCount, damages }
  }
}

/** Changes whenever another connection commits. */
const dataVersion = (database: StoreDatabase): Effect.Effect<number, StoreError> =>
  Effect.map(database.rows("PRAGMA data_version"), ([row]) => numberAt(row, 0))

/** Verifies one page and gives where the next one starts. */
const verifyPage = Effect.fnUntraced(function* (
  database: StoreDatabase,
  findings: Findings,
  from: number,
) {
  const rows = yield* database.rows(
    `${PAYLOAD_QUERY} WHERE block_number >= ? ORDER BY block_number LIMIT ?`,
    [from, PAGE_BLOCKS],
  )
  const to = rows.length < PAGE_BLOCKS ? LAST_NUMBER : numberAt(rows.at(-1), 0)
  const coverage = yield* readCoverage(database, findings, from, to)
  yield* verifyCoverage(database, findings, coverage, [from, to])
  for (const row of rows) yield* verifyBlock(database, findings, coverage, row)
  return to + 1
})

type PageCoverage = ReadonlyMap<string, BlockRanges>

const readCoverage = Effect.fnUntraced(function* (
  database: StoreDatabase,
  findings: Findings,
  from: number,
  to: number,
) {
  const coverage = new Map<string, BlockRanges>()
  const rows = yield* database.rows(
    "SELECT dataset, from_block, to_block FROM coverage WHERE to_block >= ? AND from_block <= ?",
    [from, to],
  )
  for (const row of rows) {
    const name = textAt(row, 0)
    const [first, last] = [Math.max(from, numberAt(row, 1)), Math.min(to, numberAt(row, 2))]
    const before = coverage.get(name) ?? BlockRanges.empty
    const after = before.add(first, last)
    if (after.count - before.count !== last - first + 1) {
      findings.add(first, "coverage", `${name} once`, `${name} more than once`)
    }
    coverage.set(name, after)
  }
  return coverage
})

const tell = (
  findings: Findings,
  blocks: BlockRanges,
  [what, expected, actual]: readonly [string, string, string],
): void => {
  for (const [from, to] of blocks.ranges()) {
    const more = to > from ? `, and so on up to block ${to}` : ""
    findings.add(from, what, expected, `${actual}${more}`)
  }
}

/** Holds the ranges of a page against the blocks that have rows. */
const verifyCoverage = Effect.fnUntraced(function* (
  database: StoreDatabase,
  findings: Findings,
  coverage: PageCoverage,
  range: BlockRange,
) {
  const of = (name: string): BlockRanges => coverage.get(name) ?? BlockRanges.empty
  for (const table of blockDatasets) {
    const there = yield* blocksWithRows(database, table, range)
    tell(findings, of(table).subtract(there), [table, "a row", "none"])
    tell(findings, there.subtract(of(table)), [table, "no row that is not covered", "a row"])
  }
  for (const [name, blocks] of coverage) {
    tell(findings, blocks.subtract(of("payloads")), ["coverage", `${name} within payloads`, name])
  }
  for (const table of optionalTables) {
    const names = [...coverage.keys()].filter((name) => parseDataset(name)?.table === table)
    const covered = names.reduce((all, name) => all.union(of(name)), BlockRanges.empty)
    const there = yield* blocksWithRows(database, table, range)
    tell(findings, there.subtract(covered), [table, "no row that is not covered", "a row"])
  }
})

const blocksWithRows = (
  database: StoreDatabase,
  table: string,
  range: BlockRange,
): Effect.Effect<BlockRanges, StoreError> =>
  Effect.map(
    database.rows(
      `SELECT DISTINCT block_number FROM ${table} WHERE block_number BETWEEN ? AND ?`,
      range,
    ),
    (rows) => BlockRanges.fromRanges(rows.map((row) => [numberAt(row, 0), numberAt(row, 0)])),
  )

const verifyBlock = Effect.fnUntraced(function* (
  database: StoreDatabase,
  findings: Findings,
  coverage: PageCoverage,
  row: Row,
) {
  const blockNumber = numberAt(row, 0)
  const payload = readable(row)
  const before = findings.last
  findings.last = undefined
  findings.blocks += 1
  if (payload === undefined) {
    return findings.add(blockNumber, "payloads", "a payload", "what cannot be read")
  }
  for (const { what, expected, actual } of payloadDamages(payload)) {
    findings.add(blockNumber, what, expected, actual)
  }
  findings.last = { blockNumber, hash: payload.hash }
  try {
    verifyLink(findings, payload, before)
    const blocks = tableRows("blocks", payload)
    const counts = countsOf(blocks)
    findings.transactions += counts.transactions
    findings.logs += counts.logs
    yield* compareRows(database, findings, blockNumber, blocks)
    for (const table of optionalTables) {
      const expected = expectedRows(table, payload, coverage)
      if (expected !== undefined) yield* compareRows(database, findings, blockNumber, expected)
    }
  } catch (error) {
    if (!(error instanceof RlpError)) throw error
    findings.add(blockNumber, "payloads", "a block", error.message)
  }
})

const readable = (row: Row): BlockPayload | undefined => {
  try {
    return payloadOfRow(row)
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

const verifyLink = (
  findings: Findings,
  { blockNumber, header }: BlockPayload,
  before: Findings["last"],
): void => {
  if (before?.blockNumber !== blockNumber - 1) return
  const parentHash = toHex0x(RlpReader.list(header).nextFixed(32))
  const expected = toHex0x(before.hash)
  if (parentHash !== expected) findings.add(blockNumber, "parent_hash", expected, parentHash)
}

/** The rows that a block must have in a table; undefined where no dataset covers it. */
const expectedRows = (
  table: OptionalTable,
  payload: BlockPayload,
  coverage: PageCoverage,
): TableRows | undefined => {
  const covers = (name: string): boolean => coverage.get(name)?.has(payload.blockNumber) === true
  if (covers(table)) return tableRows(table, payload, covers(sendersDataset) ? "all" : "creations")
  if (table !== "logs") return undefined
  const filters = [...coverage.keys()].filter(covers).flatMap((name) => {
    const dataset = parseDataset(name)
    return dataset?.kind === "filtered" ? [dataset.filter] : []
  })
  return filters.length === 0 ? undefined : unionOfLogs(payload, filters)
}

const LOG_INDEX_AT = columnNames("logs").indexOf("log_index")

const unionOfLogs = (payload: BlockPayload, filters: ReadonlyArray<LogFilter>): TableRows => {
  const byIndex = new Map(
    filters
      .flatMap((filter) => splitRows(filteredRows(payload, filter)))
      .map((row) => [Number(row[LOG_INDEX_AT]), row] as const),
  )
  const rows = [...byIndex].sort(([a], [b]) => a - b).map(([, row]) => row)
  return { table: "logs", count: rows.length, values: rows.flat() }
}

const compareRows = Effect.fnUntraced(function* (
  database: StoreDatabase,
  findings: Findings,
  blockNumber: number,
  rows: TableRows,
) {
  const { table } = rows
  const stored = yield* storedRows(database, table, blockNumber)
  findings.rows += stored.length
  if (stored.length !== rows.count) {
    findings.add(blockNumber, table, `${rows.count} rows`, `${stored.length} rows`)
    return
  }
  splitRows(rows).forEach((row, at) => {
    row.forEach((value, column) => {
      const actual = stored[at]?.[column]
      if (same(value, actual)) return
      const what = `${table}.${columnNames(table)[column]!} of row ${at}`
      findings.add(blockNumber, what, show(value), show(actual))
    })
  })
})

const same = (expected: unknown, actual: unknown): boolean => {
  if (expected instanceof Uint8Array) {
    return actual instanceof Uint8Array && Buffer.compare(expected, actual) === 0
  }
  if (typeof expected === "number") return BigInt(expected) === actual
  return expected === actual
}

/** Longest value that is told whole, in bytes. */
const MOST_SHOWN = 64

const show = (value: unknown): string => {
  if (!(value instanceof Uint8Array)) return String(value)
  if (value.length <= MOST_SHOWN) return toHex0x(value)
  return `${toHex0x(value.subarray(0, MOST_SHOWN))}… (${value.length} bytes)`
}

/** Holds what `meta` says against what was found, unless something was written meanwhile. */
const verifyTotals = Effect.fnUntraced(function* (
  database: StoreDatabase,
  findings: Findings,
  version: number,
) {
  const [row] = yield* database.rows(
    "SELECT meta.value, blocks.block_hash FROM meta, blocks WHERE meta.key = ? AND blocks.block_number = 0",
    [metaKeys.genesisHash],
  )
  if (row !== undefined && show(row[1]) !== row[0]) {
    findings.add(0, "genesis hash", String(row[0]), show(row[1]))
  }
  const totals = yield* readTotals(database)
  if ((yield* dataVersion(database)) !== version) return
  for (const name of ["transactions", "logs"] as const) {
    if (totals[name] === findings[name]) continue
    findings.add(0, `total of ${name}`, String(findings[name]), String(totals[name]))
  }
})
