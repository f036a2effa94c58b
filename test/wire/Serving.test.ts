import crypto from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { encodeBytes, encodeList } from "../../src/domain/rlp.ts"
import { encodeItems } from "../../src/wire/ethMessages.ts"
import { sessionPair } from "./support.ts"

const query = { start: 1, limit: 1, skip: 0, reverse: false }
const ITEM_BYTES = 20_000

/** A pair of which one serves large answers, that stay in transit while `stalled`. */
const stalling = () => {
  const unsent = { bytes: 0 }
  const delayed: Array<() => void> = []
  const item = encodeList([encodeBytes(crypto.randomBytes(ITEM_BYTES))])
  const pair = sessionPair(
    {},
    {
      unsentAnswers: unsent,
      onRequest: (_session, { requestId }) => Effect.succeed(encodeItems(requestId, [item])),
    },
    {
      highWaterBytes: 10_000,
      schedule: (deliver, bytes) => {
        if (bytes > 10_000) delayed.push(deliver)
        else queueMicrotask(deliver)
      },
    },
  )
  return { unsent, delayed, pair }
}

const until = (holds: () => boolean) =>
  Effect.repeat(Effect.yieldNow(), { until: holds, times: 10_000 })

describe("answers that a peer does not take", () => {
  it.scoped("are booked until it takes them", () =>
    Effect.gen(function* () {
      const { unsent, delayed, pair } = stalling()
      const [ours] = yield* pair
      const asked = yield* Effect.fork(ours.getBlockHeaders(query, 1_000))
      yield* until(() => unsent.bytes > 0)
      assert.isAtLeast(unsent.bytes, ITEM_BYTES)
      for (const deliver of delayed) deliver()
      yield* asked
      yield* until(() => unsent.bytes === 0)
      assert.strictEqual(unsent.bytes, 0)
    }),
  )

  it.effect("are booked no longer than the session lasts", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { unsent, pair } = stalling()
      const [ours] = yield* Scope.extend(pair, scope)
      yield* Effect.fork(ours.getBlockHeaders(query, 1_000))
      yield* until(() => unsent.bytes > 0)
      assert.isAbove(unsent.bytes, 0)
      yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* until(() => unsent.bytes === 0)
      assert.strictEqual(unsent.bytes, 0)
    }),
  )
})
