/**
 * One view of the stored chain and of its index, for questions that are answered in slices.
 *
 * In: two connections. Out: rows as bytes of blocks, candidates of the index.
 *
 * Invariants: between `begin` and `end` all answers are of one state of the store, and of one of the
 * index; the index is left out where there is none, or where it was found to be damaged. Whatever
 * fails is thrown: a ReadFailed for damaged payloads, a StoreError, an IndexDamaged. SQLite is
 * asked on the calling thread.
 */
import { Effect, Exit, Scope } from "effect"
import { BlockRanges, type BlockRange } from "../domain/blockRanges.ts"
import { ReadFailed } from "../rpc/ChainReader.ts"
import {
  type Catalog,
  segmentsWithin,
  type Segment,
  strangersAmong,
} from "./chainIndex/ChainIndexCatalog.ts"
import { type StoreIdentity, indexInode, openIndexToRead } from "./chainIndex/ChainIndexDatabase.ts"
import { type CatalogMemory, IndexReader } from "./chainIndex/ChainIndexReader.ts"
import type { MatchedBlock } from "./chainReaderMatch.ts"
import { unpackParts } from "./payloadCodec.ts"
import { placeholders, rowsNow, runNow } from "./RowsNow.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import { bytesAt, numberAt, type Row } from "./storedValues.ts"

/** How long a missing index is not looked for again. */
const LOOK_AGAIN_MS = 500

const SEGMENTS_AT_ONCE = 256

/** What is known of the segments of a catalog. */
interface Judged {
  /** SQLite's own number of what others have committed. */
  readonly version: number
  readonly catalog: Catalog
  readonly valid: Set<Segment>
  readonly strangers: Set<Segment>
  /** Blocks in valid segments, once all of them were looked at. */
  blocks: BlockRanges | undefined
}

/** See the module. */
export class ChainView {
  readonly #store: StoreDatabase
  readonly #directory: string
  readonly #identity: StoreIdentity
  readonly #memory: CatalogMemory
  #opened: { readonly reader: IndexReader; readonly scope: Scope.CloseableScope } | undefined
  #lookedAtMs = -Infinity
  #inUse = false
  /** What was found out of segments, and of which state of the store: that may cost a look at each block. */
  #judged: Judged | undefined

  constructor(
    store: StoreDatabase,
    directory: string,
    identity: StoreIdentity,
    memory: CatalogMemory,
  ) {
    this.#store = store
    this.#directory = directory
    this.#identity = identity
    this.#memory = memory
  }

  /** Starts a view; with `useIndex` false one without the index. */
  begin(useIndex: boolean): void {
    runNow(this.#store, "BEGIN")
    this.#inUse = false
    if (!useIndex) return
    try {
      const reader = this.#reader()
      reader?.begin()
      this.#inUse = reader !== undefined
    } catch (error) {
      this.forgetIndex()
      throw error
    }
  }

  /** Ends the view, however it went. */
  end(): void {
    const ends = [() => runNow(this.#store, "COMMIT")]
    const reader = this.#opened?.reader
    if (this.#inUse && reader !== undefined) ends.push(() => reader.end())
    this.#inUse = false
    for (const end of ends) {
      try {
        end()
      } catch {
        // A view that could not even begin has nothing to end.
      }
    }
  }

  /** Closes the index; it is opened again when it is asked for. */
  forgetIndex(): void {
    this.#inUse = false
    this.#judged = undefined
    if (this.#opened !== undefined) Effect.runSync(Scope.close(this.#opened.scope, Exit.void))
    this.#opened = undefined
  }

  /** The index, where this view has one. */
  get index(): IndexReader | undefined {
    return this.#inUse ? this.#opened?.reader : undefined
  }

  /** The index as its file is now. */
  #reader(): IndexReader | undefined {
    const inode = indexInode(this.#directory)
    if (this.#opened !== undefined && this.#opened.reader.inode === inode) {
      return this.#opened.reader
    }
    this.forgetIndex()
    if (inode === undefined || performance.now() - this.#lookedAtMs < LOOK_AGAIN_MS) {
      return undefined
    }
    this.#lookedAtMs = performance.now()
    const scope = Effect.runSync(Scope.make())
    try {
      const opening = openIndexToRead(this.#directory, this.#identity)
      const found = Effect.runSync(Scope.extend(opening, scope))
      if (found !== undefined) {
        this.#opened = { reader: new IndexReader(found, this.#memory), scope }
        this.#lookedAtMs = -Infinity
      }
    } finally {
      if (this.#opened === undefined) Effect.runSync(Scope.close(scope, Exit.void))
    }
    return this.#opened?.reader
  }

  /** The first block of a range that is not stored. */
  firstMissing([from, to]: BlockRange): number | undefined {
    let next = from
    const rows = rowsNow(
      this.#store,
      `SELECT from_block, to_block FROM coverage
       WHERE dataset = 'payloads' AND from_block <= ? AND from_block >= coalesce(
         (SELECT max(from_block) FROM coverage WHERE dataset = 'payloads' AND from_block <= ?), 0)
       ORDER BY from_block`,
      [to, from],
    )
    for (const row of rows) {
      if (numberAt(row, 0) > next) break
      next = Math.max(next, numberAt(row, 1) + 1)
    }
    return next <= to ? next : undefined
  }

  /** All stored blocks. */
  stored(): BlockRanges {
    const rows = rowsNow(
      this.#store,
      "SELECT from_block, to_block FROM coverage WHERE dataset = 'payloads'",
    )
    return BlockRanges.fromRanges(rows.map((row) => [numberAt(row, 0), numberAt(row, 1)] as const))
  }

  /** The segments that share a block with a range and are of the stored chain, rising. */
  segments([from, to]: BlockRange): ReadonlyArray<Segment> {
    const { index } = this
    if (index === undefined) return []
    return this.#judge(index.catalog, segmentsWithin(index.catalog, from, to))
  }

  /** Those of the segments that are of the stored chain. */
  #judge(catalog: Catalog, segments: ReadonlyArray<Segment>): ReadonlyArray<Segment> {
    const { valid, strangers } = this.#judgedOf(catalog)
    const unknown = segments.filter((each) => !valid.has(each) && !strangers.has(each))
    if (unknown.length > 0) {
      for (const stranger of strangersAmong(this.#store, unknown)) strangers.add(stranger)
      for (const each of unknown) if (!strangers.has(each)) valid.add(each)
    }
    return segments.filter((each) => valid.has(each))
  }

  /** What is known of a catalog's segments while nobody has written to the store. */
  #judgedOf(catalog: Catalog): Judged {
    const [row] = rowsNow(this.#store, "PRAGMA data_version")
    const version = numberAt(row, 0)
    const known = this.#judged
    if (known?.version === version && known.catalog === catalog) return known
    const judged: Judged = {
      version,
      catalog,
      valid: new Set(),
      strangers: new Set(),
      blocks: undefined,
    }
    this.#judged = judged
    return judged
  }

  /** The blocks that the index covers; stops now and then, as there may be many segments. */
  *indexed(): Generator<void, BlockRanges> {
    const { index } = this
    if (index === undefined) return BlockRanges.empty
    const { catalog } = index
    const judged = this.#judgedOf(catalog)
    if (judged.blocks !== undefined) return judged.blocks
    const valid: Array<BlockRange> = []
    for (let at = 0; at < catalog.segments.length; at += SEGMENTS_AT_ONCE) {
      const some = catalog.segments.slice(at, at + SEGMENTS_AT_ONCE)
      for (const { from, to } of this.#judge(catalog, some)) valid.push([from, to])
      yield
    }
    const blocks = BlockRanges.fromRanges(valid)
    judged.blocks = blocks
    return blocks
  }

  /** Of stored blocks with logs in a range, the first `most`: number and bloom. */
  blooms([from, to]: BlockRange, most: number): ReadonlyArray<readonly [number, Uint8Array]> {
    return rowsNow(
      this.#store,
      `SELECT block_number, logs_bloom FROM blocks
       WHERE block_number BETWEEN ? AND ? AND log_count > 0 ORDER BY block_number LIMIT ?`,
      [from, to, most],
    ).map((row) => [numberAt(row, 0), bytesAt(row, 1)] as const)
  }

  /** The numbers and hashes of the stored blocks among those given, in no order. */
  hashes(blockNumbers: ReadonlyArray<number>): ReadonlyArray<readonly [number, Uint8Array]> {
    return rowsNow(
      this.#store,
      `SELECT block_number, block_hash FROM blocks WHERE block_number IN ${placeholders(blockNumbers.length)}`,
      blockNumbers,
    ).map((row) => [numberAt(row, 0), bytesAt(row, 1)] as const)
  }

  /** Packed blocks, rising, to be opened one by one: a payload may be large. */
  packed(blockNumbers: ReadonlyArray<number>): ReadonlyArray<Row> {
    return rowsNow(
      this.#store,
      `SELECT block_number, block_hash, timestamp, body, receipts, codec
       FROM payloads JOIN blocks USING (block_number)
       WHERE block_number IN ${placeholders(blockNumbers.length)} ORDER BY block_number`,
      blockNumbers,
    )
  }

  /** A stored block. */
  block(blockNumber: number): MatchedBlock | undefined {
    const [row] = this.packed([blockNumber])
    return row && unpackBlock(row)
  }
}

/** Enough for blocks of mainnet's size; longer ones have room of their own. */
const SCRATCH_BYTES = 1024 * 1024
let scratch: Uint8Array | undefined

/** Room that the next one who asks gets, too. */
export const passingRoom = (length: number): Uint8Array =>
  length > SCRATCH_BYTES
    ? new Uint8Array(length)
    : (scratch ??= new Uint8Array(SCRATCH_BYTES)).subarray(0, length)

/** A block of {@link ChainView.packed}; with {@link passingRoom} it is good until the next one. */
export const unpackBlock = (row: Row, roomFor?: typeof passingRoom): MatchedBlock => {
  const blockNumber = numberAt(row, 0)
  const packed = { body: bytesAt(row, 3), receipts: bytesAt(row, 4), codec: numberAt(row, 5) }
  const parts = unpackParts(packed, roomFor)
  if (parts === undefined) throw damagedPayload(blockNumber)
  return { blockNumber, hash: bytesAt(row, 1), timestamp: numberAt(row, 2), ...parts }
}

/** The payload of a block is not what was checked. */
export const damagedPayload = (blockNumber: number): ReadFailed =>
  new ReadFailed({ reason: `the stored payload of block ${blockNumber} is damaged` })
