/** Blocks that take the place of others: all rows in one transaction, or nothing. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { generateChain, generateFork } from "../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { toHex } from "../../src/domain/hex.ts"
import type { StoreShape } from "../../src/write/Store.ts"
import type { Replacement } from "../../src/write/storeProtocol.ts"
import { metaKeys, optionalTables } from "../../src/write/tables.ts"
import {
  blocksIn,
  coverageOf,
  payloads,
  query,
  rangesOf,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "./support.ts"

const SHAPE = { blocks: 40, shape: "light", seed: 21 } as const
const main = generateChain(SHAPE)
const fork = generateFork(main, 11, { ...SHAPE, seed: 22 })
const other = generateFork(main, 6, { ...SHAPE, seed: 23 })
const allTables = { tables: optionalTables }
const NO_MARKS = { safe: undefined, finalized: undefined }

/** The blocks of `from` above `ancestor`, up to `head`. */
const replacement = (
  from: ServedChain,
  ancestor: number,
  head: number,
  more: Partial<Replacement> = {},
): Replacement => ({
  ancestor,
  ancestorHash: from.hashAt(ancestor),
  blocks: payloads(from, ancestor + 1, head),
  noticedAtMs: 1_700_000_000_000,
  marks: NO_MARKS,
  ...more,
})

const stored = (directory: string) =>
  Effect.map(
    query(directory, "SELECT block_number, lower(hex(block_hash)) FROM blocks ORDER BY 1"),
    (rows) => rows.map(([number, hash]) => `${String(number)} ${String(hash)}`),
  )

const hashesOf = (chain: ServedChain, from: number, to: number): Array<string> =>
  Array.from(
    { length: to - from + 1 },
    (_, index) => `${from + index} ${toHex(chain.hashAt(from + index)!)}`,
  )

const mark = (chain: ServedChain, blockNumber: number) => ({
  blockNumber,
  hash: chain.hashAt(blockNumber)!,
})

/** The highest block that two chains share. */
const common = (a: ServedChain, b: ServedChain): number => {
  let at = 0
  while (at < 40 && toHex(a.hashAt(at + 1)!) === toHex(b.hashAt(at + 1)!)) at += 1
  return at
}

/** The rows of a table as texts, in an order of their own. */
const textsOf = (directory: string, table: string) =>
  Effect.map(query(directory, `SELECT * FROM ${table}`), (rows) =>
    rows
      .map((row) =>
        row.map((value) => (value instanceof Uint8Array ? toHex(value) : String(value))).join(" "),
      )
      .sort(),
  )

/** Every row of the store but its peers. */
const everything = (directory: string) =>
  Effect.forEach(["payloads", "blocks", ...optionalTables, "coverage", "reorgs", "meta"], (table) =>
    textsOf(directory, table),
  )

/** Every store has a name of its own. */
const isShared = (row: string): boolean => !row.startsWith(metaKeys.storeId)

const damagesOf = (store: StoreShape) => Effect.map(store.verify(), ({ damages }) => damages)

describe("a replacement", () => {
  it.scoped("puts a branch in the place of another, with all rows and a note of it", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory, allTables), (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(main, 0, 20))
          const result = yield* store.replace(replacement(fork, 10, 18))
          assert(result.outcome === "done")
          assert.deepStrictEqual(result.removed, [11, 20])
          assert.strictEqual(result.transactions, 80)
          assert.deepStrictEqual(yield* damagesOf(store), [])
        }),
      )
      assert.deepStrictEqual(yield* stored(directory), hashesOf(fork, 0, 18))
      for (const table of optionalTables) {
        assert.strictEqual(rangesOf(yield* coverageOf(directory, table)), "0-18")
      }
      assert.strictEqual(rangesOf(yield* blocksIn(directory, "logs")), "1-18")
      const reorgs = yield* query(
        directory,
        "SELECT from_block, to_block, lower(hex(old_hash)), lower(hex(new_hash)), noticed_at_ms FROM reorgs",
      )
      const hashes = [toHex(main.hashAt(20)!), toHex(fork.hashAt(11)!)]
      assert.deepStrictEqual(reorgs, [[11, 20, ...hashes, 1_700_000_000_000]])
      const { transactions, logs } = yield* withStore(
        readOptions(directory),
        ({ status }) => status,
      )
      assert.deepStrictEqual([transactions, logs], [180, 360])
    }),
  )

  it.scoped("extends the chain without a note, after what was written before it", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory, allTables), (store) =>
        Effect.gen(function* () {
          const before = yield* Effect.fork(store.write(payloads(main, 0, 9)))
          yield* Effect.yieldNow()
          const result = yield* store.replace(replacement(main, 9, 12, { noticedAtMs: undefined }))
          assert(result.outcome === "done")
          assert.isUndefined(result.removed)
          assert.deepStrictEqual((yield* before).committed, [[0, 9]])
          const hashes = yield* store.hashes([8, 30])
          assert.deepStrictEqual(
            hashes.map(({ blockNumber }) => blockNumber),
            [8, 9, 10, 11, 12],
          )
          assert.strictEqual(toHex(hashes[4]!.hash), toHex(main.hashAt(12)!))
        }),
      )
      assert.deepStrictEqual(yield* query(directory, "SELECT * FROM reorgs"), [])
      assert.strictEqual(rangesOf(yield* coverageOf(directory, "payloads")), "0-12")
    }),
  )

  it.scoped("begins a store that does not begin with genesis", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) =>
        Effect.gen(function* () {
          const start = replacement(main, 14, 16, { ancestorHash: undefined })
          assert.strictEqual((yield* store.replace(start)).outcome, "done")
          const again = replacement(fork, 14, 15, { ancestorHash: undefined })
          assert.strictEqual((yield* store.replace(again)).outcome, "done")
        }),
      )
      assert.deepStrictEqual(yield* stored(directory), hashesOf(fork, 15, 15))
    }),
  )

  it.scoped("is refused with nothing changed when it does not fit", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const trusted = [{ blockNumber: 12, hash: main.hashAt(12)! }]
      yield* withStore(syncOptions(directory, { ...allTables, trusted }), (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(main, 0, 20))
          const before = yield* everything(directory)
          const refusal = (asked: Replacement) =>
            Effect.map(store.replace(asked), (result) =>
              result.outcome === "refused" ? `${result.reason} ${result.blockNumber}` : "done",
            )
          const gap = payloads(main, 21, 24).filter(({ blockNumber }) => blockNumber !== 22)
          assert.strictEqual(yield* refusal(replacement(fork, 10, 18)), "anchored 11")
          assert.strictEqual(yield* refusal(replacement(fork, 15, 18)), "ancestor 15")
          assert.strictEqual(yield* refusal(replacement(main, 24, 26)), "ancestor 24")
          assert.strictEqual(yield* refusal(replacement(main, 20, 24, { blocks: gap })), "links 23")
          assert.strictEqual(
            yield* refusal(replacement(main, 20, 22, { blocks: payloads(fork, 21, 22) })),
            "links 21",
          )
          assert.deepStrictEqual(yield* everything(directory), before)
          assert.deepStrictEqual(yield* damagesOf(store), [])
        }),
      )
    }),
  )

  it.scoped("takes no block in the place of a trusted one", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const trusted = [{ blockNumber: 18, hash: main.hashAt(18)! }]
      yield* withStore(syncOptions(directory, { trusted }), (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(main, 0, 15))
          const result = yield* store.replace(replacement(fork, 10, 20))
          assert.deepStrictEqual(result, {
            outcome: "refused",
            reason: "trusted_hash",
            blockNumber: 18,
          })
        }),
      )
      assert.deepStrictEqual(yield* stored(directory), hashesOf(main, 0, 15))
    }),
  )

  it.scoped("clears what lies above and is not of the new branch", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory, allTables), (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(main, 0, 12))
          yield* writeNow(store, payloads(main, 17, 25))
          assert.strictEqual((yield* store.replace(replacement(fork, 10, 16))).outcome, "done")
          assert.deepStrictEqual(yield* damagesOf(store), [])
        }),
      )
      assert.deepStrictEqual(yield* stored(directory), hashesOf(fork, 0, 16))
    }),
  )

  it.scoped("notes what a trusted head says of blocks that are stored as it knows them", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const marked = query(
        directory,
        "SELECT key, value FROM meta WHERE key LIKE '%\\_block' ESCAPE '\\' ORDER BY key",
      )
      yield* withStore(syncOptions(directory), (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(main, 0, 20))
          const marks = { safe: mark(main, 18), finalized: mark(main, 9) }
          const nothing = { blocks: [], noticedAtMs: undefined }
          yield* store.replace(replacement(main, 20, 20, { ...nothing, marks }))
          const both = [
            ["finalized_block", "9"],
            ["safe_block", "18"],
          ]
          assert.deepStrictEqual(yield* marked, both)
          const foreign = { safe: mark(fork, 19), finalized: mark(main, 30) }
          yield* store.replace(replacement(main, 20, 20, { ...nothing, marks: foreign }))
          assert.deepStrictEqual(yield* marked, both)
          yield* store.replace(replacement(fork, 10, 15))
          assert.deepStrictEqual(yield* marked, [["finalized_block", "9"]])
        }),
      )
    }),
  )

  it("leaves the store as one that had only the last branch, whatever came before", async () => {
    const chains = [main, fork, other]
    const steps = fc.array(
      fc.record({ chain: fc.integer({ min: 0, max: 2 }), head: fc.integer({ min: 12, max: 40 }) }),
      { minLength: 1, maxLength: 6 },
    )
    await fc.assert(
      fc.asyncProperty(steps, async (moves) => {
        const program = Effect.gen(function* () {
          const directory = yield* temporaryDirectory
          let now = { chain: main, head: 10 }
          let notes = 0
          yield* withStore(syncOptions(directory, allTables), (store) =>
            Effect.gen(function* () {
              yield* writeNow(store, payloads(main, 0, 10))
              for (const { chain: index, head } of moves) {
                const chain = chains[index]!
                const meets = Math.min(common(now.chain, chain), now.head, head)
                if (meets === head) continue
                const lost = meets < now.head
                const noticedAtMs = lost ? 1 : undefined
                const result = yield* store.replace(
                  replacement(chain, meets, head, { noticedAtMs }),
                )
                assert.strictEqual(result.outcome, "done")
                notes += lost ? 1 : 0
                now = { chain, head }
              }
              assert.deepStrictEqual(yield* damagesOf(store), [])
            }),
          )
          const fresh = yield* temporaryDirectory
          yield* withStore(syncOptions(fresh, allTables), (store) =>
            writeNow(store, payloads(now.chain, 0, now.head)),
          )
          for (const table of ["payloads", "blocks", ...optionalTables, "coverage", "meta"]) {
            const these = (yield* textsOf(directory, table)).filter(isShared)
            const those = (yield* textsOf(fresh, table)).filter(isShared)
            assert.deepStrictEqual(these, those, table)
          }
          assert.lengthOf(yield* query(directory, "SELECT * FROM reorgs"), notes)
        })
        await Effect.runPromise(Effect.scoped(program))
      }),
      { numRuns: 25 },
    )
  })
})
