/**
 * What the index has: its segments and its runs, in memory, and whether a segment is still of the
 * stored chain.
 *
 * Invariants: segments rise and share no block; a catalog is that of one revision of one file.
 */
import { BlockRanges } from "../../domain/blockRanges.ts"
import { equalBytes } from "../../domain/hex.ts"
import { demandSeal, IndexDamaged, indexRows, runStates } from "./ChainIndexDatabase.ts"
import type { PlannedSegment } from "./chainIndexPlan.ts"
import { payloadsDigest } from "./chainIndexSegment.ts"
import { placeholders, rowsNow } from "../RowsNow.ts"
import type { StoreDatabase } from "../StoreDatabase.ts"
import { bytesAt, numberAt, type Row } from "../storedValues.ts"

/** A segment of the index. */
export interface Segment extends PlannedSegment {
  /** There are 2^bits buckets of postings. */
  readonly bits: number
  /** Hashes of the blocks `from` and `to`. */
  readonly firstHash: Uint8Array
  readonly lastHash: Uint8Array
  /** Of what all blocks were stored as: `payloadsDigest`. */
  readonly digest: Uint8Array
  /** Whether the payloads that it was made of had been held against their headers. */
  readonly checked: boolean
}

/** A run that is looked through. */
export interface ReadyRun {
  readonly runId: number
  /** There are 2^bits buckets of entries. */
  readonly bits: number
}

/** See the module. */
export interface Catalog {
  readonly fileId: number
  readonly revision: number
  readonly segments: ReadonlyArray<Segment>
  readonly runs: ReadonlyArray<ReadyRun>
}

/** The segments, rising. Throws what the database fails with, and IndexDamaged. */
export const readSegments = (index: StoreDatabase): ReadonlyArray<Segment> => {
  const segments = indexRows(
    index,
    `SELECT segment_id, from_block, to_block, first_hash, last_hash, digest, bits, closed, checked, seal
     FROM segments ORDER BY from_block`,
    [],
    segmentOf,
  )
  // A damaged page may give a row twice.
  if (segments.some(({ from }, at) => at > 0 && from <= segments[at - 1]!.to)) {
    throw new IndexDamaged({ reason: "segments of the index share a block" })
  }
  return segments
}

const segmentOf = (row: Row): Segment => {
  const segment = {
    segmentId: numberAt(row, 0),
    from: numberAt(row, 1),
    to: numberAt(row, 2),
    firstHash: bytesAt(row, 3),
    lastHash: bytesAt(row, 4),
    digest: bytesAt(row, 5),
    bits: numberAt(row, 6),
    closed: numberAt(row, 7) === 1,
    checked: numberAt(row, 8) === 1,
  }
  demandSeal("segments", numberAt(row, 9), segmentValues(segment))
  return segment
}

/** A segment as its row has it, in the order of its columns. */
export const segmentValues = (segment: Segment): ReadonlyArray<number | Uint8Array> => [
  segment.segmentId,
  segment.from,
  segment.to,
  segment.firstHash,
  segment.lastHash,
  segment.digest,
  segment.bits,
  Number(segment.closed),
  Number(segment.checked),
]

/** A run as its row has it. */
export interface RunRow {
  readonly runId: number
  readonly level: number
  readonly state: number
  readonly entries: number
  readonly bits: number
}

/**
 * The runs, whatever their state, by their ids. Throws what the database fails with, and IndexDamaged,
 * also where they are not all. In a transaction, or by who builds.
 */
export const readRuns = (index: StoreDatabase): ReadonlyArray<RunRow> => {
  let seals = 0
  const runs = indexRows(
    index,
    "SELECT run_id, level, state, entries, bits, seal FROM runs ORDER BY run_id",
    [],
    (row) => {
      const run = {
        runId: numberAt(row, 0),
        level: numberAt(row, 1),
        state: numberAt(row, 2),
        entries: numberAt(row, 3),
        bits: numberAt(row, 4),
      }
      const seal = numberAt(row, 5)
      demandSeal("runs", seal, runValues(run))
      seals += seal
      return run
    },
  )
  if (seals === readState(index).runs) return runs
  throw new IndexDamaged({ reason: "the runs of the index are not all there" })
}

/** A run in the order of its row's columns. */
export const runValues = (run: RunRow): ReadonlyArray<number> => [
  run.runId,
  run.level,
  run.state,
  run.entries,
  run.bits,
]

/** What `state` says. */
export interface IndexState {
  readonly fileId: number
  readonly revision: number
  /** Of the next segment or run. */
  readonly nextId: number
  /** The sum of the seals of all runs. */
  readonly runs: number
}

/** The state. Throws what the database fails with, and IndexDamaged. */
export const readState = (index: StoreDatabase): IndexState => {
  const [state] = indexRows(
    index,
    "SELECT file_id, revision, next_id, runs FROM state",
    [],
    (row) => ({
      fileId: numberAt(row, 0),
      revision: numberAt(row, 1),
      nextId: numberAt(row, 2),
      runs: numberAt(row, 3),
    }),
  )
  if (state !== undefined && Object.values(state).every(Number.isSafeInteger)) return state
  throw new IndexDamaged({ reason: "the state of the index is damaged" })
}

/**
 * The catalog as it is now, or `known` where that is it. Only in a transaction. Throws what
 * {@link readSegments} does.
 */
export const readCatalog = (index: StoreDatabase, known: Catalog | undefined): Catalog => {
  const { fileId, revision } = readState(index)
  if (known?.fileId === fileId && known.revision === revision) return known
  const runs = readRuns(index).filter(({ state }) => state === runStates.ready)
  return {
    fileId,
    revision,
    segments: readSegments(index),
    runs: runs.map(({ runId, bits }) => ({ runId, bits })),
  }
}

/** The segments that share a block with `from` to `to`. */
export const segmentsWithin = (
  { segments }: Catalog,
  from: number,
  to: number,
): ReadonlyArray<Segment> => {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (segments[middle]!.to < from) low = middle + 1
    else high = middle
  }
  let end = low
  while (end < segments.length && segments[end]!.from <= to) end += 1
  return segments.slice(low, end)
}

/** Segments that are held against the store with one statement. */
const AT_ONCE = 128

/**
 * The segments that are not of the stored chain, or were made of other payloads of it. Blocks that
 * link to each other are the same from the last one down, and a payload that was checked follows from
 * its block's hash, so that two hashes tell; where either was not checked all blocks are looked at.
 * Throws what the store fails with.
 */
export const strangersAmong = <S extends Segment>(
  store: StoreDatabase,
  segments: ReadonlyArray<S>,
): ReadonlyArray<S> => {
  const strangers: Array<S> = []
  const unlinked = rangesIn(rowsNow(store, blocksLacking(["links"])))
  const unchecked = rangesIn(rowsNow(store, blocksLacking(payloadChecks)))
  for (let at = 0; at < segments.length; at += AT_ONCE) {
    const some = segments.slice(at, at + AT_ONCE)
    const is = endsOf(store, some)
    for (const segment of some) {
      const { from, to, firstHash, lastHash } = segment
      const checked = !meets(unchecked, segment)
      const same =
        is(from, firstHash) &&
        is(to, lastHash) &&
        // What came in place of a payload that nobody had checked may be another one.
        (segment.checked || !checked) &&
        ((checked && !meets(unlinked, segment)) || isWhole(store, segment))
      if (!same) strangers.push(segment)
    }
  }
  return strangers
}

const meets = (blocks: BlockRanges, { from, to }: Segment): boolean =>
  (blocks.next(from) ?? Infinity) <= to

/** What a payload follows from its header's hash by, as `coverage` names it. */
export const payloadChecks = ["receipts", "transactions"] as const

/** The ranges of stored blocks that were not checked in each of these ways. */
export const blocksLacking = (checks: ReadonlyArray<string>): string =>
  `SELECT from_block, to_block FROM coverage WHERE dataset = 'payloads' AND (${checks
    .map((check) => `instr(',' || checks || ',', ',${check},') = 0`)
    .join(" OR ")})`

/** The blocks of rows of a first and a last one. */
export const rangesIn = (rows: ReadonlyArray<Row>): BlockRanges =>
  BlockRanges.fromRanges(rows.map((row) => [numberAt(row, 0), numberAt(row, 1)] as const))

/** Tells of the first and the last blocks of segments whether they have a hash. */
const endsOf = (
  store: StoreDatabase,
  segments: ReadonlyArray<Segment>,
): ((blockNumber: number, hash: Uint8Array) => boolean) => {
  const wanted = segments.flatMap(({ from, to }) => [from, to])
  const rows = rowsNow(
    store,
    `SELECT block_number, block_hash FROM blocks WHERE block_number IN ${placeholders(wanted.length)}`,
    wanted,
  )
  const hashes = new Map(rows.map((row) => [numberAt(row, 0), bytesAt(row, 1)]))
  return (blockNumber, hash) => {
    const stored = hashes.get(blockNumber)
    return stored !== undefined && equalBytes(stored, hash)
  }
}

const isWhole = (store: StoreDatabase, { from, to, digest }: Segment): boolean => {
  const rows = rowsNow(
    store,
    `SELECT block_hash, length(body) + length(receipts) FROM blocks JOIN payloads USING (block_number)
     WHERE block_number BETWEEN ? AND ? ORDER BY block_number`,
    [from, to],
  )
  const stored = rows.map((row) => ({ hash: bytesAt(row, 0), packedBytes: numberAt(row, 1) }))
  return equalBytes(payloadsDigest(stored), digest)
}
