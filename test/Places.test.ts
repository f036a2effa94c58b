import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, FastCheck as fc, Fiber, Scheduler, TestClock } from "effect"
import { makePlaces } from "../src/Places.ts"

/** Somebody who comes at a time, works for a while, and is interrupted at a time, all in ms. */
const visitor = fc.record({
  comesMs: fc.nat(8),
  worksMs: fc.nat(5),
  leavesMs: fc.option(fc.nat(12)),
})

const settle = Effect.repeatN(Effect.yieldNow(), 5)

describe("places", () => {
  it.effect.prop(
    "are taken in the order of arrival, never too many, and none is lost, whoever is interrupted",
    { count: fc.integer({ min: 1, max: 4 }), visitors: fc.array(visitor, { maxLength: 12 }) },
    ({ count, visitors }) =>
      Effect.gen(function* () {
        const places = makePlaces(count)
        const came: Array<number> = []
        const began: Array<number> = []
        let working = 0
        let most = 0
        const work = (nth: number, worksMs: number) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              began.push(nth)
              most = Math.max(most, ++working)
            }),
            () => Effect.sleep(worksMs),
            () => Effect.sync(() => void (working -= 1)),
          )
        const fibers = yield* Effect.forEach(visitors, ({ comesMs, worksMs, leavesMs }, nth) =>
          Effect.gen(function* () {
            yield* Effect.sleep(comesMs)
            const visit = Effect.suspend(() => {
              came.push(nth)
              return places.within(work(nth, worksMs))
            })
            if (leavesMs === null) return yield* visit
            const visiting = yield* Effect.fork(visit)
            yield* Effect.sleep(leavesMs)
            yield* Fiber.interrupt(visiting)
          }).pipe(Effect.fork),
        )
        while (fibers.some((fiber) => fiber.unsafePoll() === null)) yield* TestClock.adjust(1)
        yield* Effect.forEach(fibers, Fiber.await)
        assert.isAtMost(most, count)
        assert.strictEqual(working, 0)
        assert.strictEqual(places.waiting(), 0)
        const inOrder = came.filter((nth) => began.includes(nth))
        assert.deepStrictEqual(began, inOrder)
        for (const [nth, { leavesMs }] of visitors.entries()) {
          if (leavesMs === null) assert.include(began, nth)
        }
        // All of them are free again.
        const gate = yield* Deferred.make<void>()
        const again = yield* Effect.forEach(Array.from({ length: count + 1 }), () =>
          Effect.fork(places.within(Deferred.await(gate))),
        )
        yield* settle
        assert.strictEqual(places.waiting(), 1)
        yield* Deferred.succeed(gate, undefined)
        yield* Effect.forEach(again, Fiber.join)
      }),
    { fastCheck: { numRuns: 25 } },
  )

  it.effect("go on from who is interrupted in the instant in which it got one", () =>
    Effect.gen(function* () {
      const places = makePlaces(1)
      const gate = yield* Deferred.make<void>()
      const first = yield* Effect.fork(places.within(Deferred.await(gate)))
      yield* settle
      let worked = false
      const second = yield* Effect.fork(places.within(Effect.sync(() => (worked = true))))
      const third = yield* Effect.fork(places.within(Effect.succeed("third")))
      yield* settle
      // The place is handed on and its new owner interrupted before that one runs again.
      first.addObserver(() => second.unsafeInterruptAsFork(second.id()))
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(third), "third")
      yield* Fiber.await(second)
      assert.isFalse(worked)
      assert.strictEqual(places.waiting(), 0)
    }),
  )

  it.live("are not lost with who is interrupted between any two of its steps", () =>
    Effect.gen(function* () {
      for (let nth = 1; nth <= 30; nth++) {
        const places = makePlaces(1)
        let steps = 0
        let visiting: Fiber.RuntimeFiber<void> | undefined
        const interrupting: Scheduler.Scheduler = {
          scheduleTask: (task, priority, fiber) =>
            Scheduler.defaultScheduler.scheduleTask(task, priority, fiber),
          shouldYield: (fiber) => {
            if (fiber !== visiting || ++steps !== nth) return false
            visiting.unsafeInterruptAsFork(fiber.id())
            return 0
          },
        }
        const visit = Effect.withScheduler(places.within(Effect.yieldNow()), interrupting)
        visiting = yield* Effect.fork(visit)
        yield* Fiber.await(visiting)
        yield* places.within(Effect.void)
        assert.strictEqual(places.waiting(), 0)
      }
    }).pipe(Effect.timeout("5 seconds")),
  )

  it.effect("wake nobody but who has one, were it one of a thousand", () =>
    Effect.gen(function* () {
      const visitors = 1_000
      let steps = 0
      const counting: Scheduler.Scheduler = {
        shouldYield: (fiber) => Scheduler.defaultScheduler.shouldYield(fiber),
        scheduleTask: (task, priority, fiber) => {
          steps += 1
          Scheduler.defaultScheduler.scheduleTask(task, priority, fiber)
        },
      }
      const places = makePlaces(2)
      let worked = 0
      const work = Effect.zipRight(
        Effect.yieldNow(),
        Effect.sync(() => (worked += 1)),
      )
      yield* Effect.withScheduler(
        Effect.forEach(Array.from({ length: visitors }), () => places.within(work), {
          concurrency: "unbounded",
          discard: true,
        }),
        counting,
      )
      assert.strictEqual(worked, visitors)
      assert.isBelow(steps, 10 * visitors)
    }),
  )
})
