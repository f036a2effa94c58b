/** The write-ahead log stays bounded under views that overlap. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, TestClock } from "effect"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { ChainReader } from "../../src/rpc/ChainReader.ts"
import { turn } from "../../src/write/chainIndex/ChainIndexBuilder.ts"
import { layerNoIndexer } from "../../src/write/chainIndex/ChainIndexer.ts"
import { layerChainReaderOver } from "../../src/write/ChainReaderSession.ts"
import { openDatabase } from "../../src/write/StoreDatabase.ts"
import { makeWalGate, walBytesOf } from "../../src/write/WalGate.ts"
import { storeOf } from "./chainReaderSupport.ts"
import { syncOptions } from "./support.ts"

const MIB = 1024 * 1024

describe("the gate before views", () => {
  it.scoped("closes when the log is large, until views have ended and it has shrunk", () =>
    Effect.gen(function* () {
      let bytes = 10
      const gate = yield* makeWalGate(() => bytes, 100)
      const end = yield* Deferred.make<void>()
      const first = yield* Effect.fork(gate.through(Deferred.await(end)))
      yield* Effect.yieldNow()
      bytes = 101
      const second = yield* Effect.fork(gate.through(Effect.succeed("seen")))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.poll(second)))
      yield* Deferred.succeed(end, undefined)
      yield* Fiber.join(first)
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.poll(second)))
      bytes = 50
      yield* TestClock.adjust("20 millis")
      assert.strictEqual(yield* Fiber.join(second), "seen")
    }),
  )

  it.scoped(
    "opens after a while, whatever happens, and closes again only after as much again",
    () =>
      Effect.gen(function* () {
        let bytes = 0
        const gate = yield* makeWalGate(() => bytes, 100)
        yield* Effect.fork(gate.through(Effect.never))
        yield* Effect.yieldNow()
        bytes = 150
        const held = yield* Effect.fork(gate.through(Effect.void))
        yield* TestClock.adjust("9 seconds")
        assert.isTrue(Option.isNone(yield* Fiber.poll(held)))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(held)
        bytes = 250
        yield* gate.through(Effect.void)
        bytes = 251
        const again = yield* Effect.fork(gate.through(Effect.void))
        yield* Effect.yieldNow()
        assert.isTrue(Option.isNone(yield* Fiber.poll(again)))
        yield* Fiber.interrupt(again)
      }),
  )

  it.scoped("does not wait for a log that was left behind", () =>
    Effect.gen(function* () {
      const gate = yield* makeWalGate(() => 1_000, 100)
      yield* gate.through(Effect.void)
    }),
  )
})

describe("a store that is written while views of it overlap", () => {
  it.scopedLive(
    "has a bounded log",
    () =>
      Effect.gen(function* () {
        const directory = yield* storeOf(chain, 0, 60)
        const writer = yield* openDatabase(syncOptions(directory))
        const most = yield* Effect.gen(function* () {
          const { logs } = yield* ChainReader
          let asked = 0
          const ask = logs({ addresses: [], topics: [] }, [0, 60], limits).pipe(
            Effect.tap(() => Effect.sync(() => void (asked += 1))),
          )
          for (let at = 0; at < 3; at++) yield* Effect.forkScoped(Effect.forever(ask))
          const text = "a".repeat(2 * MIB)
          let most = 0
          for (let commits = 0; commits < 60; commits++) {
            yield* writer.run("INSERT OR REPLACE INTO meta VALUES ('filler', ?)", [text])
            most = Math.max(most, walBytesOf(writer.file))
            for (let turns = 0; turns < 2; turns++) yield* turn
          }
          assert.isAbove(asked, 10)
          return most
        }).pipe(
          Effect.provide(layerChainReaderOver(directory, 48 * MIB)),
          Effect.provide(layerNoIndexer),
        )
        // Of 120 MiB that were written; a view may end late, and the log begins with the next commit.
        assert.isBelow(most, 90 * MIB)
      }),
    60_000,
  )
})

const chain = generateChain({ blocks: 60, shape: "tiny", seed: 41 })
const limits = { results: 1_000_000, bytes: 1e12, ms: 60_000 }
