import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ExitCode } from "../../src/cli/exitCodes.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { runVerify } from "../../src/modes/verify.ts"
import { DEFAULT_COMPRESSION_LEVEL, NO_COMPRESSION } from "../../src/write/payloadCodec.ts"
import { Store } from "../../src/write/Store.ts"
import { optionalTables } from "../../src/write/tables.ts"
import {
  light,
  payloadOf,
  payloads,
  query,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "../write/support.ts"
import { runMode } from "./storeModes.ts"

const other = generateChain({ blocks: 12, shape: "light", seed: 77 })

const PLAIN = NO_COMPRESSION
const PACKED = DEFAULT_COMPRESSION_LEVEL

/** A store whose payloads are packed at a level; the damages below are written into plain ones. */
const filled = (compressionLevel: number) =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    const purpose = { tables: [...optionalTables], compressionLevel }
    yield* withStore(syncOptions(dataDir, purpose), (store) =>
      writeNow(store, payloads(light, 0, 12)),
    )
    return dataDir
  })

const verify = (dataDir: string, json = true) =>
  runMode(runVerify({ dataDir, json }, Store.layerInline))

/** What is done to a store, and what `verify` must name, at which block. */
const damages: ReadonlyArray<{
  readonly does: string
  readonly statement: string
  readonly values?: ReadonlyArray<unknown>
  readonly block: number
  readonly what: string
}> = [
  {
    does: "a body of another block",
    statement:
      "UPDATE payloads SET body = (SELECT body FROM payloads WHERE block_number = 4) WHERE block_number = 3",
    block: 3,
    what: "transactions_root",
  },
  {
    does: "receipts of another block",
    statement:
      "UPDATE payloads SET receipts = (SELECT receipts FROM payloads WHERE block_number = 4) WHERE block_number = 3",
    block: 3,
    what: "receipts_root",
  },
  {
    does: "a header of another chain",
    statement: "UPDATE payloads SET header = ? WHERE block_number = 5",
    values: [payloadOf(other, 5).header],
    block: 5,
    what: "blocks.block_hash of row 0",
  },
  {
    does: "a header of another chain, and its child",
    statement: "UPDATE payloads SET header = ? WHERE block_number = 5",
    values: [payloadOf(other, 5).header],
    block: 6,
    what: "parent_hash",
  },
  {
    does: "receipts that are no receipts",
    statement: "UPDATE payloads SET receipts = x'c3ff00' WHERE block_number = 2",
    block: 2,
    what: "receipts",
  },
  {
    does: "a codec that nobody knows",
    statement: "UPDATE payloads SET codec = 9 WHERE block_number = 2",
    block: 2,
    what: "payloads",
  },
  {
    does: "a payload that is gone",
    statement: "DELETE FROM payloads WHERE block_number = 8",
    block: 8,
    what: "payloads",
  },
  {
    does: "a field of a header's row",
    statement: "UPDATE blocks SET gas_used = gas_used + 1 WHERE block_number = 9",
    block: 9,
    what: "blocks.gas_used of row 0",
  },
  {
    does: "a log's data",
    statement: "UPDATE logs SET data = x'abcdef' WHERE block_number = 7 AND log_index = 3",
    block: 7,
    what: "logs.data of row 3",
  },
  {
    does: "a log that is gone",
    statement: "DELETE FROM logs WHERE block_number = 7 AND log_index = 3",
    block: 7,
    what: "logs",
  },
  {
    does: "a transaction's value",
    statement:
      "UPDATE transactions SET value = zeroblob(20) WHERE block_number = 11 AND transaction_index = 2",
    block: 11,
    what: "transactions.value of row 2",
  },
  {
    does: "a sender that nobody asked for",
    statement:
      "UPDATE transactions SET from_address = zeroblob(20) WHERE block_number = 11 AND transaction_index = 2",
    block: 11,
    what: "transactions.from_address of row 2",
  },
  {
    does: "a withdrawal that is gone",
    statement: "DELETE FROM withdrawals WHERE block_number = 1 AND withdrawal_position = 0",
    block: 1,
    what: "withdrawals",
  },
  {
    does: "rows that nothing covers",
    statement: "DELETE FROM coverage WHERE dataset = 'logs'",
    block: 1,
    what: "logs",
  },
  {
    does: "a payload that nothing covers",
    statement: "UPDATE coverage SET to_block = 11 WHERE dataset = 'payloads'",
    block: 12,
    what: "payloads",
  },
  {
    does: "coverage of what is not stored",
    statement: "UPDATE coverage SET to_block = 15 WHERE dataset = 'withdrawals'",
    block: 13,
    what: "coverage",
  },
  {
    does: "coverage that says a thing twice",
    statement: "INSERT INTO coverage VALUES ('logs', 3, 5, 0, 'links')",
    block: 3,
    what: "coverage",
  },
  {
    does: "a wrong total",
    statement: "UPDATE meta SET value = '1' WHERE key = 'log_count'",
    block: 0,
    what: "total of logs",
  },
  {
    does: "another genesis",
    statement: "UPDATE meta SET value = '0x00' WHERE key = 'genesis_hash'",
    block: 0,
    what: "genesis hash",
  },
]

describe("annals verify", () => {
  it.scoped.each([PLAIN, PACKED])(
    "finds nothing wrong with a store as written, packed at %d",
    (level) =>
      Effect.gen(function* () {
        const { code, stdout } = yield* verify(yield* filled(level))
        assert.strictEqual(code, ExitCode.complete)
        assert.deepEqual(JSON.parse(stdout), {
          ok: true,
          blocks: 13,
          transactions: 120,
          receipts: 120,
          logs: 240,
          rows: 13 + 120 + 240 + 24,
          damage_count: 0,
          damages: [],
        })
      }),
  )

  it.scoped.each(damages)("finds $does", ({ statement, values, block, what }) =>
    Effect.gen(function* () {
      const dataDir = yield* filled(PLAIN)
      yield* query(dataDir, statement, values)
      const { code, stdout } = yield* verify(dataDir)
      assert.strictEqual(code, ExitCode.failedChecks)
      const report: { damages: ReadonlyArray<{ block_number: number; what: string }> } =
        JSON.parse(stdout)
      const found = report.damages.map((damage) => `${damage.block_number} ${damage.what}`)
      assert.include(found, `${block} ${what}`)
    }),
  )

  it.scoped("looks at every one of many blocks, and at rows behind the last", () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const long = generateChain({ blocks: 100, shape: "tiny", seed: 8 })
      yield* withStore(syncOptions(dataDir, { tables: ["logs"] }), (store) =>
        Effect.zipRight(
          writeNow(store, payloads(long, 0, 70)),
          writeNow(store, payloads(long, 80, 100)),
        ),
      )
      const report = yield* withStore(readOptions(dataDir), (store) => store.verify())
      assert.include(report, { blocks: 92, damageCount: 0 })
      yield* query(
        dataDir,
        "INSERT INTO logs (block_number, transaction_index, log_index, address, data) VALUES (75, 0, 0, zeroblob(20), x''), (5000, 0, 0, zeroblob(20), x'')",
      )
      const { code, stdout } = yield* verify(dataDir, false)
      assert.strictEqual(code, ExitCode.failedChecks)
      assert.match(stdout, /^damage in 2 places: 92 blocks/)
      assert.match(stdout, /^block 75: logs: expected no row that is not covered, found a row$/m)
      assert.match(stdout, /^block 5000: logs: /m)
    }),
  )

  it.scoped("ends with 7 where there is no store", () =>
    Effect.gen(function* () {
      const { code } = yield* verify(yield* temporaryDirectory)
      assert.strictEqual(code, ExitCode.store)
    }),
  )
})
