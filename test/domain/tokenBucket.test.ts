import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { fullBucket, reserveToken, takeToken } from "../../src/domain/tokenBucket.ts"

const rates = fc.record({
  perSecond: fc.double({ min: 0.1, max: 100, noNaN: true }),
  burst: fc.integer({ min: 1, max: 50 }),
})

describe("a token bucket", () => {
  it("gives at most its burst and what flows in, whenever it is asked", () => {
    fc.assert(
      fc.property(rates, fc.array(fc.nat({ max: 2_000 }), { maxLength: 200 }), (rate, waits) => {
        let bucket = fullBucket(rate, 1_000)
        let nowMs = 1_000
        let given = 0
        for (const wait of waits) {
          nowMs += wait
          const step = takeToken(rate, bucket, nowMs)
          bucket = step.bucket
          if (step.taken) given += 1
          const most = rate.burst + (rate.perSecond * (nowMs - 1_000)) / 1000
          assert.isAtMost(given, most + 1e-6)
        }
      }),
    )
  })

  it("never refuses who asks no more often than it fills", () => {
    fc.assert(
      fc.property(rates, fc.integer({ min: 1, max: 100 }), (rate, times) => {
        let bucket = fullBucket(rate, 0)
        const everyMs = Math.ceil(1000 / rate.perSecond) + 1
        for (let i = 1; i <= times; i++) {
          const step = takeToken(rate, bucket, i * everyMs)
          assert.isTrue(step.taken)
          bucket = step.bucket
        }
      }),
    )
  })

  it("gives its burst at once and not one more", () => {
    const rate = { perSecond: 10, burst: 3 }
    let bucket = fullBucket(rate, 0)
    const taken = [0, 0, 0, 0, 50, 100].map((nowMs) => {
      const step = takeToken(rate, bucket, nowMs)
      bucket = step.bucket
      return step.taken
    })
    assert.deepEqual(taken, [true, true, true, false, false, true])
  })

  it("lets one wait for tokens to come, and those come no faster than it fills", () => {
    fc.assert(
      fc.property(rates, fc.array(fc.nat({ max: 500 }), { maxLength: 200 }), (rate, waits) => {
        let bucket = fullBucket(rate, 0)
        let nowMs = 0
        const dueMs: Array<number> = []
        for (const wait of waits) {
          nowMs += wait
          const step = reserveToken(rate, bucket, nowMs, 2_000)
          bucket = step.bucket
          if (step.waitMs === undefined) continue
          assert.isAtMost(step.waitMs, 2_000)
          dueMs.push(nowMs + step.waitMs)
        }
        dueMs.forEach((due, index) => {
          assert.isAtMost(index + 1, rate.burst + (rate.perSecond * due) / 1000 + 1e-6)
        })
      }),
    )
  })
})
