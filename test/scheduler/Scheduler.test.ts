import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { EmptyAnswer } from "../../src/fetch/FetchError.ts"
import { FetchPlan } from "../../src/fetch/FetchPlan.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { servesAll } from "../../src/peers/Peer.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { Scheduler } from "../../src/scheduler/Scheduler.ts"
import { WorkList } from "../../src/scheduler/WorkList.ts"
import { Settings } from "../../src/Settings.ts"
import { fakePeer } from "../support/FakePeer.ts"

const served = generateChain({ blocks: 8, shape: "tiny", seed: 3 })
const blocks = BlockRanges.of(1, 8)

const layer = Scheduler.layer.pipe(
  Layer.provideMerge(Blame.layer),
  Layer.provideMerge(Layer.mergeAll(Reputation.layer, PeerPool.layer)),
  Layer.provideMerge(
    Layer.mergeAll(Stats.layer, Settings.layer({}), FetchPlan.layerProbe, WorkList.layer(blocks)),
  ),
)

/** What a peer's lack comes to that is told after `before`: how long it is paused, and the failures. */
const lackAfter = (before: (scheduler: Scheduler["Type"]) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const scheduler = yield* Scheduler
    const pool = yield* PeerPool
    const { peer, range } = fakePeer({ name: "a", served, latencyMs: 1 })
    const { peerId } = peer
    yield* pool.join({ peer, serves: servesAll(range), drop: Effect.void, missed: () => {} })
    const [assignment] = yield* Stream.runCollect(Stream.take(scheduler.assignments, 1))
    const { batchId, fromBlock, toBlock } = assignment!
    yield* before(scheduler)
    const numbers = Array.from({ length: toBlock - fromBlock + 1 }, (_, at) => fromBlock + at)
    const asked = numbers.length
    const lack = new EmptyAnswer({ peerId, what: "receipts", fromBlock, asked })
    yield* scheduler.failed(batchId, numbers, lack)
    const { usableFromMs } = yield* (yield* Reputation).standing(peerId)
    return { pausedMs: usableFromMs, failures: (yield* Stats).failures.size }
  }).pipe(Effect.provide(layer), Effect.scoped)

describe("a lack", () => {
  it.effect("of what is wanted is a pause", () =>
    Effect.map(
      lackAfter(() => Effect.void),
      (came) => assert.deepStrictEqual(came, { pausedMs: 500, failures: 1 }),
    ),
  )

  it.effect("of what is wanted no more is none, and is not counted", () =>
    Effect.map(
      lackAfter((scheduler) => scheduler.forget(blocks)),
      (came) => assert.deepStrictEqual(came, { pausedMs: 0, failures: 0 }),
    ),
  )

  it.effect("of what is wanted of another chain now is none either", () =>
    Effect.map(
      lackAfter((scheduler) =>
        Effect.zipRight(scheduler.forget(blocks), scheduler.want(blocks, false)),
      ),
      (came) => assert.deepStrictEqual(came, { pausedMs: 0, failures: 0 }),
    ),
  )
})
