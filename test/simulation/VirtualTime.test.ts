import { Clock, Deferred, Effect, Exit, Fiber } from "effect"
import { assert, describe, it } from "vitest"
import { exitOf, VirtualTime } from "./VirtualTime.ts"

const HOUR_MS = 3_600_000

describe("VirtualTime", () => {
  it("jumps from one sleep to the next, in their order, those of one moment as they came", () => {
    const time = new VirtualTime(1_000)
    const order: Array<string> = []
    const sleeper = (name: string, ms: number) =>
      Effect.zipRight(
        Effect.sleep(ms),
        Effect.map(Clock.currentTimeMillis, (nowMs) => order.push(`${name} ${nowMs}`)),
      )
    const exit = exitOf(
      time.fork(
        Effect.all([sleeper("late", HOUR_MS), sleeper("b", 5), sleeper("c", 5), sleeper("a", 1)], {
          concurrency: "unbounded",
        }),
      ),
    )
    assert.strictEqual(
      time.run(() => exit() !== undefined, 2 * HOUR_MS),
      "reached",
    )
    assert.deepStrictEqual(order, ["a 1001", "b 1005", "c 1005", `late ${1_000 + HOUR_MS}`])
    assert.strictEqual(time.fibersLiving, 0)
    assert.strictEqual(time.timersWaiting, 0)
  })

  it("tells that somebody waits for ever", () => {
    const time = new VirtualTime(0)
    const exit = exitOf(
      time.fork(Effect.flatMap(Deferred.make<void>(), (never) => Deferred.await(never))),
    )
    assert.strictEqual(
      time.run(() => exit() !== undefined, HOUR_MS),
      "quiet",
    )
  })

  it("knows the fibers that outlive the program", () => {
    const time = new VirtualTime(0)
    const exit = exitOf(time.fork(Effect.forkDaemon(Effect.sleep(HOUR_MS))))
    assert.strictEqual(
      time.run(() => exit() !== undefined, 10),
      "reached",
    )
    time.run(() => false, 10)
    assert.strictEqual(time.fibersLiving, 1)
    assert.strictEqual(time.timersWaiting, 1)
    time.run(() => false, HOUR_MS)
    assert.strictEqual(time.fibersLiving, 0)
  })

  it("stops at its limit, and goes on from there", () => {
    const time = new VirtualTime(0)
    const exit = exitOf(time.fork(Effect.sleep(100)))
    assert.strictEqual(
      time.run(() => exit() !== undefined, 60),
      "late",
    )
    assert.strictEqual(time.nowMs, 60)
    assert.strictEqual(
      time.run(() => exit() !== undefined, 60),
      "reached",
    )
    assert.strictEqual(time.nowMs, 100)
  })

  it("takes timers back with the fibers that wait for them", () => {
    const time = new VirtualTime(0)
    const exit = exitOf(
      time.fork(
        Effect.gen(function* () {
          const sleeping = yield* Effect.fork(Effect.sleep(HOUR_MS))
          yield* Effect.sleep(1)
          yield* Fiber.interrupt(sleeping)
        }),
      ),
    )
    assert.strictEqual(
      time.run(() => exit() !== undefined, HOUR_MS),
      "reached",
    )
    assert.strictEqual(time.timersWaiting, 0)
    assert.strictEqual(time.nowMs, 1)
  })

  it("runs nothing any more once it is stopped, not even what is due", () => {
    const time = new VirtualTime(0)
    const seen: Array<string> = []
    time.fork(
      Effect.ensuring(
        Effect.sleep(10),
        Effect.sync(() => seen.push("ended")),
      ),
    )
    time.after(5, () => {
      seen.push("killed")
      time.stop()
    })
    time.after(5, () => seen.push("late"))
    assert.strictEqual(
      time.run(() => false, HOUR_MS),
      "stopped",
    )
    assert.deepStrictEqual(seen, ["killed"])
  })

  it("reaches what waits for a promise only where it is told to wait for them", async () => {
    const time = new VirtualTime(0)
    const exit = exitOf(time.fork(Effect.promise(async () => Promise.resolve(7))))
    assert.strictEqual(
      time.run(() => exit() !== undefined, HOUR_MS),
      "quiet",
    )
    assert.strictEqual(await time.runWithPromises(() => exit() !== undefined, HOUR_MS), "reached")
    assert.deepStrictEqual(exit(), Exit.succeed(7))
  })
})
