/** An index in whose file single bits have flipped: in the pages that say what else there is. */
import { readFileSync, writeFileSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Option, TestClock } from "effect"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import { ChainReader } from "../../../src/rpc/ChainReader.ts"
import { turn } from "../../../src/write/chainIndex/ChainIndexBuilder.ts"
import {
  INDEX_FILE,
  type IndexDamaged,
  isDamageOfIndex,
  throwIndexAway,
} from "../../../src/write/chainIndex/ChainIndexDatabase.ts"
import { layerIndexerInline } from "../../../src/write/chainIndex/ChainIndexer.ts"
import { buildAll } from "../../../src/write/chainIndex/ChainIndexing.ts"
import { layerChainReaderOver } from "../../../src/write/ChainReaderSession.ts"
import type { StoreError } from "../../../src/write/StoreError.ts"
import { hashesOf, logsOf, plain, readerOf, storeOf } from "../chainReaderSupport.ts"
import { query } from "../support.ts"

const LAST = 260
const chain = generateChain({ blocks: LAST, shape: "tiny", seed: 61 })
const PAGE_BYTES = 16_384
const FLIPS = [1, 4, 16]

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"))

const every = Array.from({ length: LAST + 1 }, (_, n) => logsOf(chain, n)).flat()
const address = every[0]!.address
const wanted = every.filter((log) => log.address === address)
/** Old and new ones: those that the index does not cover are looked for in the last blocks. */
const known = [1, 2, 3, 40, 99, 180]
  .map((block) => ({ block, hash: hashesOf(chain, block)[0] }))
  .filter(({ hash }) => hash !== undefined)

/** What is there is found, or said to be not known yet; all logs are. */
const answersRightly = Effect.gen(function* () {
  const { logs, placeOf } = yield* ChainReader
  const limits = { results: 10_000, bytes: 1e12, ms: 3_600_000 }
  const found = yield* logs({ addresses: [bytes(address)], topics: [] }, [0, LAST], limits)
  assert.deepEqual(found.map(plain), wanted)
  for (const { block, hash } of known) {
    const place = yield* placeOf(bytes(hash!)).pipe(
      Effect.map((at) => at?.blockNumber ?? "nowhere"),
      Effect.catchTag("IndexBehind", () => Effect.succeed("not indexed")),
    )
    assert.include([block, "not indexed"], place)
  }
})

/** Where in the file the bytes of a table's first page are that mean something. */
const usedBytes = Effect.fnUntraced(function* (directory: string, table: string) {
  const [row] = yield* query(
    directory,
    "SELECT rootpage FROM sqlite_master WHERE name = ?",
    [table],
    INDEX_FILE,
  )
  const start = (Number(row?.[0]) - 1) * PAGE_BYTES
  const page = readFileSync(path.join(directory, INDEX_FILE)).subarray(start, start + PAGE_BYTES)
  const cells = page.readUInt16BE(3)
  const content = page.readUInt16BE(5)
  // The page's head and its pointers, and whatever it has of rows (SQLite's file format, 1.6).
  const head = Array.from({ length: 8 + 2 * cells }, (_, at) => at)
  const rows = Array.from({ length: PAGE_BYTES - content }, (_, at) => content + at)
  return [...head, ...rows].map((at) => start + at)
})

/** Whether a failure is one after which whoever builds throws the file away. */
const isDamage = (cause: Cause.Cause<StoreError | IndexDamaged>): boolean =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => false,
    onSome: (error) => error._tag === "IndexDamaged" || isDamageOfIndex(error),
  })

/** An index that is built, and how to have it with something of it changed. */
const builtIndex = Effect.gen(function* () {
  const directory = yield* storeOf(chain, 0, LAST)
  yield* buildAll(directory)
  const file = path.join(directory, INDEX_FILE)
  // Whoever opens it alone leaves all of it in this one file.
  yield* query(directory, "SELECT 1", [], INDEX_FILE)
  const sound = readFileSync(file)
  const damage = (at: number, mask: number) =>
    Effect.sync(() => {
      throwIndexAway(directory)
      const other = Buffer.from(sound)
      other[at]! ^= mask
      writeFileSync(file, other)
    })
  return { directory, damage }
})

describe("an index with flipped bits", () => {
  it.scoped.each([
    ["state", 1],
    ["runs", 1],
    ["meta", 11],
    ["segments", 3],
  ] as const)("in the first page of %s is used, done without or built again", ([table, step]) =>
    Effect.gen(function* () {
      const { directory, damage } = yield* builtIndex
      const used = yield* usedBytes(directory, table)
      assert.isAbove(used.length, 15)
      let damaged = 0
      for (let n = 0; n < used.length * FLIPS.length; n += step) {
        const [at, mask] = [used[Math.floor(n / FLIPS.length)]!, FLIPS[n % FLIPS.length]!]
        yield* damage(at, mask)
        const where = `byte ${at % PAGE_BYTES}, flip ${mask}`
        const read = yield* Effect.exit(readerOf(directory)(answersRightly))
        if (Exit.isFailure(read)) assert.fail(`${where}: ${Cause.pretty(read.cause)}`)
        const built = yield* Effect.exit(buildAll(directory))
        if (Exit.isSuccess(built)) continue
        if (!isDamage(built.cause)) assert.fail(`${where}: ${Cause.pretty(built.cause)}`)
        damaged += 1
      }
      // What `meta` says decides whether it is opened at all: then it is made anew without a word.
      if (table !== "meta") assert.isAbove(damaged, 5)
    }),
  )

  it.scoped.each([
    ["state", 2, 14],
    ["runs", 1, 4],
    ["segments", 1, 4],
  ] as const)(
    "that makes another type of a column of %s is told to who builds, who builds it again",
    ([table, column, mask]) =>
      Effect.gen(function* () {
        const { directory, damage } = yield* builtIndex
        const what = "SELECT from_block, to_block, (SELECT file_id FROM state) FROM segments"
        const before = yield* query(directory, what, [], INDEX_FILE)
        const [page] = yield* usedBytes(directory, table)
        const sound = readFileSync(path.join(directory, INDEX_FILE))
        // A row is its size, its key, the size of its head, and the types of its columns (2.1).
        const row = page! + sound.readUInt16BE(page! + 8)
        assert.isBelow(sound[row]!, 0x80)
        yield* damage(row + 3 + column, mask)
        yield* readerOf(directory)(answersRightly)
        const isBuiltAgain = Effect.map(query(directory, what, [], INDEX_FILE), (now) => {
          const [[from, to, file] = []] = now
          const [[fromThen, toThen, fileThen] = []] = before
          return from === fromThen && to === toThen && file !== fileThen
        })
        yield* Effect.gen(function* () {
          for (let turns = 0; turns < 500; turns++) {
            yield* answersRightly
            yield* TestClock.adjust("1 second")
            yield* turn
            if (yield* Effect.orElseSucceed(isBuiltAgain, () => false)) return
          }
          assert.fail("it was not built again")
        }).pipe(
          Effect.provide(
            Layer.provide(layerChainReaderOver(directory), layerIndexerInline(directory)),
          ),
        )
      }),
  )
})

describe("the next id of an index", () => {
  it.scoped.each([
    ["of before", "1"],
    ["that has no place", "4294967296"],
  ] as const)("%s is damage: rows would be written over others", ([, id]) =>
    Effect.gen(function* () {
      const { directory } = yield* builtIndex
      yield* query(directory, `UPDATE state SET next_id = ${id}`, [], INDEX_FILE)
      const built = yield* Effect.exit(buildAll(directory))
      assert.isTrue(Exit.isFailure(built) && isDamage(built.cause))
    }),
  )
})

describe("runs of an index", () => {
  it.scoped.each([
    ["one is missing", "DELETE FROM runs"],
    ["one is there that was cleared away", "UPDATE state SET runs = 0"],
  ] as const)("are believed only together: %s", ([, statement]) =>
    Effect.gen(function* () {
      const { directory } = yield* builtIndex
      yield* query(directory, statement, [], INDEX_FILE)
      yield* readerOf(directory)(answersRightly)
      const built = yield* Effect.exit(buildAll(directory))
      assert.isTrue(Exit.isFailure(built) && isDamage(built.cause))
    }),
  )
})
