import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, Fiber, TestClock } from "effect"
import { deadline } from "../../src/wire/Deadline.ts"

/** When a deadline ends for which the link is held in `[from, to]`, in ms; looked at every ms. */
const endOf = (timeoutMs: number, from: number, to: number) =>
  Effect.gen(function* () {
    let nowMs = 0
    const heldMs = () => Math.max(0, Math.min(nowMs, to) - from)
    const fiber = yield* Effect.fork(deadline(timeoutMs, heldMs))
    yield* Effect.yieldNow()
    while (fiber.unsafePoll() === null) {
      nowMs += 1
      yield* TestClock.adjust(1)
    }
    yield* Fiber.join(fiber)
    return nowMs
  })

describe("a deadline", () => {
  it.effect.prop(
    "is later by what it was held back for, four times its length at the most",
    { timeoutMs: fc.integer({ min: 1, max: 20 }), from: fc.nat(30), length: fc.nat(150) },
    ({ timeoutMs, from, length }) =>
      Effect.gen(function* () {
        const end = yield* endOf(timeoutMs, from, from + length)
        const heldWhileItRan = from >= timeoutMs ? 0 : length
        assert.strictEqual(end, timeoutMs + Math.min(heldWhileItRan, 4 * timeoutMs))
      }),
    { fastCheck: { numRuns: 30 } },
  )
})
