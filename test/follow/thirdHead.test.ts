/** Peers with different heads on one chain: which block is moved to, and who may hold it up. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { decide, type PeerView } from "../../src/follow/quorum.ts"
import { type FollowedRun, withFollower } from "../support/followRun.ts"
import { headOf as headIn, keyOf, type Scene, topOf, treeOf } from "./arbitraryChains.ts"
import { at, headIs, isWhole, main } from "./forkedChain.ts"

const TIP = 20
const STORED = 9
/** Branch 0 goes on from the stored tip to 40, branch 1 leaves it above 18; any other is stored. */
const sceneOf = (peers: Scene["peers"]): Scene => ({
  tip: TIP,
  window: 8,
  branches: [
    { name: "a", ancestor: TIP, head: 40 },
    { name: "b", ancestor: 18, head: 40 },
  ],
  peers,
})

/** The block that peers on the chain with these heads, and liars on the other one, lead to. */
const movedTo = (heads: ReadonlyArray<number>, liars: ReadonlyArray<number> = []): number => {
  const made = sceneOf([
    ...heads.map((head) => ({ branch: head > TIP ? 0 : STORED, head })),
    ...liars.map((head) => ({ branch: 1, head })),
  ])
  const tree = treeOf(made)
  const top = topOf(made)
  const views = made.peers.map((peer, index): PeerView => ({
    peerId: `peer${index}`,
    trusted: false,
    descent: tree.descend(headIn(made, peer), top),
    awaited: false,
  }))
  const decision = decide(top, views)
  if (decision._tag !== "Advance") return TIP
  assert.strictEqual(decision.ancestor, TIP)
  for (const { number, key } of decision.path) assert.strictEqual(key, keyOf("a", number))
  return decision.path.at(-1)!.number
}

describe("the block that peers with different heads lead to", () => {
  it("is the third highest of the heads, be it of three peers or of more", () => {
    assert.strictEqual(movedTo([23, 25, 27]), 23)
    assert.strictEqual(movedTo([27, 23, 25, 24]), 24)
    assert.strictEqual(movedTo([23, 23, 23, 30, 30]), 23)
    assert.strictEqual(movedTo([22, 30, 30, 30, 23]), 30)
  })

  it("is the lower head of two", () => {
    assert.strictEqual(movedTo([23, 27]), 23)
    assert.strictEqual(movedTo([40]), TIP)
  })

  it("is not that of one ahead, nor of two where there are three", () => {
    assert.strictEqual(movedTo([TIP, TIP, 27]), TIP)
    assert.strictEqual(movedTo([TIP, 26, 27]), TIP)
    assert.strictEqual(movedTo([TIP, TIP, TIP, 26, 27]), TIP)
  })

  it("is held up by one that is a little behind, not by one that is far behind", () => {
    assert.strictEqual(movedTo([TIP - 3, 26, 27]), TIP)
    // Below the window a peer has no say: the other two are all there are.
    assert.strictEqual(movedTo([5, 26, 27]), 26)
    assert.strictEqual(movedTo([TIP - 3, 25, 26, 27]), 25)
  })

  it("is not the liar's, who holds nothing up where three others are", () => {
    assert.strictEqual(movedTo([23, 25, 27], [40]), 23)
    assert.strictEqual(movedTo([23, 25, 27], [40, 40]), 23)
    assert.strictEqual(movedTo([25, 27], [40]), TIP)
    assert.strictEqual(movedTo([25, 27], [40, 40]), TIP)
  })
})

const reaches = (run: FollowedRun, head: number) =>
  Effect.map(
    run.until(() => headIs(run, main, head)),
    (there) => assert.isTrue(there, run.log.join("\n")),
  )

describe("a run that follows peers with different heads", () => {
  it.scoped("goes as far as three of them reach, one ahead, one behind, one lying", () => {
    const [low, middle, high] = [at("a", "main", 59), at("b", "main", 61), at("c", "main", 63)]
    const liar = at("d", "fork", 80)
    return withFollower([low, middle, high, liar], {}, (run) =>
      Effect.gen(function* () {
        yield* reaches(run, 59)
        high.live.moveTo({ branch: "main", head: 75 })
        yield* run.pass(5_000)
        assert.isTrue(headIs(run, main, 59))
        low.live.moveTo({ branch: "main", head: 62 })
        // The middle one is the third now.
        yield* reaches(run, 61)
        middle.live.moveTo({ branch: "main", head: 70 })
        yield* reaches(run, 62)
        // The liar turns honest and is as good as any.
        liar.live.moveTo({ branch: "main", head: 68 })
        yield* reaches(run, 68)
        yield* run.pass(3_000)
        assert.isTrue(headIs(run, main, 68))
        assert.strictEqual(run.state.report().headBlock, 68)
        assert.strictEqual(run.state.report().blocksBehind, 0)
        assert.strictEqual(run.state.report().reorgs, 0)
        yield* isWhole(run, main, 68)
      }),
    )
  })
})
