import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { afterAnswer, nextQuestion, startHeadSearch } from "../../src/peers/headSearch.ts"

/** Plays the search against a peer that serves 0 to `head` (-1: nothing). */
const search = (head: number, hint: number): { served: number; questions: number } => {
  let state = startHeadSearch(hint)
  for (let questions = 0; ; questions++) {
    const block = nextQuestion(state)
    if (block === undefined) return { served: state.served, questions }
    assert.isTrue(Number.isSafeInteger(block) && block >= 0)
    state = afterAnswer(state, block, block <= head)
  }
}

const height = fc.oneof(fc.nat(1_000), fc.nat(30_000_000), fc.maxSafeNat())

describe("headSearch", () => {
  it("finds the head whatever was announced", () => {
    fc.assert(
      fc.property(height, height, (head, hint) => {
        assert.strictEqual(search(head, hint).served, head)
      }),
    )
  })

  it("needs two questions when the announcement is right", () => {
    fc.assert(
      fc.property(fc.nat(30_000_000), (head) => {
        assert.strictEqual(search(head, head).questions, 2)
      }),
    )
  })

  it("needs about twice the logarithm of the distance at most", () => {
    fc.assert(
      fc.property(height, height, (head, hint) => {
        const most = 2 * Math.ceil(Math.log2(Math.abs(head - hint) + 2)) + 3
        assert.isAtMost(search(head, hint).questions, most)
      }),
    )
  })

  it("finds that a peer serves nothing, not even genesis", () => {
    fc.assert(
      fc.property(height, (hint) => {
        assert.strictEqual(search(-1, hint).served, -1)
      }),
    )
  })
})
