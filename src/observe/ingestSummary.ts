/**
 * The summary of an ingest: the keys of every run's (`summary.ts`), and what is stored and how well
 * it is founded. Pure.
 */
import type { StoreStatus } from "../write/storeProtocol.ts"
import type { Counters } from "./counters.ts"
import { roundTo } from "./histogram.ts"
import type { IngestCounters, StageName } from "./IngestStats.ts"
import { type RunFacts, summarize, type Summary } from "./summary.ts"

/** What an ingest's summary has beside a probe's. */
export interface IngestSummary extends Summary {
  /** What the whole store holds now. */
  readonly stored: {
    readonly blocks: number
    readonly transactions: number
    readonly receipts: number
    readonly logs: number
    readonly db_bytes: number
  }
  readonly verified: {
    /** What each block of this run was checked for beside its hash. */
    readonly checks: ReadonlyArray<string>
    /** Blocks of this run that passed, and offers that did not. */
    readonly blocks: number
    readonly refuted: number
    /** Of the whole store: a trusted hash links down to them; a neighbour links; neither. */
    readonly anchored: number
    readonly linked: number
    readonly alone: number
  }
  /** Of a profile: milliseconds of each stage, of its own threads where it has some. */
  readonly stages?: Readonly<Record<StageName, number>>
}

/** What an ingest knows beside the facts of every run. */
export interface IngestFacts {
  readonly stored: StoreStatus
  readonly counters: IngestCounters
  readonly checks: ReadonlyArray<string>
}

/** The summary of an ingest that ended, or was stopped. */
export const summarizeIngest = (
  counters: Counters,
  run: RunFacts,
  { stored, counters: own, checks }: IngestFacts,
): IngestSummary => {
  const stages = Object.fromEntries(
    Object.entries(own.stagesMs).map(([name, ms]) => [name, roundTo(ms, 1)]),
  )
  return {
    ...summarize(counters, run),
    stored: {
      blocks: stored.blocks,
      transactions: stored.transactions,
      receipts: stored.transactions,
      logs: stored.logs,
      db_bytes: stored.databaseBytes,
    },
    verified: {
      checks,
      blocks: own.checked,
      refuted: own.refuted,
      anchored: stored.anchored,
      linked: stored.linked,
      alone: stored.alone,
    },
    ...(run.mode === "profile" ? { stages: { ...own.stagesMs, ...stages } } : {}),
  }
}

/** Two queries to begin with, for the sqlite3 shell, where the tables that they need are there. */
const examples = (file: string): ReadonlyArray<string> => [
  "try:",
  `  sqlite3 ${file} "SELECT address, count(*) AS logs FROM logs_hex GROUP BY address ORDER BY logs DESC LIMIT 5"`,
  `  sqlite3 ${file} "SELECT block_number, transaction_hash, to_address, gas_used FROM transactions_hex ORDER BY gas_used DESC LIMIT 5"`,
]

/** The summary for people, some lines; `file` is the database, `tables` what is kept in rows. */
export const ingestText = (
  summary: IngestSummary,
  file: string,
  tables: ReadonlyArray<string>,
): string => {
  const { range, totals, performance, stored, verified, peers, retries } = summary
  const lines = [
    `${summary.complete ? "complete" : "incomplete"}: blocks ${range.start_block} to ${range.end_block ?? "?"} of ${summary.network}`,
    `fetched ${totals.blocks_succeeded} blocks from ${peers.used} peers in ${(performance.elapsed_ms / 1000).toFixed(1)} s: ${performance.blocks_per_sec} blocks/s, ${performance.mib_per_sec} MiB/s, ${performance.cpu_ms_per_block} CPU-ms a block`,
    `checked ${verified.blocks} blocks (${verified.checks.join(", ") || "nothing"}), refused ${verified.refuted}; ${retries.requeued} retries`,
    `stored ${stored.blocks} blocks, ${stored.transactions} transactions, ${stored.logs} logs, ${(stored.db_bytes / 1e6).toFixed(1)} MB in ${file}`,
    `anchored ${verified.anchored}, linked ${verified.linked}, alone ${verified.alone}`,
  ]
  if (summary.failed_blocks.length > 0) {
    const ranges = summary.failed_blocks.map(([from, to]) => `${from}-${to}`)
    lines.push(`missing ${totals.blocks_failed} blocks: ${ranges.slice(0, 20).join(", ")}`)
  }
  if (summary.stages !== undefined) {
    const stages = Object.entries(summary.stages).map(([name, ms]) => `${name} ${ms} ms`)
    lines.push(`stages: ${stages.join(", ")}`)
  }
  if (tables.includes("logs") && tables.includes("transactions")) lines.push(...examples(file))
  return lines.join("\n")
}
