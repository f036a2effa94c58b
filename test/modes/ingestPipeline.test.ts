/**
 * The whole ingest in memory: the real scheduler, fetch, checks and store, inline, with peers that
 * are swapped for fakes by a Layer, on the test's clock.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Layer } from "effect"
import { RlpReader, encodeBytes, encodeList } from "../../src/domain/rlp.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { lieKinds } from "../../src/devnet/lies.ts"
import { CheckPool } from "../../src/process/CheckPool.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { Malformed } from "../../src/wire/WireError.ts"
import { fakePeer } from "../support/FakePeer.ts"
import { freshDirectory, ingest } from "../support/ingestRun.ts"

const served = generateChain({ blocks: 120, shape: "light", seed: 11 })
const other = generateChain({ blocks: 120, shape: "light", seed: 12 })

type Alter = (request: EthRequest, items: ReadonlyArray<Uint8Array>) => ReadonlyArray<Uint8Array>

const lacking: Alter = (request, items) =>
  request._tag === "GetBlockBodies"
    ? items.map((item, index) => (index % 2 === 1 ? Uint8Array.of(0xc0) : item))
    : items

// The budget is scaled down with the blocks: a few requests fill it.
const tight = {
  answerTargetBytes: 20_000,
  receiptsAnswerBytes: 40_000,
  bytesInFlight: 100_000,
  maxPeers: 1,
  giveUpMs: 20_000,
}

/** Headers that are linked, rising, and six times as long as real ones: only their hash is wrong. */
const bloat: Alter = (request, items) => {
  if (request._tag !== "GetBlockHeaders") return items
  let parent: Uint8Array | undefined
  return items.map((item) => {
    const fields = RlpReader.list(item)
    const parts: Array<Uint8Array> = []
    while (!fields.done) parts.push(fields.next().item())
    parts[12] = encodeBytes(new Uint8Array(3_000))
    if (parent !== undefined) parts[0] = encodeBytes(parent)
    const header = encodeList(parts)
    parent = keccak256(header)
    return header
  })
}

/** How long one peer takes to be asked for all, and how many requests are open at most. */
const pacedRun = (latencyMs: number, lateKinds: ReadonlyArray<"headers" | "receipts" | "bodies">) =>
  Effect.gen(function* () {
    const peer = fakePeer({ name: "a", served, latencyMs, lateKinds })
    const settings = { slotsPerPeer: 4, blocksPerAssignment: 4 }
    const { failed, elapsedMs } = yield* ingest({ peers: [peer], settings })
    assert.deepStrictEqual(failed, [])
    return { elapsedMs, mostOpen: peer.mostOpen() }
  })

describe("an ingest in memory", () => {
  it.scoped("stores all blocks of honest peers, checked, without a retry", () =>
    Effect.gen(function* () {
      const peers = ["a", "b"].map((name) => fakePeer({ name, served, latencyMs: 20 }))
      const end = yield* ingest({ peers })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.failures, {})
      assert.strictEqual(end.retries, 0)
      assert.strictEqual(end.status.blocks, 121)
      assert.strictEqual(end.status.logs, 2_400)
      assert.deepStrictEqual(end.damage, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  for (const ethVersion of [68, 69, 70] as const) {
    it.scoped(`keeps the same of eth/${ethVersion} as of any`, () =>
      Effect.gen(function* () {
        const peers = [fakePeer({ name: "a", served, latencyMs: 5, ethVersion })]
        const { status, damage } = yield* ingest({ peers })
        assert.strictEqual(status.transactions, 1_200)
        assert.deepStrictEqual(damage, [])
      }),
    )
  }

  it.scoped("puts blocks together that are cut, whatever became of the rest of the answer", () =>
    Effect.gen(function* () {
      // The rest of an answer is packed, and its memory given back, long before the cut block is whole.
      const options = { served, latencyMs: 200, ethVersion: 70, cutBytes: 20_000 } as const
      const end = yield* ingest({ peers: [fakePeer({ name: "cuts", ...options })] })
      assert.deepStrictEqual(end.failed, [])
      assert.hasAllKeys(end.failures, ["truncated"])
      assert.deepStrictEqual(end.damage, [])
      assert.strictEqual(end.status.logs, 2_400)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  for (const [index, fault] of lieKinds.entries()) {
    const ethVersion = ([68, 69, 70] as const)[index % 3]!
    it.scoped(`catches ${fault} over eth/${ethVersion}, and keeps the honest data alone`, () =>
      Effect.gen(function* () {
        const liar = fakePeer({ name: "liar", served, latencyMs: 5, fault, ethVersion })
        const honest = fakePeer({ name: "honest", served, latencyMs: 200 })
        const end = yield* ingest({ peers: [liar, honest] })
        assert.deepStrictEqual(end.failed, [])
        assert.deepStrictEqual(end.banned, ["fake/liar"])
        assert.strictEqual(end.status.blocks, 121)
        assert.strictEqual(end.refuted, 0)
        assert.deepStrictEqual(end.damage, [])
        assert.strictEqual(end.heldBytes, 0)
      }),
    )
  }

  it.scoped("keeps no row of liars alone, and knows that offers were refuted", () =>
    Effect.gen(function* () {
      const peers = (["lie-receipt", "lie-body"] as const).map((fault) =>
        fakePeer({ name: fault, served, latencyMs: 5, fault }),
      )
      const end = yield* ingest({ peers, work: BlockRanges.of(1, 40) })
      assert.deepStrictEqual(end.failed, [[1, 40]])
      assert.isAbove(end.refuted, 0)
      assert.strictEqual(end.status.blocks, 0)
      assert.strictEqual(end.banned.length, 2)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("blames nobody for leaving blocks out, for having no receipts, or for boasting", () =>
    Effect.gen(function* () {
      const peers = [
        fakePeer({ name: "skips", served, latencyMs: 5, fault: "skip" }),
        fakePeer({ name: "bodies", served, latencyMs: 5, fault: "bodies-only" }),
        fakePeer({ name: "boasts", served, latencyMs: 5, fault: "boast" }),
        fakePeer({ name: "honest", served, latencyMs: 100 }),
      ]
      const end = yield* ingest({ peers })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.banned, [])
      assert.deepStrictEqual(end.damage, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("replaces a forged segment below a trusted hash, and blames who sent it", () =>
    Effect.gen(function* () {
      const trusted = [{ blockNumber: 120, hash: served.hashAt(120)! }]
      const forger = fakePeer({ name: "forger", served: other, latencyMs: 5 })
      const honest = fakePeer({ name: "honest", served, latencyMs: 300 })
      const end = yield* ingest({
        peers: [forger, honest],
        trusted,
        settings: { giveUpMs: 60_000, blocksPerAssignment: 16 },
        work: BlockRanges.of(80, 120),
      })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.banned, ["fake/forger"])
      assert.strictEqual(end.status.blocks, 41)
      assert.strictEqual(end.status.anchored, 41)
      assert.strictEqual(end.succeeded, 41)
      assert.deepStrictEqual(end.damage, [])
    }),
  )

  it.scoped("fetches again what an earlier run had stored and this one shows to be wrong", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      const forger = fakePeer({ name: "forger", served: other, latencyMs: 5 })
      const forged = yield* ingest({ peers: [forger], directory, work: BlockRanges.of(1, 40) })
      assert.strictEqual(forged.status.blocks, 40)
      const peers = [fakePeer({ name: "honest", served, latencyMs: 5 })]
      const trusted = [{ blockNumber: 60, hash: served.hashAt(60)! }]
      const work = BlockRanges.of(41, 60)
      const end = yield* ingest({ peers, directory, work, trusted, settings: { giveUpMs: 60_000 } })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.status.blocks, 60)
      assert.strictEqual(end.status.anchored, 60)
      assert.deepStrictEqual(end.banned, [])
      assert.deepStrictEqual(end.damage, [])
    }),
  )

  it.scoped("takes Nethermind's empty list in the place of a body as a lack, not a lie", () =>
    Effect.gen(function* () {
      const peers = [
        fakePeer({ name: "nethermind", served, latencyMs: 5, alter: lacking }),
        fakePeer({ name: "whole", served, latencyMs: 80 }),
      ]
      const end = yield* ingest({ peers, work: BlockRanges.of(1, 64) })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.banned, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("never waits for itself when bodies run ahead of slow receipts", () =>
    Effect.gen(function* () {
      const peers = Array.from({ length: 30 }, (_, index) =>
        fakePeer({
          name: `p${index}`,
          served,
          latencyMs: 100 + index,
          lateKinds: ["receipts"],
        }),
      )
      const end = yield* ingest({ peers, settings: tight })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("never waits for itself among peers that have bodies and no receipts", () =>
    Effect.gen(function* () {
      const peers = Array.from({ length: 25 }, (_, index) =>
        fakePeer({
          name: `p${index}`,
          served,
          latencyMs: 10 + index,
          ...(index < 22 ? { fault: "bodies-only" as const } : {}),
        }),
      )
      const end = yield* ingest({ peers, settings: tight })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("ends when the checking pool dies, instead of waiting for its blocks", () =>
    Effect.gen(function* () {
      const peers = [fakePeer({ name: "a", served, latencyMs: 5 })]
      const pool = Layer.succeed(CheckPool, {
        check: () => Effect.die("the thread is lost"),
        threadsCpuMs: () => [],
      })
      const exit = yield* Effect.exit(ingest({ peers, pool }))
      assert.isTrue(Exit.isFailure(exit))
      assert.include(String(exit), "the thread is lost")
    }),
  )

  it.scoped("is not held up by peers that make headers as long as they may be", () =>
    Effect.gen(function* () {
      const bloaters = ["a", "b", "c", "d", "e", "f"].map((name) =>
        fakePeer({ name, served, latencyMs: 5, alter: bloat }),
      )
      const honest = fakePeer({ name: "honest", served, latencyMs: 20 })
      const end = yield* ingest({
        peers: [...bloaters, honest],
        settings: {
          bytesInFlight: 200_000,
          receiptsAnswerBytes: 30_000,
          receiptsPerRequest: 4,
          maxPeers: 4,
          maxInbound: 0,
          giveUpMs: 20_000,
        },
      })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.status.blocks, 121)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("slows its requests to a slow store instead of holding more", () =>
    Effect.gen(function* () {
      const peers = ["a", "b", "c"].map((name) => fakePeer({ name, served, latencyMs: 5 }))
      const settings = {
        receiptsAnswerBytes: 100_000,
        bytesInFlight: 400_000,
        maxPeers: 3,
        maxInbound: 0,
      }
      const end = yield* ingest({ peers, settings, writeMs: 3_000 })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.status.blocks, 121)
      // The budget, the room for headers, and what one answer may be above its guess.
      assert.isAtMost(end.mostHeldBytes, 400_000 + 2 * 3 * 2 * 32 * 700 + 200_000)
      assert.isAtLeast(end.mostHeldBytes, 200_000)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("does not wait for the slowest peer at the end of the range", () =>
    Effect.gen(function* () {
      const quick = fakePeer({ name: "quick", served, latencyMs: 20 })
      const slow = fakePeer({ name: "slow", served, latencyMs: 9_000 })
      const end = yield* ingest({ peers: [quick, slow], settings: { requestTimeoutMs: 30_000 } })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.status.blocks, 121)
      // Nobody failed: what the slow peer was asked for was asked of the other, too, after a second.
      assert.deepStrictEqual(end.failures, {})
      assert.strictEqual(end.retries, 0)
      assert.isBelow(end.elapsedMs, 2_500)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("takes a block of a slow peer that is the first to bring it after all", () =>
    Effect.gen(function* () {
      const slow = fakePeer({ name: "slow", served, latencyMs: 2_500 })
      const quick = fakePeer({ name: "quick", served, latencyMs: 20 })
      // It has answered quickly once, and is silent from then on: what it is asked for never comes.
      let answered = 0
      const getReceipts: typeof quick.peer.getReceipts = (...asked) =>
        answered++ < 1 ? quick.peer.getReceipts(...asked) : Effect.never
      const silent = { ...quick, peer: { ...quick.peer, getReceipts } }
      const end = yield* ingest({
        peers: [slow, silent],
        work: BlockRanges.of(1, 64),
        settings: { requestTimeoutMs: 60_000, slotsPerPeer: 1, giveUpMs: 200_000 },
      })
      assert.deepStrictEqual(end.failed, [])
      assert.strictEqual(end.status.blocks, 64)
      assert.isAbove(end.used["fake/slow"] ?? 0, 0)
      assert.isBelow(end.elapsedMs, 60_000)
    }),
  )

  it.scoped(
    "has more under way at once where round trips are long, and not where they are short",
    () =>
      Effect.gen(function* () {
        const far = yield* pacedRun(200, ["headers", "bodies", "receipts"])
        assert.isAtLeast(far.mostOpen, 6)
        // 31 batches of two round trips each, two at a time, would take 6,200 ms.
        assert.isBelow(far.elapsedMs, 4_200)
        // Answers that take long on their own: the peer is busy, headers come at once.
        const busy = yield* pacedRun(200, ["bodies", "receipts"])
        assert.isAtMost(busy.mostOpen, 4)
      }),
  )

  it.scoped("bans for a broken answer that comes after its deadline, too", () =>
    Effect.gen(function* () {
      const late = fakePeer({ name: "late", served, latencyMs: 5 })
      const { peerId } = late.peer
      const broken = new Malformed({ peerId, what: "receipts", reason: "broken" })
      const getReceipts = () => Effect.delay(Effect.fail(broken), Duration.millis(700))
      const liar = { ...late, peer: { ...late.peer, getReceipts } }
      const honest = fakePeer({ name: "honest", served, latencyMs: 300 })
      const end = yield* ingest({
        peers: [liar, honest],
        work: BlockRanges.of(1, 40),
        settings: { requestTimeoutMs: 500 },
      })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.banned, ["fake/late"])
      assert.isAtLeast(end.failures["malformed"] ?? 0, 1)
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("uses a late answer that is still wanted", () =>
    Effect.gen(function* () {
      const peer = fakePeer({ name: "late", served, latencyMs: 700, lateKinds: ["receipts"] })
      const end = yield* ingest({
        peers: [peer],
        work: BlockRanges.of(1, 1),
        settings: { requestTimeoutMs: 500 },
      })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.failures, { timeout: 1 })
      // Asked once for receipts: the answer that came after its deadline was good enough.
      assert.deepStrictEqual(
        peer.asked.filter((each) => each.startsWith("receipts")),
        ["receipts 1"],
      )
      assert.strictEqual(end.heldBytes, 0)
    }),
  )

  it.scoped("does not blame a peer for the time in which nothing was read from it", () =>
    Effect.gen(function* () {
      const clock = yield* Effect.clock
      const peer = fakePeer({
        name: "held",
        served,
        latencyMs: 700,
        lateKinds: ["receipts"],
        // Half the time.
        heldMs: () => clock.unsafeCurrentTimeMillis() / 2,
      })
      const end = yield* ingest({
        peers: [peer],
        work: BlockRanges.of(1, 1),
        settings: { requestTimeoutMs: 500 },
      })
      assert.deepStrictEqual(end.failed, [])
      assert.deepStrictEqual(end.failures, {})
    }),
  )
})
