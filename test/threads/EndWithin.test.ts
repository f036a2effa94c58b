/** The wait in a finalizer is over in time. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import { endWithin } from "../../src/threads/EndWithin.ts"

describe("the wait for what ends never", () => {
  it.effect("is over in time, in a finalizer and in one of an interrupted fiber", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Scope.extend(
        Effect.addFinalizer(() => endWithin(Effect.never, 1_000)),
        scope,
      )
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      const held = yield* Effect.fork(
        Effect.scoped(
          Effect.zipRight(
            Effect.addFinalizer(() => endWithin(Effect.never, 1_000)),
            Effect.never,
          ),
        ),
      )
      yield* Effect.yieldNow()
      const ending = yield* Effect.fork(Fiber.interrupt(held))
      yield* TestClock.adjust("999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(closing)))
      assert.isTrue(Option.isNone(yield* Fiber.poll(ending)))
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
      yield* Fiber.join(ending)
    }),
  )

  it.effect("is not longer than it takes, and hides how it went", () =>
    Effect.gen(function* () {
      yield* Effect.uninterruptible(endWithin(Effect.fail("no"), 1_000))
      yield* Effect.uninterruptible(endWithin(Effect.succeed("yes"), 1_000))
    }),
  )
})
