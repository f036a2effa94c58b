/** The store read for JSON-RPC, with and without its index, beside a writer. */
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import path from "node:path"
import { RLP } from "@ethereumjs/rlp"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Fiber, Layer, Logger, Runtime } from "effect"
import type { BlockRange } from "../../src/domain/blockRanges.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { toHex } from "../../src/domain/hex.ts"
import {
  ChainReader,
  type ChainReaderShape,
  type LogFilter,
  type StoredLog,
  TooManyLogs,
} from "../../src/rpc/ChainReader.ts"
import { logObject } from "../../src/rpc/logObject.ts"
import { INDEX_FILE } from "../../src/write/chainIndex/ChainIndexDatabase.ts"
import { buildAll } from "../../src/write/chainIndex/ChainIndexing.ts"
import { layerChainReader } from "../../src/write/ChainReaderSession.ts"
import {
  arbitraryFilter,
  hashesOf,
  logsOf,
  passes,
  plain,
  readerOf,
  storeOf,
  writeInto,
} from "./chainReaderSupport.ts"
import {
  allChecks,
  payloadOf,
  payloads,
  query,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "./support.ts"

/** A whole group, a part of the next one, and blocks that are not settled. */
const LAST = 1_300
const chain = generateChain({ blocks: LAST, shape: "tiny", seed: 31 })
const other = generateChain({ blocks: LAST, shape: "tiny", seed: 32 })
const numbers = Array.from({ length: LAST + 1 }, (_, n) => n)
const allLogs = numbers.flatMap((n) => logsOf(chain, n))
const EVERYTHING: LogFilter = { addresses: [], topics: [] }
const limits = { results: 1_000_000, bytes: 1e12, ms: 60_000 }

const textOf = (found: ReadonlyArray<StoredLog>) =>
  JSON.stringify(found.map((log) => logObject(log, false)))

const within = ([from, to]: BlockRange, logs = allLogs) =>
  logs.filter(({ block }) => block >= from && block <= to)

const arbitraryRange = fc
  .tuple(fc.nat(LAST), fc.nat(LAST))
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)

/** Asks random questions and holds the answers against all logs. */
const compare = Effect.fnUntraced(function* (reader: ChainReaderShape, runs: number) {
  const run = Runtime.runPromise(yield* Effect.runtime())
  yield* Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(arbitraryFilter(allLogs), arbitraryRange, async (filter, range) => {
        const found = await run(reader.logs(filter, range, limits))
        const expected = within(range).filter((log) => passes(filter, log))
        assert.deepEqual(found.map(plain), expected)
      }),
      { numRuns: runs },
    ),
  )
})

const withoutLogs = (receipts: Uint8Array): Uint8Array => {
  const list = RLP.decode(receipts)
  if (!Array.isArray(list)) throw new TypeError("no list")
  return RLP.encode(list.map((one) => (Array.isArray(one) ? one.slice(0, 3).concat([[]]) : one)))
}

/** The chain as a peer tells it that leaves the logs of one block out. */
const without = (blockNumber: number): ReturnType<typeof payloads> => {
  const all = payloads(chain, 0, 400)
  const block = all[blockNumber]!
  all[blockNumber] = { ...block, receipts: withoutLogs(block.receipts) }
  return all
}

const hashOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"))

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
      yield* readerOf(directory)(Effect.flatMap(ChainReader, (reader) => compare(reader, 250)))
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
          const expected = within([0, LAST - 64]).filter((each) => passes(filter, each))
          assert.isAbove(expected.length, 0)
          assert.deepEqual(found.map(plain), expected)
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
            const count = (part: BlockRange) =>
              within(part).filter((log) => passes(filter, log)).length
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

const fileOf = (directory: string): string => path.join(directory, INDEX_FILE)

const compareNow = (directory: string, runs: number) =>
  readerOf(directory)(Effect.flatMap(ChainReader, (reader) => compare(reader, runs)))

describe("the index", () => {
  it.scoped("is done without where its file is damaged, and is made again", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      yield* buildAll(directory)
      const whole = readFileSync(fileOf(directory))
      const holes = Uint8Array.from(whole)
      for (let at = 20_000; at < holes.length; at += 700) holes[at]! ^= 0x55
      for (const bytes of [Buffer.from("no database"), whole.subarray(0, 40_000), holes]) {
        writeFileSync(fileOf(directory), bytes)
        yield* compareNow(directory, 25)
      }
      writeFileSync(fileOf(directory), "no database")
      yield* buildAll(directory)
      yield* compareNow(directory, 25)
      assert.isAbove(readFileSync(fileOf(directory)).length, 20_000)
    }),
  )

  it.scoped("of another version or another chain is made again", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      const changes = [
        "PRAGMA user_version = 0",
        "UPDATE meta SET value = '0x00' WHERE key = 'genesis_hash'",
      ]
      for (const change of changes) {
        yield* buildAll(directory)
        yield* query(directory, change, [], INDEX_FILE)
        yield* query(directory, "DELETE FROM postings", [], INDEX_FILE)
        yield* compareNow(directory, 25)
        yield* buildAll(directory)
        const [row] = yield* query(directory, "SELECT count(*) FROM postings", [], INDEX_FILE)
        assert.isAbove(Number(row?.[0]), 0)
        yield* compareNow(directory, 25)
      }
    }),
  )

  it.scoped(
    "is not believed about blocks that were replaced, before it is built again and after",
    () =>
      Effect.gen(function* () {
        const directory = yield* storeOf(other, 0, LAST)
        yield* buildAll(directory)
        // The trusted hash of another chain takes the stored blocks out, from the top down.
        const trusted = [{ blockNumber: LAST, hash: chain.hashAt(LAST)! }]
        yield* withStore(syncOptions(directory, { trusted }), (store) =>
          Effect.gen(function* () {
            for (let n = LAST; n > 0; n--) yield* Effect.fork(store.write([payloadOf(chain, n)]))
            yield* Effect.yieldNow()
            yield* store.flush
          }),
        )
        const [row] = yield* query(directory, "SELECT count(*) FROM blocks WHERE block_number > 0")
        assert.strictEqual(Number(row?.[0]), LAST)
        yield* compareNow(directory, 60)
        yield* buildAll(directory)
        yield* compareNow(directory, 60)
        const place = readerOf(directory)(
          Effect.gen(function* () {
            const { placeOf } = yield* ChainReader
            const [gone] = numbers.flatMap((n) => hashesOf(other, n))
            return yield* placeOf(hashOf(gone!))
          }),
        )
        assert.isUndefined(yield* place)
      }),
  )
})

describe("the index of a store without links", () => {
  it.scoped("is not believed about a single block that was replaced in the middle", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const checks = allChecks.filter((check) => check !== "links")
      const write = (from: typeof chain, first: number, last: number) =>
        withStore(syncOptions(directory, { checks }), (store) =>
          writeNow(store, payloads(from, first, last)),
        )
      const logged = within([0, 200]).at(-1)!.block
      yield* write(chain, 0, logged - 1)
      yield* write(other, logged, logged)
      yield* write(chain, logged + 1, 400)
      yield* buildAll(directory)
      const gone = [logged, logged] as const
      for (const table of ["payloads", "blocks"]) {
        yield* query(directory, `DELETE FROM ${table} WHERE block_number = ?`, [logged])
      }
      yield* query(directory, "DELETE FROM coverage")
      const row = "INSERT INTO coverage VALUES ('payloads', ?, ?, 0, ?)"
      for (const [from, to] of [
        [0, logged - 1],
        [logged + 1, 400],
      ]) {
        yield* query(directory, row, [from, to, [...checks].sort().join(",")])
      }
      yield* write(chain, ...gone)
      yield* readerOf(directory)(
        Effect.gen(function* () {
          const { logs } = yield* ChainReader
          for (const log of within(gone)) {
            const filter = { addresses: [hashOf(log.address)], topics: [] }
            const found = yield* logs(filter, [0, 400], limits)
            assert.deepEqual(
              found.map(plain),
              within([0, 400]).filter((each) => passes(filter, each)),
            )
          }
        }),
      )
    }),
  )
})

describe("the index of a store that was made again", () => {
  const logged = within([0, 200]).at(-1)!.block
  const checks = ["links"] as const
  const writeAll = (directory: string, blocks: ReturnType<typeof payloads>, verified: boolean) =>
    withStore(syncOptions(directory, verified ? {} : { checks }), (store) =>
      writeNow(store, blocks),
    )
  const findsAll = (directory: string) =>
    readerOf(directory)(
      Effect.gen(function* () {
        const { logs } = yield* ChainReader
        for (const log of within([logged, logged])) {
          const filter = { addresses: [hashOf(log.address)], topics: [] }
          const found = yield* logs(filter, [0, 400], limits)
          assert.deepEqual(
            found.map(plain),
            within([0, 400]).filter((each) => passes(filter, each)),
          )
        }
      }),
    )

  it.scoped("is not believed, though all hashes are the same", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* writeAll(directory, without(logged), false)
      yield* buildAll(directory)
      for (const end of ["", "-wal", "-shm"])
        rmSync(`${directory}/annals.db${end}`, { force: true })
      yield* writeAll(directory, payloads(chain, 0, 400), false)
      yield* findsAll(directory)
    }),
  )

  it.scoped.each([true, false])(
    "or whose unchecked blocks were fetched again, is not believed about those (checked then: %s)",
    (verified) =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        yield* writeAll(directory, without(logged), false)
        yield* buildAll(directory)
        for (const table of ["payloads", "blocks", "coverage"]) {
          yield* query(directory, `DELETE FROM ${table}`)
        }
        yield* writeAll(directory, payloads(chain, 0, 400), verified)
        yield* findsAll(directory)
        yield* buildAll(directory)
        yield* findsAll(directory)
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
            const expected = payloadOf(chain, n)
            const block = yield* reader.blockAt(n)
            assert.strictEqual(block!.blockNumber, n)
            for (const part of ["hash", "header", "body", "receipts"] as const) {
              assert.strictEqual(toHex(block![part]), toHex(expected[part]))
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
