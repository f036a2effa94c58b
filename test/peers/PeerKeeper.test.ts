/**
 * The keeper with peers in memory, on the test's clock: what the pool says that a peer serves is
 * what the peer was seen to serve.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, TestClock } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { EmptyAnswer } from "../../src/fetch/FetchError.ts"
import { Stats } from "../../src/observe/Stats.ts"
import type { ServedRange } from "../../src/peers/Peer.ts"
import { PeerCache } from "../../src/peers/PeerCache.ts"
import { PeerKeeper } from "../../src/peers/PeerKeeper.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { HEAD_AGE_MS } from "../../src/peers/upkeep.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { Settings } from "../../src/Settings.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { fakePeer } from "../support/FakePeer.ts"
import { fakeSession } from "../support/fakeSession.ts"
import { readHeader } from "../../src/domain/header.ts"
import { toHex } from "../../src/domain/hex.ts"

const served = generateChain({ blocks: 1_000, shape: "light", seed: 21 })

const layers = PeerKeeper.layer.pipe(
  Layer.provideMerge(Blame.layer),
  Layer.provideMerge(
    Layer.mergeAll(Reputation.layer, PeerPool.layer, PeerCache.layerNone, OurHead.layer),
  ),
  Layer.provideMerge(
    Layer.mergeAll(Settings.layer(), Stats.layer, Chain.layer(generatedChainSpec())),
  ),
)

/** Lowest block served of each kind, and the head; all of it may change. */
interface Truth {
  bodies: number
  receipts: number
  head: number
}

/** A peer that serves by `truth`, and what it was asked. */
const peerOf = (truth: Truth) => {
  const asked: Array<EthRequest> = []
  const heightOf = (hash: Uint8Array): number => served.numberOf(toHex(hash))!
  const fake = fakePeer({
    name: "p",
    served,
    latencyMs: 10,
    alter: (request, items) => {
      asked.push(request)
      if (request._tag === "GetBlockHeaders") {
        const start = typeof request.start === "number" ? request.start : heightOf(request.start)
        return items.slice(0, Math.max(0, truth.head - start + 1))
      }
      const floor = request._tag === "GetBlockBodies" ? truth.bodies : truth.receipts
      return items.filter((_, index) => heightOf(request.hashes[index]!) >= floor)
    },
  })
  return { fake, asked }
}

const keep = (truth: Truth, announced: () => ServedRange) =>
  Effect.gen(function* () {
    const keeper = yield* PeerKeeper
    const { fake, asked } = peerOf(truth)
    const session = yield* fakeSession(fake, announced)
    yield* Effect.fork(keeper.keep(session))
    yield* pass(2_000)
    return { session, asked }
  })

const pass = (ms: number) =>
  Effect.gen(function* () {
    const step = Math.max(10, ms / 200)
    for (let at = 0; at < ms; at += step) yield* TestClock.adjust(Duration.millis(step))
  })

const pooled = Effect.flatMap(PeerPool, ({ connected }) => connected)

const run = (
  name: string,
  body: Effect.Effect<void, unknown, Layer.Layer.Success<typeof layers>>,
) => it.effect(name, () => Effect.provide(body, layers))

describe("the keeper of sessions", () => {
  run(
    "gives no block below the floor of a kind once a block was missed, and bans nobody",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: 600, head: 1_000 }
      const { session, asked } = yield* keep(truth, () => ({ from: 0, to: 1_000 }))
      const pool = yield* PeerPool
      const blame = yield* Blame
      assert.isTrue(pool.serves(session.peerId, "receipts", 5))
      const before = asked.length
      const miss = { peerId: session.peerId, what: "receipts", fromBlock: 5, asked: 16 } as const
      blame.count(new EmptyAnswer(miss))
      yield* pass(2_000)
      const [peer] = yield* pooled
      assert.deepStrictEqual(peer?.serves, {
        headers: { from: 0, to: 1_000 },
        bodies: { from: 0, to: 1_000 },
        receipts: { from: 600, to: 1_000 },
      })
      assert.isAtMost(asked.length - before, 30)
      assert.strictEqual((yield* (yield* Reputation).standing(session.peerId)).banned, false)
    }),
  )

  run(
    "knows of a peer with bodies and no receipts that it serves bodies",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: Infinity, head: 1_000 }
      const { session } = yield* keep(truth, () => ({ from: 0, to: 1_000 }))
      const pool = yield* PeerPool
      pool.missed(session.peerId, "receipts", 500)
      // The search takes a dozen questions, and each of them some steps of its fiber.
      const receipts = Effect.map(pooled, ([peer]) => peer?.serves.receipts)
      for (let tries = 0; tries < 10; tries++) {
        yield* pass(2_000)
        if ((yield* receipts) === undefined) break
      }
      assert.isUndefined(yield* receipts)
      assert.isTrue(pool.serves(session.peerId, "bodies", 500))
    }),
  )

  run(
    "measures what a peer announces as its earliest block, both ways",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: 700, head: 1_000 }
      yield* keep(truth, () => ({ from: 300, to: 1_000 }))
      const [peer] = yield* pooled
      assert.deepStrictEqual(peer?.serves.bodies, { from: 0, to: 1_000 })
      assert.deepStrictEqual(peer?.serves.receipts, { from: 700, to: 1_000 })
    }),
  )

  run(
    "asks for the head it has, not for the one that it announces",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: 0, head: 400 }
      yield* keep(truth, () => ({ from: 0, to: 1_000 }))
      const [peer] = yield* pooled
      assert.deepStrictEqual(peer?.serves.headers, { from: 0, to: 400 })
    }),
  )

  run(
    "measures the head again after ten minutes, and at once when a higher one is announced",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: 0, head: 400 }
      let announced = 400
      yield* keep(truth, () => ({ from: 0, to: announced }))
      const head = Effect.map(pooled, ([peer]) => peer?.serves.headers?.to)
      truth.head = 500
      yield* pass(60_000)
      assert.strictEqual(yield* head, 400)
      yield* TestClock.adjust(Duration.millis(HEAD_AGE_MS))
      yield* pass(30_000)
      assert.strictEqual(yield* head, 500)
      truth.head = 600
      announced = 600
      yield* pass(30_000)
      assert.strictEqual(yield* head, 600)
    }),
  )

  run(
    "takes an empty answer for what it is when the peer has the block after all",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: 0, head: 1_000 }
      const { session } = yield* keep(truth, () => ({ from: 0, to: 1_000 }))
      const pool = yield* PeerPool
      pool.missed(session.peerId, "bodies", 100)
      yield* pass(5_000)
      assert.isTrue(pool.serves(session.peerId, "bodies", 100))
      assert.isTrue(pool.serves(session.peerId, "bodies", 0))
    }),
  )

  run(
    "takes the head that somebody else has seen for what the peer serves, be it higher or lower",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: 0, head: 900 }
      const { session, asked } = yield* keep(truth, () => ({ from: 0, to: 900 }))
      const pool = yield* PeerPool
      const before = asked.length
      for (const head of [950, 940]) {
        truth.head = head
        const bytes = served.headerAt(head)!
        const seen = { header: readHeader(bytes), bytes, hash: served.hashAt(head)! }
        pool.sawHead(session.peerId, seen)
        pool.sawHead("nobody", seen)
        yield* pass(200)
        assert.isTrue(pool.serves(session.peerId, "receipts", head))
        assert.isFalse(pool.serves(session.peerId, "receipts", head + 1))
      }
      assert.strictEqual(asked.length, before)
    }),
  )

  run(
    "finds receipts again that a peer has filled in",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: 600, head: 1_000 }
      const { session } = yield* keep(truth, () => ({ from: 0, to: 1_000 }))
      const pool = yield* PeerPool
      pool.missed(session.peerId, "receipts", 100)
      yield* pass(2_000)
      assert.isFalse(pool.serves(session.peerId, "receipts", 599))
      truth.receipts = 0
      yield* pass(60_000)
      assert.isTrue(pool.serves(session.peerId, "receipts", 0))
    }),
  )

  run(
    "takes a peer out of the pool when its session ends, and stops asking it",
    Effect.gen(function* () {
      const truth = { bodies: 0, receipts: 0, head: 1_000 }
      const { session, asked } = yield* keep(truth, () => ({ from: 0, to: 1_000 }))
      assert.lengthOf(yield* pooled, 1)
      yield* session.disconnect("client_quitting")
      yield* pass(100)
      assert.lengthOf(yield* pooled, 0)
      const before = asked.length
      yield* TestClock.adjust(Duration.millis(2 * HEAD_AGE_MS))
      assert.strictEqual(asked.length, before)
    }),
  )
})
