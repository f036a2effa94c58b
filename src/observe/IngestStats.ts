/**
 * What an ingest counts beside the {@link Counters} of every run: what was written, and where the
 * time of the stages went.
 */
import { Context, Layer } from "effect"
import type { WriteResult } from "../write/storeProtocol.ts"

/**
 * What the time of a block goes into, in milliseconds summed over all blocks:
 * - `fetch`: from its batch's first request to having it whole (waiting for peers, mostly);
 * - `queue`: from there to the checking stage's hands;
 * - `pack`: copying it into a pack, on the main thread;
 * - `check`: hashing, roots and blooms, processor time of the checking threads;
 * - `rows`, `insert`, `commit`: decoding, binding and committing, in the store's thread.
 */
export type StageName = "fetch" | "queue" | "pack" | "check" | "rows" | "insert" | "commit"

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
    queue: 0,
    pack: 0,
    check: 0,
    rows: 0,
    insert: 0,
    commit: 0,
  }

  /** Blocks were committed that took the place of others, or extended the chain. */
  replaced(
    blocks: number,
    result: Pick<WriteResult, "transactions" | "logs" | "databaseBytes">,
  ): void {
    this.written += blocks
    this.transactions += result.transactions
    this.logs += result.logs
    this.databaseBytes = result.databaseBytes
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
