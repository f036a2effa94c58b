import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  afterPace,
  afterTrip,
  deadlineMs,
  unknownPace,
  usefulAtOnce,
} from "../../src/fetch/pace.ts"

const alone = (trip: number, elapsedMs: number) => afterTrip(trip, elapsedMs, true)
const behind = (trip: number, elapsedMs: number) => afterTrip(trip, elapsedMs, false)

const positive = fc.integer({ min: 1, max: 60_000 })

describe("how long a peer is waited for", () => {
  it("is four of its answers, never less than the floor and never above a minute", () => {
    const pace = afterPace(unknownPace, 800)
    assert.strictEqual(deadlineMs(pace, 1_000), 3_200)
    assert.strictEqual(deadlineMs(unknownPace, 1_000), 1_000)
    assert.strictEqual(deadlineMs(afterPace(unknownPace, 50_000), 1_000), 60_000)
  })
})

describe("how many requests are of use at once", () => {
  it("is one while nothing is known, and where answers take much longer than a round trip", () => {
    assert.strictEqual(usefulAtOnce(0, { answerMs: 100 }, 4), 1)
    assert.strictEqual(usefulAtOnce(100, unknownPace, 4), 1)
    assert.strictEqual(usefulAtOnce(20, { answerMs: 200 }, 4), 1)
  })

  it("is as many as fill a round trip, the most where an answer is hardly more than one", () => {
    assert.strictEqual(usefulAtOnce(100, { answerMs: 200 }, 4), 2)
    assert.strictEqual(usefulAtOnce(100, { answerMs: 150 }, 4), 3)
    assert.strictEqual(usefulAtOnce(100, { answerMs: 101 }, 4), 4)
    assert.strictEqual(usefulAtOnce(100, { answerMs: 90 }, 4), 4)
  })

  it("keeps a link busy, and asks for no more than one request beyond that", () => {
    fc.assert(
      fc.property(positive, positive, (tripMs, ownMs) => {
        // A link that answers one after the other: with so many under way each takes as long.
        const answerMs = (atOnce: number) => Math.max(tripMs + ownMs, atOnce * ownMs)
        let atOnce = 1
        for (let i = 0; i < 10; i++) {
          atOnce = usefulAtOnce(tripMs, { answerMs: answerMs(atOnce) }, 4)
        }
        const needed = 1 + tripMs / ownMs
        assert.isAtMost(atOnce, Math.ceil(needed))
        assert.isAtLeast(atOnce, Math.min(4, Math.round(needed)) - 1)
      }),
    )
  })

  it("takes the shortest answer for the round trip, and forgets it slowly", () => {
    const trip = [80, 50, 90].reduce(alone, 0)
    assert.closeTo(trip, 50.25, 0.01)
    assert.isAbove(Array.from({ length: 300 }, () => 300).reduce(alone, trip), 200)
  })

  it("takes no answer that waited behind others for a longer way", () => {
    assert.strictEqual(Array.from({ length: 10_000 }, () => 900).reduce(behind, 50), 50)
    assert.strictEqual(afterTrip(50, 40, false), 40)
  })
})
