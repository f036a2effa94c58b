/** The decisions on linked segments: numbered invariants, and the cases that they come from. */
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import type { BlockLink, NewBlock, Segment } from "../../src/write/segmentList.ts"
import { MOST_CONTESTS, Segments, type Insertion, type Removal } from "../../src/write/segments.ts"

const LINKED = { checks: "links,receipts", linked: true }
const UNLINKED = { checks: "receipts", linked: false }

/** The hash of a block of chain `chain` (0 is the honest one) at a height. */
const hashOf = (chain: number, height: number): Uint8Array => {
  const hash = new Uint8Array(32)
  const view = new DataView(hash.buffer)
  view.setUint32(0, chain)
  view.setInt32(4, height)
  return hash
}

/** A block of a chain that forks off the honest one: its block `fork` has an honest parent. */
const blockOf = (chain: number, height: number, fork = -1): NewBlock => ({
  blockNumber: height,
  hash: hashOf(chain, height),
  parentHash: hashOf(height === fork ? 0 : chain, height - 1),
})

const range = (from: number, to: number): Array<number> =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)

/** Segments over a map, as a store would keep them. */
class Stored {
  readonly blocks = new Map<number, BlockLink>()
  readonly how = new Map<number, boolean>()
  readonly segments: Segments
  readonly trusted: ReadonlyMap<number, Uint8Array>

  constructor(trusted: ReadonlyArray<number> = [], segments: ReadonlyArray<Segment> = []) {
    this.trusted = new Map(trusted.map((height) => [height, hashOf(0, height)]))
    this.segments = new Segments({
      segments,
      trusted: this.trusted,
      linkOf: (n) => this.blocks.get(n) ?? assert.fail(`block ${n} is not stored`),
    })
  }

  insert(block: NewBlock, how = LINKED): Insertion {
    const result = this.segments.insert(block, how)
    if (result.outcome === "stored") return result
    this.drop(result.removed)
    if (result.outcome === "accepted") {
      this.blocks.set(block.blockNumber, block)
      this.how.set(block.blockNumber, how.linked)
    }
    return result
  }

  drop(removed: ReadonlyArray<Removal>): void {
    for (const { from, to } of removed) {
      for (const n of range(from, to)) {
        assert.isTrue(this.blocks.delete(n), `block ${n} was removed but not stored`)
      }
    }
  }

  list(): ReadonlyArray<Segment> {
    return this.segments.list()
  }

  shape(): ReadonlyArray<string> {
    return this.list().map(({ from, to, anchored }) => `${from}-${to}${anchored ? "!" : ""}`)
  }
}

const equal = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && Buffer.compare(a, b) === 0

const checkInvariants = (stored: Stored): void => {
  const list = stored.list()
  const held: Array<number> = []
  let last: Segment | undefined
  for (const segment of list) {
    assert.isAtMost(segment.from, segment.to)
    held.push(...range(segment.from, segment.to))
    // G1: the ends are those of the blocks that are there.
    assert.deepEqual(segment.firstParentHash, stored.blocks.get(segment.from)?.parentHash)
    assert.deepEqual(segment.lastHash, stored.blocks.get(segment.to)?.hash)
    if (segment.linked) {
      for (const n of range(segment.from + 1, segment.to)) {
        assert.isTrue(equal(stored.blocks.get(n)?.parentHash, stored.blocks.get(n - 1)?.hash), "G2")
      }
    }
    if (last !== undefined) {
      assert.isAbove(segment.from, last.to)
      const neighbours = last.to + 1 === segment.from
      const links = equal(last.lastHash, segment.firstParentHash)
      if (neighbours && last.linked && segment.linked) assert.isTrue(links, "G2 between")
      const alike = last.anchored === segment.anchored && last.checks === segment.checks
      if (neighbours) assert.isFalse(alike && (links || !last.linked), "G5")
    }
    last = segment
  }
  assert.deepEqual(
    held,
    [...stored.blocks.keys()].sort((a, b) => a - b),
    "G1",
  )
  for (const n of held) assert.strictEqual(isAnchored(stored, n), anchoredByLinks(stored, n), "G3")
}

const isAnchored = (stored: Stored, n: number): boolean =>
  stored.list().some(({ from, to, anchored }) => from <= n && n <= to && anchored)

/** The definition, walked block by block. */
const anchoredByLinks = (stored: Stored, n: number): boolean => {
  for (let at = n; ; at++) {
    const block = stored.blocks.get(at)
    if (block === undefined || stored.how.get(at) !== true) return false
    if (equal(block.hash, stored.trusted.get(at))) return true
    if (!equal(stored.blocks.get(at + 1)?.parentHash, block.hash)) return false
  }
}

const HEIGHTS = 24
/** Chains 1 to 3 fork off the honest one at these heights. */
const FORKS = [-1, 3, 9, 17]

const move = fc.record({
  chain: fc.constantFrom(0, 0, 1, 2, 3),
  height: fc.integer({ min: 0, max: HEIGHTS }),
  linked: fc.constantFrom(true, true, true, false),
})
const trustedHeights = fc.uniqueArray(fc.integer({ min: 0, max: HEIGHTS }), { maxLength: 3 })
const moves = fc.array(move, { maxLength: 60, size: "max" })

const blockFor = (chain: number, height: number): NewBlock =>
  height < FORKS[chain]! ? blockOf(0, height) : blockOf(chain, height, FORKS[chain])

const reopened = (stored: Stored, trusted: ReadonlyArray<number>): Stored => {
  const again = new Stored(trusted, stored.list())
  for (const [n, block] of stored.blocks) again.blocks.set(n, block)
  for (const [n, how] of stored.how) again.how.set(n, how)
  return again
}

describe("Segments", () => {
  it("G1 G2 G3 G5: hold after any blocks of honest and forged chains in any order", () => {
    fc.assert(
      fc.property(trustedHeights, moves, (trusted, script) => {
        const stored = new Stored(trusted)
        for (const { chain, height, linked } of script) {
          const result = stored.insert(blockFor(chain, height), linked ? LINKED : UNLINKED)
          assert.strictEqual(stored.segments.has(height), stored.blocks.has(height))
          if (result.outcome !== "refused") assert.isTrue(stored.segments.has(height))
          checkInvariants(stored)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it("G4: nothing that descends to a trusted hash is refused or removed with proof", () => {
    fc.assert(
      fc.property(trustedHeights, moves, (trusted, script) => {
        const stored = new Stored(trusted)
        const highest = Math.max(-1, ...trusted)
        const honest = (n: number, block: BlockLink | undefined) =>
          n <= highest && equal(block?.hash, hashOf(0, n))
        for (const { chain, height } of script) {
          const block = blockFor(chain, height)
          const before = new Map(stored.blocks)
          const result = stored.insert(block)
          if (result.outcome === "stored") continue
          if (result.outcome === "refused" && result.proven) {
            assert.isFalse(honest(height, block), "refused")
          }
          for (const { from, to, proven } of result.removed) {
            for (const n of proven ? range(from, to) : []) {
              assert.isFalse(honest(n, before.get(n)), "removed")
            }
          }
        }
      }),
      { numRuns: 1000 },
    )
  })

  it("G6: an honest chain ends the same in whatever order it comes, and nothing is refused", () => {
    const order = fc.shuffledSubarray(range(0, HEIGHTS), { minLength: HEIGHTS + 1 })
    fc.assert(
      fc.property(trustedHeights, order, (trusted, heights) => {
        const stored = new Stored(trusted)
        for (const height of heights) {
          const result = stored.insert(blockOf(0, height))
          assert.deepEqual(result, { outcome: "accepted", removed: [] })
        }
        const top = Math.max(-1, ...trusted)
        const expected = [
          ...(top >= 0 ? [`0-${top}!`] : []),
          ...(top < HEIGHTS ? [`${top + 1}-${HEIGHTS}`] : []),
        ]
        assert.deepEqual(stored.shape(), expected)
      }),
      { numRuns: 300 },
    )
  })

  it("G7: a forged run below an anchor is replaced within a logarithmic number of rounds", () => {
    const length = fc.integer({ min: 1, max: 2000 })
    fc.assert(
      fc.property(length, fc.integer({ min: 0, max: 20 }), (forged, honestBelow) => {
        const top = honestBelow + forged
        const stored = new Stored([top])
        for (const n of range(0, honestBelow - 1)) stored.insert(blockOf(0, n))
        for (const n of range(honestBelow, top - 1)) stored.insert(blockOf(1, n, honestBelow))
        let rounds = 0
        // What is missing is fetched again from the top down, honestly.
        for (;;) {
          const next = range(0, top).findLast((n) => !stored.blocks.has(n))
          if (next === undefined) break
          const result = stored.insert(blockOf(0, next))
          if (result.outcome === "stored") return assert.fail("it was missing")
          if (result.removed.length > 0) rounds += 1
        }
        assert.deepEqual(stored.shape(), [`0-${top}!`])
        assert.isAtMost(rounds, Math.ceil(Math.log2(forged + 1)) + 1)
      }),
      { numRuns: 60 },
    )
  })

  it("G7: honest peers replace forged blocks in whatever order they come", () => {
    fc.assert(
      fc.property(moves, fc.infiniteStream(fc.nat()), (script, choices) => {
        const stored = new Stored([HEIGHTS])
        for (const { chain, height } of script) stored.insert(blockFor(chain, height))
        for (let tries = 0; ; tries++) {
          const missing = range(0, HEIGHTS).filter((n) => !stored.blocks.has(n))
          if (missing.length === 0) break
          assert.isBelow(tries, 2000, "it ends")
          stored.insert(blockOf(0, missing[choices.next().value % missing.length]!))
        }
        assert.deepEqual(stored.shape(), [`0-${HEIGHTS}!`])
      }),
      { numRuns: 300 },
    )
  })

  it("G8: without links blocks are only held against the trusted hash of their height", () => {
    const stored = new Stored([4])
    for (const [chain, n] of [
      [1, 1],
      [2, 2],
      [3, 3],
      [1, 5],
    ] as const) {
      assert.strictEqual(stored.insert(blockOf(chain, n), UNLINKED).outcome, "accepted")
    }
    const refused = stored.insert(blockOf(1, 4), UNLINKED)
    assert.include(refused, { outcome: "refused", reason: "trusted_hash", proven: true })
    stored.insert(blockOf(0, 4), UNLINKED)
    assert.deepEqual(stored.shape(), ["1-5"])
    stored.insert(blockOf(0, 6), { checks: "none", linked: false })
    assert.deepEqual(stored.shape(), ["1-5", "6-6"])
  })

  it("G9: chains that contradict each other come to rest, whoever offers what, how often", () => {
    fc.assert(
      fc.property(trustedHeights, moves, fc.infiniteStream(fc.nat()), (trusted, script, dice) => {
        const stored = new Stored(trusted)
        let gone = 0
        const offer = (block: NewBlock): void => {
          const result = stored.insert(block)
          if (result.outcome === "stored") return
          for (const { from, to, proven } of result.removed) gone += proven ? 0 : to - from + 1
        }
        for (const { chain, height } of script) offer(blockFor(chain, height))
        // As a scheduler does: what is missing is offered again, by whichever chain's peer.
        const turn = (): number => dice.next().value
        const offers = 5_000
        let before = gone
        for (let at = 0; at < offers; at++) {
          const missing = range(0, HEIGHTS).filter((n) => !stored.blocks.has(n))
          if (missing.length === 0) break
          if (at === offers / 2) before = gone
          offer(blockFor(turn() % 4, missing[turn() % missing.length]!))
        }
        if (trusted.length === 0) assert.isAtMost(gone, 2 * MOST_CONTESTS * (HEIGHTS + 1))
        assert.strictEqual(gone, stored.blocks.size > HEIGHTS ? gone : before, "at rest")
        checkInvariants(stored)
      }),
      { numRuns: 100 },
    )
  })

  it("leaves a height out between two chains that both stay, until an anchor decides", () => {
    const stored = new Stored([9])
    const removals: Array<number> = []
    for (let turn = 0; turn < 3 * MOST_CONTESTS; turn++) {
      for (const n of range(1, 3)) stored.insert(blockOf(1, n))
      const result = stored.insert(blockOf(0, 4))
      assert.deepInclude(result, { outcome: "refused", reason: "parent", proven: false })
      if (result.outcome === "refused") removals.push(result.removed.length)
    }
    const went = Array.from({ length: MOST_CONTESTS }, () => 1)
    assert.deepEqual(removals, [...went, ...Array.from({ length: 2 * MOST_CONTESTS }, () => 0)])
    for (const n of range(5, 8))
      assert.strictEqual(stored.insert(blockOf(0, n)).outcome, "accepted")
    assert.deepEqual(stored.shape(), ["1-3", "5-8"])
    stored.insert(blockOf(0, 9))
    assert.deepEqual(stored.shape(), ["1-3", "5-9!"])
    assert.strictEqual(stored.insert(blockOf(0, 4)).outcome, "accepted")
    assert.deepEqual(stored.shape(), ["1-2", "4-9!"])
  })

  it("takes in at a contested height what contradicts nothing that is stored", () => {
    const stored = new Stored()
    for (let turn = 0; turn <= MOST_CONTESTS; turn++) {
      stored.insert(blockOf(0, 3))
      stored.insert(blockOf(1, 4))
    }
    assert.deepEqual(stored.shape(), ["3-3"])
    assert.strictEqual(stored.insert(blockOf(0, 4)).outcome, "accepted")
    assert.deepInclude(stored.insert(blockOf(1, 4)), { reason: "other_block", removed: [] })
    assert.deepEqual(stored.shape(), ["3-4"])
  })

  it("counts anew what is contested after a reorganisation", () => {
    const stored = new Stored()
    for (let turn = 0; turn <= MOST_CONTESTS; turn++) {
      stored.insert(blockOf(1, 3))
      stored.insert(blockOf(0, 4))
    }
    stored.drop(stored.segments.removeRange(3, 9))
    stored.insert(blockOf(1, 3))
    stored.insert(blockOf(0, 4))
    assert.deepEqual(stored.shape(), [])
  })

  it("anchors what links below a trusted hash, and nothing above it", () => {
    const stored = new Stored([0, 5])
    for (const n of [0, 1, 2, 4, 6, 7]) stored.insert(blockOf(0, n))
    assert.deepEqual(stored.shape(), ["0-0!", "1-2", "4-4", "6-7"])
    stored.insert(blockOf(0, 5))
    assert.deepEqual(stored.shape(), ["0-0!", "1-2", "4-5!", "6-7"])
    stored.insert(blockOf(0, 3))
    assert.deepEqual(stored.shape(), ["0-5!", "6-7"])
  })

  it("refuses with proof what an anchored neighbour says is wrong", () => {
    const stored = new Stored([5])
    stored.insert(blockOf(0, 5))
    const child = stored.insert(blockOf(1, 4))
    assert.deepInclude(child, { outcome: "refused", reason: "child", proven: true, removed: [] })
    const parent = stored.insert(blockOf(1, 6))
    assert.deepInclude(parent, { outcome: "refused", reason: "parent", proven: true, removed: [] })
    if (parent.outcome === "refused") assert.deepEqual(parent.expected, hashOf(0, 5))
    assert.deepEqual(stored.shape(), ["5-5!"])
  })

  it("sends both sides back when neither is anchored, one block of the stored side", () => {
    const stored = new Stored()
    for (const n of range(1, 9)) stored.insert(blockOf(1, n))
    const result = stored.insert(blockOf(0, 10))
    assert.deepInclude(result, { outcome: "refused", reason: "parent", proven: false })
    if (result.outcome === "refused") {
      assert.deepEqual(result.removed, [{ from: 9, to: 9, proven: false }])
    }
    assert.deepEqual(stored.shape(), ["1-8"])
  })

  it("sends back the stored child of a block when neither is anchored", () => {
    const stored = new Stored()
    for (const n of range(5, 9)) stored.insert(blockOf(1, n))
    const result = stored.insert(blockOf(0, 4))
    assert.deepInclude(result, { outcome: "refused", reason: "child", proven: false })
    assert.deepEqual(stored.shape(), ["6-9"])
  })

  it("blames nobody for what goes only because it is suspected", () => {
    const stored = new Stored([13])
    for (const n of range(0, 10)) stored.insert(blockOf(0, n))
    for (const n of [11, 12]) stored.insert(blockOf(1, n, 11))
    const removed = [13, 12].map((n) => stored.insert(blockOf(0, n)))
    assert.deepEqual(removed, [
      { outcome: "accepted", removed: [{ from: 12, to: 12, proven: true }] },
      {
        outcome: "accepted",
        removed: [
          { from: 11, to: 11, proven: true },
          { from: 10, to: 10, proven: false },
        ],
      },
    ])
  })

  it("removes all that descends from a block that a trusted hash shows to be wrong", () => {
    const stored = new Stored([4])
    for (const n of range(5, 9)) stored.insert(blockOf(1, n))
    const result = stored.insert(blockOf(0, 4))
    assert.deepEqual(result, {
      outcome: "accepted",
      removed: [{ from: 5, to: 9, proven: true }],
    })
  })

  it("knows a block that is stored, and takes neither side's word for another one", () => {
    const stored = new Stored()
    for (const n of range(1, 3)) stored.insert(blockOf(0, n))
    assert.deepEqual(stored.insert(blockOf(0, 2)), { outcome: "stored" })
    const other = stored.insert(blockOf(1, 2))
    assert.include(other, { outcome: "refused", reason: "other_block", proven: false })
    assert.deepEqual(stored.shape(), ["1-1", "3-3"])
  })

  it("keeps its own copies of hashes", () => {
    const stored = new Stored()
    const block = blockOf(0, 1)
    stored.segments.insert(block, LINKED)
    block.hash.fill(9)
    assert.deepEqual(stored.list()[0]?.lastHash, hashOf(0, 1))
  })

  describe("applyTrust", () => {
    it("anchors stored blocks up to a hash that is newly trusted", () => {
      const stored = new Stored()
      for (const n of range(1, 9)) stored.insert(blockOf(0, n))
      const again = reopened(stored, [6])
      assert.deepEqual(again.segments.applyTrust(), { removed: [], contradictions: [] })
      assert.deepEqual(again.shape(), ["1-6!", "7-9"])
    })

    it("removes what a newly trusted hash refutes, with its descendants", () => {
      const stored = new Stored()
      for (const n of range(1, 9)) stored.insert(blockOf(1, n))
      const again = reopened(stored, [6])
      const { removed } = again.segments.applyTrust()
      assert.deepEqual(removed, [{ from: 6, to: 9, proven: true }])
      again.drop(removed)
      checkInvariants(again)
    })

    it("anchors nothing whose links were not compared", () => {
      const stored = new Stored()
      for (const n of range(1, 9)) stored.insert(blockOf(0, n), UNLINKED)
      const again = reopened(stored, [6])
      assert.deepEqual(again.segments.applyTrust(), { removed: [], contradictions: [] })
      assert.deepEqual(again.shape(), ["1-9"])
    })

    it("tells of two trusted hashes that cannot both be right", () => {
      const stored = new Stored([9])
      for (const n of range(1, 9)) {
        stored.insert({
          blockNumber: n,
          hash: hashOf(n === 9 ? 0 : 1, n),
          parentHash: hashOf(1, n - 1),
        })
      }
      assert.deepEqual(stored.shape(), ["1-9!"])
      const { contradictions, removed } = reopened(stored, [5, 9]).segments.applyTrust()
      assert.deepEqual(removed, [])
      assert.deepEqual(contradictions, [
        { blockNumber: 5, expected: hashOf(0, 5), actual: hashOf(1, 5) },
      ])
    })

    it("changes nothing that holds already, after any history", () => {
      fc.assert(
        fc.property(trustedHeights, moves, (trusted, script) => {
          const stored = new Stored(trusted)
          for (const { chain, height } of script) stored.insert(blockFor(chain, height))
          const again = reopened(stored, trusted)
          assert.deepEqual(again.segments.applyTrust(), { removed: [], contradictions: [] })
          assert.deepEqual(again.shape(), stored.shape())
        }),
        { numRuns: 300 },
      )
    })
  })
})
