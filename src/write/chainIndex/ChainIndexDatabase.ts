/**
 * The file of the index, `annals-index.db` beside the store: opened, locked, and found to be of this
 * very store and of this program's version.
 *
 * In: the store's directory and which store it is. Out: an {@link IndexDatabase}, closed when its
 * scope ends.
 *
 * All that is in it is derived from the store. So a file that is damaged, another store's or another
 * version's is thrown away by whoever builds, and is none for who reads.
 *
 * Invariants: who builds holds a lock on `annals-index.lock` for as long as the file is open; two
 * never build. Rows of bytes carry a checksum that depends on their place ({@link sealed}), those of
 * segments and runs one of all that they say ({@link sealOf}), so that what was damaged is noticed and
 * never taken for "no match".
 */
import { rmSync, statSync } from "node:fs"
import path from "node:path"
import { crc32 } from "node:zlib"
import type { SqliteClient } from "@effect/sql-sqlite-node"
import { Data, Effect, ExecutionStrategy, Exit, Scope } from "effect"
import { rowsNow } from "../RowsNow.ts"
import { connect, lock, makeDatabase, storeErrors, type StoreDatabase } from "../StoreDatabase.ts"
import { StoreError } from "../StoreError.ts"
import type { Row } from "../storedValues.ts"

/** The name of the file in the store's directory. */
export const INDEX_FILE = "annals-index.db"
const LOCK_FILE = "annals-index.lock"
/** Marks a file as ours: "anni" in SQLite's `application_id`. */
const APPLICATION_ID = 0x616e6e69
/** Rises with whatever changes of the tables below or of the bytes in them. */
const VERSION = 4
/** Bytes: several buckets a page. */
const PAGE_BYTES = 16_384

/** Which store it is, and whose chain it holds, as its `meta` has it. */
export interface StoreIdentity {
  /** Empty where the store was made before it had one. */
  readonly storeId: string
  readonly chainId: string
  readonly genesisHash: string
}

/** An index that is open. */
export interface IndexDatabase {
  readonly database: StoreDatabase
  /** While it is open, no file that is made in its place has this one. */
  readonly inode: number
}

/** What the index holds cannot be what was written into it. */
export class IndexDamaged extends Data.TaggedError("IndexDamaged")<{
  /** One line. */
  readonly reason: string
}> {}

/**
 * - `state`: one row; `file_id` is another one whenever the file is made anew, `revision` rises with
 *   every commit, `next_id` was never used, `runs` is the sum of the seals of all runs: one that is
 *   missing would be taken for "no match".
 * - `segments`: `closed`: never made again with more blocks. `checked`: its payloads were held against
 *   their headers. `digest`: {@link payloadsDigest}. Its logs are in 2^bits postings.
 * - `segment_logs`: how many logs each block of a segment has (`chainIndexSegment.ts`).
 * - `postings`: `place` is {@link postingsPlace} (`chainIndexPostings.ts`).
 * - `runs`: sorted transactions (`chainIndexRuns.ts`), in 2^bits entries. Of level 0: those of the
 *   segment of the same id. `state`: see {@link runStates}.
 * - `entries`: `place` is {@link entriesPlace}.
 * - `seal`: {@link sealOf} of the row's other columns, in their order.
 */
const SCHEMA = [
  "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
  `CREATE TABLE state (
  only INTEGER PRIMARY KEY,
  file_id INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  next_id INTEGER NOT NULL,
  runs INTEGER NOT NULL
) STRICT`,
  `CREATE TABLE segments (
  segment_id INTEGER PRIMARY KEY,
  from_block INTEGER NOT NULL,
  to_block INTEGER NOT NULL,
  first_hash BLOB NOT NULL,
  last_hash BLOB NOT NULL,
  digest BLOB NOT NULL,
  bits INTEGER NOT NULL,
  closed INTEGER NOT NULL,
  checked INTEGER NOT NULL,
  seal INTEGER NOT NULL
) STRICT`,
  "CREATE TABLE segment_logs (segment_id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
  "CREATE TABLE postings (place INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
  `CREATE TABLE runs (
  run_id INTEGER PRIMARY KEY,
  level INTEGER NOT NULL,
  state INTEGER NOT NULL,
  entries INTEGER NOT NULL,
  bits INTEGER NOT NULL,
  seal INTEGER NOT NULL
) STRICT`,
  "CREATE TABLE entries (place INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT",
  "INSERT INTO state (only, file_id, revision, next_id, runs) VALUES (1, random() >> 12, 1, 1, 0)",
]

/** Of a run: still being written; to be looked through; merged into another one, and to go. */
export const runStates = { unfinished: 0, ready: 1, merged: 2 } as const

/** Where a bucket of a segment's postings is; its last place is that behind all buckets. */
export const postingsPlace = (segmentId: number, bucket: number): number =>
  segmentId * 2 ** 16 + bucket

/** Where a bucket of a run is. */
export const entriesPlace = (runId: number, bucket: number): number => runId * 2 ** 25 + bucket

const CHECKSUM_BYTES = 4

/** Bytes for the row at `place`: with a checksum behind them. */
export const sealed = (bytes: Uint8Array, place: number): Uint8Array => {
  const row = new Uint8Array(bytes.length + CHECKSUM_BYTES)
  row.set(bytes)
  new DataView(row.buffer).setUint32(bytes.length, crc32(bytes, place % 2 ** 32), true)
  return row
}

/** The bytes of a row that {@link sealed} made. Throws {@link IndexDamaged} for any other. */
export const unsealed = (row: Uint8Array, place: number): Uint8Array => {
  const length = row.length - CHECKSUM_BYTES
  if (length >= 0) {
    const bytes = row.subarray(0, length)
    const sum = new DataView(row.buffer, row.byteOffset, row.length).getUint32(length, true)
    if (crc32(bytes, place % 2 ** 32) === sum) return bytes
  }
  throw new IndexDamaged({ reason: `the index row at ${place} is damaged` })
}

/** Room for a row of a segment. */
const sealScratch = Buffer.alloc(256)

/** What a row of numbers and bytes has for a checksum. */
export const sealOf = (values: ReadonlyArray<number | Uint8Array>): number => {
  let length = 0
  for (const value of values) {
    if (typeof value === "number") length = sealScratch.writeDoubleLE(value, length)
    else {
      // All that is written is as long as a hash; of what is not, its length tells.
      sealScratch.fill(0, length, length + HASH_BYTES).set(value.subarray(0, HASH_BYTES), length)
      length = sealScratch.writeDoubleLE(value.length, length + HASH_BYTES)
    }
  }
  return crc32(sealScratch.subarray(0, length))
}

const HASH_BYTES = 32

/** Throws {@link IndexDamaged} where a row of `table` is not what was written. */
export const demandSeal = (
  table: "segments" | "runs",
  seal: number,
  values: ReadonlyArray<number | Uint8Array>,
): void => {
  if (sealOf(values) !== seal)
    throw new IndexDamaged({ reason: `a row of the index's ${table} is damaged` })
}

/**
 * The rows of a query of the index, each as `read` has it. Throws what the database fails with, and
 * {@link IndexDamaged} where a column has another type than was written: a few bits of a row say which.
 */
export const indexRows = <A>(
  index: StoreDatabase,
  sql: string,
  values: ReadonlyArray<number>,
  read: (row: Row, at: number) => A,
): ReadonlyArray<A> =>
  rowsNow(index, sql, values).map((row, at) => {
    try {
      return read(row, at)
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      throw new IndexDamaged({ reason: `a row of the index is damaged: ${error.message}` })
    }
  })

/** Reads at once; what it throws of the index or of a database is the error. */
export const readNow = <A>(read: () => A): Effect.Effect<A, IndexDamaged | StoreError> =>
  Effect.try({ try: read, catch: (error) => error }).pipe(
    Effect.catchAll((error) =>
      error instanceof IndexDamaged || error instanceof StoreError
        ? Effect.fail(error)
        : Effect.die(error),
    ),
  )

const fileIn = (directory: string): string => path.join(directory, INDEX_FILE)

/** Whether an error is about the index, not about the store. */
export const isOfIndex = ({ path: file }: StoreError): boolean => path.basename(file) === INDEX_FILE

/** Whether an error says that the index holds something else than was written. */
export const isDamageOfIndex = (error: StoreError): boolean =>
  isOfIndex(error) && (error.failure.kind === "damaged" || error.failure.kind === "foreign_file")

/** The file's inode; undefined where there is none. */
export const indexInode = (directory: string): number | undefined =>
  statSync(fileIn(directory), { throwIfNoEntry: false })?.ino

/** Removes the index. Only for who holds its lock, or knows that nobody does. */
export const throwIndexAway = (directory: string): void => {
  for (const end of ["", "-wal", "-shm", "-journal"]) {
    rmSync(`${fileIn(directory)}${end}`, { force: true, recursive: true })
  }
}

/** Takes the lock of who builds until the scope ends; fails with `locked` where another one has it. */
export const lockIndex = (directory: string): Effect.Effect<void, StoreError, Scope.Scope> => {
  const file = path.join(directory, LOCK_FILE)
  return storeErrors(file, lock(file))
}

/** Opens the index to build it; makes it where there is none that fits. */
export const openIndexToBuild = Effect.fnUntraced(function* (
  directory: string,
  identity: StoreIdentity,
): Effect.fn.Return<IndexDatabase, StoreError, Scope.Scope> {
  const found = yield* openIfFit(directory, identity, false)
  if (found !== undefined) return found
  throwIndexAway(directory)
  const file = fileIn(directory)
  const database = yield* storeErrors(
    file,
    Effect.gen(function* () {
      const sql = yield* connect(file, false)
      yield* sql.unsafe(`PRAGMA page_size = ${PAGE_BYTES}`)
      yield* sql.unsafe("PRAGMA journal_mode = WAL")
      yield* sql.unsafe("PRAGMA synchronous = NORMAL")
      return makeDatabase(file, yield* sql.reserve)
    }),
  )
  yield* inTransaction(
    database,
    Effect.gen(function* () {
      for (const statement of SCHEMA) yield* database.run(statement)
      const facts = factsOf(identity)
      const places = facts.map(() => "(?, ?)").join(", ")
      yield* database.run(`INSERT INTO meta (key, value) VALUES ${places}`, facts.flat())
      yield* database.run(`PRAGMA application_id = ${APPLICATION_ID}`)
      yield* database.run(`PRAGMA user_version = ${VERSION}`)
    }),
  )
  return { database, inode: indexInode(directory) ?? 0 }
})

/** Opens the index to read it; undefined where there is none that fits. */
export const openIndexToRead = (
  directory: string,
  identity: StoreIdentity,
): Effect.Effect<IndexDatabase | undefined, never, Scope.Scope> =>
  openIfFit(directory, identity, true)

/** Whatever is wrong with the file, it is none: what is in it can be made again. */
const openIfFit = Effect.fnUntraced(function* (
  directory: string,
  identity: StoreIdentity,
  readonly: boolean,
) {
  const inode = indexInode(directory)
  if (inode === undefined) return undefined
  const file = fileIn(directory)
  const outer = yield* Effect.scope
  const scope = yield* Scope.fork(outer, ExecutionStrategy.sequential)
  const opened = yield* storeErrors(
    file,
    Effect.gen(function* () {
      const sql = yield* connect(file, readonly)
      if (!(yield* fits(sql, identity))) return undefined
      if (!readonly) yield* sql.unsafe("PRAGMA synchronous = NORMAL")
      return makeDatabase(file, yield* sql.reserve)
    }),
  ).pipe(
    Effect.catchTag("StoreError", () => Effect.succeed(undefined)),
    Scope.extend(scope),
  )
  if (opened !== undefined) return { database: opened, inode }
  yield* Scope.close(scope, Exit.void)
  return undefined
})

const fits = Effect.fnUntraced(function* (sql: SqliteClient.SqliteClient, identity: StoreIdentity) {
  const [kind] = yield* sql.unsafe(
    "SELECT application_id, (SELECT user_version FROM pragma_user_version) FROM pragma_application_id",
  ).values
  if (kind?.[0] !== APPLICATION_ID || kind[1] !== VERSION) return false
  const rows = yield* sql.unsafe("SELECT key, value FROM meta").values
  // Of whatever type: in a damaged file a text may have become something else.
  const meta = new Map(rows.map(([key, value]: Row) => [key, value]))
  return factsOf(identity).every(([key, value]) => meta.get(key) === value)
})

/** What the index has in its own `meta`. */
const factsOf = ({ storeId, chainId, genesisHash }: StoreIdentity) =>
  [
    ["store_id", storeId],
    ["chain_id", chainId],
    ["genesis_hash", genesisHash],
  ] as const

/** Runs `body` in a transaction, which is undone where it fails. */
export const inTransaction = <A, E>(
  database: StoreDatabase,
  body: Effect.Effect<A, E>,
): Effect.Effect<A, E | StoreError> =>
  Effect.uninterruptible(
    database.run("BEGIN IMMEDIATE").pipe(
      Effect.zipRight(body),
      Effect.zipLeft(database.run("COMMIT")),
      // SQLite may have rolled back by itself, or never begun.
      Effect.tapErrorCause(() => Effect.ignore(database.run("ROLLBACK"))),
    ),
  )

/** Rows that are inserted with one statement. */
const ROWS_AT_ONCE = 32

/** Inserts rows of bytes with their checksums. */
export const insertBytes = Effect.fnUntraced(function* (
  index: StoreDatabase,
  table: "postings" | "entries",
  buckets: ReadonlyArray<Uint8Array>,
  placeOf: (bucket: number) => number,
) {
  for (let at = 0; at < buckets.length; at += ROWS_AT_ONCE) {
    const some = buckets.slice(at, at + ROWS_AT_ONCE)
    const values = some.flatMap((bytes, i) => {
      const place = placeOf(at + i)
      return [place, sealed(bytes, place)]
    })
    const rows = some.map(() => "(?, ?)").join(", ")
    yield* index.run(`INSERT INTO ${table} (place, bytes) VALUES ${rows}`, values)
  }
})
