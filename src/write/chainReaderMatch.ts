/**
 * Which logs of a block match a filter, told from its payload, and whether its bloom says that none
 * can.
 *
 * In: a filter, compiled once a query; blocks. Out: logs whose bytes are their own, so that a match
 * does not keep its block in memory.
 *
 * Invariants: the answer is exact; nothing is made for a log that does not match, and only
 * transactions with a match are hashed. A payload that is no block throws an RlpError: it was
 * damaged in the store.
 */
import { addToBloom, BLOOM_BYTES } from "../domain/bloom.ts"
import { nextTransaction, openBody, stepTransaction } from "../domain/body.ts"
import { keccak256 } from "../domain/keccak.ts"
import { FlatReceiptCursor, LogCursor, TOPIC_STRIDE } from "../domain/logs.ts"
import type { RlpReader } from "../domain/rlp.ts"
import type { LogFilter, StoredBlock, StoredLog } from "../rpc/ChainReader.ts"
import { ADDRESS_KIND, keyOf } from "./chainIndex/chainIndexPostings.ts"

/** A block as matching reads it. */
export interface MatchedBlock extends Pick<
  StoredBlock,
  "blockNumber" | "hash" | "body" | "receipts"
> {
  /** Seconds. */
  readonly timestamp: number
}

/** A filter made ready. */
export interface CompiledFilter {
  /** The alternatives of each condition that is none, as the index has them. */
  readonly keys: ReadonlyArray<ReadonlyArray<number>>
  /** For each such condition and alternative, where the bits of a bloom must be set. */
  readonly blooms: ReadonlyArray<ReadonlyArray<ReadonlyArray<BloomByte>>>
  readonly addresses: ByteSet | undefined
  /** By place; undefined: any topic. */
  readonly topics: ReadonlyArray<ByteSet | undefined>
}

/** Bits of one byte of a bloom. */
interface BloomByte {
  readonly at: number
  readonly mask: number
}

const ADDRESS_BYTES = 20
const TOPIC_BYTES = 32

/** Makes a filter ready. */
export const compileFilter = ({ addresses, topics }: LogFilter): CompiledFilter => {
  const conditions = [addresses, ...topics]
    .map((alternatives, at) => ({ alternatives, kind: ADDRESS_KIND + at }))
    .filter(({ alternatives }) => alternatives.length > 0)
  return {
    keys: conditions.map(({ alternatives, kind }) =>
      alternatives.map((item) => keyOf(kind, item, 0, item.length)),
    ),
    blooms: conditions.map(({ alternatives }) => alternatives.map(bloomBytes)),
    addresses: setOf(addresses, ADDRESS_BYTES),
    topics: topics.map((alternatives) => setOf(alternatives, TOPIC_BYTES)),
  }
}

const bloomBytes = (item: Uint8Array): ReadonlyArray<BloomByte> => {
  const bloom = new Uint8Array(BLOOM_BYTES)
  addToBloom(bloom, item)
  const bytes: Array<BloomByte> = []
  bloom.forEach((mask, at) => {
    if (mask !== 0) bytes.push({ at, mask })
  })
  return bytes
}

/** Whether a block with this bloom may have a log that matches. */
export const mayMatch = (bloom: Uint8Array, { blooms }: CompiledFilter): boolean =>
  blooms.every((alternatives) =>
    alternatives.some((bytes) => bytes.every(({ at, mask }) => (bloom[at]! & mask) === mask)),
  )

const setOf = (items: ReadonlyArray<Uint8Array>, length: number): ByteSet | undefined =>
  items.length === 0 ? undefined : new ByteSet(items, length)

/** Byte strings of one length, found by their last four bytes, where padded addresses differ. */
class ByteSet {
  readonly #length: number
  readonly #items = new Map<number, Array<Uint8Array>>()

  /** Items of another length are in no log. */
  constructor(items: ReadonlyArray<Uint8Array>, length: number) {
    this.#length = length
    for (const item of items) {
      if (item.length !== length) continue
      const key = wordAt(item, length - 4)
      this.#items.set(key, [...(this.#items.get(key) ?? []), item])
    }
  }

  has(bytes: Uint8Array, at: number): boolean {
    const items = this.#items.get(wordAt(bytes, at + this.#length - 4))
    return items !== undefined && items.some((item) => isAt(item, bytes, at))
  }
}

const wordAt = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)

const isAt = (item: Uint8Array, bytes: Uint8Array, at: number): boolean => {
  for (let i = 0; i < item.length; i++) if (item[i] !== bytes[at + i]) return false
  return true
}

/** Appends the logs of a block that match, in their order. */
export const matchLogs = (
  block: MatchedBlock,
  filter: CompiledFilter,
  out: Array<StoredLog>,
): void => {
  const receipts = new FlatReceiptCursor(block.receipts)
  const hashes = new TransactionHashes(block.body)
  for (let transactionIndex = 0, logIndex = 0; receipts.next(); transactionIndex++) {
    const logs = new LogCursor(receipts.bytes, receipts.logsStart, receipts.logsEnd)
    for (; logs.next(); logIndex++) {
      if (!matches(logs, filter)) continue
      out.push({
        blockNumber: block.blockNumber,
        blockHash: block.hash,
        blockTimestamp: block.timestamp,
        transactionHash: hashes.at(transactionIndex),
        transactionIndex,
        logIndex,
        ...ownBytes(logs),
      })
    }
  }
}

const matches = (log: LogCursor, { addresses, topics }: CompiledFilter): boolean => {
  if (topics.length > log.topicCount) return false
  if (addresses !== undefined && !addresses.has(log.bytes, log.addressStart)) return false
  for (let place = 0; place < topics.length; place++) {
    const set = topics[place]
    if (set !== undefined && !set.has(log.bytes, log.topicsStart + TOPIC_STRIDE * place)) {
      return false
    }
  }
  return true
}

/** One copy for all of a log. */
const ownBytes = (log: LogCursor): Pick<StoredLog, "address" | "topics" | "data"> => {
  const topicsAt = log.addressStart + ADDRESS_BYTES
  const own = log.bytes.slice(log.addressStart, log.dataEnd)
  const place = (at: number): number => at - log.addressStart
  const topics: Array<Uint8Array> = []
  for (let i = 0; i < log.topicCount; i++) {
    const at = place(log.topicsStart + TOPIC_STRIDE * i)
    topics.push(own.subarray(at, at + TOPIC_BYTES))
  }
  return {
    address: own.subarray(0, place(topicsAt)),
    topics,
    data: own.subarray(place(log.dataStart), place(log.dataEnd)),
  }
}

/** Hashes of the transactions of a body that are asked for, which rise. */
class TransactionHashes {
  readonly #body: Uint8Array
  #transactions: RlpReader | undefined
  #next = 0
  #last = new Uint8Array(0)

  constructor(body: Uint8Array) {
    this.#body = body
  }

  at(index: number): Uint8Array {
    if (index + 1 === this.#next) return this.#last
    this.#transactions ??= openBody(this.#body).transactions
    for (; this.#next < index; this.#next++) stepTransaction(this.#transactions)
    this.#last = new Uint8Array(keccak256(nextTransaction(this.#transactions)))
    this.#next += 1
    return this.#last
  }
}

/** The hash of a transaction of a body, 32 bytes; undefined where it has fewer. */
export const transactionHashAt = (body: Uint8Array, index: number): Uint8Array | undefined => {
  const { transactions } = openBody(body)
  for (let at = 0; !transactions.done; at++) {
    if (at === index) return keccak256(nextTransaction(transactions))
    stepTransaction(transactions)
  }
  return undefined
}
