import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { afterBatch, overdueAfterMs } from "../../src/fetch/overdue.ts"

describe("when a batch is overdue", () => {
  it("is not said before one was through", () => {
    assert.isUndefined(overdueAfterMs(0))
  })

  it("is after three times as long as usual, and never within a second", () => {
    assert.strictEqual(overdueAfterMs(afterBatch(0, 500)), 1_500)
    assert.strictEqual(overdueAfterMs(afterBatch(0, 20)), 1_000)
    assert.strictEqual(overdueAfterMs(afterBatch(0, 0)), 1_000)
  })

  it("follows what batches take, and one slow batch moves it little", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), (tookMs) => {
        let usualMs = 0
        for (let i = 0; i < 100; i++) usualMs = afterBatch(usualMs, tookMs)
        assert.closeTo(usualMs, tookMs, tookMs / 100)
        assert.isAtMost(afterBatch(usualMs, 5 * tookMs), 1.5 * tookMs)
      }),
    )
  })
})
