import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  afterSizes,
  planRequests,
  predictBytes,
  type SizeEstimate,
  unknownSize,
} from "../../src/fetch/sizing.ts"

const gas = fc.integer({ min: 0, max: 60_000_000 })
const estimate = fc.record({ bytesPerGas: fc.double({ min: 0, max: 1, noNaN: true }) })
const bounds = fc.record({
  targetBytes: fc.integer({ min: 1, max: 4_000_000 }),
  mostBlocks: fc.integer({ min: 1, max: 128 }),
})

describe("sizing", () => {
  it("puts every block into exactly one request, none of them empty or too long", () => {
    fc.assert(
      fc.property(fc.array(gas, { maxLength: 200 }), estimate, bounds, (blocks, guess, limits) => {
        const counts = planRequests(blocks, guess, limits)
        assert.strictEqual(
          counts.reduce((sum, count) => sum + count, 0),
          blocks.length,
        )
        for (const count of counts) {
          assert.isAtLeast(count, 1)
          assert.isAtMost(count, limits.mostBlocks)
        }
      }),
    )
  })

  it("asks for more than the target only in a request of one block", () => {
    fc.assert(
      fc.property(fc.array(gas, { maxLength: 200 }), estimate, bounds, (blocks, guess, limits) => {
        let at = 0
        for (const count of planRequests(blocks, guess, limits)) {
          const weights = blocks.slice(at, at + count).map((each) => predictBytes(guess, each))
          at += count
          const sum = weights.reduce((total, weight) => total + weight, 0)
          assert.isTrue(count === 1 || sum <= limits.targetBytes)
        }
      }),
    )
  })

  it("believes a heavy answer at once and comes down to light ones by and by", () => {
    const heavy = afterSizes({ bytesPerGas: 0.01 }, 3_000_000, 100_000_000)
    assert.strictEqual(heavy.bytesPerGas, 0.03)
    let estimate: SizeEstimate = heavy
    for (let i = 0; i < 30; i++) estimate = afterSizes(estimate, 500_000, 100_000_000)
    assert.approximately(estimate.bytesPerGas, 0.005, 0.0001)
  })

  it("learns nothing from blocks without gas", () => {
    assert.strictEqual(afterSizes(unknownSize, 1_000, 0), unknownSize)
  })
})
