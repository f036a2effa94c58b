/** The store on this thread: what stays, what goes, and why it may refuse to open. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, TestClock } from "effect"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { toHex } from "../../src/domain/hex.ts"
import { schemaVersion } from "../../src/write/schema.ts"
import type { StoreError } from "../../src/write/StoreError.ts"
import { openDatabase } from "../../src/write/StoreDatabase.ts"
import { makeWriting } from "../../src/write/StoreWriting.ts"
import { PAYLOAD_QUERY, payloadOfRow } from "../../src/write/tableRows.ts"
import { optionalTables } from "../../src/write/tables.ts"
import {
  blocksIn,
  chain,
  copyAsKilled,
  coverageOf,
  fileIn,
  light,
  payloadOf,
  payloads,
  query,
  rangesOf,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "./support.ts"

const forged = generateChain({ blocks: 60, shape: "tiny", seed: 99 })

/** The error of an effect that must fail. */
const errorOf = <A, R>(effect: Effect.Effect<A, StoreError, R>) =>
  Effect.map(Effect.either(effect), (result) =>
    result._tag === "Left" ? result.left : assert.fail("it did not fail"),
  )

const hexOf = (value: unknown): string => (value instanceof Uint8Array ? toHex(value) : "none")

const trust = (blockNumber: number) => ({ blockNumber, hash: chain.hashAt(blockNumber)! })

const nothing = () => Effect.void

describe("Store", () => {
  it.scoped("keeps payloads byte for byte, with the rows and coverage of the chosen tables", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const options = syncOptions(directory, { tables: ["logs", "transactions"] })
      const result = yield* withStore(options, (store) => writeNow(store, payloads(light, 0, 12)))
      assert.deepEqual(result.committed, [[0, 12]])
      assert.deepEqual([result.refused, result.removed, result.alreadyStored], [[], [], 0])
      for (const block of payloads(light, 0, 12)) {
        const [row] = yield* query(directory, `${PAYLOAD_QUERY} WHERE block_number = ?`, [
          block.blockNumber,
        ])
        const stored = row && payloadOfRow(row)
        const { header, body, receipts } = block
        assert.deepEqual(
          [stored?.header, stored?.body, stored?.receipts].map(hexOf),
          [header, body, receipts].map((bytes) => toHex(bytes)),
        )
      }
      for (const dataset of ["payloads", "blocks", "logs", "transactions"]) {
        assert.strictEqual(rangesOf(yield* coverageOf(directory, dataset)), "0-12")
      }
      assert.strictEqual(rangesOf(yield* coverageOf(directory, "uncles")), "")
      const [counts] = yield* query(
        directory,
        "SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM logs)",
      )
      assert.deepEqual(counts, [result.transactions, result.logs])
      assert.deepEqual(counts, [120, 240])
    }),
  )

  it.scoped("opens again with what it has, so that only gaps are fetched", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) =>
        Effect.zipRight(
          writeNow(store, payloads(chain, 20, 29)),
          writeNow(store, payloads(chain, 3, 5)),
        ),
      )
      const opened = yield* withStore(syncOptions(directory), (store) =>
        Effect.succeed(store.opened),
      )
      assert.deepEqual(opened.covered["payloads"], [
        [3, 5],
        [20, 29],
      ])
    }),
  )

  it.scoped("takes what it has already without writing it again", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory, { tables: [...optionalTables] }), (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(chain, 1, 9))
          const again = yield* writeNow(store, payloads(chain, 5, 12))
          assert.deepEqual(again.committed, [[5, 12]])
          assert.strictEqual(again.alreadyStored, 5)
        }),
      )
      const report = yield* withStore(readOptions(directory), (store) => store.verify())
      assert.strictEqual(report.damageCount, 0)
      assert.strictEqual(report.blocks, 12)
    }),
  )

  it.scoped("commits when a transaction has its number of blocks, also within a write", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory, {}, { commitBlocks: 4 }), (store) =>
        Effect.gen(function* () {
          const writing = yield* Effect.fork(store.write(payloads(chain, 1, 10)))
          yield* Effect.yieldNow().pipe(Effect.repeatN(20))
          assert.strictEqual(rangesOf(yield* blocksIn(directory, "payloads")), "1-8")
          assert.strictEqual(rangesOf(yield* coverageOf(directory, "payloads")), "1-8")
          yield* store.flush
          assert.deepEqual((yield* Fiber.join(writing)).committed, [[1, 10]])
        }),
      )
    }),
  )

  it.scoped("commits a small write when its time has come, and not before", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) =>
        Effect.gen(function* () {
          const writing = yield* Effect.fork(store.write(payloads(chain, 1, 2)))
          yield* TestClock.adjust("999 millis")
          assert.strictEqual(rangesOf(yield* blocksIn(directory, "payloads")), "")
          assert.isTrue((yield* Fiber.poll(writing))._tag === "None")
          yield* TestClock.adjust("1 millis")
          assert.deepEqual((yield* Fiber.join(writing)).committed, [[1, 2]])
          assert.strictEqual(rangesOf(yield* blocksIn(directory, "payloads")), "1-2")
        }),
      )
    }),
  )

  it.scoped("commits what is open when it is closed", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) =>
        Effect.zipRight(
          Effect.fork(store.write(payloads(chain, 1, 3))),
          Effect.repeatN(Effect.yieldNow(), 20),
        ),
      )
      assert.strictEqual(rangesOf(yield* coverageOf(directory, "payloads")), "1-3")
      assert.notInclude(readdirSync(directory), "annals.db-wal")
    }),
  )

  it.scoped("has nothing of an uncommitted transaction after a kill, and all of the others", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const copy = yield* temporaryDirectory
      const options = syncOptions(directory, { tables: ["logs"] })
      yield* withStore(options, (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(chain, 1, 20))
          yield* Effect.fork(store.write(payloads(chain, 21, 30)))
          yield* Effect.repeatN(Effect.yieldNow(), 20)
          copyAsKilled(directory, copy)
        }),
      )
      const opened = yield* withStore(syncOptions(copy), (store) => Effect.succeed(store.opened))
      assert.deepEqual(opened.covered, { payloads: [[1, 20]], blocks: [[1, 20]], logs: [[1, 20]] })
      const report = yield* withStore(readOptions(copy), (store) => store.verify())
      assert.deepEqual([report.damageCount, report.blocks], [0, 20])
    }),
  )

  it.scoped("anchors what links below a trusted hash, across runs", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const options = syncOptions(directory, { trusted: [trust(20)] })
      yield* withStore(options, (store) => writeNow(store, payloads(chain, 0, 15)))
      yield* withStore(options, (store) => writeNow(store, payloads(chain, 16, 25)))
      const status = yield* withStore(readOptions(directory), (store) => store.status)
      assert.include(status, { blocks: 26, anchored: 21, linked: 5, alone: 0 })
      const later = syncOptions(directory, { trusted: [trust(24)] })
      yield* withStore(later, nothing)
      const more = yield* withStore(readOptions(directory), (store) => store.status)
      assert.include(more, { anchored: 25, linked: 1 })
    }),
  )

  it.scoped("replaces a forged run below an anchor, and tells which blocks to fetch again", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const options = syncOptions(directory, { tables: ["transactions"], trusted: [trust(40)] })
      yield* withStore(options, (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(forged, 10, 39))
          let rounds = 0
          const proven: Array<number> = []
          for (;;) {
            const stored = yield* blocksIn(directory, "payloads")
            const missing = BlockRanges.of(10, 40).subtract(stored)
            const top = [...missing.ranges()].at(-1)?.[1]
            if (top === undefined) break
            const result = yield* writeNow(store, [payloadOf(chain, top)])
            assert.deepEqual(result.committed, [[top, top]])
            for (const removal of result.removed) if (removal.proven) proven.push(removal.from)
            if (result.removed.length > 0) rounds += 1
          }
          assert.strictEqual(rounds, 5)
          assert.deepEqual(proven, [39, 38, 36, 32, 24])
        }),
      )
      const [other] = yield* query(
        directory,
        "SELECT count(*) FROM blocks WHERE block_hash IN (SELECT parent_hash FROM blocks)",
      )
      assert.deepEqual(other, [30])
      const status = yield* withStore(readOptions(directory), (store) => store.status)
      assert.include(status, { blocks: 31, anchored: 31 })
      const report = yield* withStore(readOptions(directory), (store) => store.verify())
      assert.strictEqual(report.damageCount, 0)
    }),
  )

  it.scoped("reports a block that a later one displaced before its commit as refused, once", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory, { trusted: [trust(6)] }), (store) =>
        Effect.gen(function* () {
          const result = yield* writeNow(store, [payloadOf(forged, 5), payloadOf(chain, 6)])
          assert.deepEqual(result.committed, [[6, 6]])
          assert.deepEqual(result.removed, [])
          assert.deepInclude(result.refused[0], {
            blockNumber: 5,
            reason: "displaced",
            proven: true,
          })
          assert.strictEqual(result.refused.length, 1)
        }),
      )
      assert.strictEqual(rangesOf(yield* blocksIn(directory, "blocks")), "6-6")
      const [totals] = yield* query(directory, "SELECT sum(transaction_count) FROM blocks")
      const [meta] = yield* query(
        directory,
        "SELECT value FROM meta WHERE key = 'transaction_count'",
      )
      assert.strictEqual(Number(meta?.[0]), totals?.[0])
    }),
  )

  it.scoped("refuses what is no block where nothing was checked, and goes on", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory, { checks: [] }), (store) =>
        Effect.gen(function* () {
          const garbage = { ...payloadOf(chain, 2), body: Uint8Array.of(0xc1, 0xff) }
          const result = yield* writeNow(store, [payloadOf(chain, 1), garbage])
          assert.deepEqual(result.committed, [[1, 1]])
          assert.deepInclude(result.refused[0], { blockNumber: 2, reason: "unreadable" })
        }),
      )
    }),
  )

  describe("refuses to open", () => {
    it.scoped("a store of another chain, and leaves it as it is", () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        yield* withStore(syncOptions(directory), (store) => writeNow(store, payloads(chain, 1, 2)))
        const otherId = yield* errorOf(withStore(syncOptions(directory, { chainId: 5n }), nothing))
        assert.deepInclude(otherId.failure, {
          kind: "other_chain",
          field: "chain id",
          actual: "1337",
        })
        const genesisHash = new Uint8Array(32).fill(7)
        const other = yield* errorOf(withStore(syncOptions(directory, { genesisHash }), nothing))
        assert.deepInclude(other.failure, { kind: "other_chain", field: "genesis hash" })
        assert.match(other.message, /^the store \S+annals\.db holds another chain: [^\n]+$/)
        assert.strictEqual(rangesOf(yield* coverageOf(directory, "payloads")), "1-2")
      }),
    )

    it.scoped("a newer schema, to write and to read", () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        yield* withStore(syncOptions(directory), nothing)
        const newer = schemaVersion + 1
        yield* query(directory, "INSERT INTO migrations (migration_id, name) VALUES (?, 'later')", [
          newer,
        ])
        for (const options of [syncOptions(directory), readOptions(directory)]) {
          const { failure } = yield* errorOf(withStore(options, nothing))
          assert.deepEqual(failure, { kind: "newer_schema", known: schemaVersion, found: newer })
        }
      }),
    )

    it.scoped("a file that is no database, or another program's", () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        writeFileSync(fileIn(directory), "not a database at all ".repeat(1000))
        const garbage = yield* errorOf(withStore(syncOptions(directory), nothing))
        assert.deepEqual(garbage.failure, { kind: "foreign_file" })
        rmSync(fileIn(directory))
        yield* query(directory, "CREATE TABLE notes (text TEXT)")
        const foreign = yield* errorOf(withStore(syncOptions(directory), nothing))
        assert.deepEqual(foreign.failure, { kind: "foreign_file" })
      }),
    )

    it.scoped("a place where nothing can be made", () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const file = path.join(directory, "file")
        writeFileSync(file, "")
        const below = yield* errorOf(withStore(syncOptions(path.join(file, "store")), nothing))
        assert.strictEqual(below.failure.kind, "cannot_open")
        mkdirSync(fileIn(directory))
        const taken = yield* errorOf(withStore(syncOptions(directory), nothing))
        assert.deepEqual(taken.failure, { kind: "cannot_open", code: "SQLITE_CANTOPEN" })
      }),
    )

    it.scoped("a directory that is not there, to read or to build tables", () =>
      Effect.gen(function* () {
        const directory = path.join(yield* temporaryDirectory, "none")
        for (const kind of ["read", "tables"] as const) {
          const { failure } = yield* errorOf(withStore(readOptions(directory, kind), nothing))
          assert.deepEqual(failure, { kind: "missing" })
        }
      }),
    )

    it.scoped("a second writer, but not readers", () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        yield* withStore(syncOptions(directory), (store) =>
          Effect.gen(function* () {
            yield* writeNow(store, payloads(chain, 1, 4))
            yield* Effect.fork(store.write(payloads(chain, 5, 6)))
            for (const options of [syncOptions(directory), readOptions(directory, "tables")]) {
              const { failure } = yield* errorOf(withStore(options, nothing))
              assert.deepEqual(failure, { kind: "locked" })
            }
            const status = yield* withStore(readOptions(directory), (reader) => reader.status)
            assert.strictEqual(status.blocks, 4)
            const report = yield* withStore(readOptions(directory), (reader) => reader.verify())
            assert.strictEqual(report.damageCount, 0)
          }),
        )
        yield* withStore(syncOptions(directory), nothing)
      }),
    )

    it.scoped("a store that is anchored to another hash than the one trusted now", () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const before = syncOptions(directory, { trusted: [trust(9)] })
        yield* withStore(before, (store) => writeNow(store, payloads(chain, 5, 9)))
        const trusted = [{ blockNumber: 7, hash: forged.hashAt(7)! }]
        const { failure } = yield* errorOf(withStore(syncOptions(directory, { trusted }), nothing))
        assert.deepInclude(failure, { kind: "trust_contradicted", blockNumber: 7 })
      }),
    )
  })

  it.scoped("fails every write once the disk is full, and keeps what was committed", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const options = syncOptions(directory)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const database = yield* openDatabase(options)
          const writing = yield* makeWriting(database, options)
          const commit = <A>(write: Effect.Effect<A, StoreError>) =>
            Effect.all([write, Effect.zipRight(Effect.yieldNow(), writing.flush)], {
              concurrency: "unbounded",
            })
          yield* commit(writing.write(payloads(light, 1, 2)))
          const [pages] = yield* database.rows("PRAGMA page_count")
          yield* database.rows(`PRAGMA max_page_count = ${Number(pages?.[0]) + 1}`)
          const full = yield* errorOf(writing.write(payloads(light, 3, 12)))
          assert.deepEqual(full.failure, { kind: "disk_full" })
          const after = yield* errorOf(writing.write(payloads(light, 3, 3)))
          assert.deepEqual(after.failure, { kind: "disk_full" })
        }),
      )
      assert.strictEqual(rangesOf(yield* coverageOf(directory, "payloads")), "1-2")
      yield* withStore(syncOptions(directory), (store) => writeNow(store, payloads(light, 3, 12)))
      const report = yield* withStore(readOptions(directory), (store) => store.verify())
      assert.deepEqual([report.damageCount, report.blocks], [0, 12])
    }),
  )

  it.scoped("can write nothing where it was opened to be read", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), nothing)
      const exit = yield* Effect.exit(
        withStore(readOptions(directory), (store) => store.write(payloads(chain, 1, 1))),
      )
      assert.isTrue(Exit.isFailure(exit))
    }),
  )
})
