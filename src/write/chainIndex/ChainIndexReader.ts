/**
 * Asks the index: which blocks may have matching logs, where a transaction may stand.
 *
 * In: the index, open for reading. Out: candidates, to be held against the store: the index knows
 * digests only.
 *
 * Invariants: within {@link IndexReader.view} all is of one revision; no block of a segment that has
 * a matching log is left out; what cannot have been written by a builder is an {@link IndexDamaged}.
 * SQLite is asked on the calling thread; nothing here waits.
 */
import type { BlockRange } from "../../domain/blockRanges.ts"
import { type Catalog, readCatalog, type Segment } from "./ChainIndexCatalog.ts"
import {
  entriesPlace,
  IndexDamaged,
  type IndexDatabase,
  indexRows,
  postingsPlace,
  unsealed,
} from "./ChainIndexDatabase.ts"
import { bucketOf, decodeVarints, findPosting, ordinalsIn } from "./chainIndexPostings.ts"
import { type Candidate, findInBucket, prefixOf, runBucket } from "./chainIndexRuns.ts"
import { intersection, union } from "./chainIndexSets.ts"
import { placeholders, runNow } from "../RowsNow.ts"
import type { StoreDatabase } from "../StoreDatabase.ts"
import { bytesAt, numberAt } from "../storedValues.ts"

/** Keys of the alternatives of one condition: an address, or the topic at one place. */
export type KeyCondition = ReadonlyArray<number>

/** What was read last, shared by all who read the same file. */
export interface CatalogMemory {
  last: Catalog | undefined
}

/** See the module. */
export class IndexReader {
  readonly inode: number
  readonly #index: StoreDatabase
  readonly #memory: CatalogMemory
  #catalog: Catalog

  /** Reads the catalog. Throws what the database fails with, and IndexDamaged; then it is to be closed. */
  constructor({ database, inode }: IndexDatabase, memory: CatalogMemory) {
    this.#index = database
    this.#memory = memory
    this.inode = inode
    runNow(database, "BEGIN")
    this.#catalog = this.#refresh()
    runNow(database, "COMMIT")
  }

  /** What there is, since the last {@link IndexReader.begin}. */
  get catalog(): Catalog {
    return this.#catalog
  }

  /** From now on until `end` all answers are of one revision. */
  begin(): void {
    runNow(this.#index, "BEGIN")
    this.#catalog = this.#refresh()
  }

  end(): void {
    runNow(this.#index, "COMMIT")
  }

  #refresh(): Catalog {
    return (this.#memory.last = readCatalog(this.#index, this.#memory.last))
  }

  /**
   * The blocks of a segment within `range` that may have a log that meets all conditions, rising;
   * without conditions, those that have logs.
   */
  blocksOf(
    segment: Segment,
    conditions: ReadonlyArray<KeyCondition>,
    range: BlockRange,
  ): ReadonlyArray<number> {
    try {
      return this.#blocksOf(segment, conditions, range)
    } catch (error) {
      if (error instanceof RangeError) throw new IndexDamaged({ reason: error.message })
      throw error
    }
  }

  #blocksOf(
    segment: Segment,
    conditions: ReadonlyArray<KeyCondition>,
    range: BlockRange,
  ): ReadonlyArray<number> {
    // Most segments have no match: it is told without reading where their logs end.
    const lists = this.#listsFor(segment, conditions)
    if (lists.some((alternatives) => alternatives.length === 0)) return []
    const counts = this.#logCounts(segment)
    const ends = runningSums(counts)
    const from = Math.max(range[0], segment.from)
    const to = Math.min(range[1], segment.to)
    if (lists.length === 0) {
      return rising(from, to).filter((blockNumber) => counts[blockNumber - segment.from]! > 0)
    }
    const low = from === segment.from ? 0 : ends[from - segment.from - 1]!
    return blocksWith(meetAll(lists, low, ends[to - segment.from]!), ends, segment.from)
  }

  /** For each condition the lists of its alternatives, of those that some log has. */
  #listsFor(
    { segmentId, bits }: Segment,
    conditions: ReadonlyArray<KeyCondition>,
  ): ReadonlyArray<ReadonlyArray<Uint8Array>> {
    const buckets = this.#bucketsFor(segmentId, bits, conditions)
    return conditions.map((condition) =>
      [...new Set(condition)].flatMap((key) => {
        const list = findPosting(buckets.get(bucketOf(key, bits))!, key, bits)
        return list === undefined ? [] : [list]
      }),
    )
  }

  #logCounts({ segmentId, from, to }: Segment): Uint32Array {
    const [counts] = indexRows(
      this.#index,
      "SELECT bytes FROM segment_logs WHERE segment_id = ?",
      [segmentId],
      (row) => decodeVarints(unsealed(bytesAt(row, 0), segmentId)),
    )
    if (counts?.length === to - from + 1) return counts
    throw new IndexDamaged({ reason: `the index segment ${segmentId} is not whole` })
  }

  #bucketsFor(
    segmentId: number,
    bits: number,
    conditions: ReadonlyArray<KeyCondition>,
  ): ReadonlyMap<number, Uint8Array> {
    const wanted = [...new Set(conditions.flat().map((key) => bucketOf(key, bits)))]
    const places = wanted.map((bucket) => postingsPlace(segmentId, bucket))
    return new Map(
      this.#bytesAt("postings", places).map((bytes, at) => [wanted[at]!, bytes] as const),
    )
  }

  /** Where a transaction may stand: what each run has for its hash. */
  placesOf(hash: Uint8Array): ReadonlyArray<Candidate> {
    const prefix = prefixOf(hash)
    const places = this.#catalog.runs.map(({ runId, bits }) =>
      entriesPlace(runId, runBucket(prefix, bits)),
    )
    return this.#bytesAt("entries", places).flatMap((bucket) => findInBucket(bucket, prefix))
  }

  /** The bytes at places that have some, in their order. */
  #bytesAt(
    table: "postings" | "entries",
    places: ReadonlyArray<number>,
  ): ReadonlyArray<Uint8Array> {
    const found = new Map<number, Uint8Array>()
    for (let at = 0; at < places.length; at += PLACES_AT_ONCE) {
      const some = places.slice(at, at + PLACES_AT_ONCE)
      for (const [place, bytes] of this.#rowsAt(table, some)) found.set(place, bytes)
    }
    return places.map((place) => {
      const bytes = found.get(place)
      if (bytes === undefined) throw new IndexDamaged({ reason: `no ${table} at ${place}` })
      return bytes
    })
  }

  #rowsAt(
    table: "postings" | "entries",
    places: ReadonlyArray<number>,
  ): ReadonlyArray<readonly [place: number, bytes: Uint8Array]> {
    return indexRows(
      this.#index,
      `SELECT place, bytes FROM ${table} WHERE place IN ${placeholders(places.length)}`,
      places,
      (row) => {
        const place = numberAt(row, 0)
        return [place, unsealed(bytesAt(row, 1), place)] as const
      },
    )
  }
}

const PLACES_AT_ONCE = 64

const rising = (from: number, to: number): Array<number> =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at)

const runningSums = (counts: Uint32Array): Uint32Array => {
  const sums = new Uint32Array(counts.length)
  let sum = 0
  counts.forEach((count, at) => (sums[at] = sum += count))
  return sums
}

/**
 * Bytes of a list that cost as much to read as looking into one block that turns out to have no
 * match: a list that is longer than that for each candidate is not worth reading.
 */
const BYTES_A_CANDIDATE = 8_192

const bytesOf = (lists: ReadonlyArray<Uint8Array>): number =>
  lists.reduce((sum, list) => sum + list.length, 0)

/** The logs within `[low, high)` that are in a list of each condition, or somewhat more. */
const meetAll = (
  conditions: ReadonlyArray<ReadonlyArray<Uint8Array>>,
  low: number,
  high: number,
): Uint32Array => {
  const [first = [], ...others] = [...conditions].sort((a, b) => bytesOf(a) - bytesOf(b))
  const read = (lists: ReadonlyArray<Uint8Array>): Uint32Array =>
    union(lists.map((list) => ordinalsIn(list, low, high)))
  let met = read(first)
  for (const lists of others) {
    if (bytesOf(lists) > BYTES_A_CANDIDATE * met.length) break
    met = intersection(met, read(lists))
  }
  return met
}

/** The blocks of logs that rise; `ends` has where the logs of each block of the segment end. */
const blocksWith = (
  ordinals: Uint32Array,
  ends: Uint32Array,
  firstBlock: number,
): ReadonlyArray<number> => {
  const blocks: Array<number> = []
  let at = 0
  for (const ordinal of ordinals) {
    if (blocks.length > 0 && ordinal < ends[at]!) continue
    while (ends[at]! <= ordinal) at += 1
    blocks.push(firstBlock + at)
  }
  return blocks
}
