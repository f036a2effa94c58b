/**
 * Who sent the transactions of the blocks that were asked for last, so that a signature is recovered
 * once and not for everyone who asks: it costs more than all else of a full block together.
 *
 * In: blocks, by their hash. Out: addresses of 20 bytes, recovered when they are first asked for.
 *
 * Invariants: what is told of a block holds for its hash, whatever becomes of the chain; at most the
 * bytes that were allowed are kept beside the block that was asked for last; what was not asked for
 * the longest goes first.
 */
import { countBody, nextTransaction, openBody } from "../domain/body.ts"
import { toHex } from "../domain/hex.ts"
import { recoverSender } from "../domain/signature.ts"
import { readTransaction, type Transaction } from "../domain/transactions.ts"
import type { StoredBlock } from "./ChainReader.ts"

/** The sender of the transaction at `index` of a block; undefined when its signature is of no key. */
export type SenderOf = (index: number, transaction: Transaction) => Uint8Array | undefined

/** Where nothing is remembered. */
export const recovered: SenderOf = (_index, transaction) => recoverSender(transaction)

/** Those of some 750,000 transactions: of 4,000 blocks as mainnet has them. */
export const SENDERS_BYTES = 16 * 1024 * 1024

const ADDRESS_BYTES = 20
/** An address, and whether it is known. */
const TRANSACTION_BYTES = ADDRESS_BYTES + 1
/** Of a block: its key and the objects that hold the rest. */
const BLOCK_BYTES = 384

/** The senders of one block, as far as they are known. */
export class BlockSenders {
  readonly #addresses: Uint8Array
  readonly #known: Uint8Array
  #left: number

  /** Of a block with so many transactions. */
  constructor(transactions: number) {
    this.#addresses = new Uint8Array(ADDRESS_BYTES * transactions)
    this.#known = new Uint8Array(transactions)
    this.#left = transactions
  }

  /** What this keeps in memory, about. */
  get bytes(): number {
    return BLOCK_BYTES + TRANSACTION_BYTES * this.#known.length
  }

  /** As {@link SenderOf}; a transaction that the block does not have is recovered and forgotten. */
  readonly of: SenderOf = (index, transaction) => {
    const at = ADDRESS_BYTES * index
    const known = this.#known[index]
    if (known === undefined) return recoverSender(transaction)
    if (known !== UNKNOWN) {
      return known === NOBODY ? undefined : this.#addresses.subarray(at, at + ADDRESS_BYTES)
    }
    const sender = recoverSender(transaction)
    if (sender !== undefined) this.#addresses.set(sender, at)
    this.#settle(index, sender === undefined ? NOBODY : SOMEBODY)
    return sender
  };

  /**
   * Recovers all that are not known yet of the block with this body; stops after each, so that whoever
   * runs it decides when to go on. RlpError: it is no body.
   */
  *recoverAll(body: Uint8Array): Generator<void, void> {
    if (this.#left === 0) return
    const { transactions } = openBody(body)
    for (let index = 0; !transactions.done; index++) {
      const bytes = nextTransaction(transactions)
      if (this.#known[index] !== UNKNOWN) continue
      const transaction = readTransaction(bytes)
      // Of a type that is not known nobody is told.
      if (transaction === undefined) this.#settle(index, NOBODY)
      else this.of(index, transaction)
      yield
    }
  }

  #settle(index: number, as: number): void {
    this.#known[index] = as
    this.#left -= 1
  }
}

const UNKNOWN = 0
const SOMEBODY = 1
const NOBODY = 2

/** See the module. */
export class SenderCache {
  readonly #mostBytes: number
  /** In the order in which they were asked for. */
  readonly #blocks = new Map<string, BlockSenders>()
  #bytes = 0

  constructor(mostBytes: number = SENDERS_BYTES) {
    this.#mostBytes = mostBytes
  }

  /** Bytes that are kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** The senders of a block. RlpError: its body is none. */
  ofBlock({ hash, body }: Pick<StoredBlock, "hash" | "body">): BlockSenders {
    const key = toHex(hash)
    const senders = this.#blocks.get(key) ?? new BlockSenders(countBody(body).transactions)
    this.#forget(key)
    for (const oldest of this.#blocks.keys()) {
      if (this.#bytes + senders.bytes <= this.#mostBytes) break
      this.#forget(oldest)
    }
    this.#blocks.set(key, senders)
    this.#bytes += senders.bytes
    return senders
  }

  #forget(key: string): void {
    this.#bytes -= this.#blocks.get(key)?.bytes ?? 0
    this.#blocks.delete(key)
  }
}
