/**
 * What the index keeps of a segment, a run of stored blocks: made of their payloads.
 *
 * In: blocks in their order, each one above the last. Out: a {@link SegmentContent}.
 *
 * Invariants: no object is made for a log or a transaction; memory is bounded by
 * {@link MOST_ENTRIES}, some 40 bytes each at the end, and what one block more brings. A payload
 * that is no block throws an RlpError: it was damaged in the store.
 */
import { openBody, stepTransaction } from "../../domain/body.ts"
import { keccak256Parts } from "../../domain/keccak.ts"
import { KeccakBatch, messageBytes } from "../../domain/keccakBatch.ts"
import { FlatReceiptCursor, LogCursor, TOPIC_STRIDE } from "../../domain/logs.ts"
import type { RlpReader } from "../../domain/rlp.ts"
import {
  ADDRESS_KIND,
  encodeVarints,
  keyOf,
  type Postings,
  PostingsBuilder,
} from "./chainIndexPostings.ts"
import { RunBuilder } from "./chainIndexRuns.ts"

/** A segment that takes no more than it has: four times what 1,024 blocks of mainnet's shape bring. */
export const MOST_ENTRIES = 3_000_000

/** A block as the index reads it. */
export interface IndexedBlock {
  readonly blockNumber: number
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** RLP. */
  readonly body: Uint8Array
  /** RLP, in the form of eth/69. */
  readonly receipts: Uint8Array
  /** Bytes of its payload as it is stored. */
  readonly packedBytes: number
}

/** What becomes rows of the index. */
export interface SegmentContent {
  readonly from: number
  readonly to: number
  /** Hashes of the blocks `from` and `to`. */
  readonly firstHash: Uint8Array
  readonly lastHash: Uint8Array
  /** {@link payloadsDigest} of all blocks. */
  readonly digest: Uint8Array
  /** How many logs each block has, as varints. */
  readonly logCounts: Uint8Array
  readonly postings: Postings
  /** Of its run of transactions. */
  readonly transactions: number
  readonly run: ReadonlyArray<Uint8Array>
}

const ADDRESS_BYTES = 20
const TOPIC_BYTES = 32

/** Collects the blocks of a segment. */
export class SegmentBuilder {
  readonly #postings = new PostingsBuilder()
  readonly #run = new RunBuilder()
  readonly #logCounts: Array<number> = []
  #from = 0
  readonly #payloads: Array<StoredPayload> = []
  #logs = 0

  /** Blocks so far. */
  get blocks(): number {
    return this.#logCounts.length
  }

  /** Whether it is to be built before another block comes. */
  get full(): boolean {
    return this.#postings.size + this.#run.size >= MOST_ENTRIES
  }

  /** Takes the block above the last one. After an RlpError the block is not in. */
  add({ blockNumber, hash, body, receipts, packedBytes }: IndexedBlock): void {
    const before = this.#logs
    const list = new FlatReceiptCursor(receipts)
    let ordinal = before
    while (list.next()) ordinal = this.#addLogs(list, ordinal)
    hashTransactions(openBody(body).transactions, (bytes, at, index) =>
      this.#run.add(bytes, at, blockNumber, index),
    )
    if (this.blocks === 0) this.#from = blockNumber
    this.#payloads.push({ hash: new Uint8Array(hash), packedBytes })
    this.#logs = ordinal
    this.#logCounts.push(ordinal - before)
  }

  /** What was collected, of one block at least; the builder is spent. */
  build(): SegmentContent {
    return {
      from: this.#from,
      to: this.#from + this.blocks - 1,
      firstHash: this.#payloads[0]!.hash,
      lastHash: this.#payloads.at(-1)!.hash,
      digest: payloadsDigest(this.#payloads),
      logCounts: encodeVarints(this.#logCounts),
      postings: this.#postings.build(),
      transactions: this.#run.size,
      run: this.#run.build(),
    }
  }

  #addLogs({ bytes, logsStart, logsEnd }: FlatReceiptCursor, first: number): number {
    const logs = new LogCursor(bytes, logsStart, logsEnd)
    let ordinal = first
    for (; logs.next(); ordinal++) {
      this.#postings.add(keyOf(ADDRESS_KIND, bytes, logs.addressStart, ADDRESS_BYTES), ordinal)
      for (let place = 0; place < logs.topicCount; place++) {
        const at = logs.topicsStart + TOPIC_STRIDE * place
        this.#postings.add(keyOf(ADDRESS_KIND + 1 + place, bytes, at, TOPIC_BYTES), ordinal)
      }
    }
    return ordinal
  }
}

/** What tells a stored payload from another one that is stored under the same hash. */
export type StoredPayload = Pick<IndexedBlock, "hash" | "packedBytes">

/**
 * Tells whether all payloads of a segment are still the same ones: keccak256 of their blocks' hashes
 * and their lengths. A payload that was checked follows from the hash alone.
 */
export const payloadsDigest = (payloads: ReadonlyArray<StoredPayload>): Uint8Array => {
  const lengths = new DataView(new ArrayBuffer(LENGTH_BYTES * payloads.length))
  for (const [at, { packedBytes }] of payloads.entries()) {
    lengths.setUint32(LENGTH_BYTES * at, packedBytes, true)
  }
  const parts = [...payloads.map(({ hash }) => hash), new Uint8Array(lengths.buffer)]
  return new Uint8Array(keccak256Parts(parts))
}

const LENGTH_BYTES = 4

const HASH_BYTES = 32
/** Transactions that are hashed at a time, and bytes of them after which no more are added. */
const BATCH_JOBS = 256
const BATCH_BYTES = 256 * 1024

let hasher: KeccakBatch | undefined

/**
 * Hashes the transactions of a body and gives each, in its order, with the place of its hash, which
 * is good during the call. A thread hashes one body at a time.
 */
export const hashTransactions = (
  list: RlpReader,
  each: (bytes: Uint8Array, at: number, index: number) => void,
): void => {
  const batch = (hasher ??= new KeccakBatch(BATCH_JOBS))
  batch.clear()
  const messages = batch.start + HASH_BYTES * BATCH_JOBS
  for (let index = 0; !list.done;) {
    let end = messages
    while (!list.done && !batch.full && end - messages < BATCH_BYTES) {
      end = addMessage(batch, list, end)
    }
    const { jobs } = batch
    batch.run()
    for (let job = 0; job < jobs; job++) {
      each(batch.bytes, batch.start + HASH_BYTES * job, index++)
    }
  }
}

/** What is hashed is the item of a legacy transaction, and the payload of a typed one (EIP-2718). */
const addMessage = (batch: KeccakBatch, list: RlpReader, at: number): number => {
  stepTransaction(list)
  const from = list.isList ? list.itemStart : list.start
  const length = list.end - from
  const end = at + messageBytes(length)
  batch.reserve(end)
  batch.bytes.set(list.bytes.subarray(from, list.end), at)
  batch.add(at, length, batch.start + HASH_BYTES * batch.jobs)
  return end
}
