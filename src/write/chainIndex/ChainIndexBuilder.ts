/**
 * Builds the index of a store, piece by piece.
 *
 * In: a store, read through a connection of its own, and the index, open for writing. Out: segments
 * and runs of transactions in the index, one piece a {@link IndexBuilder.step}.
 *
 * Invariants:
 * - a segment and all that it consists of is committed at once, and goes at once;
 * - a segment whose blocks are no longer stored, or are others, goes, in a later step at the latest;
 *   whoever reads looks for itself, too;
 * - memory is bounded by one segment, or by one bucket of each run that is merged;
 * - the store's write-ahead log can be reset between two segments;
 * - a block whose payload is damaged is left out, and its neighbours are not.
 */
import { Effect, type Scope } from "effect"
import { BlockRanges } from "../../domain/blockRanges.ts"
import { RlpError } from "../../domain/rlp.ts"
import {
  blocksLacking,
  payloadChecks,
  rangesIn,
  readSegments,
  readState,
  type Segment,
  segmentValues,
  strangersAmong,
} from "./ChainIndexCatalog.ts"
import { dropRunOf, insertRun, makeRunKeeper, type RunKeeper } from "./ChainIndexMerging.ts"
import {
  IndexDamaged,
  type IndexDatabase,
  insertBytes,
  inTransaction,
  postingsPlace,
  readNow,
  sealed,
  sealOf,
} from "./ChainIndexDatabase.ts"
import { type Eagerness, nextJob, type SegmentJob } from "./chainIndexPlan.ts"
import { SegmentBuilder, type SegmentContent } from "./chainIndexSegment.ts"
import { unpackParts } from "../payloadCodec.ts"
import { placeholders } from "../RowsNow.ts"
import type { StoreDatabase } from "../StoreDatabase.ts"
import { StoreError } from "../StoreError.ts"
import { bytesAt, numberAt, type Row } from "../storedValues.ts"
import { makeWalGate, type WalGate, walBytesOf } from "../WalGate.ts"

/** See the module. */
export interface IndexBuilder {
  /** Does one piece of work, if there is any; whether there was. */
  readonly step: (eagerness: Eagerness) => Effect.Effect<boolean, StoreError | IndexDamaged>
  /** Changes with whatever is committed to the store. */
  readonly storeVersion: Effect.Effect<number, StoreError>
  /** Stored blocks that could not be read. */
  readonly damaged: () => BlockRanges
}

interface BuilderState {
  readonly store: StoreDatabase
  readonly index: StoreDatabase
  readonly runs: RunKeeper
  readonly gate: WalGate
  segments: ReadonlyArray<Segment>
  /** Of the next segment or run. */
  nextId: number
  damaged: BlockRanges
  /** Segments below it are still to be looked at, in the pass that began when the store changed. */
  unseenBelow: number
  /** The store changed during the pass. */
  again: boolean
  seenVersion: number | undefined
}

/** Starts to build. */
export const makeIndexBuilder = (
  store: StoreDatabase,
  { database: index }: IndexDatabase,
): Effect.Effect<IndexBuilder, StoreError | IndexDamaged, Scope.Scope> =>
  Effect.gen(function* () {
    const segments = yield* readNow(() => readSegments(index))
    const runs = yield* makeRunKeeper(index)
    const state: BuilderState = {
      store,
      index,
      runs,
      gate: yield* makeWalGate(() => walBytesOf(store.file)),
      segments,
      nextId: yield* readNow(() => unusedId(index, segments, runs)),
      damaged: BlockRanges.empty,
      unseenBelow: Infinity,
      again: false,
      seenVersion: undefined,
    }
    return {
      step: (eagerness) => step(state, eagerness),
      storeVersion: versionOf(store),
      damaged: () => state.damaged,
    }
  })

/** There are places for less than so many ids: `entriesPlace`. */
const MOST_IDS = 2 ** 28

/** The next id. Throws what the database fails with, and IndexDamaged where it cannot be that. */
const unusedId = (
  index: StoreDatabase,
  segments: ReadonlyArray<Segment>,
  { ready, refuse }: RunKeeper,
): number => {
  const { nextId } = readState(index)
  const runIds = [...ready.keys(), ...refuse.keys()]
  const used = [...segments.map(({ segmentId }) => segmentId), ...runIds]
  if (nextId < MOST_IDS && used.every((id) => id < nextId)) return nextId
  throw new IndexDamaged({ reason: `the next id of the index cannot be ${nextId}` })
}

/** Rises with what others commit to a database. */
export const versionOf = (database: StoreDatabase): Effect.Effect<number, StoreError> =>
  Effect.map(database.rows("PRAGMA data_version"), ([row]) => numberAt(row, 0))

const step = Effect.fnUntraced(function* (state: BuilderState, eagerness: Eagerness) {
  const stored = yield* storedBlocks(state.store)
  const version = yield* versionOf(state.store)
  if (version !== state.seenVersion) {
    state.seenVersion = version
    state.again = true
    const gone = state.segments.filter(({ from, to }) => stored.runEnd(from) < to)
    if (gone.length > 0) return yield* Effect.as(dropSegments(state, gone), true)
  }
  const looked = yield* validateSome(state)
  const highest = [...stored.ranges()].at(-1)?.[1] ?? -1
  const readable = stored.subtract(state.damaged)
  const job = nextJob(readable, highest, state.segments, eagerness)
  if (job !== undefined) return yield* Effect.as(buildSegment(state, job), true)
  return (yield* state.runs.step(() => state.nextId++)) || looked
})

/** The blocks that a store says it has. */
const storedBlocks = (store: StoreDatabase): Effect.Effect<BlockRanges, StoreError> =>
  Effect.map(
    store.rows("SELECT from_block, to_block FROM coverage WHERE dataset = 'payloads'"),
    rangesIn,
  )

/** Segments that are held against the store in one step. */
const VALIDATED_AT_ONCE = 256

/**
 * Looks at the next segments, the highest first, since what was replaced is at the top, and drops
 * what is no longer of the chain; whether there were any.
 */
const validateSome = Effect.fnUntraced(function* (state: BuilderState) {
  const some = nextUnseen(state)
  if (some.length === 0) return false
  const gone = yield* readNow(() => strangersAmong(state.store, some))
  state.unseenBelow = some[0]!.from
  if (gone.length > 0) yield* dropSegments(state, gone)
  return true
})

/** A pass goes to its end, however often the store changes; then the next one begins. */
const nextUnseen = (state: BuilderState): ReadonlyArray<Segment> => {
  const unseen = state.segments.filter(({ from }) => from < state.unseenBelow)
  if (unseen.length > 0 || !state.again) return unseen.slice(-VALIDATED_AT_ONCE)
  state.again = false
  return state.segments.slice(-VALIDATED_AT_ONCE)
}

const dropSegments = Effect.fnUntraced(function* (
  state: BuilderState,
  gone: ReadonlyArray<Segment>,
) {
  yield* inTransaction(
    state.index,
    Effect.gen(function* () {
      for (const { segmentId } of gone) yield* deleteSegment(state, segmentId)
      yield* newRevision(state)
    }),
  )
  const ids = new Set(gone.map(({ segmentId }) => segmentId))
  state.segments = state.segments.filter(({ segmentId }) => !ids.has(segmentId))
})

const deleteSegment = Effect.fnUntraced(function* (state: BuilderState, segmentId: number) {
  const { index } = state
  yield* index.run("DELETE FROM segments WHERE segment_id = ?", [segmentId])
  yield* index.run("DELETE FROM segment_logs WHERE segment_id = ?", [segmentId])
  yield* index.run("DELETE FROM postings WHERE place >= ? AND place < ?", [
    postingsPlace(segmentId, 0),
    postingsPlace(segmentId + 1, 0),
  ])
  yield* dropRunOf(index, state.runs, segmentId)
})

/** Part of every transaction: tells readers that what they remember is over. */
const newRevision = (state: BuilderState): Effect.Effect<void, StoreError> =>
  state.index.run("UPDATE state SET revision = revision + 1, next_id = ?", [state.nextId])

/** Blocks that are read at a time. */
const READ_BLOCKS = 16

const buildSegment = Effect.fnUntraced(function* (state: BuilderState, job: SegmentJob) {
  const builder = new SegmentBuilder()
  const read = state.store.snapshot(
    Effect.all({
      missing: readBlocks(state, job, builder),
      unchecked: Effect.map(state.store.rows(blocksLacking(payloadChecks)), rangesIn),
    }),
  )
  const { missing, unchecked } = yield* state.gate.through(read)
  if (missing !== undefined) state.damaged = state.damaged.add(missing, missing)
  if (builder.blocks === 0) return
  const closed = builder.full || (job.whole && builder.blocks === job.to - job.from + 1)
  const content = builder.build()
  const checked = (unchecked.next(content.from) ?? Infinity) > content.to
  const segmentId = state.nextId++
  const { from, to, firstHash, lastHash, digest } = content
  const { bits } = content.postings
  const segment = { segmentId, from, to, firstHash, lastHash, digest, bits, closed, checked }
  yield* inTransaction(
    state.index,
    Effect.gen(function* () {
      for (const old of job.replaces) yield* deleteSegment(state, old)
      yield* insertSegment(state.index, segment, content)
      yield* insertRun(state.index, state.runs, segmentId, content, closed)
      yield* newRevision(state)
    }),
  )
  state.segments = [
    ...state.segments.filter(({ segmentId: id }) => !job.replaces.includes(id)),
    segment,
  ].sort((a, b) => a.from - b.from)
})

/**
 * Reads the job's blocks into the builder until it is full, or until one cannot be read: gives that
 * one. A block that went since the job was planned ends it too; the next plan knows.
 */
const readBlocks = Effect.fnUntraced(function* (
  { store }: BuilderState,
  job: SegmentJob,
  builder: SegmentBuilder,
) {
  let next = job.from
  while (next <= job.to && !builder.full) {
    const first = next
    const rows = yield* store.rows(
      `SELECT block_number, block_hash, body, receipts, codec
       FROM payloads JOIN blocks USING (block_number)
       WHERE block_number BETWEEN ? AND ? ORDER BY block_number`,
      [next, Math.min(next + READ_BLOCKS - 1, job.to)],
    )
    for (const row of rows) {
      if (builder.full) return undefined
      if (numberAt(row, 0) !== next) break
      if (!addRow(builder, row)) return next
      next += 1
    }
    const end = Math.min(first + READ_BLOCKS, job.to + 1)
    if (next < end) return (yield* storedBlocks(store)).has(next) ? next : undefined
    yield* turn
  }
  return undefined
})

/** Whether the row's payload could be read. */
const addRow = (builder: SegmentBuilder, row: Row): boolean => {
  const packed = { body: bytesAt(row, 2), receipts: bytesAt(row, 3), codec: numberAt(row, 4) }
  const parts = unpackParts(packed)
  if (parts === undefined) return false
  const packedBytes = packed.body.length + packed.receipts.length
  try {
    builder.add({ blockNumber: numberAt(row, 0), hash: bytesAt(row, 1), packedBytes, ...parts })
    return true
  } catch (error) {
    if (error instanceof RlpError) return false
    throw error
  }
}

/** Lets the thread do whatever else waits: messages, timers, sockets. */
export const turn: Effect.Effect<void> = Effect.async((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

const insertSegment = Effect.fnUntraced(function* (
  index: StoreDatabase,
  segment: Segment,
  { logCounts, postings }: SegmentContent,
) {
  const { segmentId } = segment
  const values = segmentValues(segment)
  yield* index.run(
    `INSERT INTO segments (segment_id, from_block, to_block, first_hash, last_hash, digest, bits,
       closed, checked, seal) VALUES ${placeholders(10)}`,
    [...values, sealOf(values)],
  )
  yield* index.run("INSERT INTO segment_logs (segment_id, bytes) VALUES (?, ?)", [
    segmentId,
    sealed(logCounts, segmentId),
  ])
  yield* insertBytes(index, "postings", postings.buckets, (bucket) =>
    postingsPlace(segmentId, bucket),
  )
})
