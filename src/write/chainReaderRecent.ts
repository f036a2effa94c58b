/**
 * The transactions of blocks that are not indexed yet, in memory: so that a client that asks for a
 * transaction again and again does not have the same blocks hashed again and again.
 *
 * In: bodies by the hash of their block. Out: the indexes of transactions whose hash may be the one
 * that is asked for, by its first 40 bits.
 *
 * Invariant: at most {@link MOST_TRANSACTIONS} are remembered beside those of one block; what was
 * not asked for the longest goes first.
 */
import { openBody } from "../domain/body.ts"
import { toHex } from "../domain/hex.ts"
import { prefixOf } from "./chainIndex/chainIndexRuns.ts"
import { hashTransactions } from "./chainIndex/chainIndexSegment.ts"

/** 8 bytes each. */
const MOST_TRANSACTIONS = 500_000

/** See the module. */
export class RecentTransactions {
  readonly #blocks = new Map<string, Float64Array>()
  #transactions = 0

  /** Whether the block is remembered. */
  has(blockHash: Uint8Array): boolean {
    return this.#blocks.has(toHex(blockHash))
  }

  /** Remembers a block. Throws an RlpError for what is no body. */
  add(blockHash: Uint8Array, body: Uint8Array): void {
    const prefixes: Array<number> = []
    hashTransactions(openBody(body).transactions, (bytes, at) => prefixes.push(prefixOf(bytes, at)))
    const key = toHex(blockHash)
    this.#forget(key)
    for (const oldest of this.#blocks.keys()) {
      if (this.#transactions + prefixes.length <= MOST_TRANSACTIONS) break
      this.#forget(oldest)
    }
    this.#blocks.set(key, Float64Array.from(prefixes))
    this.#transactions += prefixes.length
  }

  /** The indexes of the transactions of a remembered block that a hash may be that of. */
  find(blockHash: Uint8Array, transactionHash: Uint8Array): ReadonlyArray<number> {
    const key = toHex(blockHash)
    const prefixes = this.#blocks.get(key)
    if (prefixes === undefined) return []
    // Asked for last: it goes last.
    this.#blocks.delete(key)
    this.#blocks.set(key, prefixes)
    const wanted = prefixOf(transactionHash)
    const found: Array<number> = []
    for (let at = prefixes.indexOf(wanted); at >= 0; at = prefixes.indexOf(wanted, at + 1)) {
      found.push(at)
    }
    return found
  }

  #forget(key: string): void {
    this.#transactions -= this.#blocks.get(key)?.length ?? 0
    this.#blocks.delete(key)
  }
}
