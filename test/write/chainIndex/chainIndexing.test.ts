/** The building of the index: beside readers and a writer, over damage, by one at a time. */
import { readFileSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schedule, Scope, TestClock } from "effect"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import { keccak256 } from "../../../src/domain/keccak.ts"
import { ChainReader } from "../../../src/rpc/ChainReader.ts"
import { turn } from "../../../src/write/chainIndex/ChainIndexBuilder.ts"
import {
  INDEX_FILE,
  indexInode,
  inTransaction,
  lockIndex,
  openIndexToBuild,
} from "../../../src/write/chainIndex/ChainIndexDatabase.ts"
import {
  Indexer,
  layerIndexerInline,
  layerIndexerWith,
} from "../../../src/write/chainIndex/ChainIndexer.ts"
import { buildAll, DamageFlag, keepIndexed } from "../../../src/write/chainIndex/ChainIndexing.ts"
import {
  FAN_IN,
  insertRun,
  makeRunKeeper,
} from "../../../src/write/chainIndex/ChainIndexMerging.ts"
import { IndexReader } from "../../../src/write/chainIndex/ChainIndexReader.ts"
import { RunBuilder } from "../../../src/write/chainIndex/chainIndexRuns.ts"
import { layerChainReader, layerChainReaderOver } from "../../../src/write/ChainReaderSession.ts"
import { hashesOf, logsOf, plain, storeOf, writeInto } from "../chainReaderSupport.ts"
import { query, temporaryDirectory } from "../support.ts"

const LAST = 1_300
const chain = generateChain({ blocks: LAST, shape: "tiny", seed: 33 })

const numbersTo = (last: number) => Array.from({ length: last + 1 }, (_, n) => n)

const every = numbersTo(LAST).flatMap((n) => logsOf(chain, n))

const ranges = (directory: string) =>
  Effect.map(
    query(
      directory,
      "SELECT from_block, to_block, closed FROM segments ORDER BY from_block",
      [],
      INDEX_FILE,
    ),
    (rows) => rows.map((row) => row.map(Number)),
  )

/** Lets what runs on this thread go on, and the clock with it, until `done`. */
const untilTrue = (done: Effect.Effect<boolean, unknown>) =>
  Effect.gen(function* () {
    for (let turns = 0; turns < 20_000; turns++) {
      if (yield* Effect.orElseSucceed(done, () => false)) return
      yield* TestClock.adjust("1 second")
      yield* turn
    }
    assert.fail("it never came")
  })

describe("building the index", () => {
  it.scoped("goes on as blocks come, in whole groups and growing parts", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 700)
      yield* Effect.forkScoped(keepIndexed(directory, new DamageFlag(), () => Effect.void))
      const built = (expected: ReadonlyArray<ReadonlyArray<number>>) =>
        untilTrue(Effect.map(ranges(directory), (found) => String(found) === String(expected)))
      yield* built([[0, 636, 0]])
      yield* writeInto(directory, chain, 701, 720)
      yield* writeInto(directory, chain, 721, 800)
      yield* built([[0, 736, 0]])
      yield* writeInto(directory, chain, 801, LAST)
      yield* built([
        [0, 1_023, 1],
        [1_024, 1_236, 0],
      ])
    }),
  )

  it.scoped("changes no answer while blocks come and segments are made again", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 99)
      yield* Effect.gen(function* () {
        const { logs, placeOf } = yield* ChainReader
        for (let last = 199; last <= LAST; last += 100) {
          yield* writeInto(directory, chain, last - 99, last)
          yield* TestClock.adjust("1 second")
          const expected = every.filter(({ block }) => block <= last)
          const some = expected[(7 * last) % expected.length]!
          const filter = { addresses: [Buffer.from(some.address, "hex")], topics: [] }
          const limits = { results: 10_000, bytes: 1e12, ms: 3_600_000 }
          const found = yield* logs(filter, [0, last], limits)
          const same = expected.filter(({ address }) => address === some.address)
          assert.deepEqual(found.map(plain), same)
          const place = yield* Effect.either(placeOf(Buffer.from(some.transaction, "hex")))
          if (place._tag === "Right") assert.strictEqual(place.right?.blockNumber, some.block)
          else assert.strictEqual(place.left._tag, "IndexBehind")
          for (let turns = 0; turns < 30; turns++) yield* turn
        }
      }).pipe(
        Effect.provide(
          Layer.provide(layerChainReaderOver(directory), layerIndexerInline(directory)),
        ),
      )
      assert.isNotEmpty(yield* ranges(directory))
    }),
  )

  it.scoped("leaves a damaged block out, and not its neighbours", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 400)
      yield* query(directory, "UPDATE payloads SET codec = 77 WHERE block_number = 100")
      yield* buildAll(directory)
      assert.deepEqual(yield* ranges(directory), [
        [0, 99, 0],
        [101, 336, 0],
      ])
    }),
  )

  it.scoped("is one's at a time: another one waits, and goes on when it ends", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 400)
      const scope = yield* Scope.make()
      yield* Scope.extend(lockIndex(directory), scope)
      const warnings: Array<string> = []
      const warn = (reason: string) => Effect.sync(() => void warnings.push(reason))
      yield* Effect.forkScoped(keepIndexed(directory, new DamageFlag(), warn))
      for (let turns = 0; turns < 100; turns++) {
        yield* TestClock.adjust("1 second")
        yield* turn
      }
      assert.isUndefined(indexInode(directory))
      yield* Scope.close(scope, Exit.void)
      yield* untilTrue(Effect.map(ranges(directory), (found) => found.length === 1))
      assert.isEmpty(warnings)
    }),
  )

  it.scoped("starts again when a reader finds damage", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 400)
      yield* buildAll(directory)
      const [row] = yield* query(directory, "SELECT count(*) FROM postings", [], INDEX_FILE)
      yield* query(directory, "UPDATE postings SET bytes = zeroblob(9)", [], INDEX_FILE)
      yield* Effect.gen(function* () {
        const { logs } = yield* ChainReader
        const filter = { addresses: [new Uint8Array(20)], topics: [] }
        const limits = { results: 1_000, bytes: 1e12, ms: 3_600_000 }
        assert.isEmpty(yield* logs(filter, [0, 400], limits))
        const sound = "SELECT count(*) FROM postings WHERE bytes <> zeroblob(9)"
        yield* untilTrue(
          Effect.map(
            query(directory, sound, [], INDEX_FILE),
            (rows) => String(rows) === String(row),
          ),
        )
        assert.isEmpty(yield* logs(filter, [0, 400], limits))
      }).pipe(
        Effect.provide(
          Layer.provide(layerChainReaderOver(directory), layerIndexerInline(directory)),
        ),
      )
    }),
  )

  it.scoped("warns once where its thread has no program, and all is answered without it", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 100)
      const { damaged } = yield* Effect.provide(Indexer, layerIndexerWith(directory, undefined))
      yield* damaged("nobody hears it")
      assert.isUndefined(indexInode(directory))
    }),
  )
})

const pauses = Schedule.spaced("50 millis")

describe("the thread of the index", () => {
  it.scopedLive("builds beside the reader, and ends with it", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 400)
      yield* Effect.gen(function* () {
        const { placeOf } = yield* ChainReader
        const old = Array.from({ length: 50 }, (_, n) => n).find(
          (n) => hashesOf(chain, n).length > 0,
        )!
        const hash = Uint8Array.from(Buffer.from(hashesOf(chain, old)[0]!, "hex"))
        // Too old to be looked through: it is there when the index is.
        const place = yield* placeOf(hash).pipe(
          Effect.retry({ while: (error) => error._tag === "IndexBehind", schedule: pauses }),
          Effect.timeout("20 seconds"),
        )
        assert.deepEqual(place, { blockNumber: old, transactionIndex: 0 })
      }).pipe(Effect.provide(layerChainReader(directory)))
      // Nobody holds the lock any more.
      yield* lockIndex(directory)
      assert.isAbove(readFileSync(path.join(directory, INDEX_FILE)).length, 0)
    }),
  )
})

const hashOf = (n: number) => keccak256(Uint8Array.of(n >> 8, n))

describe("runs of transactions in the index", () => {
  it.scoped("become few by merging, and lose nothing on the way nor when it is cut short", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const identity = { storeId: "", chainId: "1", genesisHash: "0x00" }
      const fill = Effect.fnUntraced(function* (from: number, runs: number) {
        const opened = yield* openIndexToBuild(directory, identity)
        const keeper = yield* makeRunKeeper(opened.database)
        for (let run = from; run < from + runs; run++) {
          const builder = new RunBuilder()
          for (let i = 0; i < 20; i++) builder.add(hashOf(20 * run + i), 0, run, i)
          const content = { run: builder.build(), transactions: builder.size }
          yield* inTransaction(
            opened.database,
            Effect.gen(function* () {
              yield* insertRun(opened.database, keeper, run, content, true)
              yield* opened.database.run("UPDATE state SET revision = revision + 1, next_id = 5000")
            }),
          )
        }
        return { opened, keeper }
      })
      const all = FAN_IN * FAN_IN + 3
      // Cut short in the middle: merged runs are there, their sources are not cleared away.
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { keeper } = yield* fill(1, all)
          for (let id = 6_000, steps = 0; steps < 5; steps++) yield* keeper.step(() => id++)
        }),
      )
      const { opened, keeper } = yield* fill(all + 1, 0)
      const reader = new IndexReader(opened, { last: undefined })
      const check = () => {
        reader.begin()
        for (let n = 20; n < 20 * (all + 1); n += 61) {
          const places = reader.placesOf(hashOf(n)).filter(({ index }) => index === n % 20)
          assert.deepEqual(places, [{ blockNumber: Math.floor(n / 20), index: n % 20 }])
        }
        reader.end()
        return reader.catalog.runs.length
      }
      assert.isAbove(check(), FAN_IN)
      let id = 7_000
      for (let steps = 0; yield* keeper.step(() => id++); steps++) if (steps % 16 === 0) check()
      // 259 runs: one of the second level, and three that are left.
      assert.strictEqual(check(), 4)
      const rows = yield* query(directory, "SELECT count(*), max(state) FROM runs", [], INDEX_FILE)
      assert.deepEqual(rows, [[4, 1]])
    }),
  )
})
