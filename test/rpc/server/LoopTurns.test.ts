import { Effect, Fiber } from "effect"
import { assert, describe, it } from "vitest"
import { LoopTurns, ROUNDS_BETWEEN } from "../../../src/rpc/server/LoopTurns.ts"

/** Counts the rounds of Node's loop until it is told to stop. */
const countRounds = () => {
  let rounds = 0
  let counting = true
  const round = (): void => {
    rounds += 1
    if (counting) setImmediate(round)
  }
  setImmediate(round)
  return { rounds: () => rounds, stop: () => (counting = false) }
}

describe("LoopTurns", () => {
  it("lets one go on at a time, in their order, with rounds for others in between", async () => {
    const loop = new LoopTurns()
    const { rounds, stop } = countRounds()
    const went: Array<readonly [number, number]> = []
    const waits = Array.from({ length: 10 }, (_, at) =>
      Effect.map(loop.turn, () => went.push([at, rounds()])),
    )
    await Effect.runPromise(Effect.all(waits, { concurrency: "unbounded" }))
    stop()
    assert.deepEqual(
      went.map(([at]) => at),
      Array.from({ length: 10 }, (_, at) => at),
    )
    for (const [at, [, round]] of went.entries()) {
      if (at > 0) assert.isAtLeast(round - went[at - 1]![1], ROUNDS_BETWEEN)
    }
  })

  it("passes over who waits no longer, and begins again after a pause", async () => {
    const loop = new LoopTurns()
    const went: Array<string> = []
    const wait = (name: string) => Effect.map(loop.turn, () => went.push(name))
    await Effect.runPromise(
      Effect.gen(function* () {
        const left = yield* Effect.fork(wait("left"))
        const stayed = yield* Effect.fork(wait("stayed"))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(left)
        yield* Fiber.join(stayed)
        yield* wait("later")
      }),
    )
    assert.deepEqual(went, ["stayed", "later"])
  })
})
