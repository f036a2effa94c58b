import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ExitCode } from "../../src/cli/exitCodes.ts"
import type { TablesOptions } from "../../src/cli/tablesOptions.ts"
import { readBody } from "../../src/domain/body.ts"
import { toHex } from "../../src/domain/hex.ts"
import { recoverSender } from "../../src/domain/signature.ts"
import { readTransaction } from "../../src/domain/transactions.ts"
import { runTables } from "../../src/modes/tables.ts"
import { Store } from "../../src/write/Store.ts"
import { optionalTables } from "../../src/write/tables.ts"
import {
  coverageOf,
  light,
  payloads,
  query,
  rangesOf,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "../write/support.ts"
import { runMode } from "./storeModes.ts"

const filled = Effect.gen(function* () {
  const dataDir = yield* temporaryDirectory
  yield* withStore(syncOptions(dataDir), (store) => writeNow(store, payloads(light, 1, 12)))
  return dataDir
})

const build = (dataDir: string, options: Partial<TablesOptions>) =>
  Effect.gen(function* () {
    const whole: TablesOptions = {
      dataDir,
      tables: [],
      addresses: [],
      topic0s: [],
      senders: false,
      startBlock: 0,
      endBlock: Infinity,
      json: true,
      ...options,
    }
    const { code, stdout, stderr } = yield* runMode(runTables(whole, Store.layerInline))
    const report: Readonly<Record<string, unknown>> = stdout === "" ? {} : JSON.parse(stdout)
    return { code, report, stderr }
  })

const rowsOf = (dataDir: string, table: string) =>
  query(dataDir, `SELECT * FROM ${table} ORDER BY 1, 2`)

const damageIn = (dataDir: string) =>
  Effect.map(
    withStore(readOptions(dataDir), (store) => store.verify()),
    ({ damages }) => damages,
  )

const countOf = (dataDir: string, condition = "1") =>
  Effect.map(query(dataDir, `SELECT count(*) FROM logs WHERE ${condition}`), ([row]) => row?.[0])

/** The address and first topic of some log of the chain. */
const someLog = Effect.gen(function* () {
  const dataDir = yield* filled
  yield* build(dataDir, { tables: ["logs"] })
  const [row] = yield* query(
    dataDir,
    "SELECT lower(hex(address)), lower(hex(topic0)) FROM logs WHERE topic0 IS NOT NULL AND block_number = 5",
  )
  return { address: String(row?.[0]), topic0: String(row?.[1]) }
})

const hexOf = (value: unknown): string => (value instanceof Uint8Array ? toHex(value) : "none")

/** The senders of a block's transactions, from their signatures. */
const sendersOf = (blockNumber: number): ReadonlyArray<string> =>
  readBody(light.bodyAt(blockNumber)!).transactions.map((bytes) => {
    const transaction = readTransaction(bytes)
    return hexOf(transaction && recoverSender(transaction))
  })

describe("annals tables", () => {
  it.scoped("builds from payloads what a sync would have written", () =>
    Effect.gen(function* () {
      const later = yield* filled
      const { code, report } = yield* build(later, { tables: [...optionalTables] })
      assert.strictEqual(code, ExitCode.complete)
      assert.deepInclude(report, { blocks: 12, rows: 120 + 240 + 24 })
      const atOnce = yield* temporaryDirectory
      yield* withStore(syncOptions(atOnce, { tables: [...optionalTables] }), (store) =>
        writeNow(store, payloads(light, 1, 12)),
      )
      // Every store has a name of its own, and all else alike.
      const ofMeta = "meta WHERE key <> 'store_id'"
      for (const table of [...optionalTables, "coverage", ofMeta]) {
        assert.deepEqual(yield* rowsOf(later, table), yield* rowsOf(atOnce, table), table)
      }
    }),
  )

  it.scoped("goes on where it stopped, and does nothing twice", () =>
    Effect.gen(function* () {
      const dataDir = yield* filled
      yield* build(dataDir, { tables: ["logs"], startBlock: 3, endBlock: 5 })
      assert.strictEqual(rangesOf(yield* coverageOf(dataDir, "logs")), "3-5")
      const { report } = yield* build(dataDir, { tables: ["logs", "transactions"] })
      assert.deepInclude(report, { blocks: 12, rows: 240 - 60 + 120 })
      const again = yield* build(dataDir, { tables: ["logs", "transactions"] })
      assert.deepInclude(again.report, { blocks: 0, rows: 0 })
      assert.deepEqual(yield* damageIn(dataDir), [])
    }),
  )

  it.scoped("names the blocks of a range that are not stored, and ends with 3", () =>
    Effect.gen(function* () {
      const dataDir = yield* filled
      const { code, report } = yield* build(dataDir, { tables: ["logs"], endBlock: 15 })
      assert.strictEqual(code, ExitCode.gaps)
      assert.deepEqual(report["missing_blocks"], [
        [0, 0],
        [13, 15],
      ])
    }),
  )

  it.scoped("keeps filtered logs apart from all logs in what coverage says", () =>
    Effect.gen(function* () {
      const { address, topic0 } = yield* someLog
      const dataDir = yield* filled
      yield* build(dataDir, { tables: ["logs"], addresses: [address] })
      const some = yield* countOf(dataDir)
      assert.strictEqual(yield* countOf(dataDir, `lower(hex(address)) <> '${address}'`), 0)
      assert.strictEqual(rangesOf(yield* coverageOf(dataDir, "logs")), "")
      const name = `logs?address=0x${address}`
      assert.strictEqual(rangesOf(yield* coverageOf(dataDir, name)), "1-12")
      assert.deepEqual(yield* damageIn(dataDir), [])
      // A second filter adds what the first one left out, and nothing twice.
      yield* build(dataDir, { tables: ["logs"], topic0s: [topic0], endBlock: 6 })
      assert.isAtLeast(Number(yield* countOf(dataDir)), Number(some))
      assert.deepEqual(yield* damageIn(dataDir), [])
      yield* build(dataDir, { tables: ["logs"], startBlock: 4 })
      assert.strictEqual(rangesOf(yield* coverageOf(dataDir, "logs")), "4-12")
      assert.strictEqual(yield* countOf(dataDir, "block_number >= 4"), 180)
      assert.deepEqual(yield* damageIn(dataDir), [])
      // All logs are there: a filter has nothing to add.
      const none = yield* build(dataDir, { tables: ["logs"], topic0s: [topic0], startBlock: 7 })
      assert.deepInclude(none.report, { blocks: 0, rows: 0 })
    }),
  )

  it.scoped("fills in senders, now or later, and verify holds them against the signatures", () =>
    Effect.gen(function* () {
      const dataDir = yield* filled
      yield* build(dataDir, { tables: ["transactions"], endBlock: 4 })
      const { report } = yield* build(dataDir, { senders: true })
      const rows = yield* query(
        dataDir,
        "SELECT from_address FROM transactions WHERE from_address IS NOT NULL",
      )
      assert.strictEqual(report["senders"], rows.length)
      assert.isAbove(rows.length, 0)
      assert.strictEqual(rangesOf(yield* coverageOf(dataDir, "transactions.from_address")), "1-4")
      assert.deepEqual(yield* damageIn(dataDir), [])
      yield* build(dataDir, { tables: ["transactions"], senders: true })
      assert.strictEqual(rangesOf(yield* coverageOf(dataDir, "transactions.from_address")), "1-12")
      assert.deepEqual(yield* damageIn(dataDir), [])
      const senders = yield* query(
        dataDir,
        "SELECT from_address FROM transactions WHERE block_number = 7 ORDER BY transaction_index",
      )
      assert.deepEqual(
        senders.map(([sender]) => hexOf(sender)),
        sendersOf(7),
      )
      yield* query(dataDir, "UPDATE transactions SET from_address = NULL WHERE block_number = 2")
      assert.isNotEmpty(yield* damageIn(dataDir))
    }),
  )

  it.scoped("waits for no sync: ends with 7 while one runs", () =>
    Effect.gen(function* () {
      const dataDir = yield* filled
      const { code, stderr } = yield* withStore(syncOptions(dataDir), () =>
        build(dataDir, { tables: ["logs"] }),
      )
      assert.strictEqual(code, ExitCode.store)
      assert.match(stderr, /^annals: the store \S+ is in use by another process[^\n]*\n$/)
    }),
  )

  it.scoped("ends with 7 where a payload was damaged", () =>
    Effect.gen(function* () {
      const dataDir = yield* filled
      yield* query(dataDir, "UPDATE payloads SET receipts = x'c1ff' WHERE block_number = 6")
      const { code, stderr } = yield* build(dataDir, { tables: ["logs"] })
      assert.strictEqual(code, ExitCode.store)
      assert.include(stderr, "the payload of block 6")
    }),
  )
})
