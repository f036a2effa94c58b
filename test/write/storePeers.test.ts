/** The peer cache in the store: its table, its calls, and a cache that is kept there. */
import { once } from "node:events"
import { MessageChannel, type MessagePort } from "node:worker_threads"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, TestClock } from "effect"
import { Stats } from "../../src/observe/Stats.ts"
import { MAX_AGE_MS } from "../../src/peers/cacheEntries.ts"
import { PeerCache } from "../../src/peers/PeerCache.ts"
import { type PeerRecord, recordOfEntry } from "../../src/peers/peerCacheFile.ts"
import { migrations } from "../../src/write/schema.ts"
import { Store, type StoreShape } from "../../src/write/Store.ts"
import { serveStore } from "../../src/write/StoreHost.ts"
import { layerStorePeerCache } from "../../src/write/StorePeerCache.ts"
import type { StoreCallName, StoreReply } from "../../src/write/storeProtocol.ts"
import { cacheEntry, nodeIdOf } from "../support/cacheEntry.ts"
import {
  chain,
  coverageOf,
  payloads,
  query,
  rangesOf,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
} from "./support.ts"

const full = cacheEntry(1, {
  client: "Geth/v1.17 – ünï",
  lastSeenMs: 1_800_000_000_123,
  head: Number.MAX_SAFE_INTEGER,
  blocksServed: 12,
  failures: 3,
  roundTripMs: 81,
  blocksPerMinute: 6000,
  bannedUntilMs: 1_800_000_100_000,
})
const bare = cacheEntry(2)
const records = [full, bare].map(recordOfEntry)

const sorted = (peers: ReadonlyArray<PeerRecord>) =>
  peers.toSorted((a, b) => (a.enode < b.enode ? -1 : 1))

/** Runs `use` with a cache that is kept in the store of a directory. */
const withCache = <A, E, R>(
  directory: string,
  use: (cache: PeerCache["Type"], store: StoreShape) => Effect.Effect<A, E, R>,
) =>
  Effect.gen(function* () {
    return yield* use(yield* PeerCache, yield* Store)
  }).pipe(
    Effect.provide(
      layerStorePeerCache.pipe(
        Layer.provideMerge(Stats.layer),
        Layer.provideMerge(Store.layerInline(syncOptions(directory))),
      ),
    ),
  )

describe("the peers of a store", () => {
  it.scoped("are read as they were written, each write in place of the last", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) =>
        Effect.gen(function* () {
          assert.deepEqual(yield* store.readPeers, [])
          yield* store.writePeers(records)
          assert.deepEqual(sorted(yield* store.readPeers), sorted(records))
        }),
      )
      const [row] = yield* query(
        directory,
        `SELECT lower(hex(peer_id)), typeof(head_block), head_block = ${Number.MAX_SAFE_INTEGER},
          typeof(last_seen_at_ms) FROM peers WHERE head_block IS NOT NULL`,
      )
      assert.deepEqual(row, [nodeIdOf(1), "integer", 1, "integer"])
      yield* withStore(syncOptions(directory), (store) => store.writePeers(records.slice(1)))
      const left = yield* withStore(readOptions(directory), (store) => store.readPeers)
      assert.deepEqual(left, records.slice(1))
    }),
  )

  it.scoped("are as many as the cache may hold, and one of each node", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const many = Array.from({ length: 5_000 }, (_, id) => recordOfEntry(cacheEntry(id)))
      const changed = { ...many[7]!, failures: 9 }
      const found = yield* withStore(syncOptions(directory), (store) =>
        Effect.zipRight(store.writePeers([...many, changed]), store.readPeers),
      )
      const wanted = many.map((peer, id) => (id === 7 ? changed : peer))
      assert.deepEqual(sorted(found), sorted(wanted))
    }),
  )

  it.scoped("are written between blocks, and commit those", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory, {}, { commitAfterMs: 60_000 }), (store) =>
        Effect.gen(function* () {
          const [written] = yield* Effect.all(
            [
              store.write(payloads(chain, 0, 5)),
              Effect.zipRight(Effect.yieldNow(), store.writePeers(records)),
            ],
            { concurrency: "unbounded" },
          )
          assert.deepEqual(written.committed, [[0, 5]])
        }),
      )
      assert.strictEqual(rangesOf(yield* coverageOf(directory, "payloads")), "0-5")
      const report = yield* withStore(readOptions(directory), (store) => store.verify())
      assert.include(report, { blocks: 6, damageCount: 0 })
    }),
  )

  it.scoped("are not written to a store that was opened to be read", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), () => Effect.void)
      const exit = yield* Effect.exit(
        withStore(readOptions(directory), (store) => store.writePeers(records)),
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.deepEqual(yield* query(directory, "SELECT * FROM peers"), [])
    }),
  )

  it.scoped("have a place in a store that an earlier version made", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), () => Effect.void)
      const first = migrations[0]!.statements.find((text) => text.startsWith("CREATE TABLE peers"))
      yield* query(directory, "DROP TABLE peers")
      yield* query(directory, first!)
      yield* query(directory, "DROP INDEX blocks_by_hash")
      yield* query(directory, "DELETE FROM migrations WHERE migration_id > 1")
      const found = yield* withStore(syncOptions(directory), (store) =>
        Effect.zipRight(store.writePeers(records), store.readPeers),
      )
      assert.lengthOf(found, 2)
    }),
  )

  it.scopedLive("are read and written through the port of the store's thread", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const { port1, port2 } = yield* Effect.acquireRelease(
        Effect.sync(() => new MessageChannel()),
        ({ port1, port2 }) =>
          Effect.sync(() => {
            port1.close()
            port2.close()
          }),
      )
      serveStore(port1)
      const ask = asker(port2)
      const replies = [
        yield* ask("open", syncOptions(directory)),
        yield* ask("writePeers", records),
        yield* ask("readPeers", null),
        yield* ask("close", null),
      ]
      assert.deepEqual(
        replies.map(({ kind }) => kind),
        ["done", "done", "done", "done"],
      )
      const [, , read] = replies
      assert.deepEqual(read!.kind === "done" ? read!.value : undefined, records)
    }),
  )
})

/** Gives the effect that sends one request and waits for its reply. */
const asker = (port: MessagePort) => {
  let id = 0
  return (call: StoreCallName, argument: unknown) =>
    Effect.promise(async (): Promise<StoreReply> => {
      const replied = once(port, "message", { signal: AbortSignal.timeout(10_000) })
      port.postMessage({ id: ++id, call, argument })
      const [reply] = await replied
      return reply
    })
}

describe("a peer cache in the store", () => {
  it.scoped("is there for the next run", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const { enode, client, ethVersion } = full
      yield* withCache(directory, (cache) =>
        cache.note(enode.nodeId, { enode, client, ethVersion, seenMs: 0, head: 5 }),
      )
      const entries = yield* withCache(directory, (cache) => Effect.succeed(cache.entries))
      assert.deepEqual(entries, [cacheEntry(1, { client, head: 5 })])
    }),
  )

  it.scoped("loses at its next write what is older than 7 days", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* TestClock.setTime(MAX_AGE_MS + 1)
      yield* withStore(syncOptions(directory), (store) => store.writePeers([recordOfEntry(bare)]))
      const { enode, client, ethVersion } = full
      const left = yield* withCache(directory, (cache, store) =>
        Effect.gen(function* () {
          assert.deepEqual(cache.entries, [])
          yield* cache.note(enode.nodeId, { enode, client, ethVersion, seenMs: 5 })
          yield* cache.flush
          return yield* store.readPeers
        }),
      )
      assert.deepEqual(left, [recordOfEntry(cacheEntry(1, { client, lastSeenMs: 5 }))])
    }),
  )

  it.scoped("with a row that is no peer starts empty, and is made anew", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      yield* withStore(syncOptions(directory), (store) => store.writePeers(records))
      yield* query(directory, "UPDATE peers SET enode = 'enode://nobody' WHERE failures = 0")
      yield* withCache(directory, (cache) => {
        assert.deepEqual(cache.entries, [])
        const { enode, client, ethVersion } = bare
        return cache.note(enode.nodeId, { enode, client, ethVersion })
      })
      const left = yield* withStore(readOptions(directory), (store) => store.readPeers)
      assert.deepEqual(left, [recordOfEntry(bare)])
    }),
  )
})
