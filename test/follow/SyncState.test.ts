import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as TestClock from "effect/TestClock"
import { SyncState } from "../../src/follow/SyncState.ts"

describe("how a sync stands", () => {
  it.effect("says how far behind it is, and since when that lasts", () =>
    Effect.gen(function* () {
      const state = yield* SyncState
      assert.deepStrictEqual(state.report(), {
        phase: "starting",
        startBlock: 10,
        targetBlock: undefined,
        headBlock: undefined,
        blocksBehind: undefined,
        behindSinceMs: undefined,
        reorgs: 0,
        stalled: undefined,
      })
      yield* TestClock.setTime(1_000)
      yield* state.update({ phase: "following", headBlock: 12 })
      assert.strictEqual(state.report().blocksBehind, 3)
      assert.strictEqual(state.report().behindSinceMs, 1_000)
      yield* TestClock.setTime(2_000)
      yield* state.update({ storedBlock: 11 })
      assert.strictEqual(state.report().blocksBehind, 1)
      assert.strictEqual(state.report().behindSinceMs, 1_000)
      yield* state.update({ storedBlock: 12 })
      assert.strictEqual(state.report().blocksBehind, 0)
      assert.isUndefined(state.report().behindSinceMs)
      yield* TestClock.setTime(3_000)
      yield* state.update({ headBlock: 13, reorgs: 1 })
      assert.strictEqual(state.report().behindSinceMs, 3_000)
      assert.strictEqual(state.report().reorgs, 1)
    }).pipe(Effect.provide(SyncState.layer(10))),
  )

  it.effect("is not behind a head that is lower than what is stored", () =>
    Effect.gen(function* () {
      const state = yield* SyncState
      yield* state.update({ headBlock: 5, storedBlock: 9 })
      assert.strictEqual(state.report().blocksBehind, 0)
      assert.isUndefined(state.report().behindSinceMs)
    }).pipe(Effect.provide(SyncState.layer(0))),
  )
})
