import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { nextMove } from "../../src/follow/nextMove.ts"
import { decide, type PeerView, quorumOf, reachOf } from "../../src/follow/quorum.ts"
import { targetShare } from "../../src/follow/targetShare.ts"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { headOf, keyOf, type Scene, scene, topOf, treeOf } from "./arbitraryChains.ts"

const RUNS = { numRuns: 2_000 }

const viewsOf = (made: Scene, trusted: ReadonlySet<number> = new Set()): Array<PeerView> => {
  const tree = treeOf(made)
  const top = topOf(made)
  return made.peers.map((peer, index) => ({
    peerId: `peer${index}`,
    trusted: trusted.has(index),
    descent: tree.descend(headOf(made, peer), top),
    awaited: false,
  }))
}

/** Whether a peer has the block in its chain. */
const hasBlock = (made: Scene, index: number, number: number, key: string): boolean => {
  const peer = made.peers[index]!
  const head = headOf(made, peer)
  if (number > head.number) return false
  const branch = made.branches[peer.branch]
  const onBranch = branch !== undefined && number > branch.ancestor
  return keyOf(onBranch ? branch.name : "s", number) === key
}

const isBehind = ({ descent }: PeerView): boolean => descent?._tag === "Behind"

const silent = (index: number, awaited: boolean): PeerView => ({
  peerId: `silent${index}`,
  trusted: false,
  descent: undefined,
  awaited,
})

describe("which chain is followed", () => {
  it("Q1 fewer than a quorum of peers change nothing, whatever they show", () => {
    fc.assert(
      fc.property(scene, (made) => {
        const views = viewsOf(made)
        const quorum = quorumOf(views.filter((view) => !isBehind(view)).length)
        const decision = decide(topOf(made), views)
        const votesFor = (number: number, key: string): number =>
          made.peers.filter(
            (_, index) => !isBehind(views[index]!) && hasBlock(made, index, number, key),
          ).length
        if (decision._tag === "Advance") {
          assert.isAtLeast(decision.votes, quorum)
          const last = decision.path.at(-1)!
          assert.isAtLeast(votesFor(last.number, last.key), quorum)
        }
        if (decision._tag === "TooDeep") assert.isAtLeast(decision.votes, quorum)
      }),
      RUNS,
    )
  })

  it("Q1 one peer alone moves nothing, and one liar among honest ones neither", () => {
    fc.assert(
      fc.property(scene, fc.integer({ min: 2, max: 6 }), (made, honest) => {
        const liar = { branch: 0, head: 60 }
        const top = topOf(made)
        const alone = decide(top, viewsOf({ ...made, peers: [liar] }))
        assert.include(["NoQuorum", "Stay"], alone._tag)
        const others = Array.from({ length: honest }, () => ({ branch: 3, head: made.tip }))
        const among = decide(top, viewsOf({ ...made, peers: [liar, ...others] }))
        assert.include(["NoQuorum", "Stay"], among._tag)
      }),
      RUNS,
    )
  })

  it("Q2 what is decided is a linked path, each block of it in the chain of a quorum", () => {
    fc.assert(
      fc.property(scene, (made) => {
        const views = viewsOf(made)
        const top = topOf(made)
        const decision = decide(top, views)
        if (decision._tag !== "Advance") return
        const { ancestor, path } = decision
        const quorum = quorumOf(views.filter((view) => !isBehind(view)).length)
        const tree = treeOf(made)
        let parentKey = top.hashes.get(ancestor)
        for (const [index, { number, key }] of path.entries()) {
          assert.strictEqual(number, ancestor + 1 + index)
          assert.strictEqual(tree.get(key)?.parentKey, parentKey)
          assert.notStrictEqual(top.hashes.get(number), key)
          const votes = made.peers.filter((_, at) => hasBlock(made, at, number, key)).length
          assert.isAtLeast(votes, quorum)
          parentKey = key
        }
      }),
      RUNS,
    )
  })

  it("Q3 the stored chain is left only for one that more peers have", () => {
    fc.assert(
      fc.property(scene, (made) => {
        const views = viewsOf(made)
        const top = topOf(made)
        const decision = decide(top, views)
        if (decision._tag !== "Advance" || decision.ancestor >= top.tip) return
        const [first] = decision.path
        const number = decision.ancestor + 1
        const votes = (key: string): number =>
          made.peers.filter((_, at) => !isBehind(views[at]!) && hasBlock(made, at, number, key))
            .length
        assert.isAbove(votes(first!.key), votes(keyOf("s", number)))
      }),
      RUNS,
    )
  })

  it("Q4 the order of the peers makes no difference", () => {
    fc.assert(
      fc.property(scene, (made) => {
        const views = viewsOf(made)
        const top = topOf(made)
        assert.deepStrictEqual(decide(top, views.toReversed()), decide(top, views))
      }),
      RUNS,
    )
  })

  it("Q5 peers that are behind on the stored chain take nothing back", () => {
    fc.assert(
      fc.property(scene, fc.array(fc.integer({ min: 0, max: 40 })), (made, heads) => {
        const peers = heads.map((head) => ({ branch: 3, head }))
        const decision = decide(topOf(made), viewsOf({ ...made, peers }))
        assert.include(["NoQuorum", "Stay"], decision._tag)
      }),
      RUNS,
    )
  })

  it("a trusted peer decides alone, and nobody in its place before it is heard", () => {
    const made: Scene = {
      tip: 20,
      window: 8,
      branches: [
        { name: "a", ancestor: 18, head: 24 },
        { name: "b", ancestor: 19, head: 30 },
      ],
      peers: [
        { branch: 0, head: 24 },
        { branch: 1, head: 30 },
        { branch: 1, head: 30 },
        { branch: 1, head: 30 },
      ],
    }
    const top = topOf(made)
    const decision = decide(top, viewsOf(made, new Set([0])))
    assert(decision._tag === "Advance")
    assert.strictEqual(decision.path.at(-1)?.key, keyOf("a", 24))
    const [first, ...rest] = viewsOf(made, new Set([0]))
    const unheard = decide(top, [{ ...first!, descent: undefined }, ...rest])
    assert.strictEqual(unheard._tag, "NoQuorum")
  })

  it("two peers have to agree where there are two, three where there are more", () => {
    assert.deepStrictEqual([0, 1, 2, 3, 50].map(quorumOf), [Infinity, Infinity, 2, 3, 3])
    assert.strictEqual(reachOf([5, 9, 7], 2), 7)
    assert.isUndefined(reachOf([5], 2))
  })

  it("a peer that was not heard yet counts as one that has to agree", () => {
    const made: Scene = {
      tip: 20,
      window: 8,
      branches: [{ name: "a", ancestor: 20, head: 22 }],
      peers: [
        { branch: 0, head: 22 },
        { branch: 0, head: 22 },
      ],
    }
    const two = viewsOf(made)
    assert.strictEqual(decide(topOf(made), two)._tag, "Advance")
    const unheard: PeerView = {
      peerId: "silent",
      trusted: false,
      descent: undefined,
      awaited: true,
    }
    assert.strictEqual(decide(topOf(made), [...two, unheard])._tag, "NoQuorum")
  })

  it("the stored chain is not left while those that are waited for could turn the vote", () => {
    const made: Scene = {
      tip: 20,
      window: 8,
      branches: [{ name: "a", ancestor: 17, head: 24 }],
      peers: Array.from({ length: 3 }, () => ({ branch: 0, head: 24 })),
    }
    const views = viewsOf(made)
    const with3 = (awaited: boolean) =>
      decide(topOf(made), [...views, ...[1, 2, 3].map((index) => silent(index, awaited))])._tag
    assert.strictEqual(with3(true), "NoQuorum")
    assert.strictEqual(with3(false), "Advance")
    assert.strictEqual(decide(topOf(made), [...views, silent(1, true)])._tag, "Advance")
  })

  it("a trusted peer that is away leaves its say to nobody", () => {
    const made: Scene = {
      tip: 20,
      window: 8,
      branches: [{ name: "a", ancestor: 20, head: 24 }],
      peers: Array.from({ length: 4 }, () => ({ branch: 0, head: 24 })),
    }
    const away = { peerId: "away", trusted: true, descent: undefined, awaited: false }
    assert.strictEqual(decide(topOf(made), [...viewsOf(made), away])._tag, "NoQuorum")
  })

  it("a quorum that leaves the stored chain below the window is too deep, fewer are not", () => {
    const deep: Scene = {
      tip: 30,
      window: 4,
      branches: [{ name: "a", ancestor: 20, head: 40 }],
      peers: Array.from({ length: 3 }, () => ({ branch: 0, head: 40 })),
    }
    assert.strictEqual(decide(topOf(deep), viewsOf(deep))._tag, "TooDeep")
    const own = Array.from({ length: 3 }, () => ({ branch: 3, head: 30 }))
    const split = { ...deep, peers: [...deep.peers, ...own] }
    assert.strictEqual(decide(topOf(split), viewsOf(split))._tag, "Stay")
  })
})

describe("what to do about it", () => {
  const top = topOf({ tip: 1_000, window: 64 })
  const path = [{ number: 1_001, key: keyOf("a", 1_001) }]

  it("fetches what lies far below the head as a range, up to the window", () => {
    const decision = { _tag: "Advance", ancestor: 1_000, path, votes: 3 } as const
    assert.deepStrictEqual(nextMove(top, decision, 5_000, 64), {
      _tag: "Range",
      from: 1_001,
      to: 4_936,
      tipHeld: true,
    })
    assert.deepStrictEqual(nextMove(top, decision, 1_150, 64), {
      _tag: "Target",
      ancestor: 1_000,
      path,
    })
    assert.strictEqual(nextMove(top, decision, undefined, 64)._tag, "Target")
  })

  it("replaces a lost branch before anything else", () => {
    const decision = { _tag: "Advance", ancestor: 990, path, votes: 3 } as const
    assert.strictEqual(nextMove(top, decision, 5_000, 64)._tag, "Target")
  })

  it("says why it waits", () => {
    const lone = { _tag: "NoQuorum", voters: 1, quorum: Infinity } as const
    const move = nextMove(top, lone, 5_000, 64)
    assert(move._tag === "Wait")
    assert.include(move.reason, "one peer alone")
  })
})

describe("a peer's share of what is wanted", () => {
  it("is what it shows, what it shows others of, and nothing of what it does not show", () => {
    const made: Scene = {
      tip: 20,
      window: 8,
      branches: [
        { name: "a", ancestor: 18, head: 24 },
        { name: "b", ancestor: 19, head: 22 },
      ],
      peers: [],
    }
    const tree = treeOf(made)
    const wanted = tree.descend({ number: 24, key: keyOf("a", 24) }, topOf(made))
    const other = tree.descend({ number: 22, key: keyOf("b", 22) }, topOf(made))
    assert(wanted._tag === "Met" && other._tag === "Met")
    const missing = BlockRanges.of(19, 23)
    const own = targetShare(wanted.path, missing, wanted, topOf(made))
    assert.deepStrictEqual([...own.has.ranges()], [[19, 23]])
    assert.strictEqual(own.lacks.count, 0)
    const share = targetShare(wanted.path, missing, other, topOf(made))
    assert.strictEqual(share.has.count, 0)
    assert.deepStrictEqual([...share.lacks.ranges()], [[19, 22]])
  })
})
