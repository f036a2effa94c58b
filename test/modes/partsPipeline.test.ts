/**
 * An ingest whose blocks come in parts: peers that have bodies and no receipts, or the reverse.
 */
import { assert, describe, it } from "@effect/vitest"
import { RLP } from "@ethereumjs/rlp"
import { Effect } from "effect"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { toHex } from "../../src/domain/hex.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { type Serves, servesAll } from "../../src/peers/Peer.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { fakePeer, type FakePeerOptions } from "../support/FakePeer.ts"
import { ingest, type RunPeer } from "../support/ingestRun.ts"

const BLOCKS = 500
const served = generateChain({ blocks: BLOCKS, shape: "light", seed: 21 })
const work = BlockRanges.of(1, BLOCKS)
const all = servesAll({ from: 0, to: BLOCKS })
const noReceipts: Serves = { ...all, receipts: undefined }
const noBodies: Serves = { ...all, bodies: undefined }

const settings = { giveUpMs: 60_000 }

type Part = "GetBlockBodies" | "GetReceipts"
type Alter = NonNullable<FakePeerOptions["alter"]>

const lacks =
  (part: Part): Alter =>
  (request, items) =>
    request._tag === part ? [] : items

interface CountingPeer extends RunPeer {
  /** How many items it was asked for, by request. */
  readonly counts: Record<EthRequest["_tag"], number>
}

/** A peer that counts what it is asked for. */
const peerOf = (
  options: Omit<FakePeerOptions, "served">,
  known: Pick<RunPeer, "serves" | "measured"> = {},
): CountingPeer => {
  const counts = { GetBlockHeaders: 0, GetBlockBodies: 0, GetReceipts: 0 }
  const alter: Alter = (request, items) => {
    counts[request._tag] += request._tag === "GetBlockHeaders" ? 1 : request.hashes.length
    return options.alter?.(request, items) ?? items
  }
  return { ...fakePeer({ ...options, served, alter }), ...known, counts }
}

const withoutReceipts = (known: Pick<RunPeer, "serves" | "measured"> = {}, latencyMs = 10) =>
  peerOf({ name: "bodies", latencyMs, alter: lacks("GetReceipts") }, known)
const withoutBodies = (known: Pick<RunPeer, "serves" | "measured"> = {}, latencyMs = 10) =>
  peerOf({ name: "receipts", latencyMs, alter: lacks("GetBlockBodies") }, known)

type End = Effect.Effect.Success<ReturnType<typeof ingest>>

const assertWhole = (end: End, blocks = BLOCKS): void => {
  assert.deepStrictEqual(end.failed, [])
  assert.deepStrictEqual(end.damage, [])
  assert.strictEqual(end.status.blocks, blocks)
  assert.strictEqual(end.succeeded, blocks)
  assert.strictEqual(end.heldBytes, 0)
}

describe("an ingest of blocks in parts", () => {
  for (const [how, bodies, receipts] of [
    ["known from the start", { serves: noReceipts }, { serves: noBodies }],
    ["learned from a miss", { measured: noReceipts }, { measured: noBodies }],
    ["never learned", {}, {}],
  ] as const) {
    it.scoped(`is whole of a peer with bodies and one with receipts, which is ${how}`, () =>
      Effect.gen(function* () {
        const peers = [withoutReceipts(bodies), withoutBodies(receipts)]
        const end = yield* ingest({ peers, work, settings })
        assertWhole(end)
        assert.deepStrictEqual(end.banned, [])
        assert.deepStrictEqual(end.used, { "fake/bodies": BLOCKS, "fake/receipts": BLOCKS })
      }),
    )
  }

  it.scoped("uses the bodies of a peer without receipts beside a peer that has all", () =>
    Effect.gen(function* () {
      const some = withoutReceipts({ measured: noReceipts })
      const full = peerOf({ name: "full", latencyMs: 100 })
      const end = yield* ingest({ peers: [some, full], work, settings })
      assertWhole(end)
      assert.deepStrictEqual(end.banned, [])
      assert.strictEqual(end.used["fake/full"], BLOCKS)
      assert.strictEqual(end.used["fake/bodies"], some.counts.GetBlockBodies)
      // Each part came once, and most bodies from the peer that has nothing else.
      assert.strictEqual(full.counts.GetReceipts, BLOCKS)
      assert.strictEqual(full.counts.GetBlockBodies + some.counts.GetBlockBodies, BLOCKS)
      assert.isAtMost(full.counts.GetBlockBodies, BLOCKS / 2)
    }),
  )

  it.scoped("asks for a part of a block again only where there was no room for it", () =>
    Effect.gen(function* () {
      const peers = [withoutReceipts({ serves: noReceipts }), withoutBodies({ serves: noBodies })]
      const end = yield* ingest({
        peers,
        work: BlockRanges.of(1, 150),
        settings: { ...settings, larderBytes: 60_000 },
      })
      assertWhole(end, 150)
      const [bodies, receipts] = peers
      assert.isAtMost(bodies!.counts.GetBlockBodies, 200)
      assert.isAtMost(receipts!.counts.GetReceipts, 200)
    }),
  )

  it.scoped("comes to an end with room for one part", () =>
    Effect.gen(function* () {
      const peers = [withoutReceipts({ serves: noReceipts }), withoutBodies({ serves: noBodies })]
      const end = yield* ingest({
        peers,
        work: BlockRanges.of(1, 6),
        settings: { ...settings, larderBytes: 6_000, blocksPerAssignment: 4, slotsPerPeer: 1 },
      })
      assertWhole(end, 6)
    }),
  )

  it.scoped("comes to an end in time with less room than a part takes", () =>
    Effect.gen(function* () {
      const peers = [withoutReceipts({ serves: noReceipts }), withoutBodies({ serves: noBodies })]
      const end = yield* ingest({
        peers,
        work: BlockRanges.of(1, 9),
        settings: { giveUpMs: 12_000, larderBytes: 2_000, blocksPerAssignment: 3, slotsPerPeer: 2 },
      })
      assertWhole(end, 9)
    }),
  )

  // Without the word of what waits the two go round among the blocks, meet seldom, and give up.
  it.scoped(
    "brings two peers with half of each block together where few parts have room",
    () =>
      Effect.gen(function* () {
        const peers = [
          withoutReceipts({ serves: noReceipts }, 10),
          withoutBodies({ serves: noBodies }, 35),
        ]
        const end = yield* ingest({
          peers,
          work: BlockRanges.of(1, 20),
          settings: {
            giveUpMs: 6_000,
            larderBytes: 2_000,
            blocksPerAssignment: 3,
            slotsPerPeer: 2,
          },
        })
        assertWhole(end, 20)
      }),
    60_000,
  )

  it.scoped("lets no peer with bodies alone run far ahead of one that has all", () =>
    Effect.gen(function* () {
      const some = withoutReceipts({ serves: noReceipts })
      const full = peerOf({ name: "full", latencyMs: 400 })
      const larderBytes = 100_000
      const end = yield* ingest({
        peers: [some, full],
        work: BlockRanges.of(1, 200),
        settings: { ...settings, larderBytes, blocksPerAssignment: 8 },
      })
      assertWhole(end, 200)
      // What it sends is used, or nearly: none of it is thrown away to be sent again.
      assert.isAtMost(some.counts.GetBlockBodies + full.counts.GetBlockBodies, 220)
      assert.isAtLeast(some.counts.GetBlockBodies, 50)
    }),
  )

  for (const [how, known] of [
    ["is known to have", { serves: noReceipts }],
    ["turns out to have", { measured: noReceipts }],
    ["has", {}],
  ] as const) {
    it.scoped(`ends with gaps, and without hurry, of a peer that ${how} bodies alone`, () =>
      Effect.gen(function* () {
        const peer = withoutReceipts(known)
        const last = how === "has" ? 100 : BLOCKS
        const end = yield* ingest({
          peers: [peer],
          work: BlockRanges.of(1, last),
          settings: { giveUpMs: 8_000 },
        })
        assert.deepStrictEqual(end.failed, [[1, last]])
        assert.strictEqual(end.refuted, 0)
        assert.deepStrictEqual(end.banned, [])
        assert.strictEqual(end.heldBytes, 0)
        assert.isAtMost(peer.counts.GetBlockHeaders, 40)
        assert.isAtMost(peer.counts.GetBlockBodies, 2 * BLOCKS)
        if (how === "is known to have") assert.isAtMost(end.elapsedMs, 9_000)
      }),
    )
  }

  it.scoped("rests between looks at blocks of which nobody has the rest", () =>
    Effect.gen(function* () {
      const peer = withoutReceipts({ serves: noReceipts })
      // Said to have receipts, for which it is asked in vain: both kinds seem to be served.
      const boaster = peerOf(
        { name: "boaster", latencyMs: 10, alter: lacks("GetReceipts") },
        { serves: noBodies },
      )
      const end = yield* ingest({
        peers: [peer, boaster],
        work: BlockRanges.of(1, 100),
        settings: { giveUpMs: 8_000 },
      })
      assert.deepStrictEqual(end.failed, [[1, 100]])
      assert.strictEqual(end.heldBytes, 0)
      assert.isAtMost(peer.counts.GetBlockHeaders, 60)
      assert.isAtMost(peer.counts.GetBlockBodies, 200)
    }),
  )

  it.scoped("takes headers and bodies below of a peer whose receipts begin in the middle", () =>
    Effect.gen(function* () {
      const floor = 300
      const upper = peerOf(
        {
          name: "upper",
          latencyMs: 10,
          alter: (request, items) =>
            request._tag === "GetReceipts" && request.hashes.some(isBelow(floor)) ? [] : items,
        },
        { measured: { ...all, receipts: { from: floor, to: BLOCKS } } },
      )
      const full = peerOf({ name: "full", latencyMs: 100 })
      const end = yield* ingest({ peers: [upper, full], work, settings })
      assertWhole(end)
      assert.deepStrictEqual(end.banned, [])
      // Below, the other peer sent the receipts, and few of the bodies.
      assert.isAtLeast(full.counts.GetReceipts, floor - 1)
      assert.isBelow(full.counts.GetBlockBodies, full.counts.GetReceipts / 2)
    }),
  )

  it.scoped("bans who lied about receipts, not who sent the body, and the other way round", () =>
    Effect.gen(function* () {
      const cases = [
        [withoutReceipts({ serves: noReceipts }), "GetReceipts", noBodies],
        [withoutBodies({ serves: noBodies }), "GetBlockBodies", noReceipts],
      ] as const
      for (const [honest, part, serves] of cases) {
        // Whole lists in another order: every item is well-formed, and another block's.
        const alter: Alter = (request, items) =>
          request._tag === part ? items.toReversed() : items
        const liar = peerOf({ name: "liar", latencyMs: 10, alter }, { serves })
        const full = peerOf({ name: "full", latencyMs: 600 })
        const end = yield* ingest({ peers: [honest, liar, full], work, settings })
        assertWhole(end)
        assert.deepStrictEqual(end.banned, ["fake/liar"])
        assert.strictEqual(end.refuted, 0)
      }
    }),
  )

  it.scoped("holds no forged header against the peers that lack what it asks for", () =>
    Effect.gen(function* () {
      // Its headers are well-formed and nobody's; it has no part of them, and nobody is asked.
      const forger = peerOf({
        name: "forger",
        latencyMs: 5,
        alter: (request, items) =>
          request._tag === "GetBlockHeaders" ? items.map(withOtherState) : [],
      })
      const honest = [
        withoutReceipts({ measured: noReceipts }),
        withoutBodies({ measured: noBodies }),
      ]
      const end = yield* ingest({
        peers: [forger, ...honest],
        work: BlockRanges.of(1, 100),
        settings: { ...settings, blocksPerAssignment: 1 },
      })
      assertWhole(end, 100)
      assert.deepStrictEqual(end.banned, [])
      assert.deepStrictEqual(end.used, { "fake/bodies": 100, "fake/receipts": 100 })
    }),
  )

  it.scoped("keeps what came when the rest came too late, and uses it", () =>
    Effect.gen(function* () {
      const slow = peerOf({ name: "slow", latencyMs: 900, lateKinds: ["receipts"] })
      const full = peerOf({ name: "full", latencyMs: 400 })
      const end = yield* ingest({
        peers: [slow, full],
        work: BlockRanges.of(1, 64),
        settings: { ...settings, requestTimeoutMs: 500, blocksPerAssignment: 8 },
      })
      assertWhole(end, 64)
      assert.isAtLeast(end.failures["timeout"] ?? 0, 1)
      const asked = slow.counts.GetBlockBodies + full.counts.GetBlockBodies
      assert.isAtMost(asked, 64)
    }),
  )
})

/** Whether a hash is that of a block below `floor`. */
const isBelow =
  (floor: number) =>
  (hash: Uint8Array): boolean =>
    (served.numberOf(toHex(hash)) ?? Infinity) < floor

/** A header with another state root: it is the fourth field, and 32 bytes. */
const withOtherState = (header: Uint8Array): Uint8Array => {
  const fields = RLP.decode(header)
  if (!Array.isArray(fields)) throw new Error("no header")
  return RLP.encode(fields.with(3, new Uint8Array(32).fill(9)))
}
