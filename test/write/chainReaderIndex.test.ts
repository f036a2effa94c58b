/** The store read for JSON-RPC with an index that is damaged, of other blocks, or of less of them. */
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import path from "node:path"
import { RLP } from "@ethereumjs/rlp"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { checks } from "../../src/process/checks.ts"
import { ChainReader } from "../../src/rpc/ChainReader.ts"
import { INDEX_FILE } from "../../src/write/chainIndex/ChainIndexDatabase.ts"
import { buildAll } from "../../src/write/chainIndex/ChainIndexing.ts"
import { hashesOf, readerOf, storeOf } from "./chainReaderSupport.ts"
import {
  chain,
  compareNow,
  findsLogsOf,
  hashOf,
  LAST,
  numbers,
  other,
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

const fileOf = (directory: string): string => path.join(directory, INDEX_FILE)

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
      const unlinked = checks.filter((check) => check !== "links")
      const write = (from: typeof chain, first: number, last: number) =>
        withStore(syncOptions(directory, { checks: unlinked }), (store) =>
          writeNow(store, payloads(from, first, last)),
        )
      const logged = within([0, 200]).at(-1)!.block
      yield* write(chain, 0, logged - 1)
      yield* write(other, logged, logged)
      yield* write(chain, logged + 1, 400)
      yield* buildAll(directory)
      for (const table of ["payloads", "blocks"]) {
        yield* query(directory, `DELETE FROM ${table} WHERE block_number = ?`, [logged])
      }
      yield* query(directory, "DELETE FROM coverage")
      const row = "INSERT INTO coverage VALUES ('payloads', ?, ?, 0, ?)"
      for (const [from, to] of [
        [0, logged - 1],
        [logged + 1, 400],
      ]) {
        yield* query(directory, row, [from, to, [...unlinked].sort().join(",")])
      }
      yield* write(chain, logged, logged)
      yield* findsLogsOf(directory, logged)
    }),
  )
})

describe("the index of a store that was made again", () => {
  const logged = within([0, 200]).at(-1)!.block
  const linked = ["links"] as const
  const writeAll = (directory: string, blocks: ReturnType<typeof payloads>, verified: boolean) =>
    withStore(syncOptions(directory, verified ? {} : { checks: linked }), (store) =>
      writeNow(store, blocks),
    )

  it.scoped("is not believed, though all hashes are the same", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* writeAll(directory, without(logged), false)
      yield* buildAll(directory)
      for (const end of ["", "-wal", "-shm"])
        rmSync(`${directory}/annals.db${end}`, { force: true })
      yield* writeAll(directory, payloads(chain, 0, 400), false)
      yield* findsLogsOf(directory, logged)
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
        yield* findsLogsOf(directory, logged)
        yield* buildAll(directory)
        yield* findsLogsOf(directory, logged)
      }),
  )
})
