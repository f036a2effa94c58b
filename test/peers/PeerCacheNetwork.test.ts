/**
 * What a run leaves of its peers, and what the next one makes of it: sessions with real peers on
 * loopback, the cache in a file.
 */
import { createECDH, randomBytes } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Stream } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import type { ChainSpec } from "../../src/chain/chainSpec.ts"
import type { Enode } from "../../src/chain/enode.ts"
import { startDevnetPeer } from "../../src/devnet/DevnetPeers.ts"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { toHex, toHex0x } from "../../src/domain/hex.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { probeStages } from "../../src/modes/probe.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { CacheSource } from "../../src/peers/CacheSource.ts"
import { Dialer } from "../../src/peers/Dialer.ts"
import { PeerCache } from "../../src/peers/PeerCache.ts"
import { encodePeerCache } from "../../src/peers/peerCacheFile.ts"
import { PeerConnector } from "../../src/peers/PeerConnector.ts"
import { PeerKeeper } from "../../src/peers/PeerKeeper.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { PeerSource, type PeerSourceShape } from "../../src/peers/PeerSource.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { Scheduler } from "../../src/scheduler/Scheduler.ts"
import { WorkList } from "../../src/scheduler/WorkList.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { Settings } from "../../src/Settings.ts"
import { Writer } from "../../src/write/Writer.ts"
import { cacheEntry } from "../support/cacheEntry.ts"

const spec = generatedChainSpec()
const genesisHash = toHex0x(spec.genesisHash)

const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(os.tmpdir(), "annals-peers-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true })),
)

const surroundings = Layer.mergeAll(
  Stats.layer,
  Chain.layer(spec),
  Settings.layer({ redialMs: 20, maxRedialMs: 100 }),
)

const served = generateChain({ blocks: 40, shape: "tiny", seed: 3 })

const startPeer = (chain: ChainSpec = spec) =>
  startDevnetPeer({
    chain,
    served,
    ethVersions: [69],
    port: 0,
    latencyMs: 0,
    bandwidthMbit: undefined,
    fault: undefined,
    discovery: undefined,
  })

/** From addresses to the pool, with a cache in a file. */
const network = (file: string, source: Layer.Layer<PeerSource, never, PeerCache>) => {
  const identity = { privateKey: new Uint8Array(randomBytes(32)), clientId: "test" }
  return Dialer.layerCached.pipe(
    Layer.provideMerge(source),
    Layer.provide(PeerConnector.layer(identity)),
    Layer.provideMerge(PeerKeeper.layer),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(
      Layer.mergeAll(ByteGate.layer, Reputation.layerCached, PeerPool.layer, OurHead.layer),
    ),
    Layer.provideMerge(PeerCache.layerFile(file)),
    Layer.provideMerge(surroundings),
  )
}

/** Fetches some blocks as a probe does; gives those that it could not. */
const fetchBlocks = (first: number, last: number) =>
  Effect.gen(function* () {
    const scheduler = yield* Scheduler
    const writer = yield* Writer
    return yield* Effect.zipRight(writer.run, scheduler.finished)
  }).pipe(
    Effect.provide(Layer.provide(probeStages, WorkList.layer(BlockRanges.of(first, last)))),
    Effect.timeout(Duration.seconds(20)),
  )

/** Discovery that is held back: the cache is all there is. */
const onlyCache = Layer.effect(
  PeerSource,
  Effect.map(PeerCache, ({ entries }): PeerSourceShape => {
    const held = { candidates: Stream.never, description: "held back" }
    return PeerSource.merged([CacheSource.fixed(entries), held])
  }),
)

const readCache = (file: string) =>
  Effect.map(PeerCache, ({ entries }) => entries).pipe(
    Effect.provide(Layer.provide(PeerCache.layerFile(file), surroundings)),
  )

/** Looks until something holds, for 10 s at the most. */
const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  condition.pipe(
    Effect.tap((holds) => (holds ? Effect.void : Effect.sleep(Duration.millis(10)))),
    Effect.repeat({ until: (holds) => holds }),
    Effect.timeout(Duration.seconds(10)),
  )

describe("a cache between runs, with peers on loopback", () => {
  it.scopedLive("lets a second run fetch its first block with discovery held back", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "peers.jsonl")
      const enode = yield* startPeer()
      const beganMs = Date.now()
      const failed = yield* Effect.provide(
        fetchBlocks(1, 30),
        network(file, PeerSource.layerStatic([enode])),
      )
      assert.strictEqual(failed.count, 0)
      const [entry, ...others] = yield* readCache(file)
      assert.deepEqual(others, [])
      assert.deepEqual(entry!.enode, enode)
      assert.include(entry, { client: "annals-devnet/honest", ethVersion: 69, head: 40 })
      assert.include(entry, { blocksServed: 30, failures: 0, bannedUntilMs: 0 })
      assert.isDefined(entry!.roundTripMs)
      assert.isAtLeast(entry!.lastSeenMs, beganMs)

      const again = yield* Effect.provide(fetchBlocks(31, 31), network(file, onlyCache))
      assert.strictEqual(again.count, 0)
      assert.include((yield* readCache(file))[0], { blocksServed: 31, head: 40 })
    }),
  )

  it.scopedLive("counts the dials that fail, and forgets who went to another chain", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "peers.jsonl")
      const stray = yield* startPeer({ ...spec, networkId: 77n })
      const key = createECDH("secp256k1")
      const gone: Enode = {
        ...stray,
        nodeId: toHex(key.generateKeys().subarray(1)),
        // Nobody may listen there: the discard port.
        tcpPort: 9,
      }
      const known = [stray, gone].map((enode, id) =>
        cacheEntry(id, { enode, lastSeenMs: Date.now() }),
      )
      writeFileSync(file, encodePeerCache(genesisHash, known))
      yield* Effect.provide(
        Effect.gen(function* () {
          const dialer = yield* Dialer
          yield* until(Effect.map(dialer.records, (records) => records.length === 2))
        }),
        network(file, onlyCache),
      )
      const left = yield* readCache(file)
      assert.deepEqual(
        left.map(({ enode }) => enode),
        [gone],
      )
      assert.isAtLeast(left[0]!.failures, 1)
    }),
  )

  it.scopedLive("does not dial whose ban of an earlier run goes on", () =>
    Effect.gen(function* () {
      const file = path.join(yield* temporaryDirectory, "peers.jsonl")
      const [banned, fine] = [yield* startPeer(), yield* startPeer()]
      const nowMs = Date.now()
      const known = [
        cacheEntry(1, { enode: banned, lastSeenMs: nowMs, bannedUntilMs: nowMs + 60_000 }),
        cacheEntry(2, { enode: fine, lastSeenMs: nowMs }),
      ]
      writeFileSync(file, encodePeerCache(genesisHash, known))
      // Named by another source, which knows nothing of bans and names the banned one first.
      const named = PeerSource.layerStatic([banned, fine])
      yield* Effect.provide(
        Effect.gen(function* () {
          const dialer = yield* Dialer
          const pool = yield* PeerPool
          yield* until(Effect.map(pool.connected, (peers) => peers.length > 0))
          const { network } = yield* Stats
          assert.strictEqual(network.dialled, 1)
          const records = yield* dialer.records
          assert.deepEqual(
            records.map(({ enode }) => enode.includes(fine.nodeId)),
            [true],
          )
        }),
        network(file, named),
      )
      const entries = yield* readCache(file)
      assert.deepEqual(
        entries.map(({ enode, bannedUntilMs }) => [enode.nodeId, bannedUntilMs > 0]),
        [
          [fine.nodeId, false],
          [banned.nodeId, true],
        ],
      )
    }),
  )
})
