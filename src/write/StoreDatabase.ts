/**
 * The database file: opened, locked, migrated, and found to be the right one.
 *
 * In: a directory and what the store is opened for. Out: a {@link StoreDatabase} on one connection,
 * which is closed, with a checkpoint, when its scope ends.
 *
 * Invariants:
 * - Whoever writes holds an SQLite lock on the file `annals.lock` beside the database for as long
 *   as it is open. The system takes the lock back however the holder ends, SIGKILL included, and
 *   readers of the database never meet it. The file is empty and stays.
 * - Nothing is written to a file that is not ours, or is another chain's or a newer schema's.
 * - What SQLite and the file system say becomes a {@link StoreError}, whether the driver fails or
 *   dies with it; anything else stays a defect.
 */
import { mkdirSync, statfsSync, statSync } from "node:fs"
import path from "node:path"
import * as Reactivity from "@effect/experimental/Reactivity"
import { SqliteClient } from "@effect/sql-sqlite-node"
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import { Cause, Duration, Effect, type Scope } from "effect"
import { toHex0x } from "../domain/hex.ts"
import type { BindValue } from "./rowValues.ts"
import { migrations, schemaVersion } from "./schema.ts"
import { StoreError, type StoreFailure } from "./StoreError.ts"
import { DATABASE_FILE, type OpenOptions, type SyncPurpose } from "./storeProtocol.ts"
import { metaKeys } from "./tables.ts"
import { numberAt, textAt, type Row } from "./storedValues.ts"

/** One connection to an open store. Nothing here waits for others: SQLite blocks the thread. */
export interface StoreDatabase {
  /** The database file. */
  readonly file: string
  /** Runs a statement for its effect. */
  readonly run: (
    sql: string,
    values?: ReadonlyArray<BindValue | string>,
  ) => Effect.Effect<void, StoreError>
  /** The rows of a query, each its values in the order of the columns. */
  readonly rows: (
    sql: string,
    values?: ReadonlyArray<BindValue | string>,
  ) => Effect.Effect<ReadonlyArray<Row>, StoreError>
  /** As `rows`, with every integer as a bigint, so that none loses digits. */
  readonly exactRows: (
    sql: string,
    values?: ReadonlyArray<BindValue | string>,
  ) => Effect.Effect<ReadonlyArray<Row>, StoreError>
  /** Runs `body` on one unchanging view of the database; not within a transaction. */
  readonly snapshot: <A, R>(
    body: Effect.Effect<A, StoreError, R>,
  ) => Effect.Effect<A, StoreError, R>
  /** Bytes of the database and its write-ahead log. */
  readonly sizeBytes: Effect.Effect<number>
}

/** Marks a file as ours: "annl" in SQLite's `application_id`. */
const APPLICATION_ID = 0x616e6e6c
const LOCK_FILE = "annals.lock"
const MIGRATIONS_TABLE = "migrations"
/** Bytes; measured as the best for blocks of mainnet's size. Fixed when the file is made. */
const PAGE_BYTES = 16_384
/** What is left of the write-ahead log when it begins anew, in bytes. */
const KEPT_WAL_BYTES = 32 * 1024 * 1024
/** Every insert of 1 to 32 rows into each table, and the rest, stay prepared. */
const PREPARED_STATEMENTS = 400

/** Opens the database of a store. */
export const openDatabase = (
  options: OpenOptions,
): Effect.Effect<StoreDatabase, StoreError, Scope.Scope> => {
  const file = path.join(options.directory, DATABASE_FILE)
  return storeErrors(
    file,
    Effect.gen(function* () {
      const { purpose } = options
      if (purpose.kind === "sync") mkdirSync(options.directory, { recursive: true })
      else if (!isFile(file)) return yield* fails(file, { kind: "missing" })
      if (purpose.kind !== "read") yield* lock(path.join(options.directory, LOCK_FILE))
      const sql = yield* connect(file, purpose.kind === "read")
      const connection = yield* prepare(sql, file, purpose)
      const database = makeDatabase(file, connection)
      if (purpose.kind === "sync") yield* claim(database, purpose)
      if (purpose.kind !== "read") yield* checkpointAtEnd(database)
      return database
    }),
  )
}

const isFile = (file: string): boolean =>
  statSync(file, { throwIfNoEntry: false })?.isFile() === true

const fails = (file: string, failure: StoreFailure): Effect.Effect<never, StoreError> =>
  Effect.fail(new StoreError({ path: file, failure }))

/** Opens a connection, in whatever journal mode the file has, until the scope ends. */
export const connect = (
  filename: string,
  readonly: boolean,
): Effect.Effect<SqliteClient.SqliteClient, never, Scope.Scope> =>
  SqliteClient.make({
    filename,
    readonly,
    // Entered by hand, once the page size is set and the file is known to be ours.
    disableWAL: true,
    prepareCacheSize: PREPARED_STATEMENTS,
    prepareCacheTTL: Duration.infinity,
  }).pipe(Effect.provide(Reactivity.layer))

/** Takes the lock of whoever writes, on a file of its own, until the scope ends. */
export const lock = Effect.fnUntraced(function* (file: string) {
  const sql = yield* connect(file, false)
  const connection = yield* sql.reserve
  yield* connection.executeRaw("PRAGMA busy_timeout = 0", [])
  yield* connection.executeRaw("BEGIN IMMEDIATE", [])
})

/** Sets the file up, or finds that it is not to be touched; gives the one connection to it. */
const prepare = Effect.fnUntraced(function* (
  sql: SqliteClient.SqliteClient,
  file: string,
  purpose: OpenOptions["purpose"],
) {
  const [tables, application] = yield* Effect.map(
    sql.unsafe(
      "SELECT (SELECT count(*) FROM sqlite_master), application_id FROM pragma_application_id",
    ).values,
    ([row]) => [numberAt(row, 0), numberAt(row, 1)],
  )
  const fresh = tables === 0
  if (application !== APPLICATION_ID && !(fresh && application === 0)) {
    return yield* fails(file, { kind: "foreign_file" })
  }
  const found = fresh ? 0 : yield* schemaOf(sql)
  if (found > schemaVersion)
    return yield* fails(file, { kind: "newer_schema", known: schemaVersion, found })
  if (purpose.kind === "read") {
    if (fresh) return yield* fails(file, { kind: "missing" })
    if (found < schemaVersion)
      return yield* fails(file, { kind: "older_schema", known: schemaVersion, found })
    return yield* sql.reserve
  }
  yield* sql.unsafe(`PRAGMA page_size = ${PAGE_BYTES}`)
  yield* sql.unsafe("PRAGMA journal_mode = WAL")
  yield* sql.unsafe(`PRAGMA journal_size_limit = ${KEPT_WAL_BYTES}`)
  yield* sql.unsafe("PRAGMA synchronous = NORMAL")
  yield* sql.unsafe(`PRAGMA application_id = ${APPLICATION_ID}`)
  yield* migrate.pipe(Effect.provideService(SqlClient.SqlClient, sql))
  // Held for good: there is no other user of this connection.
  return yield* sql.reserve
})

/** The newest migration that ran on the file; 0: none. */
const schemaOf = Effect.fnUntraced(function* (sql: SqliteClient.SqliteClient) {
  const known = yield* sql.unsafe("SELECT name FROM sqlite_master WHERE name = ?", [
    MIGRATIONS_TABLE,
  ]).values
  if (known.length === 0) return 0
  const [row] = yield* sql.unsafe(`SELECT coalesce(max(migration_id), 0) FROM ${MIGRATIONS_TABLE}`)
    .values
  return numberAt(row, 0)
})

const migrate = Migrator.make({})({
  table: MIGRATIONS_TABLE,
  loader: Effect.succeed(
    migrations.map(({ id, name, statements }) => {
      const run = Effect.flatMap(SqlClient.SqlClient, (sql) =>
        Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true }),
      )
      return [id, name, Effect.succeed(run)] as const
    }),
  ),
})

/** Writes down whose chain this is, and which file; or refuses when it is another one's. */
const claim = Effect.fnUntraced(function* (database: StoreDatabase, purpose: SyncPurpose) {
  const { file } = database
  const rows = yield* database.rows("SELECT key, value FROM meta")
  const meta = new Map(rows.map((row) => [textAt(row, 0), textAt(row, 1)]))
  const wanted = [
    ["chain id", metaKeys.chainId, String(purpose.chainId)],
    ["genesis hash", metaKeys.genesisHash, toHex0x(purpose.genesisHash)],
  ] as const
  for (const [field, key, expected] of wanted) {
    const actual = meta.get(key)
    if (actual !== undefined && actual !== expected) {
      return yield* fails(file, { kind: "other_chain", field, expected, actual })
    }
  }
  const facts = [
    ...wanted.map(([, key, value]) => [key, value]),
    [metaKeys.network, purpose.network],
  ]
  yield* database.run(
    `INSERT OR IGNORE INTO meta (key, value) VALUES ${facts.map(() => "(?, ?)").join(", ")}`,
    facts.flat(),
  )
  yield* database.run(
    "INSERT OR IGNORE INTO meta (key, value) VALUES (?, lower(hex(randomblob(16))))",
    [metaKeys.storeId],
  )
  // The same chain may have learnt of further forks since the last time.
  if (purpose.chainRules !== undefined && meta.get(metaKeys.chainRules) !== purpose.chainRules) {
    yield* database.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", [
      metaKeys.chainRules,
      purpose.chainRules,
    ])
  }
})

/** A connection with errors of the store. */
export const makeDatabase = (file: string, connection: Connection): StoreDatabase => {
  const errors = <A, R>(effect: Effect.Effect<A, SqlError | StoreError, R>) =>
    storeErrors(file, effect)
  const run: StoreDatabase["run"] = (sql, values = []) =>
    errors(Effect.asVoid(connection.executeRaw(sql, values)))
  return {
    file,
    run,
    rows: (sql, values = []) => errors(connection.executeValues(sql, values)),
    exactRows: (sql, values = []) =>
      errors(
        Effect.map(
          Effect.provideService(
            connection.execute(sql, values, undefined),
            SqlClient.SafeIntegers,
            true,
          ),
          (rows) => rows.map((row: Readonly<Record<string, unknown>>) => Object.values(row)),
        ),
      ),
    snapshot: (body) =>
      Effect.acquireUseRelease(
        run("BEGIN"),
        () => body,
        () => Effect.ignore(run("COMMIT")),
      ),
    sizeBytes: Effect.sync(() => fileBytes(file) + fileBytes(`${file}-wal`)),
  }
}

/** Moves all of the write-ahead log into the database when the scope ends; best effort. */
const checkpointAtEnd = (database: StoreDatabase): Effect.Effect<void, never, Scope.Scope> =>
  Effect.addFinalizer(() => Effect.ignore(database.rows("PRAGMA wal_checkpoint(TRUNCATE)")))

const fileBytes = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0

/**
 * Turns what SQLite and the file system say into a {@link StoreError}. Also where it comes as a
 * defect: the driver throws while it opens a file, and the migrator dies with what failed.
 */
export const storeErrors = <A, E, R>(
  file: string,
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<A, StoreError, R> =>
  Effect.catchAllCause(effect, (cause) => {
    const error = Cause.squash(cause)
    if (error instanceof StoreError) return Effect.fail(error)
    const code = codeOf(error)
    return code === undefined ? Effect.die(error) : fails(file, failureOf(code, path.dirname(file)))
  })

/** The code of SQLite or of the system in an error or in what caused it. */
const codeOf = (error: unknown): string | undefined => {
  let at = error
  while (typeof at === "object" && at !== null) {
    if ("code" in at && typeof at.code === "string") return at.code
    at = "cause" in at ? at.cause : undefined
  }
  return undefined
}

const failureOf = (code: string, directory: string): StoreFailure => {
  if (code === "SQLITE_FULL" || code === "ENOSPC" || code === "EDQUOT") return { kind: "disk_full" }
  if (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")) return { kind: "locked" }
  if (code.startsWith("SQLITE_READONLY") || code === "EROFS") return { kind: "read_only" }
  if (code === "SQLITE_NOTADB") return { kind: "foreign_file" }
  if (code.startsWith("SQLITE_CORRUPT")) return { kind: "damaged", code }
  if (code.startsWith("SQLITE_CANTOPEN") || !code.startsWith("SQLITE_")) {
    return { kind: "cannot_open", code }
  }
  // A full disk shows as an I/O error where SQLite grows its shared memory or syncs.
  if (code.startsWith("SQLITE_IOERR") && isFull(directory)) return { kind: "disk_full" }
  return { kind: "io", code }
}

const isFull = (directory: string): boolean => {
  try {
    return statfsSync(directory).bavail === 0
  } catch {
    return false
  }
}
