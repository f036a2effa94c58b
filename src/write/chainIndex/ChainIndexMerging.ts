/**
 * The runs of transactions in the index: kept few by merging.
 *
 * A closed segment's run is of level 0. Where {@link FAN_IN} runs of a level are ready they become
 * one of the next level. So a lookup meets at most FAN_IN − 1 runs of each level, of which there are
 * log16 of the number of segments, beside those of segments that are not closed; and an entry is
 * written once a level.
 *
 * Invariants: a run is written in many transactions, and no reader looks into it before the last one,
 * which also takes its runs out; what is unfinished when the index is opened goes. A lookup sees
 * every entry that was ever committed, of segments that are gone too: what it finds is a candidate.
 */
import { Effect } from "effect"
import { readRuns, type RunRow, runValues } from "./ChainIndexCatalog.ts"
import {
  entriesPlace,
  IndexDamaged,
  indexRows,
  insertBytes,
  inTransaction,
  readNow,
  runStates,
  sealOf,
  unsealed,
} from "./ChainIndexDatabase.ts"
import { mergeRuns, runBits, type RunSource } from "./chainIndexRuns.ts"
import type { SegmentContent } from "./chainIndexSegment.ts"
import type { StoreDatabase } from "../StoreDatabase.ts"
import type { StoreError } from "../StoreError.ts"
import { bytesAt, numberAt } from "../storedValues.ts"

/** Runs that become one. */
export const FAN_IN = 16

interface Run extends RunRow {
  /** Whether it may be merged: not that of a segment that will be made again. */
  readonly final: boolean
}

interface Merge {
  readonly from: ReadonlyArray<Run>
  readonly into: Run
  readonly buckets: Generator<Uint8Array, void>
  written: number
}

/** The account of the runs. */
export interface RunKeeper {
  /** Merges a little, or clears a little away; whether there was something to do. */
  readonly step: (newId: () => number) => Effect.Effect<boolean, StoreError | IndexDamaged>
  /** Those that are ready. */
  readonly ready: Map<number, Run>
  /** Ids of runs whose entries are to go. */
  readonly refuse: Map<number, Run>
  merge: Merge | undefined
}

/** Reads which runs there are. */
export const makeRunKeeper = Effect.fnUntraced(function* (index: StoreDatabase) {
  // What is not closed is made again; a run of a segment that is gone is not.
  const openSegments = "SELECT segment_id FROM segments WHERE closed = 0"
  const open = new Set(
    yield* readNow(() => indexRows(index, openSegments, [], (row) => numberAt(row, 0))),
  )
  const ready = new Map<number, Run>()
  const refuse = new Map<number, Run>()
  for (const row of yield* readNow(() => readRuns(index))) {
    const run = { ...row, final: row.level > 0 || !open.has(row.runId) }
    ;(row.state === runStates.ready ? ready : refuse).set(run.runId, run)
  }
  const keeper: RunKeeper = {
    ready,
    refuse,
    merge: undefined,
    step: (newId) => step(index, keeper, newId),
  }
  return keeper
})

/** Inserts the run of a segment; part of the transaction that inserts the segment. */
export const insertRun = Effect.fnUntraced(function* (
  index: StoreDatabase,
  keeper: RunKeeper,
  segmentId: number,
  { run: buckets, transactions }: Pick<SegmentContent, "run" | "transactions">,
  closed: boolean,
) {
  if (transactions === 0) return
  const run = {
    runId: segmentId,
    level: 0,
    state: runStates.ready,
    entries: transactions,
    bits: runBits(transactions),
    final: closed,
  }
  yield* insertRunRow(index, run)
  yield* insertBytes(index, "entries", buckets, (bucket) => entriesPlace(segmentId, bucket))
  keeper.ready.set(segmentId, run)
})

/** Deletes the run of a segment, unless it was merged; part of the transaction that does the rest. */
export const dropRunOf = Effect.fnUntraced(function* (
  index: StoreDatabase,
  keeper: RunKeeper,
  segmentId: number,
) {
  // One that is being merged goes when that is done.
  const run = keeper.ready.get(segmentId)
  if (run === undefined || isMerging(keeper, segmentId)) return
  yield* index.run("DELETE FROM entries WHERE place >= ? AND place < ?", placesOf(run))
  yield* deleteRunRow(index, run)
  keeper.ready.delete(segmentId)
})

const isMerging = ({ merge }: RunKeeper, runId: number): boolean =>
  merge?.from.some((run) => run.runId === runId) ?? false

const runSeal = (run: RunRow): number => sealOf(runValues(run))

const insertRunRow = Effect.fnUntraced(function* (index: StoreDatabase, run: RunRow) {
  yield* index.run(
    "INSERT INTO runs (run_id, level, state, entries, bits, seal) VALUES (?, ?, ?, ?, ?, ?)",
    [...runValues(run), runSeal(run)],
  )
  yield* addToSeals(index, runSeal(run))
})

const deleteRunRow = Effect.fnUntraced(function* (index: StoreDatabase, run: RunRow) {
  yield* index.run("DELETE FROM runs WHERE run_id = ?", [run.runId])
  yield* addToSeals(index, -runSeal(run))
})

/** Never summed up again from the rows: a row that was lost would go unnoticed. */
const addToSeals = (index: StoreDatabase, change: number): Effect.Effect<void, StoreError> =>
  index.run("UPDATE state SET runs = runs + ?", [change])

/** The first place of a run's entries, and that behind them. */
const placesOf = ({ runId }: RunRow): [number, number] => [
  entriesPlace(runId, 0),
  entriesPlace(runId + 1, 0),
]

/** Buckets, of some 2 KiB, that one step writes or clears away. */
const STEP_BUCKETS = 1_024

const step = (
  index: StoreDatabase,
  keeper: RunKeeper,
  newId: () => number,
): Effect.Effect<boolean, StoreError | IndexDamaged> =>
  Effect.suspend(() => {
    keeper.merge ??= nextMerge(index, keeper, newId)
    if (keeper.merge !== undefined) return Effect.as(goOn(index, keeper, keeper.merge), true)
    const [run] = keeper.refuse.values()
    return run === undefined ? Effect.succeed(false) : Effect.as(clear(index, keeper, run), true)
  })

const nextMerge = (
  index: StoreDatabase,
  { ready }: RunKeeper,
  newId: () => number,
): Merge | undefined => {
  const levels = new Map<number, Array<Run>>()
  for (const run of ready.values()) {
    if (run.final) levels.set(run.level, [...(levels.get(run.level) ?? []), run])
  }
  for (const [level, runs] of levels) {
    if (runs.length < FAN_IN) continue
    const from = runs.slice(0, FAN_IN)
    const entries = from.reduce((sum, run) => sum + run.entries, 0)
    const into = {
      runId: newId(),
      level: level + 1,
      state: runStates.unfinished,
      entries,
      bits: runBits(entries),
      final: true,
    }
    const sources = from.map((run) => sourceOf(index, run))
    return { from, into, buckets: mergeRuns(sources), written: 0 }
  }
  return undefined
}

/** Buckets that are read at a time. */
const READ_BUCKETS = 16

const sourceOf = (index: StoreDatabase, run: Run): RunSource => ({
  entries: run.entries,
  buckets: bucketsOf(index, run),
})

function* bucketsOf(index: StoreDatabase, { runId, bits }: Run): Generator<Uint8Array, void> {
  for (let bucket = 0; bucket < 2 ** bits; bucket += READ_BUCKETS) {
    const end = Math.min(bucket + READ_BUCKETS, 2 ** bits)
    const rows = indexRows(
      index,
      "SELECT bytes FROM entries WHERE place >= ? AND place < ? ORDER BY place",
      [entriesPlace(runId, bucket), entriesPlace(runId, end)],
      (row, at) => unsealed(bytesAt(row, 0), entriesPlace(runId, bucket + at)),
    )
    if (rows.length !== end - bucket) {
      throw new IndexDamaged({ reason: `the index run ${runId} is not whole` })
    }
    yield* rows
  }
}

/** Writes the next buckets of a merged run; with the last ones it takes the place of its runs. */
const goOn = Effect.fnUntraced(function* (index: StoreDatabase, keeper: RunKeeper, merge: Merge) {
  const { into, from } = merge
  const { buckets, done } = yield* take(merge.buckets, STEP_BUCKETS)
  yield* inTransaction(
    index,
    Effect.gen(function* () {
      if (merge.written === 0) yield* insertRunRow(index, into)
      yield* insertBytes(index, "entries", buckets, (bucket) =>
        entriesPlace(into.runId, merge.written + bucket),
      )
      if (!done) return yield* bump(index, into.runId)
      yield* setState(index, into, runStates.ready)
      for (const run of from) yield* setState(index, run, runStates.merged)
      yield* bump(index, into.runId)
    }),
  )
  merge.written += buckets.length
  if (!done) return
  keeper.merge = undefined
  keeper.ready.set(into.runId, { ...into, state: runStates.ready })
  for (const run of from) {
    keeper.ready.delete(run.runId)
    keeper.refuse.set(run.runId, { ...run, state: runStates.merged })
  }
})

/** The next of a merge's buckets, and whether they are the last. */
const take = (buckets: Generator<Uint8Array, void>, most: number) =>
  readNow(() => {
    const taken: Array<Uint8Array> = []
    while (taken.length < most) {
      const { done, value } = buckets.next()
      if (done === true) return { buckets: taken, done: true }
      taken.push(value)
    }
    return { buckets: taken, done: false }
  })

const setState = Effect.fnUntraced(function* (index: StoreDatabase, run: RunRow, state: number) {
  const seal = runSeal({ ...run, state })
  yield* index.run("UPDATE runs SET state = ?, seal = ? WHERE run_id = ?", [state, seal, run.runId])
  yield* addToSeals(index, seal - runSeal(run))
})

const bump = (index: StoreDatabase, usedId: number) =>
  index.run("UPDATE state SET revision = revision + 1, next_id = max(next_id, ?)", [usedId + 1])

/** Clears away a part of a run that nobody looks into any more. */
const clear = Effect.fnUntraced(function* (index: StoreDatabase, keeper: RunKeeper, run: Run) {
  yield* inTransaction(
    index,
    Effect.gen(function* () {
      yield* index.run(
        `DELETE FROM entries WHERE place IN
           (SELECT place FROM entries WHERE place >= ? AND place < ? LIMIT ${STEP_BUCKETS})`,
        placesOf(run),
      )
      const [left] = yield* index.rows(
        "SELECT EXISTS (SELECT 1 FROM entries WHERE place >= ? AND place < ?)",
        placesOf(run),
      )
      if (numberAt(left, 0) === 1) return
      yield* deleteRunRow(index, run)
      keeper.refuse.delete(run.runId)
    }),
  )
})
