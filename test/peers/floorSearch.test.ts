import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import {
  afterFloorAnswer,
  type FloorSearch,
  nextFloorQuestion,
  startFloorSearch,
} from "../../src/peers/floorSearch.ts"

/** Plays the game against a peer that serves from `floor` on; gives what came of it. */
const play = (search: FloorSearch, floor: number): { asked: Array<number>; end: FloorSearch } => {
  const asked: Array<number> = []
  let state = search
  for (;;) {
    const block = nextFloorQuestion(state)
    if (block === undefined) return { asked, end: state }
    asked.push(block)
    assert.isBelow(asked.length, 100, "a search that does not end")
    state = afterFloorAnswer(state, block, block >= floor)
  }
}

describe("the search for a floor", () => {
  it("finds the floor of every peer, wherever it starts, and asks nothing above the head", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 30_000_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 40_000_000 }),
        fc.boolean(),
        (head, share, hint, missed) => {
          const floor = Math.floor(share * head)
          const { asked, end } = play(startFloorSearch(head, missed ? floor - 1 : -1, hint), floor)
          assert.strictEqual(end.served, floor)
          assert.isTrue(asked.every((block) => block >= 0 && block <= head))
          assert.isAtMost(asked.length, Math.log2(head + 1) + 5)
        },
      ),
    )
  })

  it("finds that nothing is served", () => {
    fc.assert(
      fc.property(fc.nat(30_000_000), fc.nat(30_000_000), (head, hint) => {
        const { end, asked } = play(startFloorSearch(head, -1, hint), head + 1)
        assert.isUndefined(end.served)
        assert.isAtMost(asked.length, 2)
      }),
    )
  })

  it("asks two questions when the hint is right", () => {
    assert.deepStrictEqual(
      play(startFloorSearch(25_000_000, -1, 15_537_394), 15_537_394).asked,
      [15_537_394, 15_537_393],
    )
  })
})
