/**
 * Writing into an open store: which blocks fit, their rows, and when all of it is committed.
 *
 * In: blocks whose roots are checked, in any order, from any number of callers. Out: for each write
 * what became of its blocks, once those that stay are committed.
 *
 * Writes share transactions: one is open from the first row on, and is committed at the first of
 * `commitBlocks`, `commitBytes` and `commitAfterMs`, also in the middle of a write. So whoever
 * writes keeps several packs on their way and answers for none of them before its reply.
 *
 * Invariants:
 * - W1  Rows, coverage and totals change in the same transaction: the store is right after every
 *       commit, and a kill between two of them leaves what the first one left.
 * - W2  A block is reported as committed when it is; once reported, it is removed only with a
 *       report.
 * - W3  Each block of a write is reported once: committed or refused. Writes end in the order in
 *       which they were settled, so that what the last report says of a block holds.
 * - W4  After a statement has failed nothing is written any more: what is in memory may no longer
 *       be what is in the file. All writes, present and to come, fail with that error.
 */
import { Deferred, Effect, type Scope } from "effect"
import { type BlockRange, BlockRanges } from "../domain/blockRanges.ts"
import { toHex0x } from "../domain/hex.ts"
import type { Coverage } from "./coverage.ts"
import { checksText, decodeBlock } from "./decodedBlock.ts"
import { DEFAULT_COMPRESSION_LEVEL } from "./payloadCodec.ts"
import type { BlockPayload } from "./rows.ts"
import type { Insertion, Removal } from "./segments.ts"
import { type Commits, makeCommits, PendingWrite } from "./StoreCommits.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import { StoreError } from "./StoreError.ts"
import type {
  OpenOptions,
  Opened,
  Replacement,
  ReplaceResult,
  SyncPurpose,
  WriteResult,
} from "./storeProtocol.ts"
import { replaceBlocks } from "./StoreReplace.ts"
import { checksLinks, insertRows, loadCoverage } from "./StoreRows.ts"
import { payloadBytes, payloadRows } from "./tableRows.ts"

/** See the module. */
export interface StoreWriting {
  readonly opened: Opened
  readonly coverage: Coverage
  /** Ends when each of the blocks is committed or refused. */
  readonly write: (blocks: ReadonlyArray<BlockPayload>) => Effect.Effect<WriteResult, StoreError>
  /** Puts blocks in the place of others, in one transaction of its own. */
  readonly replace: (replacement: Replacement) => Effect.Effect<ReplaceResult, StoreError>
  /** Commits what is written so far. */
  readonly flush: Effect.Effect<void, StoreError>
  /** Runs `body` in a transaction of its own and commits it with the coverage that it changed. */
  readonly transact: <A>(body: Effect.Effect<A, StoreError>) => Effect.Effect<A, StoreError>
  /** Commits what is open and runs `body`, which writes nothing, while nobody else does. */
  readonly outsideTransactions: <A>(
    body: Effect.Effect<A, StoreError>,
  ) => Effect.Effect<A, StoreError>
}

/** Starts writing; what is open is committed when the scope ends. */
export const makeWriting = Effect.fnUntraced(function* (
  database: StoreDatabase,
  options: OpenOptions,
): Effect.fn.Return<StoreWriting, StoreError, Scope.Scope> {
  const { purpose } = options
  const sync = purpose.kind === "sync" ? purpose : undefined
  const coverage = yield* loadCoverage(database, trustedHashes(sync))
  const commits = yield* makeCommits(database, coverage, options)
  const removed = sync === undefined ? [] : yield* applyTrust(database, coverage, commits)
  const take = sync === undefined ? undefined : makeTake(database, coverage, commits, sync)
  const transact: StoreWriting["transact"] = (body) =>
    commits.exclusively(
      Effect.gen(function* () {
        yield* commits.commit
        yield* commits.begin
        const value = yield* body
        yield* commits.commit
        return value
      }),
    )
  return {
    coverage,
    opened: {
      covered: Object.fromEntries(
        coverage.names().map((name) => [name, [...coverage.of(name).ranges()]]),
      ),
      lessChecked: sync === undefined ? [] : lessChecked(coverage, sync.checks),
      removed,
      databaseBytes: yield* database.sizeBytes,
    },
    write: Effect.fnUntraced(function* (blocks) {
      if (take === undefined) return yield* Effect.dieMessage("this store was not opened to sync")
      const pending = new PendingWrite(yield* Deferred.make<WriteResult, StoreError>())
      yield* commits.exclusively(
        Effect.gen(function* () {
          commits.pending.add(pending)
          for (const block of blocks) {
            yield* take(pending, block)
            yield* commits.whenFull
          }
          pending.taken = true
          yield* commits.answerCommitted
        }),
      )
      // Writes that were answered before this one also go on before it: this fiber would not have
      // to wait, and its caller might hear that a block is in before another hears that it went.
      yield* Effect.yieldNow()
      return yield* Deferred.await(pending.result)
    }),
    flush: commits.exclusively(commits.commit),
    outsideTransactions: (body) => commits.exclusively(Effect.zipRight(commits.commit, body)),
    transact,
    replace: (replacement) =>
      sync === undefined
        ? Effect.dieMessage("this store was not opened to sync")
        : transact(replaceBlocks(database, coverage, commits, sync, replacement)),
  }
})

const trustedHashes = (sync: SyncPurpose | undefined): ReadonlyMap<number, Uint8Array> => {
  const trusted = new Map<number, Uint8Array>()
  if (sync === undefined) return trusted
  trusted.set(0, sync.genesisHash)
  for (const { blockNumber, hash } of sync.trusted) trusted.set(blockNumber, hash)
  return trusted
}

/** Holds what is stored against the hashes that are trusted now. */
const applyTrust = Effect.fnUntraced(function* (
  database: StoreDatabase,
  coverage: Coverage,
  commits: Commits,
) {
  const { removed, contradictions } = yield* decide(() => coverage.segments.applyTrust())
  const [contradiction] = contradictions
  if (contradiction !== undefined) {
    const failure = {
      kind: "trust_contradicted",
      blockNumber: contradiction.blockNumber,
      expected: toHex0x(contradiction.expected),
      actual: toHex0x(contradiction.actual),
    } as const
    return yield* new StoreError({ path: database.file, failure })
  }
  yield* commits.exclusively(
    Effect.gen(function* () {
      yield* commits.begin
      for (const { from, to } of removed) yield* commits.remove(from, to)
      yield* commits.commit
    }),
  )
  return removed
})

/** Lets the segments decide; where they had to ask the database, it may have failed. */
const decide = <A>(decision: () => A): Effect.Effect<A, StoreError> =>
  Effect.try({ try: decision, catch: (error) => error }).pipe(
    Effect.catchAll((error) =>
      error instanceof StoreError ? Effect.fail(error) : Effect.die(error),
    ),
  )

/** The stored blocks that were not checked for all of `checks`. */
const lessChecked = (
  { segments }: Coverage,
  checks: ReadonlyArray<string>,
): ReadonlyArray<BlockRange> =>
  segments.list().flatMap(({ from, to, checks: done }) => {
    const names = new Set(done.split(","))
    return checks.every((check) => names.has(check)) ? [] : [[from, to] as const]
  })

/** Gives the effect that takes one block in or refuses it. */
const makeTake = (
  database: StoreDatabase,
  coverage: Coverage,
  commits: Commits,
  sync: SyncPurpose,
) => {
  const checks = checksText(sync.checks)
  const how = { checks, linked: checksLinks(checks) }
  const { compressionLevel = DEFAULT_COMPRESSION_LEVEL } = sync

  return Effect.fnUntraced(function* (write: PendingWrite, block: BlockPayload) {
    const { blockNumber, hash } = block
    const startedMs = performance.now()
    const decoded = decodeBlock(block, sync)
    const decodedMs = performance.now()
    write.rowsMs += decodedMs - startedMs
    if (decoded === undefined) {
      write.refused.push({ blockNumber, reason: "unreadable", proven: true, ...nothingMore })
      return
    }
    const { parentHash, rows, counts } = decoded
    const insertion = yield* decide(() =>
      coverage.segments.insert({ blockNumber, hash, parentHash }, how),
    )
    yield* commits.begin.pipe(Effect.when(() => changesStore(insertion)))
    if (insertion.outcome !== "stored") {
      for (const removal of insertion.removed) yield* takeOut(commits, write, removal)
    }
    if (insertion.outcome === "refused") {
      const { reason, proven, expected, actual } = insertion
      const putOut = insertion.removed.flatMap((removal) => heightsOf(removal))
      write.refused.push({ blockNumber, reason, proven, putOut, expected, actual })
    } else if (insertion.outcome === "stored") {
      if (!write.kept.has(blockNumber)) write.kept.set(blockNumber, undefined)
      write.alreadyStored += 1
    } else {
      yield* insertRows(database, payloadRows(block, compressionLevel))
      for (const table of rows) yield* insertRows(database, table)
      for (const table of sync.tables) coverage.add(table, blockNumber)
      write.kept.set(blockNumber, counts)
      write.openBlocks += 1
      commits.added(payloadBytes(block), counts)
    }
    write.insertMs += performance.now() - decodedMs
  })
}

/** What is told of a refusal that is about no other block. */
const nothingMore = { putOut: [], expected: undefined, actual: undefined }

/** The heights of what goes without proof: the segments take such blocks out one by one. */
const heightsOf = ({ from, to, proven }: Removal): ReadonlyArray<number> =>
  proven || from !== to ? [] : [from]

const changesStore = (insertion: Insertion): boolean =>
  insertion.outcome === "accepted" ||
  (insertion.outcome === "refused" && insertion.removed.length > 0)

/** Takes blocks out: who was not told yet that they are in is told that they are not (W2, W3). */
const takeOut = Effect.fnUntraced(function* (
  commits: Commits,
  write: PendingWrite,
  { from, to, proven }: Removal,
) {
  yield* commits.remove(from, to)
  let told = BlockRanges.of(from, to)
  for (const other of commits.pending) {
    for (const [blockNumber, counts] of other.kept) {
      if (blockNumber < from || blockNumber > to) continue
      other.kept.delete(blockNumber)
      other.refused.push({ blockNumber, reason: "displaced", proven, ...nothingMore })
      // Where it was there before, the write that brought it may have been told.
      if (counts !== undefined) told = told.remove(blockNumber, blockNumber)
    }
  }
  for (const [first, last] of told.ranges()) write.removed.push({ from: first, to: last, proven })
})
