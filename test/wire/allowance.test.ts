import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { Allowance } from "../../src/wire/allowance.ts"

describe("an allowance", () => {
  it("never grants more than its burst and what has grown since", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 100 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 1, max: 50 }))),
        (perSecond, burst, steps) => {
          const allowance = new Allowance({ perSecond, burst }, 0)
          let nowMs = 0
          let granted = 0
          for (const [ms, amount] of steps) {
            nowMs += ms
            if (allowance.take(amount, nowMs)) granted += amount
            assert.isAtMost(granted, burst + (perSecond * nowMs) / 1000 + 1e-6)
          }
        },
      ),
    )
  })

  it("grants as much as before where the clock was set back, and no more", () => {
    const allowance = new Allowance({ perSecond: 10, burst: 5 }, 100_000)
    assert.isTrue(allowance.take(4, 100_000))
    assert.isTrue(allowance.take(1, 10_000))
    assert.isFalse(allowance.take(1, 10_000))
    assert.isTrue(allowance.take(1, 10_100))
  })

  it("takes nothing where it refuses, and fills up again", () => {
    const allowance = new Allowance({ perSecond: 2, burst: 5 }, 0)
    assert.isFalse(allowance.take(6, 0))
    assert.isTrue(allowance.take(5, 0))
    assert.isFalse(allowance.take(1, 499))
    assert.isTrue(allowance.take(1, 500))
    assert.isFalse(allowance.take(6, 3_600_000))
    assert.isTrue(allowance.take(5, 3_600_000))
  })
})
