/** The dialler with sessions in memory, on the test's clock: its limits, and who makes room. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Stream, TestClock } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import type { Enode } from "../../src/chain/enode.ts"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { Dialer } from "../../src/peers/Dialer.ts"
import { PeerCache } from "../../src/peers/PeerCache.ts"
import { PeerConnector } from "../../src/peers/PeerConnector.ts"
import { PeerKeeper } from "../../src/peers/PeerKeeper.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { type Candidate, PeerSource } from "../../src/peers/PeerSource.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { GRACE_MS } from "../../src/peers/rotation.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { Settings, type SettingsShape } from "../../src/Settings.ts"
import { fakePeer } from "../support/FakePeer.ts"
import { fakeSession } from "../support/fakeSession.ts"

const served = generateChain({ blocks: 10, shape: "tiny", seed: 8 })

const nodeOf = (name: string): Enode => ({
  nodeId: name.padEnd(128, "0"),
  host: "127.0.0.1",
  tcpPort: 30_303,
  udpPort: 30_303,
})

/** Sessions with whoever is dialled. */
const connector = Layer.succeed(PeerConnector, {
  connect: ({ nodeId }) =>
    fakeSession(fakePeer({ name: nodeId, served, latencyMs: 5 }), () => ({ from: 0, to: 10 })),
})

const layers = (candidates: ReadonlyArray<Candidate>, settings: Partial<SettingsShape>) =>
  Dialer.layer.pipe(
    Layer.provide(connector),
    Layer.provide(
      Layer.succeed(PeerSource, {
        candidates: Stream.fromIterable(candidates),
        description: "a test",
      }),
    ),
    Layer.provide(PeerKeeper.layer),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(
      Layer.mergeAll(
        Reputation.layer,
        PeerPool.layer,
        PeerCache.layerNone,
        OurHead.layer,
        ByteGate.layer,
      ),
    ),
    Layer.provideMerge(
      Layer.mergeAll(Settings.layer(settings), Stats.layer, Chain.layer(generatedChainSpec())),
    ),
  )

const found = (name: string): Candidate => ({ enode: nodeOf(name), source: "discv4" })
const named = (name: string): Candidate => ({ enode: nodeOf(name), source: "static" })

const connected = Effect.map(
  Effect.flatMap(PeerPool, (pool) => pool.connected),
  (peers) => peers.map(({ peer }) => peer.peerId.replace(/0+$/u, "")).sort(),
)

/** Lets time pass, in which `serving` serve a block a second. */
const pass = (ms: number, serving: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const stats = yield* Stats
    for (let at = 0; at < ms; at += 1_000) {
      for (const name of serving) stats.blockSucceeded([nodeOf(name).nodeId], 0)
      yield* TestClock.adjust(Duration.millis(1_000))
    }
  })

describe("the places of the dialler", () => {
  it.effect("hold no more sessions than either limit", () =>
    Effect.gen(function* () {
      yield* pass(2_000)
      assert.lengthOf(yield* connected, 2)
    }).pipe(
      Effect.provide(layers(["a", "b", "c", "d"].map(found), { maxPeers: 3, maxOutbound: 2 })),
    ),
  )

  it.effect("go from the useless to candidates, and not from who serves or was named", () =>
    Effect.gen(function* () {
      const stats = yield* Stats
      yield* pass(1_000)
      assert.deepStrictEqual(yield* connected, ["a", "b", "c"])
      yield* pass(GRACE_MS - 2_000, ["a"])
      assert.deepStrictEqual(yield* connected, ["a", "b", "c"])
      yield* pass(20_000, ["a"])
      assert.deepStrictEqual(yield* connected, ["a", "c", "d"])
      assert.strictEqual(stats.network.rotated, 1)
      assert.strictEqual(stats.network.closed.get("us: too_many_peers"), 1)
      // Nobody else waits now but the one that went, and its pause is long.
      yield* pass(20_000, ["a"])
      assert.deepStrictEqual(yield* connected, ["a", "c", "d"])
    }).pipe(
      Effect.provide(layers([found("a"), found("b"), named("c"), found("d")], { maxPeers: 3 })),
    ),
  )

  it.effect("stay with whom they are while nobody waits", () =>
    Effect.gen(function* () {
      yield* pass(GRACE_MS + 10_000)
      assert.deepStrictEqual(yield* connected, ["a", "b"])
    }).pipe(Effect.provide(layers(["a", "b"].map(found), { maxPeers: 2 }))),
  )
})

describe("a quiet dialler", () => {
  it.effect("is one that has dialled everybody there is and measured who answered", () =>
    Effect.gen(function* () {
      const { quiet } = yield* Dialer
      assert.isFalse(yield* quiet)
      yield* pass(2_000)
      assert.isTrue(yield* quiet)
    }).pipe(Effect.provide(layers(["a", "b"].map(found), { maxPeers: 5 }))),
  )
})
