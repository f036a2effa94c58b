/** What a session lets a peer do, and where that ends: each limit from both sides. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Either, Fiber, TestClock } from "effect"
import { encodeBytes, encodeList, encodeUint } from "../../src/domain/rlp.ts"
import type { Breach } from "../../src/wire/breach.ts"
import {
  encodeBlockRangeUpdate,
  encodeGetBlockBodies,
  encodeItems,
  ETH,
  readAnswer,
  beginItems,
} from "../../src/wire/ethMessages.ts"
import { defaultLimits, SLOWEST_BYTES_PER_SECOND } from "../../src/wire/limits.ts"
import type { Session, SessionOptions } from "../../src/wire/Session.ts"
import { UnfinishedFrames } from "../../src/wire/unfinishedFrames.ts"
import { fakeHeader, hashOf, sessionPair } from "./support.ts"

const query = { start: 7, limit: 3, skip: 0, reverse: false }
const never: Partial<SessionOptions> = { onRequest: () => Effect.never }

const settle = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
const until = (holds: () => boolean) =>
  Effect.gen(function* () {
    for (let i = 0; i < 1_000 && !holds(); i++) yield* settle
    assert.isTrue(holds(), "waited in vain")
  })

/** How our side ends when the other sends these messages. */
const endAfter = (messages: ReadonlyArray<readonly [number, Uint8Array]>) =>
  Effect.gen(function* () {
    const [ours, theirs] = yield* sessionPair({}, never)
    for (const [code, payload] of messages) yield* theirs.sendRaw(code, payload)
    return yield* ours.closed
  })

const isOpen = (session: Session) =>
  Effect.map(Effect.timeoutOption(Effect.fork(session.closed), 0), () => session).pipe(
    Effect.flatMap(({ getBlockHeaders }) => Effect.either(getBlockHeaders(query, 1_000))),
    Effect.map(Either.isRight),
  )

describe("messages that nobody asked for", () => {
  const range = { earliestBlock: 0, latestBlock: 9, latestBlockHash: hashOf(1) }
  const floods: ReadonlyArray<readonly [string, number, number, Uint8Array]> = [
    ["gossip", ETH.newPooledTransactionHashes, defaultLimits.gossip.burst, Uint8Array.of(0xc0)],
    [
      "announcements",
      ETH.blockRangeUpdate,
      defaultLimits.announcements.burst,
      encodeBlockRangeUpdate(range),
    ],
    [
      "requests for transactions",
      ETH.getPooledTransactions,
      defaultLimits.poolRequests.burst,
      encodeGetBlockBodies(1n, [hashOf(1)]),
    ],
  ]
  for (const [what, code, burst, payload] of floods) {
    it.scoped(`${what}: as many as a session may are let in, one more is a flood`, () =>
      Effect.gen(function* () {
        const [ours, theirs] = yield* sessionPair({}, {})
        for (let i = 0; i < burst; i++) {
          yield* theirs.sendRaw(code, payload)
          // The other side is kept from waiting for room.
          if (i % 100 === 99) yield* settle
        }
        assert.isTrue(yield* isOpen(ours))
        yield* theirs.sendRaw(code, payload)
        const closed = yield* ours.closed
        assert.deepInclude(closed, { by: "us", reason: "protocol_error", breach: "flood" })
      }),
    )
  }

  it.scoped("at the rate of a busy network go on for ever", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair({}, {})
      for (let second = 0; second < 100; second++) {
        for (let i = 0; i < 50; i++) {
          yield* theirs.sendRaw(ETH.newPooledTransactionHashes, Uint8Array.of(0xc0))
        }
        yield* settle
        yield* TestClock.adjust("1 second")
      }
      assert.isTrue(yield* isOpen(ours))
    }),
  )

  it.scoped("leave the requests that are under way without blame when they are too many", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair(
        { limits: { gossip: { perSecond: 1, burst: 3 } } },
        never,
      )
      const asked = yield* Effect.fork(Effect.flip(ours.getBlockHeaders(query, 60_000)))
      yield* until(() => ours.openRequests() === 1)
      for (let i = 0; i < 4; i++) yield* theirs.sendRaw(ETH.transactions, Uint8Array.of(0xc0))
      assert.include(yield* Fiber.join(asked), { _tag: "Disconnected", reason: "protocol_error" })
    }),
  )
})

const breach = (breach: Breach) => ({ by: "us", reason: "protocol_error", breach }) as const

describe("a message's size", () => {
  it.scoped("is bounded where it answers nothing, and not by that where it does", () =>
    Effect.gen(function* () {
      const large = crypto.getRandomValues(new Uint8Array(65_536))
      const body = encodeList(Array.from({ length: 48 }, () => encodeBytes(large)))
      const bodies = Effect.sync(() => encodeItems(1n, [body]))
      const [ours, theirs] = yield* sessionPair({}, { onRequest: () => bodies })
      assert.isAbove(body.length, defaultLimits.maxGossipBytes)
      // Compressed to half and less: only a frame that stays large is too large.
      assert.lengthOf((yield* ours.getBlockBodies([hashOf(1)], 10_000)).bodies, 1)
      const gossip = new Uint8Array(defaultLimits.maxGossipBytes + 65_536)
      for (let at = 0; at < gossip.length; at += 65_536)
        crypto.getRandomValues(gossip.subarray(at, at + 65_536))
      yield* theirs.sendRaw(ETH.newBlock, gossip)
      assert.deepInclude(yield* ours.closed, breach("frame_too_large"))
    }),
  )

  it.scoped("is that of the headers asked for, where headers were", () =>
    Effect.gen(function* () {
      const [ours] = yield* sessionPair(
        {},
        { onRequest: () => Effect.succeed(encodeItems(1n, [fakeHeader(1, 600_000)])) },
      )
      const error = yield* Effect.flip(ours.getBlockHeaders({ ...query, limit: 1 }, 1_000))
      assert.include(error, { _tag: "Malformed", what: "headers", reason: "snappy: too_large" })
      assert.deepInclude(yield* ours.closed, breach("message_too_large"))
    }),
  )

  it.scoped("is small for a ping", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair({}, never)
      // Codes of the base protocol lie below those of eth, which are counted from 16.
      yield* theirs.sendRaw(0x02 - 0x10, new Uint8Array(100_000))
      assert.deepInclude(yield* ours.closed, breach("message_too_large"))
    }),
  )

  it.scoped("is small for a request of ours to answer", () =>
    Effect.gen(function* () {
      const hashes = Array.from({ length: 4_096 }, () => hashOf(1))
      const closed = yield* endAfter([[ETH.getBlockBodies, encodeGetBlockBodies(1n, hashes)]])
      assert.deepInclude(closed, breach("message_too_large"))
    }),
  )

  it("of an answer with more items than asked for is never unpacked", () => {
    const payload = encodeList([encodeUint(1), encodeList([new Uint8Array(1_000_000).fill(0xc0)])])
    const before = process.memoryUsage().heapUsed
    assert.throws(() => readAnswer(beginItems(payload), 128), /more items than asked for/)
    assert.isBelow(process.memoryUsage().heapUsed - before, 2_000_000)
    assert.lengthOf(readAnswer(beginItems(encodeItems(1n, [Uint8Array.of(0xc0)])), 1).items, 1)
  })
})

/** A peer that answers, and whose large answer is let in only when the gate opens. */
const heldBack = (gate: Deferred.Deferred<void>) =>
  Effect.gen(function* () {
    const half = encodeBytes(crypto.getRandomValues(new Uint8Array(60_000)))
    const large = encodeList([half, encodeBytes(half)])
    const [ours] = yield* sessionPair(
      {
        pingEveryMs: 3_600_000,
        dropSilentAfterMs: 3_600_000,
        admitFrame: () => Effect.runPromise(Deferred.await(gate)),
      },
      { onRequest: () => Effect.succeed(encodeItems(1n, [large])) },
    )
    const asked = yield* Effect.fork(Effect.either(ours.getBlockBodies([hashOf(1)], 200)))
    yield* until(() => ours.openRequests() === 1)
    for (let i = 0; i < 50; i++) yield* settle
    return asked
  })

describe("the time of a request", () => {
  it.scoped("does not run while we read nothing", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const asked = yield* heldBack(gate)
      yield* TestClock.adjust(500)
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue(Either.isRight(yield* Fiber.join(asked)))
    }),
  )

  it.scoped("is over in the end, though we still read nothing", () =>
    Effect.gen(function* () {
      const asked = yield* heldBack(yield* Deferred.make<void>())
      yield* TestClock.adjust(1_001)
      const answer = yield* Fiber.join(asked)
      assert.include(Either.isLeft(answer) ? answer.left : {}, { _tag: "Timeout", afterMs: 200 })
    }),
  )
})

describe("an answer that nobody waits for", () => {
  it.scoped("ends the session where it was never asked for", () =>
    Effect.gen(function* () {
      const closed = yield* endAfter([[ETH.blockBodies, encodeItems(77n, [])]])
      assert.deepInclude(closed, { by: "us", breach: "unasked_answer" })
    }),
  )

  it.scoped("is dropped once where it comes too late, and is a breach when it comes again", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const late = Effect.as(Deferred.await(gate), encodeItems(1n, [fakeHeader(1)]))
      const [ours, theirs] = yield* sessionPair({}, { onRequest: () => late })
      const asked = yield* Effect.fork(Effect.flip(ours.getBlockHeaders(query, 200)))
      yield* until(() => ours.openRequests() === 1)
      yield* TestClock.adjust(200)
      assert.include(yield* Fiber.join(asked), { _tag: "Timeout" })
      yield* Deferred.succeed(gate, undefined)
      yield* until(() => ours.lateAnswers() === 1)
      yield* theirs.sendRaw(ETH.blockHeaders, encodeItems(1n, [fakeHeader(1)]))
      assert.deepInclude(yield* ours.closed, { by: "us", breach: "unasked_answer" })
    }),
  )
})

describe("a frame that does not come to its end", () => {
  const quiet = { pingEveryMs: 3_600_000, dropSilentAfterMs: 3_600_000 }

  /**
   * Two sessions; the second has sent the first 100,000 bytes of a frame of almost 200,000. The rest
   * comes byte by byte, one with each call of `drip`.
   */
  const dripping = (options: Partial<SessionOptions> = {}) =>
    Effect.gen(function* () {
      const rest: Array<() => void> = []
      let dribbling = false
      const [ours, theirs] = yield* sessionPair({ pingEveryMs: 3_600_000, ...options }, quiet, {
        chunk: (bytes) => {
          dribbling = bytes.length > 150_000
          if (!dribbling) return [bytes]
          const bytesOfRest = Array.from(bytes.subarray(100_000, 100_100), (byte) =>
            Uint8Array.of(byte),
          )
          return [bytes.subarray(0, 100_000), ...bytesOfRest]
        },
        schedule: (deliver, bytes) => {
          if (dribbling && bytes === 1) rest.push(deliver)
          else queueMicrotask(deliver)
        },
      })
      const message = crypto.getRandomValues(new Uint8Array(65_536))
      const parts = [message, message.map((byte) => byte ^ 1), message.map((byte) => byte ^ 2)]
      yield* theirs.sendRaw(ETH.newBlock, Buffer.concat(parts))
      yield* settle
      return { ours, drip: Effect.sync(() => rest.shift()!()) }
    })

  it.scoped("ends the session after its patience and the time at the slowest rate", () =>
    Effect.gen(function* () {
      const { ours, drip } = yield* dripping()
      const closed = yield* Effect.fork(ours.closed)
      // Random bytes: snappy adds a little to them.
      const dueMs = 30_000 + (3 * 65_536 * 1000) / SLOWEST_BYTES_PER_SECOND
      const pass = Effect.gen(function* () {
        yield* TestClock.adjust(3_000)
        yield* drip
        yield* settle
      })
      for (let ms = 3_000; ms < dueMs; ms += 3_000) yield* pass
      assert.isNull(closed.unsafePoll())
      yield* pass
      yield* pass
      const end = yield* Fiber.join(closed)
      assert.deepInclude(end, { by: "us", reason: "protocol_error", breach: "slow_frame" })
      assert.match(end.detail, /^1000\d\d bytes of a frame/)
    }),
  )

  it.scoped("is not held against the peer while we do not read", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { ours } = yield* dripping({
        admitFrame: () => Effect.runPromise(Deferred.await(gate)),
      })
      yield* TestClock.adjust("5 minutes")
      yield* settle
      yield* Deferred.succeed(gate, undefined)
      yield* settle
      const end = yield* Effect.timeoutOption(ours.closed, 20_000).pipe(Effect.fork)
      yield* TestClock.adjust(20_000)
      assert.strictEqual((yield* Fiber.join(end))._tag, "None")
    }),
  )

  it.scoped("is given up where all that are under way weigh too much", () =>
    Effect.gen(function* () {
      const unfinishedFrames = new UnfinishedFrames(250_000)
      const sessions = [
        yield* dripping({ unfinishedFrames }),
        yield* dripping({ unfinishedFrames }),
        yield* dripping({ unfinishedFrames }),
      ]
      const ends = yield* Effect.raceAll(sessions.map(({ ours }) => ours.closed))
      assert.deepInclude(ends, { by: "us", breach: "slow_frame" })
      assert.isAtMost(unfinishedFrames.bytes, 250_000)
    }),
  )
})
