/** Stores with packed payloads: read, verified, extended and damaged as plain ones are. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { servedLimits } from "../../src/serving/answers.ts"
import { HistoryReader } from "../../src/serving/HistoryReader.ts"
import {
  DEFAULT_COMPRESSION_LEVEL,
  NO_COMPRESSION,
  PLAIN_CODEC,
  ZSTD_CODEC,
} from "../../src/write/payloadCodec.ts"
import { StoreError } from "../../src/write/StoreError.ts"
import { layerStoreReaderInline } from "../../src/write/StoreReader.ts"
import {
  light,
  payloads,
  query,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "./support.ts"

const fill = (directory: string, first: number, last: number, compressionLevel: number) =>
  withStore(syncOptions(directory, { compressionLevel }), (store) =>
    writeNow(store, payloads(light, first, last)),
  )

/** Blocks 0 to 6 as an older program wrote them, 7 to 12 packed. */
const mixed = Effect.gen(function* () {
  const directory = yield* temporaryDirectory
  yield* fill(directory, 0, 6, NO_COMPRESSION)
  yield* fill(directory, 7, 12, DEFAULT_COMPRESSION_LEVEL)
  return directory
})

const verify = (directory: string) => withStore(readOptions(directory), (store) => store.verify())

const codecsOf = (directory: string) =>
  query(directory, "SELECT codec, count(*) FROM payloads GROUP BY codec ORDER BY codec")

const numbers = Array.from({ length: 12 }, (_, i) => i + 1)
const hashes = numbers.map((blockNumber) => light.hashAt(blockNumber)!)

/** Damages of block 9's payload, as a statement. */
const damages = [
  { does: "cut short", set: "body = substr(body, 1, length(body) - 40)" },
  { does: "empty", set: "body = x''" },
  { does: "overwritten", set: "body = zeroblob(length(body))" },
  { does: "given receipts beside it", set: "receipts = x'c0'" },
  {
    does: "said to be of 4 GB",
    set: "body = CAST(substr(body, 1, 8) || x'a0ffffffff' || substr(body, 14) AS BLOB)",
  },
  {
    does: "said to have a longer body",
    set: "body = CAST(x'ffffff7f' || substr(body, 5) AS BLOB)",
  },
  { does: "said to be plain", set: `codec = ${PLAIN_CODEC}` },
] as const

const damageBlock9 = (set: string) =>
  Effect.tap(mixed, (directory) =>
    query(directory, `UPDATE payloads SET ${set} WHERE block_number = 9`),
  )

describe("a store with packed payloads", () => {
  it.scoped("keeps what was written before as it is, and verifies both forms", () =>
    Effect.gen(function* () {
      const directory = yield* mixed
      // Genesis is too short to be packed.
      assert.deepEqual(yield* codecsOf(directory), [
        [PLAIN_CODEC, 7],
        [ZSTD_CODEC, 6],
      ])
      const { blocks, damages, transactions } = yield* verify(directory)
      assert.deepEqual([blocks, transactions, damages], [13, 120, []])
    }),
  )

  it.scoped("packs by default", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) => writeNow(store, payloads(light, 1, 12)))
      assert.deepEqual(yield* codecsOf(directory), [[ZSTD_CODEC, 12]])
    }),
  )

  it.scoped(
    "gives peers the bytes that they would get of a plain one, and passes over damage",
    () =>
      Effect.gen(function* () {
        const directory = yield* damageBlock9(damages[0].set)
        yield* Effect.gen(function* () {
          const reader = yield* HistoryReader
          const there = numbers.filter((blockNumber) => blockNumber !== 9)
          const bodies = yield* reader.bodies(hashes, servedLimits)
          assert.deepEqual(
            bodies.map((body) => Buffer.from(body)),
            there.map((blockNumber) => Buffer.from(light.bodyAt(blockNumber)!)),
          )
          const ask = { hashes, form: 69, firstReceipt: 0 } as const
          const lists = yield* reader.receipts(ask, servedLimits)
          assert.deepEqual(
            lists.map((list) => Buffer.from(list)),
            there.map((blockNumber) => Buffer.from(light.receipts69At(blockNumber)!)),
          )
        }).pipe(Effect.provide(layerStoreReaderInline(directory)))
      }),
  )

  it.scoped("builds the same tables from both forms", () =>
    Effect.gen(function* () {
      const directory = yield* mixed
      const request = {
        tables: ["transactions", "logs", "withdrawals"] as const,
        addresses: [],
        topic0s: [],
        senders: false,
        startBlock: 0,
        endBlock: 12,
      }
      const report = yield* withStore(readOptions(directory, "tables"), (store) =>
        store.buildTables(request),
      )
      assert.strictEqual(report.rows, 120 + 240 + 24)
      assert.deepEqual((yield* verify(directory)).damages, [])
    }),
  )

  it.scoped.each(damages)("is found to be damaged where a payload is $does", ({ set }) =>
    Effect.gen(function* () {
      const directory = yield* damageBlock9(set)
      const { blocks, damages } = yield* verify(directory)
      assert.strictEqual(blocks, 13)
      const found = damages.filter(
        ({ what }) => what !== "total of logs" && what !== "total of transactions",
      )
      assert.isAbove(found.length, 0)
      for (const { blockNumber } of found) assert.strictEqual(blockNumber, 9)
    }),
  )

  it.scoped("builds no table over a payload that does not unpack", () =>
    Effect.gen(function* () {
      const directory = yield* damageBlock9(damages[0].set)
      const request = {
        tables: ["logs"] as const,
        addresses: [],
        topic0s: [],
        senders: false,
        startBlock: 0,
        endBlock: 12,
      }
      const error = yield* Effect.flip(
        withStore(readOptions(directory, "tables"), (store) => store.buildTables(request)),
      )
      assert.instanceOf(error, StoreError)
      assert.include(error.message, "the payload of block 9")
    }),
  )
})
