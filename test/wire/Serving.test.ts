import crypto from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Either, Exit, Fiber, Scope, TestClock } from "effect"
import { encodeBytes, encodeList } from "../../src/domain/rlp.ts"
import { encodeItems } from "../../src/wire/ethMessages.ts"
import { MOST_WAITING_BYTES, REQUEST_BYTES } from "../../src/wire/Serving.ts"
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

/** More requests than may wait for their turn: each weighs {@link REQUEST_BYTES} and its RLP. */
const MORE_THAN_MAY_WAIT = MOST_WAITING_BYTES / REQUEST_BYTES + 10

/** A pair of which ours answers nothing before the gate opens, and theirs has asked so often. */
const besieged = (requests: number, gate: Deferred.Deferred<void>) =>
  Effect.gen(function* () {
    let begun = 0
    const [ours, theirs] = yield* sessionPair(
      {
        onRequest: (_session, { requestId }) =>
          Effect.suspend(() => {
            begun += 1
            return Effect.as(Deferred.await(gate), encodeItems(requestId, []))
          }),
      },
      { onRequest: (_session, { requestId }) => Effect.succeed(encodeItems(requestId, [])) },
    )
    const asking = yield* Effect.fork(
      Effect.all(
        Array.from({ length: requests }, () => theirs.getBlockHeaders(query, 3_600_000)),
        { concurrency: "unbounded" },
      ),
    )
    yield* until(() => begun === 4)
    const asked = yield* Effect.fork(Effect.either(ours.getBlockHeaders(query, 200)))
    yield* until(() => ours.openRequests() === 1)
    // All that comes without time comes now.
    yield* Effect.repeatN(Effect.yieldNow(), 200)
    return { asking, asked, ours }
  })

describe("requests that wait for their turn", () => {
  it.scoped("do not keep the peer's answers back", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { asking, asked } = yield* besieged(100, gate)
      assert.isTrue(Either.isRight(yield* Fiber.join(asked)))
      yield* Deferred.succeed(gate, undefined)
      assert.lengthOf(yield* Fiber.join(asking), 100)
    }),
  )

  it.scoped("keep them back where they are too many, at the cost of the peer's own time", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { asking, asked, ours } = yield* besieged(MORE_THAN_MAY_WAIT, gate)
      assert.strictEqual(ours.openRequests(), 1)
      yield* TestClock.adjust(200)
      const answer = yield* Fiber.join(asked)
      assert.include(Either.isLeft(answer) ? answer.left : {}, { _tag: "Timeout", afterMs: 200 })
      yield* Deferred.succeed(gate, undefined)
      assert.lengthOf(yield* Fiber.join(asking), MORE_THAN_MAY_WAIT)
    }),
  )
})
