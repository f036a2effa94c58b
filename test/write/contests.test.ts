import { assert, describe, it } from "vitest"
import { contestsOf } from "../../src/write/contests.ts"
import type { Refusal } from "../../src/write/storeProtocol.ts"

const refusal = (
  blockNumber: number,
  reason: Refusal["reason"],
  proven = false,
  putOut: ReadonlyArray<number> = [],
): Refusal => ({
  blockNumber,
  reason,
  proven,
  putOut,
  expected: undefined,
  actual: undefined,
})

const gone = (from: number, to = from, proven = false) => ({ from, to, proven })

describe("contestsOf", () => {
  it("names the stored block that a refused one contradicts, by its reason", () => {
    const refused = [refusal(10, "parent"), refusal(20, "child"), refusal(30, "other_block")]
    const { contests } = contestsOf(refused, [])
    assert.deepStrictEqual(contests, [
      { blockNumber: 10, others: [{ blockNumber: 9, putOut: false }] },
      { blockNumber: 20, others: [{ blockNumber: 21, putOut: false }] },
      { blockNumber: 30, others: [{ blockNumber: 30, putOut: false }] },
    ])
  })

  it("takes what had to go for a contest out of the removals, on both sides", () => {
    const refused = [refusal(10, "parent", false, [11, 9]), refusal(12, "parent")]
    const { contests, removed } = contestsOf(refused, [gone(9), gone(11), gone(40)])
    assert.deepStrictEqual(contests, [
      {
        blockNumber: 10,
        others: [
          { blockNumber: 9, putOut: true },
          { blockNumber: 11, putOut: true },
        ],
      },
      { blockNumber: 12, others: [{ blockNumber: 11, putOut: false }] },
    ])
    assert.deepStrictEqual(removed, [gone(40)])
  })

  it("gives each contest what went for it, and not what went for its neighbour", () => {
    // 100 is real, as 99 is: 101 went for it. 98 is forged: 99 went for it, in the same write.
    const refused = [refusal(100, "child", false, [101]), refusal(98, "child", false, [99])]
    const { contests, removed } = contestsOf(refused, [gone(101), gone(99)])
    assert.deepStrictEqual(contests, [
      { blockNumber: 100, others: [{ blockNumber: 101, putOut: true }] },
      { blockNumber: 98, others: [{ blockNumber: 99, putOut: true }] },
    ])
    assert.deepStrictEqual(removed, [])
  })

  it("names what went before anybody was told of it, too", () => {
    const { contests } = contestsOf([refusal(20, "other_block", false, [20])], [])
    assert.deepStrictEqual(contests, [
      { blockNumber: 20, others: [{ blockNumber: 20, putOut: true }] },
    ])
  })

  it("leaves alone what is proven, displaced or unreadable, and runs of blocks", () => {
    const refused = [
      refusal(10, "parent", true),
      refusal(11, "trusted_hash", true),
      refusal(12, "displaced"),
      refusal(13, "unreadable", true),
    ]
    const removed = [gone(9, 9, true), gone(11, 14)]
    assert.deepStrictEqual(contestsOf(refused, removed), { contests: [], removed })
  })
})
