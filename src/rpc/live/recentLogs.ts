/**
 * The logs of blocks that were told last, taken out of them once for everyone who is told: two
 * hundred subscriptions to logs are told of the same new block within a moment.
 *
 * In: blocks in memory. Out: all their logs, as views of the block's bytes. RlpError: the store's
 * bytes are damaged.
 *
 * Invariants: what is told of a block holds for its hash; at most {@link RECENT_BYTES} are kept beside
 * the block that was asked for last; what was not asked for the longest goes first.
 */
import { toHex } from "../../domain/hex.ts"
import type { LogFilter, StoredBlock, StoredLog } from "../ChainReader.ts"
import { matchesLog, matchingLogs } from "./blockLogs.ts"

/** Of logs as they are in memory, and of their blocks. */
export const RECENT_BYTES = 16 * 1024 * 1024

/** Of a log: the object, its lists, and the views of its bytes. */
const LOG_BYTES = 512
const TOPIC_BYTES = 96

const ALL: LogFilter = { addresses: [], topics: [] }

interface BlockLogs {
  readonly logs: ReadonlyArray<StoredLog>
  readonly bytes: number
}

/** See the module. */
export class RecentLogs {
  readonly #mostBytes: number
  /** In the order in which they were asked for. */
  readonly #blocks = new Map<string, BlockLogs>()
  #bytes = 0

  constructor(mostBytes: number = RECENT_BYTES) {
    this.#mostBytes = mostBytes
  }

  /** Bytes that are kept, about. */
  get bytes(): number {
    return this.#bytes
  }

  /** The logs of `block` that match, in their order. */
  matching(block: StoredBlock, filter: LogFilter): ReadonlyArray<StoredLog> {
    return this.#logsOf(block).filter((log) => matchesLog(filter, log))
  }

  /** Forgets all. */
  clear(): void {
    this.#blocks.clear()
    this.#bytes = 0
  }

  #logsOf(block: StoredBlock): ReadonlyArray<StoredLog> {
    const key = toHex(block.hash)
    const kept = this.#blocks.get(key) ?? readLogs(block)
    this.#forget(key)
    for (const oldest of this.#blocks.keys()) {
      if (this.#bytes + kept.bytes <= this.#mostBytes) break
      this.#forget(oldest)
    }
    this.#blocks.set(key, kept)
    this.#bytes += kept.bytes
    return kept.logs
  }

  #forget(key: string): void {
    this.#bytes -= this.#blocks.get(key)?.bytes ?? 0
    this.#blocks.delete(key)
  }
}

const readLogs = (block: StoredBlock): BlockLogs => {
  const logs = matchingLogs(block, ALL)
  const bytes = logs.reduce((sum, { topics }) => sum + LOG_BYTES + TOPIC_BYTES * topics.length, 0)
  // The views keep the block's bytes in memory, too.
  return { logs, bytes: bytes + block.body.length + block.receipts.length }
}
