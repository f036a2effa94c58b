import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Runtime } from "effect"
import { toHex0x } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import {
  type BlockPayload,
  blockRow,
  logRows,
  transactionRows,
  uncleRows,
  withdrawalRows,
} from "../../src/write/rows.ts"
import type { BindValue } from "../../src/write/rowValues.ts"
import { wideInteger } from "../../src/write/rowValues.ts"
import { migrations, schemaVersion } from "../../src/write/schema.ts"
import {
  columnKinds,
  columnNames,
  insertSql,
  type RowTable,
  type TableName,
  tables,
} from "../../src/write/tables.ts"
import { arbitraryPayload, hostileInteger } from "../support/arbitraryBlocks.ts"
import {
  type BlockRows,
  payloadFromRows,
  type Row,
  sameBytes,
  wholeOf,
} from "../support/payloadFromRows.ts"

const database = SqliteClient.layer({ filename: ":memory:", disableWAL: true })

const migrate = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const { statements } of migrations) {
    for (const statement of statements) yield* sql.unsafe(statement)
  }
  return sql
})

const OTHER_TABLES = ["payloads", "coverage", "reorgs", "peers", "meta"] as const
const ROW_TABLES = ["blocks", "transactions", "logs", "withdrawals", "uncles"] as const
const TABLES: ReadonlyArray<TableName> = [...ROW_TABLES, ...OTHER_TABLES]

const ROW_FUNCTIONS = {
  blocks: blockRow,
  transactions: transactionRows,
  logs: logRows,
  withdrawals: withdrawalRows,
  uncles: uncleRows,
} as const

const insert = (table: TableName, values: ReadonlyArray<BindValue | string>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = values.length / columnNames(table).length
    if (rows > 0) yield* sql.unsafe(insertSql(table, rows), values)
  })

const insertPayload = (payload: BlockPayload) =>
  Effect.forEach(ROW_TABLES, (table) => {
    const values: Array<BindValue> = []
    ROW_FUNCTIONS[table](payload, values)
    return insert(table, values)
  })

/** The rows of a block as they are in the database, integers exact. */
const select = (table: RowTable, blockNumber: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql
      .unsafe<Row>(`SELECT * FROM ${table} WHERE block_number = ? ORDER BY 1, 2, 3`, [blockNumber])
      .pipe(Effect.provideService(SqlClient.SafeIntegers, true)),
  )

const selectPayload = (blockNumber: number) =>
  Effect.gen(function* () {
    const rows: BlockRows = {
      blocks: yield* select("blocks", blockNumber),
      transactions: yield* select("transactions", blockNumber),
      logs: yield* select("logs", blockNumber),
      withdrawals: yield* select("withdrawals", blockNumber),
      uncles: yield* select("uncles", blockNumber),
    }
    return payloadFromRows(rows)
  })

const wipe = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.forEach(ROW_TABLES, (table) => sql.unsafe(`DELETE FROM ${table}`)),
)

const thereAndBack = (payload: BlockPayload) =>
  Effect.gen(function* () {
    yield* wipe
    yield* insertPayload(payload)
    return yield* selectPayload(payload.blockNumber)
  })

const TYPES = { integer: "INTEGER", wide: "INTEGER", blob: "BLOB", text: "TEXT" } as const

/** A payload with transactions and logs. */
const fullPayload = (): BlockPayload =>
  fc
    .sample(arbitraryPayload, { numRuns: 300, seed: 11 })
    .find((payload) => logRows(payload, []) > 1 && withdrawalRows(payload, []) > 0)!

describe("schema", () => {
  it.effect("has the columns of tables.ts, in order, after all migrations", () =>
    Effect.gen(function* () {
      const sql = yield* migrate
      for (const table of TABLES) {
        const columns = yield* sql.unsafe<{ name: string; type: string }>(
          `PRAGMA table_info(${table})`,
        )
        assert.deepEqual(
          columns.map(({ name, type }) => [name, type]),
          columnNames(table).map((name, at) => [name, TYPES[columnKinds(table)[at]!]]),
        )
      }
      const made = yield* sql.unsafe<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name",
      )
      assert.deepEqual(
        made.map(({ name }) => name),
        Object.keys(tables).sort(),
      )
      assert.deepEqual(
        made.map(({ name }) => name),
        TABLES.toSorted(),
      )
    }).pipe(Effect.provide(database)),
  )

  it("has migrations that count up from 1", () => {
    assert.deepEqual(
      migrations.map(({ id }) => id),
      migrations.map((_, at) => at + 1),
    )
    assert.strictEqual(schemaVersion, migrations.length)
  })

  it.effect("gives back every block that was inserted, byte for byte", () =>
    Effect.gen(function* () {
      yield* migrate
      const runtime = yield* Effect.runtime<SqlClient.SqlClient>()
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(arbitraryPayload, async (payload) => {
            const back = await Runtime.runPromise(runtime)(thereAndBack(payload))
            assert.isTrue(sameBytes(wholeOf(back), wholeOf(payload)))
          }),
          { numRuns: 150 },
        ),
      )
    }).pipe(Effect.provide(database)),
  )

  it.effect("sorts integers of any size by value", () =>
    Effect.gen(function* () {
      const sql = yield* migrate
      const values = fc.sample(hostileInteger, { numRuns: 200, seed: 7 })
      for (const [position, value] of values.entries()) {
        yield* insert("withdrawals", [1, position, 0, 0, new Uint8Array(20), wideInteger(value)])
      }
      const rows = yield* sql.unsafe<{ withdrawal_position: number }>(
        "SELECT withdrawal_position FROM withdrawals ORDER BY amount",
      )
      const sorted = rows.map((row) => values[row.withdrawal_position]!)
      assert.deepEqual(
        sorted,
        values.toSorted((a, b) => (a < b ? -1 : Number(a > b))),
      )
    }).pipe(Effect.provide(database)),
  )

  it.effect("keeps integers as integers and empty blobs as blobs", () =>
    Effect.gen(function* () {
      const sql = yield* migrate
      const largest = Number.MAX_SAFE_INTEGER
      const values = [1, 0, largest, 2n ** 63n - 1n, new Uint8Array(20), 5]
      yield* insert("withdrawals", values)
      yield* insert("payloads", [largest, new Uint8Array(0), new Uint8Array(1), values[4]!, 0])
      const kinds = yield* sql.unsafe(
        `SELECT typeof(withdrawal_index) AS a, withdrawal_index = ${largest} AS b,
          typeof(validator_index) AS c, validator_index = 9223372036854775807 AS d,
          typeof(header) AS e, length(header) AS f, payloads.block_number = ${largest} AS g
        FROM withdrawals, payloads`,
      )
      assert.deepEqual(kinds, [{ a: "integer", b: 1, c: "integer", d: 1, e: "blob", f: 0, g: 1 }])
    }).pipe(Effect.provide(database)),
  )

  it.effect("shows blobs as text in its views, and a log's transaction where it is there", () =>
    Effect.gen(function* () {
      const sql = yield* migrate
      const payload = fullPayload()
      yield* insertPayload(payload)
      const [block] = yield* sql.unsafe<{ block_hash: string }>("SELECT * FROM blocks_hex")
      assert.strictEqual(block?.block_hash, toHex0x(keccak256(payload.header)))
      const withHash = yield* sql.unsafe(
        `SELECT count(*) AS n FROM logs_hex JOIN transactions_hex USING (block_number, transaction_index)
        WHERE logs_hex.transaction_hash = transactions_hex.transaction_hash`,
      )
      const logs = logRows(payload, [])
      assert.deepEqual(withHash, [{ n: logs }])
      yield* sql.unsafe("DELETE FROM transactions")
      const without = yield* sql.unsafe(
        `SELECT count(*) AS n FROM logs_hex
        WHERE transaction_hash IS NULL AND address LIKE '0x%' AND n_data_bytes * 2 + 2 = length(data)`,
      )
      assert.deepEqual(without, [{ n: logs }])
    }).pipe(Effect.provide(database)),
  )

  it.effect("shows NULL in its views as NULL, and no bytes as 0x", () =>
    Effect.gen(function* () {
      const sql = yield* migrate
      const none = new Uint8Array(0)
      yield* insert("logs", [1, 0, 0, new Uint8Array(20), null, null, null, null, none])
      const rows = yield* sql.unsafe("SELECT topic0, transaction_hash, data FROM logs_hex")
      assert.deepEqual(rows, [{ topic0: null, transaction_hash: null, data: "0x" }])
    }).pipe(Effect.provide(database)),
  )

  it.effect("shows integers in its views as integers, and as text where they are blobs", () =>
    Effect.gen(function* () {
      const sql = yield* migrate
      const address = new Uint8Array(20).fill(0xab)
      yield* insert("withdrawals", [1, 0, 7, wideInteger(2n ** 63n), address, 0])
      const rows = yield* sql.unsafe(
        "SELECT withdrawal_index, validator_index, address FROM withdrawals_hex",
      )
      assert.deepEqual(rows, [
        {
          withdrawal_index: 7,
          validator_index: `0x${"8000000000000000".padStart(64, "0")}`,
          address: `0x${"ab".repeat(20)}`,
        },
      ])
    }).pipe(Effect.provide(database)),
  )

  it.effect("counts the bytes of calldata and of data", () =>
    Effect.gen(function* () {
      const sql = yield* migrate
      yield* insertPayload(fullPayload())
      const [odd] = yield* sql.unsafe<{ n: number }>(
        `SELECT count(*) AS n FROM transactions_hex
        WHERE n_input_bytes <> n_input_zero_bytes + n_input_nonzero_bytes
          OR n_input_bytes * 2 + 2 <> length(input)`,
      )
      assert.strictEqual(odd?.n, 0)
    }).pipe(Effect.provide(database)),
  )

  it.effect("refuses a block that is there already, and coverage that is none", () =>
    Effect.gen(function* () {
      yield* migrate
      const payload = fullPayload()
      yield* insertPayload(payload)
      for (const table of ["blocks", "transactions", "logs", "withdrawals"] as const) {
        const values: Array<BindValue> = []
        ROW_FUNCTIONS[table](payload, values)
        const again = yield* Effect.exit(insert(table, values))
        assert.strictEqual(again._tag, "Failure", table)
      }
      const backwards = yield* Effect.exit(insert("coverage", ["payloads", 5, 4, 1, "all"]))
      assert.strictEqual(backwards._tag, "Failure")
      yield* insert("coverage", ["payloads", 4, 5, 1, "links"])
      const twice = yield* Effect.exit(insert("coverage", ["payloads", 4, 9, 0, ""]))
      assert.strictEqual(twice._tag, "Failure")
    }).pipe(Effect.provide(database)),
  )
})
