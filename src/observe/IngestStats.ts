/**
 * What an ingest counts beside the {@link Counters} of every run: what was written, and where the
 * time of the stages went.
 */
import { Context, Layer } from "effect"
import type { WriteResult } from "../write/storeProtocol.ts"

/** Time of a stage, in milliseconds; thread time where the stage has a thread of its own. */
export type StageName = "check" | "rows" | "insert" | "commit" | "pack" | "fetch"

/** Counts of one ingest. */
export class IngestCounters {
  /** Blocks that passed all their checks. */
  checked = 0
  /** Blocks that failed one. */
  refuted = 0
  /** Blocks committed by this run. */
  written = 0
  transactions = 0
  logs = 0
  /** The database with its write-ahead log, as last seen. */
  databaseBytes = 0
  readonly stagesMs: Record<StageName, number> = {
    fetch: 0,
    pack: 0,
    check: 0,
    rows: 0,
    insert: 0,
    commit: 0,
  }

  /** A write was answered. */
  wrote(result: WriteResult): void {
    for (const [from, to] of result.committed) this.written += to - from + 1
    this.written -= result.alreadyStored
    this.transactions += result.transactions
    this.logs += result.logs
    this.databaseBytes = result.databaseBytes
    this.stagesMs.rows += result.timings.rowsMs
    this.stagesMs.insert += result.timings.insertMs
    this.stagesMs.commit += result.timings.commitMs
  }
}

/** The run's {@link IngestCounters}. */
export class IngestStats extends Context.Tag("annals/IngestStats")<IngestStats, IngestCounters>() {
  /** Fresh counters. */
  static readonly layer: Layer.Layer<IngestStats> = Layer.sync(
    IngestStats,
    () => new IngestCounters(),
  )
}
