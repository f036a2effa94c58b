/** The peer cache on the test's clock, in memory and in files. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import os from "node:os"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, TestClock } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import { generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { toHex0x } from "../../src/domain/hex.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { MAX_AGE_MS, type CacheEntry } from "../../src/peers/cacheEntries.ts"
import {
  FLUSH_EVERY_MS,
  PeerCache,
  PeerCacheUnreadable,
  PeerCacheUnwritable,
  type PeerStorage,
} from "../../src/peers/PeerCache.ts"
import { encodePeerCache } from "../../src/peers/peerCacheFile.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { defaults, Settings } from "../../src/Settings.ts"
import { cacheEntry, nodeIdOf } from "../support/cacheEntry.ts"

const spec = generatedChainSpec()
const genesisHash = toHex0x(spec.genesisHash)

/** A place in memory that fails when it is told to. */
const memory = (found: ReadonlyArray<CacheEntry> = []) => {
  const knobs = { failing: false, saved: [] as Array<ReadonlyArray<CacheEntry>> }
  const storage: PeerStorage = {
    name: "the cache",
    load: Effect.succeed(found),
    save: (entries) =>
      Effect.suspend(() => {
        if (knobs.failing) return new PeerCacheUnwritable({ reason: "EIO" })
        knobs.saved.push(entries)
        return Effect.void
      }),
  }
  return { knobs, storage }
}

/** Runs `body` and gives the lines that were logged. */
const logged = <A, E, R>(body: Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel.label}: ${String(message)}`)
  })
  return Effect.as(Effect.provide(body, Logger.replace(Logger.defaultLogger, logger)), lines)
}

const withCache = <A, E, R>(
  storage: PeerStorage,
  use: (cache: PeerCache["Type"]) => Effect.Effect<A, E, R>,
) => Effect.provide(Effect.flatMap(PeerCache, use), PeerCache.layerWith(storage))

const opened = (id: number, seenMs: number) => {
  const { enode, client, ethVersion } = cacheEntry(id)
  return { enode, client, ethVersion, seenMs }
}

const tick = TestClock.adjust(Duration.millis(FLUSH_EVERY_MS))

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(os.tmpdir(), "annals-peers-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true })),
)

const surroundings = Layer.mergeAll(
  Stats.layer,
  Chain.layer(spec),
  Settings.layer({ redialMs: 20, maxRedialMs: 100 }),
)

const useFile = <A, E, R>(
  file: string,
  use: (cache: PeerCache["Type"]) => Effect.Effect<A, E, R>,
) =>
  Effect.provide(
    Effect.flatMap(PeerCache, use),
    Layer.provide(PeerCache.layerFile(file), surroundings),
  )

const runReputation = <A, E, R>(storage: PeerStorage, use: Effect.Effect<A, E, R>) =>
  use.pipe(
    Effect.provide(Layer.provideMerge(Reputation.layerCached, PeerCache.layerWith(storage))),
    Effect.provide(surroundings),
  )

describe("PeerCache", () => {
  it.effect("gives what earlier runs left, the best first, without what is too old", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(2 * MAX_AGE_MS)
      const lastSeenMs = MAX_AGE_MS + 1
      const good = cacheEntry(1, { lastSeenMs, blocksServed: 5 })
      const best = cacheEntry(2, { lastSeenMs, blocksServed: 500 })
      const { storage, knobs } = memory([good, cacheEntry(3, { lastSeenMs: MAX_AGE_MS - 1 }), best])
      yield* withCache(storage, (cache) =>
        Effect.sync(() => assert.deepEqual(cache.entries, [best, good])),
      ).pipe(Effect.provide(Stats.layer))
      assert.deepEqual(knobs.saved, [])
    }),
  )

  it.effect("writes every 30 s what changed, and the rest at the end", () =>
    Effect.gen(function* () {
      const { storage, knobs } = memory()
      yield* withCache(storage, (cache) =>
        Effect.gen(function* () {
          yield* cache.note(nodeIdOf(1), opened(1, 0))
          yield* TestClock.adjust(Duration.millis(FLUSH_EVERY_MS - 1))
          assert.lengthOf(knobs.saved, 0)
          yield* TestClock.adjust(Duration.millis(1))
          assert.deepEqual(knobs.saved, [[cacheEntry(1)]])
          yield* tick
          assert.lengthOf(knobs.saved, 1)
          yield* cache.note(nodeIdOf(1), { head: 7 })
          yield* cache.note(nodeIdOf(2), { head: 7 })
        }),
      ).pipe(Effect.provide(Stats.layer))
      assert.deepEqual(knobs.saved[1], [cacheEntry(1, { head: 7 })])
      assert.lengthOf(knobs.saved, 2)
    }),
  )

  it.effect("warns once while it cannot be written, and loses nothing", () =>
    Effect.gen(function* () {
      const { storage, knobs } = memory()
      const lines = yield* logged(
        withCache(storage, (cache) =>
          Effect.gen(function* () {
            knobs.failing = true
            yield* cache.note(nodeIdOf(1), opened(1, 0))
            yield* tick
            yield* cache.note(nodeIdOf(2), opened(2, 0))
            yield* tick
            knobs.failing = false
            yield* tick
            assert.deepEqual(knobs.saved, [[cacheEntry(1), cacheEntry(2)]])
            knobs.failing = true
            yield* cache.forget(nodeIdOf(1))
          }),
        ).pipe(Effect.provide(Stats.layer)),
      )
      const warning = "WARN: the cache cannot be written (EIO)"
      assert.deepEqual(lines, [warning, warning])
    }),
  )

  it.effect("takes what peers served and failed from the counters, at the end too", () =>
    Effect.gen(function* () {
      const { storage, knobs } = memory([cacheEntry(1, { blocksServed: 10 })])
      yield* Effect.gen(function* () {
        const stats = yield* Stats
        yield* withCache(storage, () =>
          Effect.gen(function* () {
            stats.sessionOpened(nodeIdOf(1), "geth/v1", 69)
            for (let i = 0; i < 4; i++) stats.blockSucceeded(nodeIdOf(1), 0)
            yield* tick
            stats.blockSucceeded(nodeIdOf(1), 0)
            stats.peers.get(nodeIdOf(1))!.failures += 2
          }),
        )
      }).pipe(Effect.provide(Stats.layer))
      const counts = knobs.saved.map(([entry]) => [entry!.blocksServed, entry!.failures])
      assert.deepEqual(counts, [
        [14, 0],
        [15, 2],
      ])
    }),
  )

  it.effect("that cannot be read is one warning; it is written only where it is ours", () =>
    Effect.gen(function* () {
      for (const replaceable of [true, false]) {
        const { storage, knobs } = memory()
        const load = Effect.fail(new PeerCacheUnreadable({ reason: "odd", replaceable }))
        const lines = yield* logged(
          withCache({ ...storage, load }, (cache) =>
            Effect.zipRight(
              Effect.sync(() => assert.deepEqual(cache.entries, [])),
              cache.note(nodeIdOf(1), opened(1, 0)),
            ),
          ).pipe(Effect.provide(Stats.layer)),
        )
        const follows = replaceable ? "starting without it" : "it is neither used nor changed"
        assert.deepEqual(lines, [`WARN: the cache cannot be used (odd): ${follows}`])
        assert.lengthOf(knobs.saved, replaceable ? 1 : 0)
      }
    }),
  )
})

describe("a peer cache in a file", () => {
  it.scoped("is made when there is something to write, for its owner's eyes only", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const file = path.join(directory, "peers.jsonl")
      yield* useFile(file, () => Effect.void)
      assert.deepEqual(readdirSync(directory), [])
      yield* useFile(file, (cache) => cache.note(nodeIdOf(1), opened(1, 0)))
      assert.deepEqual(readdirSync(directory), ["peers.jsonl"])
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
      const entries = yield* useFile(file, (cache) => Effect.succeed(cache.entries))
      assert.deepEqual(entries, [cacheEntry(1)])
    }),
  )

  it.scoped("that is damaged is one warning, and is made anew", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "peers.jsonl")
      const whole = encodePeerCache(genesisHash, [cacheEntry(1)])
      for (const text of [whole.slice(0, -9), `${whole}{"enode":1}\n`]) {
        writeFileSync(file, text)
        const lines = yield* logged(
          useFile(file, (cache) => {
            assert.deepEqual(cache.entries, [])
            return cache.note(nodeIdOf(2), opened(2, 0))
          }),
        )
        assert.lengthOf(lines, 1)
        assert.include(lines[0], `the peer cache ${file} cannot be used`)
        assert.strictEqual(
          readFileSync(file, "utf8"),
          encodePeerCache(genesisHash, [cacheEntry(2)]),
        )
      }
    }),
  )

  it.scoped("that is something else, or another chain's, is one warning and stays as it is", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "file")
      const other = encodePeerCache(`0x${"11".repeat(32)}`, [cacheEntry(1)])
      const large = `${JSON.stringify({ file: "annals peer cache" })}\n`.padEnd(17 << 20)
      for (const text of ["my diary\n", other, large]) {
        writeFileSync(file, text)
        const lines = yield* logged(useFile(file, (cache) => cache.note(nodeIdOf(2), opened(2, 0))))
        assert.lengthOf(lines, 1)
        assert.isTrue(readFileSync(file, "utf8") === text)
      }
      rmSync(file)
      mkdirSync(file)
      const lines = yield* logged(useFile(file, (cache) => cache.note(nodeIdOf(2), opened(2, 0))))
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "it is no regular file")
    }),
  )

  it.scoped("in a directory that is not there is one warning", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "none", "peers.jsonl")
      const lines = yield* logged(
        useFile(file, (cache) =>
          Effect.all([cache.note(nodeIdOf(1), opened(1, 0)), cache.flush, cache.flush]),
        ),
      )
      assert.deepEqual(lines, [`WARN: the peer cache ${file} cannot be written (ENOENT)`])
    }),
  )
})

describe("bans", () => {
  it.effect("outlive a run until they are over", () =>
    Effect.gen(function* () {
      const peerId = nodeIdOf(1)
      const first = memory([cacheEntry(1)])
      const ban = Effect.flatMap(Reputation, (reputation) => reputation.failed(peerId, "ban"))
      yield* runReputation(first.storage, ban)
      const [left] = first.knobs.saved
      assert.strictEqual(left![0]!.bannedUntilMs, defaults.banMs)

      yield* TestClock.adjust(Duration.millis(1_000))
      const standing = Effect.flatMap(Reputation, (reputation) => reputation.standing(peerId))
      const found = yield* runReputation(memory(left).storage, standing)
      assert.include(found, { banned: true, usableFromMs: defaults.banMs, strikesInRow: 0 })

      yield* TestClock.adjust(Duration.millis(defaults.banMs))
      assert.isFalse((yield* runReputation(memory(left).storage, standing)).banned)
    }),
  )

  it.effect("last no longer than ours, whatever a cache says", () =>
    Effect.gen(function* () {
      const { storage } = memory([cacheEntry(1, { bannedUntilMs: Number.MAX_SAFE_INTEGER })])
      const standing = yield* runReputation(
        storage,
        Effect.flatMap(Reputation, (reputation) => reputation.standing(nodeIdOf(1))),
      )
      assert.include(standing, { banned: true, usableFromMs: defaults.banMs })
    }),
  )
})
