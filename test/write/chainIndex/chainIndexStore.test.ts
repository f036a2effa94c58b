/** The index of a store of many segments, whose runs were merged: blocks replaced under it, and damage. */
import { copyFileSync, readFileSync, truncateSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, TestClock } from "effect"
import { generateChain, generateFork } from "../../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../../src/devnet/servedChain.ts"
import { ChainReader, type ChainReaderShape } from "../../../src/rpc/ChainReader.ts"
import { turn } from "../../../src/write/chainIndex/ChainIndexBuilder.ts"
import { layerIndexerInline } from "../../../src/write/chainIndex/ChainIndexer.ts"
import { layerChainReaderOver } from "../../../src/write/ChainReaderSession.ts"
import { INDEX_FILE } from "../../../src/write/chainIndex/ChainIndexDatabase.ts"
import { buildAll } from "../../../src/write/chainIndex/ChainIndexing.ts"
import { GROUP_BLOCKS } from "../../../src/write/chainIndex/chainIndexPlan.ts"
import { hashesOf, logsOf, plain, readerOf, storeOf, writeInto } from "../chainReaderSupport.ts"
import { query, temporaryDirectory } from "../support.ts"

/** Seventeen whole groups: the runs of sixteen of them become one. */
const LAST = 17 * GROUP_BLOCKS + 100
/** In a group whose run was merged. */
const FORK_AT = 16 * GROUP_BLOCKS - 300
const SHAPE = { blocks: LAST, shape: "tiny", seed: 51 } as const
const main = generateChain(SHAPE)
const fork = generateFork(main, FORK_AT, { ...SHAPE, seed: 52 })

const limits = { results: 1_000_000, bytes: 1e12, ms: 3_600_000 }
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"))

/** Every so many blocks one that has transactions. */
const samples = (chain: ServedChain, from: number, to: number, step: number) => {
  const found: Array<{ readonly block: number; readonly hash: string }> = []
  for (let block = from; block <= to; block += step) {
    const [hash] = hashesOf(chain, block)
    if (hash !== undefined) found.push({ block, hash })
  }
  return found
}

/** Where a transaction is, or that it is not known yet. */
const placeIn = ({ placeOf }: ChainReaderShape, hash: string) =>
  placeOf(bytes(hash)).pipe(
    Effect.map((place) => place?.blockNumber ?? "nowhere"),
    Effect.catchTag("IndexBehind", () => Effect.succeed("not indexed")),
  )

/** Who emitted the first log of a block. */
const addressOf = (chain: ServedChain, block: number) => logsOf(chain, block)[0]?.address

/** The logs of an address over the whole store are those of `chain`. */
const findsLogs = Effect.fnUntraced(function* (
  { logs }: ChainReaderShape,
  chain: ServedChain,
  address: string,
  from: number,
) {
  const found = yield* logs({ addresses: [bytes(address)], topics: [] }, [from, LAST], limits)
  const expected = Array.from({ length: LAST - from + 1 }, (_, at) => logsOf(chain, from + at))
  assert.deepEqual(
    found.map(plain),
    expected.flat().filter((log) => log.address === address),
  )
})

describe("blocks that are replaced within a store of many segments", () => {
  it.scopedLive("are found as they are now, before the index is built again and after", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(main, 0, LAST)
      yield* buildAll(directory)
      const levels = "SELECT max(level), count(*) FROM runs WHERE state = 1"
      const [before] = yield* query(directory, levels, [], INDEX_FILE)
      assert.strictEqual(Number(before?.[0]), 1)
      for (const table of ["payloads", "blocks"]) {
        yield* query(directory, `DELETE FROM ${table} WHERE block_number >= ${FORK_AT}`)
      }
      yield* query(directory, `UPDATE coverage SET to_block = ${FORK_AT - 1}`)
      yield* writeInto(directory, fork, FORK_AT, LAST)

      const stays = samples(main, 3, FORK_AT - 1, 401)
      const gone = samples(main, FORK_AT, LAST, 31)
      const fresh = samples(fork, FORK_AT, LAST, 31)
      const addresses = [...gone, ...fresh].flatMap(({ block }) => [
        addressOf(main, block) ?? [],
        addressOf(fork, block) ?? [],
      ])
      const check = (reader: ChainReaderShape, built: boolean) =>
        Effect.gen(function* () {
          for (const { block, hash } of stays.concat(fresh)) {
            const place = yield* placeIn(reader, hash)
            if (built || place !== "not indexed") assert.strictEqual(place, block)
          }
          for (const { hash } of gone) {
            assert.strictEqual(yield* placeIn(reader, hash), built ? "nowhere" : "not indexed")
          }
          for (const address of addresses.flat().slice(0, 12)) {
            yield* findsLogs(reader, fork, address, FORK_AT - 2_000)
          }
        })
      assert.isAbove(addresses.length, 4)
      const reading = readerOf(directory)
      yield* reading(Effect.flatMap(ChainReader, (reader) => check(reader, false)))
      yield* buildAll(directory)
      yield* reading(Effect.flatMap(ChainReader, (reader) => check(reader, true)))
      // What was merged is still there beside what was made anew.
      const [after] = yield* query(directory, levels, [], INDEX_FILE)
      assert.isAbove(Number(after?.[1]), Number(before?.[1]))
    }),
  )
})

/** Which store a file is of. */
const idOf = (folder: string, file?: string) =>
  query(folder, "SELECT value FROM meta WHERE key = 'store_id'", [], file)

const textOf = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? String(value) : value

/** All that the index says, in short. */
const content = (directory: string) =>
  Effect.forEach(["segments", "segment_logs", "postings", "runs", "entries"], (table) =>
    query(directory, `SELECT * FROM ${table} ORDER BY 1`, [], INDEX_FILE),
  ).pipe(Effect.map((rows) => JSON.stringify(rows, textOf)))

describe("an index that is damaged in one place", () => {
  const SMALL = 1_300
  const damages: ReadonlyArray<readonly [what: string, statement: string]> = [
    ["a bucket of transactions", "UPDATE entries SET bytes = zeroblob(length(bytes))"],
    ["buckets that are missing", "DELETE FROM entries"],
    ["a run of another size", "UPDATE runs SET bits = bits + 1"],
    ["counts of logs", "UPDATE segment_logs SET bytes = zeroblob(7)"],
    ["no counts of logs", "DELETE FROM segment_logs"],
    ["postings in another's place", "UPDATE postings SET place = place + 1000000"],
    ["a segment that is longer", "UPDATE segments SET to_block = to_block + 1"],
    ["a segment that begins elsewhere", "UPDATE segments SET from_block = from_block + 1"],
    ["postings of another size", "UPDATE segments SET bits = bits + 1"],
    ["a run that is said to be merged", "UPDATE runs SET state = 2"],
    ["a run of another segment", "UPDATE runs SET run_id = run_id + 1000"],
    ["a segment that is said to be checked less", "UPDATE segments SET checked = 0"],
  ]
  const known = samples(main, 1, SMALL, 57)
  const [some] = known.flatMap(({ block }) => logsOf(main, block))

  /** Whatever is wrong, nothing that is there is said not to be. */
  const isRight = (directory: string) =>
    readerOf(directory)(
      Effect.gen(function* () {
        const reader = yield* ChainReader
        for (const { block, hash } of known) {
          assert.include([block, "not indexed"], yield* placeIn(reader, hash))
        }
        const filter = { addresses: [bytes(some!.address)], topics: [] }
        const found = yield* reader.logs(filter, [0, SMALL], limits)
        const all = Array.from({ length: SMALL + 1 }, (_, block) => logsOf(main, block)).flat()
        assert.deepEqual(
          found.map(plain),
          all.filter(({ address }) => address === some!.address),
        )
      }),
    )

  /** Asks, with somebody who builds, until the index says that again. */
  const isMended = (directory: string, whole: string) =>
    Effect.gen(function* () {
      const reader = yield* ChainReader
      const filter = { addresses: [bytes(some!.address)], topics: [] }
      for (let turns = 0; turns < 3_000; turns++) {
        yield* placeIn(reader, known[0]!.hash)
        yield* reader.logs(filter, [0, SMALL], limits)
        yield* TestClock.adjust("1 second")
        yield* turn
        if ((yield* Effect.orElseSucceed(content(directory), () => "")) === whole) return
      }
      assert.fail("it was not built again")
    }).pipe(
      Effect.provide(Layer.provide(layerChainReaderOver(directory), layerIndexerInline(directory))),
    )

  it.scoped.each(damages)("(%s) is done without, and is built again", ([, statement]) =>
    Effect.gen(function* () {
      const directory = yield* storeOf(main, 0, SMALL)
      yield* buildAll(directory)
      yield* isRight(directory)
      const whole = yield* content(directory)
      yield* query(directory, statement, [], INDEX_FILE)
      assert.notStrictEqual(yield* content(directory), whole)
      yield* isRight(directory)
      yield* isMended(directory, whole)
      yield* isRight(directory)
    }),
  )

  it.scoped("(cut short anywhere) is done without, and is built again", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(main, 0, SMALL)
      yield* buildAll(directory)
      const file = path.join(directory, INDEX_FILE)
      const kept = path.join(directory, "whole")
      copyFileSync(file, kept)
      const whole = yield* content(directory)
      const { length } = readFileSync(file)
      for (const part of [0, 50, 100, 16_384, length / 3, length / 2, length - 16_384]) {
        copyFileSync(kept, file)
        truncateSync(file, Math.floor(part))
        yield* isRight(directory)
        yield* isMended(directory, whole)
      }
    }),
  )

  it.scopedLive("(another store's of the same chain) is none", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(main, 0, SMALL)
      const other = yield* temporaryDirectory
      yield* writeInto(other, main, 0, SMALL)
      yield* buildAll(other)
      yield* query(other, "UPDATE segments SET checked = 1", [], INDEX_FILE)
      // It would find nothing at all, if it were believed.
      yield* query(other, "DELETE FROM runs", [], INDEX_FILE)
      copyFileSync(path.join(other, INDEX_FILE), path.join(directory, INDEX_FILE))
      yield* readerOf(directory)(
        Effect.flatMap(ChainReader, (reader) =>
          Effect.gen(function* () {
            assert.strictEqual(yield* placeIn(reader, known[0]!.hash), "not indexed")
          }),
        ),
      )
      assert.notDeepEqual(yield* idOf(directory), yield* idOf(other))
      yield* buildAll(directory)
      assert.deepEqual(yield* idOf(directory, INDEX_FILE), yield* idOf(directory))
      yield* isRight(directory)
    }),
  )
})
