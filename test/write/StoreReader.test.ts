/** The store read beside its writer; the thread's tests need the built program. */
import { writeFileSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Fiber, Runtime } from "effect"
import { answerItems } from "../../src/devnet/answers.ts"
import { receipts69To68 } from "../../src/domain/receipts.ts"
import { cutReceipts, receiptsQuery, servedLimits, whole } from "../../src/serving/answers.ts"
import { HistoryReader, type HistoryReaderShape } from "../../src/serving/HistoryReader.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import type { EthVersion } from "../../src/wire/hello.ts"
import { packItems, unpackItems } from "../../src/write/readerProtocol.ts"
import { BLOCK_BY_HASH } from "../../src/write/schema.ts"
import {
  layerStoreReader,
  layerStoreReaderInline,
  layerStoreReaderWith,
} from "../../src/write/StoreReader.ts"
import { arbitraryQuestion } from "../serving/arbitraryRequest.ts"
import {
  chain,
  light,
  payloads,
  query,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "./support.ts"

const limits = servedLimits
const hashes = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => chain.hashAt(from + i)!)
const headersAt = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => chain.headerAt(from + i)!)
const asBuffers = (items: ReadonlyArray<Uint8Array>) => items.map((item) => Buffer.from(item))

/** A directory with a store of blocks `first` to `last`. */
const storeOf = (first: number, last: number, from = chain) =>
  Effect.tap(temporaryDirectory, (directory) =>
    withStore(syncOptions(directory), (store) => writeNow(store, payloads(from, first, last))),
  )

const answerOf = (reader: HistoryReaderShape, version: EthVersion, request: EthRequest) => {
  switch (request._tag) {
    case "GetBlockHeaders":
      return Effect.map(reader.headers(request, limits), whole)
    case "GetBlockBodies":
      return Effect.map(reader.bodies(request.hashes, limits), whole)
    case "GetReceipts":
      return Effect.map(reader.receipts(receiptsQuery(version, request), limits), (lists) =>
        cutReceipts(version, lists),
      )
  }
}

describe("the reader of the store", () => {
  it.scoped("answers any request as a chain in memory does, byte for byte", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain.firstBlock, chain.lastBlock)
      yield* Effect.gen(function* () {
        const reader = yield* HistoryReader
        const run = Runtime.runSync(yield* Effect.runtime())
        fc.assert(
          fc.property(arbitraryQuestion(chain), ({ version, request }) => {
            const ours = run(answerOf(reader, version, request))
            const theirs = answerItems(chain, version, request)
            assert.strictEqual(ours.lastBlockIncomplete, theirs.lastBlockIncomplete)
            assert.deepEqual(asBuffers(ours.items), asBuffers(theirs.items))
          }),
          { numRuns: 300 },
        )
      }).pipe(Effect.provide(layerStoreReaderInline(directory)))
    }),
  )

  it.scoped("passes over what the store does not hold, and stops headers there", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(10, 19)
      yield* Effect.gen(function* () {
        const reader = yield* HistoryReader
        const from = { start: 15, limit: 20, skip: 0, reverse: false }
        const up = yield* reader.headers(from, limits)
        assert.deepEqual(asBuffers(up), asBuffers(headersAt(15, 19)))
        const down = yield* reader.headers({ ...from, reverse: true }, limits)
        assert.deepEqual(asBuffers(down), asBuffers(headersAt(10, 15).toReversed()))
        assert.deepEqual(yield* reader.headers({ ...from, start: 9 }, limits), [])
        const bodies = yield* reader.bodies(hashes(18, 22), limits)
        assert.deepEqual(asBuffers(bodies), asBuffers([chain.bodyAt(18)!, chain.bodyAt(19)!]))
        const ask = { hashes: hashes(8, 10), form: 68, firstReceipt: 0 } as const
        const [list, ...more] = yield* reader.receipts(ask, limits)
        assert.deepEqual([Buffer.from(list!), more], [Buffer.from(chain.receipts68At(10)!), []])
        const byHash = (number: number) =>
          reader.headers({ ...from, start: chain.hashAt(number)!, limit: 1 }, limits)
        assert.deepEqual(asBuffers(yield* byHash(12)), asBuffers(headersAt(12, 12)))
        assert.deepEqual(yield* byHash(9), [])
        assert.deepEqual(yield* reader.held, [[10, 19]])
      }).pipe(Effect.provide(layerStoreReaderInline(directory)))
    }),
  )

  it.scoped("keeps to the limits of items, bytes and lookups", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(0, 11, light)
      yield* Effect.gen(function* () {
        const reader = yield* HistoryReader
        const all = Array.from({ length: 12 }, (_, n) => light.hashAt(n)!)
        const counts = Effect.fnUntraced(function* (some: Partial<typeof limits>) {
          const items = yield* reader.bodies(all, { ...limits, ...some })
          return items.length
        })
        assert.strictEqual(yield* counts({}), 12)
        assert.strictEqual(yield* counts({ items: 5 }), 5)
        assert.strictEqual(yield* counts({ lookups: 7 }), 7)
        const size = light.bodyAt(0)!.length + light.bodyAt(1)!.length
        // The item that goes over the limit is still in.
        assert.strictEqual(yield* counts({ softBytes: size - 1 }), 2)
        assert.strictEqual(yield* counts({ softBytes: size }), 3)
      }).pipe(Effect.provide(layerStoreReaderInline(directory)))
    }),
  )

  it.scoped("finds a block by its hash through the index", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(0, 5)
      const plan = yield* query(directory, `EXPLAIN QUERY PLAN ${BLOCK_BY_HASH}`, [
        hashes(1, 1)[0],
        hashes(1, 1)[0],
      ])
      assert.match(String(plan[0]?.[3]), /SEARCH blocks USING INDEX blocks_by_hash/)
    }),
  )

  it.scoped(
    "is not held up by an open transaction, nor holds one up: it sees what is committed",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryDirectory
        const options = syncOptions(directory, {}, { commitAfterMs: 3_600_000 })
        yield* withStore(options, (store) =>
          Effect.gen(function* () {
            yield* writeNow(store, payloads(chain, 0, 9))
            const writing = yield* Effect.fork(store.write(payloads(chain, 10, 19)))
            yield* Effect.yieldNow()
            const open = { start: 8, limit: 5, skip: 0, reverse: false }
            const read = Effect.flatMap(HistoryReader, (reader) => reader.headers(open, limits))
            yield* Effect.gen(function* () {
              assert.strictEqual((yield* read).length, 2)
              yield* store.flush
              assert.strictEqual((yield* read).length, 5)
            }).pipe(Effect.provide(layerStoreReaderInline(directory)))
            const { committed } = yield* Fiber.join(writing)
            assert.deepEqual(committed, [[10, 19]])
          }),
        )
      }),
  )

  it("packs items and unpacks them, empty ones too", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (items) => {
        assert.deepEqual(asBuffers(unpackItems(packItems(items))), asBuffers(items))
      }),
    )
  })
})

describe("the reader in its thread", () => {
  it.scopedLive("answers many questions at once, and sees what the writer commits meanwhile", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) =>
        Effect.gen(function* () {
          yield* writeNow(store, payloads(chain, 0, 29))
          const reader = yield* HistoryReader
          const ask = (number: number) =>
            reader.receipts({ hashes: [chain.hashAt(number)!], form: 68, firstReceipt: 0 }, limits)
          const numbers = Array.from({ length: 60 }, (_, n) => n)
          const lists = yield* Effect.forEach(numbers, ask, { concurrency: "unbounded" })
          lists.forEach((items, number) => {
            const expected = number < 30 ? [receipts69To68(chain.receipts69At(number)!)] : []
            assert.deepEqual(asBuffers(items), asBuffers(expected))
          })
          yield* writeNow(store, payloads(chain, 30, 59))
          assert.deepEqual(yield* reader.held, [[0, 59]])
        }).pipe(Effect.provide(layerStoreReader(directory))),
      )
    }),
  )

  it.scopedLive("says why it cannot answer where there is no store, and goes on saying it", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* Effect.gen(function* () {
        const { held } = yield* HistoryReader
        const first = yield* Effect.flip(held)
        assert.include(first.reason, "does not exist")
        assert.strictEqual((yield* Effect.flip(held)).reason, first.reason)
      }).pipe(Effect.provide(layerStoreReader(directory)))
    }),
  )

  it.scopedLive("says so when its program is missing", () =>
    Effect.gen(function* () {
      const { held } = yield* HistoryReader
      assert.include((yield* Effect.flip(held)).reason, "readerThread.js, is missing")
    }).pipe(Effect.provide(layerStoreReaderWith("/nowhere", undefined))),
  )

  it.scopedLive("fails what is asked of a thread that has ended by itself, then and later", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const program = path.join(directory, "ends.mjs")
      writeFileSync(program, "setTimeout(() => process.exit(3), 50)")
      yield* Effect.gen(function* () {
        const { held } = yield* HistoryReader
        for (const attempt of [1, 2]) {
          const { reason } = yield* Effect.flip(held)
          assert.include(reason, "ended with code 3", String(attempt))
        }
      }).pipe(Effect.provide(layerStoreReaderWith(directory, program)))
    }),
  )

  it.scopedLive("leaves out questions that nobody waits for any more", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(0, 59)
      yield* Effect.gen(function* () {
        const reader = yield* HistoryReader
        const all = { hashes: hashes(0, 59), form: 68, firstReceipt: 0 } as const
        const asked = yield* Effect.forEach(Array.from({ length: 200 }), () =>
          Effect.fork(reader.receipts(all, limits)),
        )
        yield* Effect.yieldNow()
        yield* Fiber.interruptAll(asked)
        assert.deepEqual(yield* reader.held, [[0, 59]])
      }).pipe(Effect.provide(layerStoreReader(directory)))
    }),
  )
})
