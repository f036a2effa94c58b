import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { Histogram } from "../../src/observe/histogram.ts"

describe("Histogram", () => {
  it("is exact where all values are equal", () => {
    const histogram = new Histogram()
    for (let i = 0; i < 1_000; i++) histogram.record(47.125)
    assert.deepStrictEqual(histogram.percentiles(), { p50: 47.125, p95: 47.125, p99: 47.125 })
  })

  it("gives nothing as zero", () => {
    assert.deepStrictEqual(new Histogram().percentiles(), { p50: 0, p95: 0, p99: 0 })
  })

  it("is within one per cent of the nearest rank of the sorted values", () => {
    const value = fc.double({ min: 0.01, max: 10_000_000, noNaN: true })
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 300 }),
        fc.constantFrom(0.5, 0.95, 0.99, 1),
        (values, q) => {
          const histogram = new Histogram()
          for (const each of values) histogram.record(each)
          const sorted = [...values].sort((a, b) => a - b)
          const exact = sorted[Math.max(1, Math.ceil(q * values.length)) - 1]!
          assert.isAtMost(Math.abs(histogram.quantile(q) - exact) / exact, 0.01)
        },
      ),
    )
  })
})
