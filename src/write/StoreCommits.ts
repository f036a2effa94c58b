/**
 * The transactions of a store, and the writes that wait for them.
 *
 * In: what is to be done while nobody else writes, and what each block that was written weighs. Out:
 * the answer of each write, when nothing of it is uncommitted any more. A transaction is committed
 * at the first of `commitBlocks`, `commitBytes` and `commitAfterMs`.
 *
 * Invariants: W1 and W4 of `StoreWriting.ts`.
 */
import { type Cause, Deferred, Duration, Effect, type Scope } from "effect"
import { BlockRanges } from "../domain/blockRanges.ts"
import type { Coverage } from "./coverage.ts"
import type { Removal } from "./segments.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import type { StoreError } from "./StoreError.ts"
import type { OpenOptions, Refusal, WriteResult } from "./storeProtocol.ts"
import { type Counts, deleteBlocks, readTotals, writeCoverage, writeTotals } from "./StoreRows.ts"

/** A write that is not answered yet. */
export class PendingWrite {
  readonly result: Deferred.Deferred<WriteResult, StoreError>
  /** Whether all of its blocks were looked at. */
  taken = false
  /** What each of its blocks that is in counted; undefined where it was there before. */
  readonly kept = new Map<number, Counts | undefined>()
  alreadyStored = 0
  readonly refused: Array<Refusal> = []
  readonly removed: Array<Removal> = []
  rowsMs = 0
  insertMs = 0
  commitMs = 0
  /** Its blocks in the open transaction. */
  openBlocks = 0

  constructor(result: Deferred.Deferred<WriteResult, StoreError>) {
    this.result = result
  }

  /** What is answered, once it is whole; `databaseBytes`: the size of the file. */
  finish(databaseBytes: number): WriteResult {
    const { kept, alreadyStored, refused, removed, rowsMs, insertMs, commitMs } = this
    let transactions = 0
    let logs = 0
    for (const counts of kept.values()) {
      transactions += counts?.transactions ?? 0
      logs += counts?.logs ?? 0
    }
    const blocks = [...kept.keys()].map((n) => [n, n] as const)
    return {
      committed: [...BlockRanges.fromRanges(blocks).ranges()],
      alreadyStored,
      refused,
      removed,
      transactions,
      logs,
      timings: { rowsMs, insertMs, commitMs },
      databaseBytes,
    }
  }
}

/** Transactions, and the writes that wait for them. */
export interface Commits {
  readonly pending: Set<PendingWrite>
  /** Runs one at a time, to its end, and stops everything when it fails (W4). */
  readonly exclusively: <A>(body: Effect.Effect<A, StoreError>) => Effect.Effect<A, StoreError>
  /** Opens a transaction unless one is open. */
  readonly begin: Effect.Effect<void, StoreError>
  /** Commits the open transaction, if one is, and answers whom it concerns. */
  readonly commit: Effect.Effect<void, StoreError>
  /** As `commit`, when a limit is reached. */
  readonly whenFull: Effect.Effect<void, StoreError>
  /** Answers the writes of which nothing is uncommitted. */
  readonly answerCommitted: Effect.Effect<void>
  /** A block's rows are in the open transaction. */
  readonly added: (blockBytes: number, counts: Counts) => void
  /** Takes blocks out, in the open transaction. */
  readonly remove: (from: number, to: number) => Effect.Effect<void, StoreError>
}

/** Nothing is open at first; what is open is committed when the scope ends. */
export const makeCommits = Effect.fnUntraced(function* (
  database: StoreDatabase,
  coverage: Coverage,
  options: OpenOptions,
): Effect.fn.Return<Commits, StoreError, Scope.Scope> {
  const scope = yield* Effect.scope
  const permit = yield* Effect.makeSemaphore(1)
  const pending = new Set<PendingWrite>()
  let totals = yield* readTotals(database)
  let open = false
  let openBlocks = 0
  let openBytes = 0
  /** Tells the timer of a transaction whether it is still its own that is open. */
  let transaction = 0
  let failed: Cause.Cause<StoreError> | undefined

  const answerCommitted = Effect.gen(function* () {
    if (open) return
    const databaseBytes = yield* database.sizeBytes
    for (const write of pending) {
      if (!write.taken) continue
      pending.delete(write)
      yield* Deferred.succeed(write.result, write.finish(databaseBytes))
    }
  })

  const commit = Effect.gen(function* () {
    if (!open) return
    const startedMs = performance.now()
    yield* writeCoverage(database, coverage.takeChange(), coverage.names())
    yield* writeTotals(database, totals)
    yield* database.run("COMMIT")
    const elapsedMs = performance.now() - startedMs
    for (const write of pending) {
      if (openBlocks > 0) write.commitMs += (elapsedMs * write.openBlocks) / openBlocks
      write.openBlocks = 0
    }
    open = false
    openBlocks = 0
    openBytes = 0
    yield* answerCommitted
  })

  /** Gives up: the file stays as the last commit left it. */
  const abandon = (cause: Cause.Cause<StoreError>) =>
    Effect.gen(function* () {
      failed ??= cause
      // SQLite may have rolled back by itself.
      if (open) yield* Effect.ignore(database.run("ROLLBACK"))
      open = false
      for (const write of pending) yield* Deferred.failCause(write.result, cause)
      pending.clear()
    })

  const exclusively: Commits["exclusively"] = (body) =>
    permit.withPermits(1)(
      Effect.suspend(() => (failed === undefined ? body : Effect.failCause(failed))).pipe(
        Effect.tapErrorCause(abandon),
        Effect.uninterruptible,
      ),
    )

  const begin = Effect.gen(function* () {
    if (open) return
    yield* database.run("BEGIN IMMEDIATE")
    open = true
    const mine = ++transaction
    const late = exclusively(Effect.suspend(() => (mine === transaction ? commit : Effect.void)))
    yield* Effect.sleep(Duration.millis(options.commitAfterMs)).pipe(
      Effect.zipRight(late),
      // Whoever waits for the transaction has been told by then.
      Effect.ignore,
      Effect.interruptible,
      Effect.forkIn(scope),
    )
  })

  yield* Effect.addFinalizer(() => Effect.ignore(exclusively(commit)))
  return {
    pending,
    exclusively,
    begin,
    commit,
    answerCommitted,
    whenFull: Effect.suspend(() =>
      openBlocks >= options.commitBlocks || openBytes >= options.commitBytes ? commit : Effect.void,
    ),
    added: (blockBytes, counts) => {
      openBlocks += 1
      openBytes += blockBytes
      totals = plus(totals, counts, 1)
    },
    remove: Effect.fnUntraced(function* (from, to) {
      yield* begin
      totals = plus(totals, yield* deleteBlocks(database, from, to), -1)
      coverage.remove(from, to)
    }),
  }
})

const plus = (a: Counts, b: Counts, sign: 1 | -1): Counts => ({
  transactions: a.transactions + sign * b.transactions,
  logs: a.logs + sign * b.logs,
})
