/** The store read for JSON-RPC, with and without its index, beside a writer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Fiber, Layer, Logger, Runtime } from "effect"
import type { BlockRange } from "../../src/domain/blockRanges.ts"
import { toHex } from "../../src/domain/hex.ts"
import {
  ChainReader,
  type LogFilter,
  type StoredLog,
  TooManyLogs,
} from "../../src/rpc/ChainReader.ts"
import { logObject } from "../../src/rpc/logObject.ts"
import { buildAll } from "../../src/write/chainIndex/ChainIndexing.ts"
import { layerChainReader } from "../../src/write/ChainReaderSession.ts"
import {
  arbitraryFilter,
  hashesOf,
  plain,
  readerOf,
  storeOf,
  writeInto,
} from "./chainReaderSupport.ts"
import {
  allLogs,
  arbitraryRange,
  chain,
  compare,
  compareNow,
  EVERYTHING,
  expected,
  hashOf,
  LAST,
  limits,
  numbers,
  within,
} from "./chainReaderWorld.ts"
import {
  payloadOf,
  payloads,
  query,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "./support.ts"

const textOf = (found: ReadonlyArray<StoredLog>) =>
  JSON.stringify(found.map((log) => logObject(log, false)))

describe("logs of a range", () => {
  it.scoped("are those that a scan of all logs finds, over indexed and other blocks", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const reader = yield* ChainReader
          yield* compare(reader, 60)
          yield* buildAll(directory)
        }),
      )
      yield* compareNow(directory, 250)
    }),
  )

  it.scoped("begin and end where the range does, at every border of the index", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      yield* buildAll(directory)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { logs } = yield* ChainReader
          const borders = [0, 1_023, 1_024, LAST - 64, LAST - 63, LAST]
          for (const from of borders) {
            for (const to of borders.flatMap((at) => [at - 1, at, at + 1])) {
              if (to < from || to > LAST) continue
              const found = yield* logs(EVERYTHING, [from, to], limits)
              assert.deepEqual(found.map(plain), within([from, to]))
            }
          }
        }),
      )
    }),
  )

  it.scoped("come from the index once it is there, and from the blocks until then", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      yield* buildAll(directory)
      // Without receipts a bloom tells nothing of a log: only the index knows where to look.
      yield* query(directory, "UPDATE blocks SET logs_bloom = zeroblob(256)")
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const reader = yield* ChainReader
          const [log] = allLogs
          const filter = { addresses: [hashOf(log!.address)], topics: [] }
          const found = yield* reader.logs(filter, [0, LAST - 64], limits)
          assert.isNotEmpty(found)
          assert.deepEqual(found.map(plain), expected(filter, [0, LAST - 64]))
        }),
      )
    }),
  )

  it.scoped("are refused where a block is missing, which is named", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 10, 20)
      yield* writeInto(directory, chain, 30, 40)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { logs } = yield* ChainReader
          const missing = (range: BlockRange) =>
            Effect.flip(logs(EVERYTHING, range, limits)).pipe(
              Effect.map((error) => (error._tag === "NotStored" ? error.blockNumber : error._tag)),
            )
          assert.strictEqual(yield* missing([9, 12]), 9)
          assert.strictEqual(yield* missing([12, 35]), 21)
          assert.strictEqual(yield* missing([25, 35]), 25)
          assert.strictEqual(yield* missing([35, 41]), 41)
          const found = yield* logs(EVERYTHING, [30, 40], limits)
          assert.deepEqual(found.map(plain), within([30, 40]))
        }),
      )
    }),
  )

  it.scoped("say what part of the range fits where there are too many", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      yield* buildAll(directory)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { logs } = yield* ChainReader
          const run = Runtime.runPromise(yield* Effect.runtime())
          const check = async (filter: LogFilter, range: BlockRange, results: number) => {
            const bounded = { ...limits, results }
            const count = (part: BlockRange) => expected(filter, part).length
            const answer = await run(Effect.either(logs(filter, range, bounded)))
            if (answer._tag === "Right") {
              assert.isTrue(count(range) <= results || range[0] === range[1])
              return assert.strictEqual(answer.right.length, count(range))
            }
            const error = answer.left
            assert.instanceOf(error, TooManyLogs)
            if (!(error instanceof TooManyLogs)) return
            const [from, to] = error.fits
            assert.deepInclude(error, { limit: results })
            assert.strictEqual(from, range[0])
            assert.isBelow(to, range[1])
            const fitting = await run(logs(filter, error.fits, bounded))
            assert.strictEqual(fitting.length, count(error.fits))
            // One block more is too much; a first block that is too much by itself is given alone.
            if (count([from, from]) <= results) {
              assert.isAtMost(fitting.length, results)
              assert.isAbove(count([from, to + 1]), results)
            } else assert.strictEqual(to, from)
          }
          yield* Effect.promise(() =>
            fc.assert(
              fc.asyncProperty(
                fc.oneof(fc.constant(EVERYTHING), arbitraryFilter(allLogs)),
                arbitraryRange,
                fc.integer({ min: 1, max: 200 }),
                check,
              ),
              { numRuns: 100 },
            ),
          )
        }),
      )
    }),
  )

  it.scoped("say what part of the range fits where they are too many bytes", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { logs } = yield* ChainReader
          const all = yield* logs(EVERYTHING, [0, LAST], limits)
          const whole = textOf(all).length
          for (const bytes of [whole - 1, whole - 2, whole >> 1, whole >> 4, 10_000]) {
            const asked = logs(EVERYTHING, [0, LAST], { ...limits, bytes })
            // Each is counted with a comma; a list has one byte more than that.
            if (bytes === whole - 1) {
              assert.deepEqual(textOf(yield* asked), textOf(all))
              continue
            }
            const error = yield* Effect.flip(asked)
            assert.instanceOf(error, TooManyLogs)
            if (!(error instanceof TooManyLogs)) return
            const fitting = yield* logs(EVERYTHING, error.fits, { ...limits, bytes })
            assert.isAtMost(textOf(fitting).length - 1, bytes)
            assert.strictEqual(fitting.length, error.limit)
            const [from, to] = error.fits
            const more = yield* logs(EVERYTHING, [from, to + 1], limits)
            assert.isAbove(textOf(more).length - 1, bytes)
          }
        }),
      )
    }),
  )

  it.live("are given up when their time is over", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const directory = yield* storeOf(chain, 0, LAST)
        yield* readerOf(directory)(
          Effect.gen(function* () {
            const { logs, extent } = yield* ChainReader
            const error = yield* Effect.flip(logs(EVERYTHING, [0, LAST], { ...limits, ms: 1 }))
            assert.deepInclude(error, { _tag: "QueryTooSlow", limitMs: 1 })
            assert.strictEqual((yield* extent).highest, LAST)
          }),
        )
      }),
    ),
  )

  it.scoped("of a damaged payload are a failure, not nothing", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 40)
      const logged = within([0, 40])[0]!.block
      yield* query(
        directory,
        "UPDATE payloads SET body = x'00112233', receipts = x'', codec = 1 WHERE block_number = ?",
        [logged],
      )
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const reader = yield* ChainReader
          const tags = [
            (yield* Effect.flip(reader.logs(EVERYTHING, [0, 40], limits)))._tag,
            (yield* Effect.flip(reader.blockAt(logged)))._tag,
            (yield* Effect.flip(reader.placeOf(new Uint8Array(32))))._tag,
          ]
          assert.deepEqual(tags, Array(3).fill("ReadFailed"))
        }),
      )
    }),
  )
})

describe("the place of a transaction", () => {
  it.scoped("is found for every one, indexed or not; for others there is none", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      yield* buildAll(directory)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { placeOf } = yield* ChainReader
          for (const blockNumber of numbers) {
            for (const [transactionIndex, hash] of hashesOf(chain, blockNumber).entries()) {
              const place = yield* placeOf(hashOf(hash))
              assert.deepEqual(place, { blockNumber, transactionIndex })
            }
          }
          assert.isUndefined(yield* placeOf(new Uint8Array(32)))
        }),
      )
    }),
  )

  it.scoped("is not known while many blocks are not indexed, but for the newest ones", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { placeOf } = yield* ChainReader
          const error = yield* Effect.flip(placeOf(new Uint8Array(32)))
          assert.deepInclude(error, { _tag: "IndexBehind", blocks: LAST + 1 })
          const newest = numbers.findLast((n) => hashesOf(chain, n).length > 0)!
          const [hash] = hashesOf(chain, newest)
          assert.deepInclude(yield* placeOf(hashOf(hash!)), { blockNumber: newest })
        }),
      )
    }),
  )
})

describe("the reader of the chain", () => {
  it.scoped("gives blocks as they were checked, by number and by hash", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 5, 20)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const reader = yield* ChainReader
          for (const n of [5, 13, 20]) {
            const written = payloadOf(chain, n)
            const block = yield* reader.blockAt(n)
            assert.strictEqual(block!.blockNumber, n)
            for (const part of ["hash", "header", "body", "receipts"] as const) {
              assert.strictEqual(toHex(block![part]), toHex(written[part]))
            }
            const header = yield* reader.headerAt(n)
            assert.strictEqual(toHex(header!.header), toHex(chain.headerAt(n)!))
            assert.strictEqual(toHex(header!.hash), toHex(chain.hashAt(n)!))
            assert.strictEqual(yield* reader.numberOf(chain.hashAt(n)!), n)
          }
          assert.isUndefined(yield* reader.blockAt(4))
          assert.isUndefined(yield* reader.headerAt(21))
          assert.isUndefined(yield* reader.numberOf(chain.hashAt(21)!))
          assert.strictEqual(reader.chain.chainId, 1337)
          assert.strictEqual(reader.chain.network, "devnet")
          assert.strictEqual(toHex(reader.chain.genesisHash), toHex(chain.hashAt(0)!))
        }),
      )
    }),
  )

  it.scoped("tells its extent, what is anchored, and what a trusted head says", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 9)
      yield* writeInto(directory, chain, 20, 29)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { extent } = yield* ChainReader
          const found = {
            ranges: [
              [0, 9],
              [20, 29],
            ] as const,
            earliest: 0,
            latest: 9,
            highest: 29,
          }
          // Genesis is trusted, and nothing above it.
          assert.deepEqual(yield* extent, { ...found, safe: 0, finalized: 0 })
          const rows = "('safe_block', '25'), ('finalized_block', '90')"
          yield* query(directory, `INSERT INTO meta (key, value) VALUES ${rows}`)
          assert.deepEqual(yield* extent, { ...found, safe: 25, finalized: 29 })
        }),
      )
    }),
  )

  it.scoped("sees what a writer commits meanwhile, and the version rises with it", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 9)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const reader = yield* ChainReader
          const before = yield* reader.version
          assert.strictEqual(yield* reader.version, before)
          yield* withStore(syncOptions(directory), (store) =>
            Effect.gen(function* () {
              for (let at = 10; at < 400; at += 10) {
                const asking = yield* Effect.fork(reader.logs(EVERYTHING, [0, at - 1], limits))
                yield* writeNow(store, payloads(chain, at, at + 9))
                const found = yield* Fiber.join(asking)
                assert.deepEqual(found.map(plain), within([0, at - 1]))
                assert.strictEqual((yield* reader.extent).highest, at + 9)
              }
            }),
          )
          assert.isAbove(yield* reader.version, before)
        }),
      )
    }),
  )

  it.scoped("tells reorganisations in their order", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, 9)
      yield* query(
        directory,
        `INSERT INTO reorgs (reorg_id, noticed_at_ms, from_block, to_block, old_hash, new_hash)
         VALUES (1, 0, 5, 6, x'01', x'02'), (2, 0, 7, 9, x'03', x'04')`,
      )
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { reorgsAfter } = yield* ChainReader
          assert.deepEqual(
            (yield* reorgsAfter(0)).map(({ reorgId }) => reorgId),
            [1, 2],
          )
          const [last, ...more] = yield* reorgsAfter(1)
          assert.deepEqual(last, {
            reorgId: 2,
            fromBlock: 7,
            toBlock: 9,
            oldHash: Uint8Array.of(3),
            newHash: Uint8Array.of(4),
          })
          assert.isEmpty(more)
        }),
      )
    }),
  )
})

describe("a store that is not there", () => {
  it.scoped("is told of by the failure alone: nobody tries to index it", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const logged: Array<unknown> = []
      const logger = Logger.make(({ message }) => void logged.push(message))
      const failure = yield* Layer.build(layerChainReader(directory)).pipe(
        Effect.flip,
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      )
      assert.strictEqual(failure._tag, "StoreError")
      assert.deepEqual(logged, [])
    }),
  )
})
