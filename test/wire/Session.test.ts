import { assert, describe, it } from "@effect/vitest"
import {
  Deferred,
  Effect,
  Either,
  Exit,
  FastCheck as fc,
  Fiber,
  FiberId,
  Scope,
  TestClock,
} from "effect"
import { encodeBytes, encodeList, encodeUint } from "../../src/domain/rlp.ts"
import {
  encodeBlockRangeUpdate,
  encodeItems,
  encodeReceipts,
  ETH,
  type EthRequest,
} from "../../src/wire/ethMessages.ts"
import { ETH_VERSIONS, type EthVersion } from "../../src/wire/hello.ts"
import type { SessionOptions } from "../../src/wire/Session.ts"
import { cutBy, fakeHeader, fakeReceipts, hashOf, sessionPair, statusOf } from "./support.ts"

const query = { start: 7, limit: 3, skip: 0, reverse: false }

/** Answers with what `answer` makes of the request. */
const answering = (
  answer: (request: EthRequest) => Uint8Array | null,
): Pick<SessionOptions, "onRequest"> => ({
  onRequest: (_session, request) => Effect.sync(() => answer(request)),
})

/** Headers 7, 8, 9; bodies and receipts by the first byte of the hash. */
const honest = (version: EthVersion) =>
  answering((request) => {
    if (request._tag === "GetBlockHeaders") {
      const first = typeof request.start === "number" ? request.start : 0
      const headers = Array.from({ length: request.limit }, (_, i) => fakeHeader(first + i))
      return encodeItems(request.requestId, headers)
    }
    const numbers = request.hashes.map((hash) => hash[0]!)
    if (request._tag === "GetBlockBodies") {
      return encodeItems(request.requestId, numbers.map(fakeReceipts))
    }
    const lists = numbers.map((n) => fakeReceipts(n - request.firstBlockReceiptIndex))
    return encodeReceipts(version, request.requestId, lists, true)
  })

/** Lets everything happen that needs no time. */
const settle = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Waits, without the clock, until something holds. */
const until = (holds: () => boolean) =>
  Effect.gen(function* () {
    for (let i = 0; i < 1_000 && !holds(); i++) yield* settle
    assert.isTrue(holds(), "waited in vain")
  })

const failureOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.either(effect), (result) => {
    if (Either.isRight(result)) throw new Error("expected a failure")
    return result.left
  })

/** What a request gets, and how the session ends, when the peer answers with these bytes. */
const outcome = (answer: (request: EthRequest) => Uint8Array) =>
  Effect.gen(function* () {
    const [ours, theirs] = yield* sessionPair({}, answering(answer))
    const bystander = yield* Effect.fork(
      failureOf(ours.getReceipts([hashOf(1)], 0, 60_000).pipe(Effect.zipRight(Effect.never))),
    )
    const error = yield* failureOf(ours.getBlockHeaders(query, 1_000))
    const closed = yield* ours.closed
    const seen = yield* theirs.closed
    yield* Fiber.interrupt(bystander)
    return { error, closed, seen }
  })

describe("a session", () => {
  for (const version of ETH_VERSIONS) {
    it.scoped(`exchanges Status, headers, bodies and receipts on eth/${version}`, () =>
      Effect.gen(function* () {
        const [ours, theirs] = yield* sessionPair({ ethVersions: [version] }, honest(version))
        assert.deepEqual(ours.status, statusOf(version))
        assert.deepEqual([ours.ethVersion, theirs.ethVersion], [version, version])
        assert.deepEqual([ours.inbound, theirs.inbound], [false, true])
        assert.match(ours.peerId, /^[0-9a-f]{128}$/)
        assert.strictEqual(ours.client, "annals/test")
        assert.strictEqual(ours.announcedRange()?.latestBlock, version === 68 ? undefined : 100)

        const { headers, bytes } = yield* ours.getBlockHeaders(query, 1_000)
        assert.deepEqual(
          headers.map((each) => Buffer.from(each)),
          [7, 8, 9].map((n) => Buffer.from(fakeHeader(n))),
        )
        assert.strictEqual(bytes, encodeItems(1n, headers).length)
        const bodies = yield* ours.getBlockBodies([hashOf(4), hashOf(5)], 1_000)
        assert.deepEqual(
          bodies.bodies.map((each) => Buffer.from(each)),
          [4, 5].map((n) => Buffer.from(fakeReceipts(n))),
        )
        const receipts = yield* ours.getReceipts([hashOf(9)], version === 70 ? 2 : 0, 1_000)
        const expected = fakeReceipts(version === 70 ? 7 : 9)
        assert.deepEqual(
          receipts.lists.map((each) => Buffer.from(each)),
          [Buffer.from(expected)],
        )
        assert.strictEqual(receipts.lastBlockIncomplete, version === 70)
      }),
    )
  }

  it.scoped("speaks the highest version that both offer", () =>
    Effect.gen(function* () {
      const [ours] = yield* sessionPair({ ethVersions: [68, 70] }, { ethVersions: [69, 68] })
      assert.strictEqual(ours.ethVersion, 68)
    }),
  )

  it.effect("gives the same answers wherever the bytes are cut", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 }),
          (cuts) =>
            Effect.gen(function* () {
              const [ours] = yield* sessionPair({}, honest(70), { chunk: cutBy(cuts) })
              const { headers } = yield* ours.getBlockHeaders(query, 1_000)
              assert.lengthOf(headers, 3)
              const receipts = yield* ours.getReceipts([hashOf(200)], 0, 1_000)
              assert.isTrue(Buffer.from(receipts.lists[0]!).equals(fakeReceipts(200)))
            }).pipe(Effect.scoped, Effect.runPromise),
        ),
        { numRuns: 25 },
      ),
    ),
  )

  it.scoped("answers with empty lists when nobody serves", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair()
      for (const each of [ours, theirs]) {
        assert.lengthOf((yield* each.getBlockHeaders(query, 1_000)).headers, 0)
        assert.lengthOf((yield* each.getBlockBodies([hashOf(1)], 1_000)).bodies, 0)
        assert.lengthOf((yield* each.getReceipts([hashOf(1)], 0, 1_000)).lists, 0)
      }
    }),
  )

  it.scoped("has several requests open at once and tells their answers apart", () =>
    Effect.gen(function* () {
      const waiting: Array<() => void> = []
      const [ours] = yield* sessionPair(
        {},
        {
          onRequest: (_session, request) =>
            Effect.async((resume) => {
              const start = "start" in request ? Number(request.start) : 0
              waiting.push(() =>
                resume(Effect.succeed(encodeItems(request.requestId, [fakeHeader(start)]))),
              )
            }),
        },
      )
      const fibers = yield* Effect.forEach([1, 2, 3, 4], (start) =>
        Effect.fork(ours.getBlockHeaders({ ...query, start }, 1_000)),
      )
      yield* until(() => waiting.length === 4)
      assert.strictEqual(ours.openRequests(), 4)
      for (const answer of waiting.toReversed()) answer()
      const answers = yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber))
      assert.deepEqual(
        answers.map(({ headers }) => Buffer.from(headers[0]!)),
        [1, 2, 3, 4].map((n) => Buffer.from(fakeHeader(n))),
      )
    }),
  )

  it.scoped("fails a request at its own deadline, and drops and counts the late answer", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const [ours] = yield* sessionPair(
        {},
        {
          onRequest: (_session, request) =>
            Effect.as(Deferred.await(gate), encodeItems(request.requestId, [fakeHeader(1)])),
        },
      )
      const short = yield* Effect.fork(failureOf(ours.getBlockHeaders(query, 200)))
      const long = yield* Effect.fork(ours.getBlockHeaders(query, 10_000))
      yield* until(() => ours.openRequests() === 2)
      yield* TestClock.adjust(200)
      const error = yield* Fiber.join(short)
      assert.include(error, { _tag: "Timeout", what: "headers", afterMs: 200, peerId: ours.peerId })
      assert.strictEqual(ours.openRequests(), 1)
      yield* TestClock.adjust(300)
      yield* Deferred.succeed(gate, undefined)
      const { headers, elapsedMs } = yield* Fiber.join(long)
      assert.lengthOf(headers, 1)
      assert.strictEqual(elapsedMs, 500)
      assert.strictEqual(ours.lateAnswers(), 1)
    }),
  )

  it.scoped("follows what the peer announces", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair()
      const range = { earliestBlock: 5, latestBlock: 900, latestBlockHash: hashOf(9) }
      yield* theirs.sendRaw(ETH.blockRangeUpdate, encodeBlockRangeUpdate(range))
      yield* until(() => ours.announcedRange()?.latestBlock === 900)
      assert.deepEqual(ours.announcedRange(), range)
    }),
  )

  it.scoped("drops gossip without looking at it", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair({}, honest(70))
      for (const code of [1, 2, 7, 8, 10]) yield* theirs.sendRaw(code, Uint8Array.of(1, 2, 3))
      assert.lengthOf((yield* ours.getBlockHeaders(query, 1_000)).headers, 3)
    }),
  )

  it.scoped("answers GetPooledTransactions with an empty list, which is no late answer", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair()
      const before = ours.bytesReceived()
      const request = encodeList([encodeUint(5), encodeList([encodeBytes(hashOf(1))])])
      yield* ours.sendRaw(ETH.getPooledTransactions, request)
      yield* until(() => ours.bytesReceived() > before)
      assert.strictEqual(theirs.openRequests() + ours.lateAnswers(), 0)
    }),
  )
})

describe("a peer that breaks the protocol", () => {
  it.scoped("by more items than asked for is to blame, and loses its session", () =>
    Effect.gen(function* () {
      const four = [1, 2, 3, 4].map((n) => fakeHeader(n))
      const { error, closed, seen } = yield* outcome(({ requestId, _tag }) =>
        _tag === "GetBlockHeaders"
          ? encodeItems(requestId, four)
          : encodeReceipts(70, requestId, []),
      )
      assert.include(error, { _tag: "Malformed", what: "headers" })
      assert.deepInclude(closed, { by: "us", reason: "protocol_error" })
      assert.deepInclude(seen, { by: "peer", reason: "protocol_error" })
    }),
  )

  it.scoped("by broken RLP is to blame", () =>
    Effect.gen(function* () {
      const { error, closed } = yield* outcome(({ requestId, _tag }) =>
        _tag === "GetBlockHeaders" ? Uint8Array.of(0xc5, 1, 2) : encodeReceipts(70, requestId, []),
      )
      assert.include(error, { _tag: "Malformed", what: "headers" })
      assert.strictEqual(closed.reason, "protocol_error")
    }),
  )

  it.scoped("by an answer of the wrong kind is to blame; other requests just fail", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair({}, { onRequest: () => Effect.succeed(null) })
      const headers = yield* Effect.fork(failureOf(ours.getBlockHeaders(query, 1_000)))
      yield* until(() => ours.openRequests() === 1)
      const bodies = yield* Effect.fork(failureOf(ours.getBlockBodies([hashOf(1)], 1_000)))
      yield* until(() => ours.openRequests() === 2)
      yield* theirs.sendRaw(ETH.blockBodies, encodeItems(1n, []))
      assert.include(yield* Fiber.join(headers), { _tag: "Malformed", what: "headers" })
      assert.include(yield* Fiber.join(bodies), { _tag: "Disconnected", reason: "protocol_error" })
      assert.strictEqual(ours.openRequests(), 0)
      const later = yield* failureOf(ours.getBlockHeaders(query, 1_000))
      assert.include(later, { _tag: "Disconnected" })
    }),
  )

  it.scoped("by an answer larger than allowed is refused before it is decompressed", () =>
    Effect.gen(function* () {
      const [ours] = yield* sessionPair(
        { limits: { maxAnswerBytes: 1_000 } },
        answering(({ requestId }) => encodeItems(requestId, [fakeHeader(1, 2_000)])),
      )
      const error = yield* failureOf(ours.getBlockHeaders(query, 1_000))
      assert.include(error, { _tag: "Malformed", what: "headers", reason: "snappy: too_large" })
    }),
  )

  it.scoped("by a second Status, an unknown code or a range upside down loses its session", () =>
    Effect.gen(function* () {
      const upsideDown = { earliestBlock: 9, latestBlock: 8, latestBlockHash: hashOf(1) }
      const messages: Array<[number, Uint8Array]> = [
        [ETH.status, Uint8Array.of(0xc0)],
        [0x0d, Uint8Array.of(0xc0)],
        [0x12, Uint8Array.of(0xc0)],
        [ETH.blockRangeUpdate, encodeBlockRangeUpdate(upsideDown)],
        [ETH.getBlockHeaders, Uint8Array.of(0xc0)],
      ]
      for (const [code, payload] of messages) {
        const [ours, theirs] = yield* sessionPair()
        yield* theirs.sendRaw(code, payload)
        assert.deepInclude(yield* ours.closed, { by: "us", reason: "protocol_error" })
        assert.deepInclude(yield* theirs.closed, { by: "peer", reason: "protocol_error" })
      }
    }),
  )

  it.scoped("by a tampered byte ends the session, and the request fails", () =>
    Effect.gen(function* () {
      let tampering = false
      const silent: Partial<SessionOptions> = { onRequest: () => Effect.never }
      const [ours, theirs] = yield* sessionPair({}, silent, {
        chunk: (bytes) => {
          if (!tampering) return [bytes]
          const altered = Uint8Array.from(bytes)
          altered[altered.length - 20]! ^= 1
          return [altered]
        },
      })
      const request = yield* Effect.fork(failureOf(ours.getBlockHeaders(query, 1_000)))
      yield* until(() => ours.openRequests() === 1)
      tampering = true
      yield* theirs.sendRaw(ETH.newBlock, new Uint8Array(100))
      const error = yield* Fiber.join(request)
      assert.include(error, { _tag: "Malformed", what: "frame", reason: "bad_body_mac" })
      assert.deepInclude(yield* ours.closed, { by: "us", reason: "protocol_error" })
    }),
  )
})

describe("the end of a session", () => {
  it.scoped("by the peer tells its reason and fails what is open at once", () =>
    Effect.gen(function* () {
      const [ours, theirs] = yield* sessionPair({}, { onRequest: () => Effect.never })
      const request = yield* Effect.fork(failureOf(ours.getBlockHeaders(query, 60_000)))
      yield* until(() => ours.openRequests() === 1)
      yield* theirs.disconnect("too_many_peers")
      const error = yield* Fiber.join(request)
      assert.include(error, { _tag: "Disconnected", reason: "too_many_peers" })
      assert.deepInclude(yield* ours.closed, { by: "peer", reason: "too_many_peers" })
      assert.deepInclude(yield* theirs.closed, { by: "us", reason: "too_many_peers" })
    }),
  )

  it.effect("comes with its scope, with a word to the peer", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const [ours, theirs] = yield* Scope.extend(sessionPair(), scope)
      yield* Scope.close(scope, Exit.void)
      const ends = [yield* ours.closed, yield* theirs.closed]
      assert.include(
        ends.map(({ by, reason }) => `${by} ${reason}`),
        "us client_quitting",
      )
    }),
  )

  it.scoped("comes when the peer has been silent for too long, not before", () =>
    Effect.gen(function* () {
      let cut = false
      const patient = { dropSilentAfterMs: 3_600_000 }
      const cutOff = { chunk: (bytes: Uint8Array) => (cut ? [] : [bytes]) }
      const [ours, theirs] = yield* sessionPair({}, patient, cutOff)
      // A minute with pings and pongs changes nothing.
      for (let i = 0; i < 60; i++) {
        yield* TestClock.adjust(1_000)
        yield* settle
      }
      assert.lengthOf((yield* theirs.getBlockHeaders(query, 1_000)).headers, 0)
      cut = true
      const closed = yield* Effect.fork(ours.closed)
      yield* TestClock.adjust(29_000)
      yield* settle
      assert.isNull(closed.unsafePoll())
      yield* TestClock.adjust(1_001)
      assert.include(yield* ours.closed, { by: "us", reason: "ping_timeout", detail: "silent" })
    }),
  )

  it.scoped("does not come while pings are answered, though nothing else is said", () =>
    Effect.gen(function* () {
      const mute = { pingEveryMs: 3_600_000 }
      const [ours, theirs] = yield* sessionPair(mute)
      const before = theirs.bytesReceived()
      // All that is heard from our side is its pongs.
      for (let i = 0; i < 120; i++) {
        yield* TestClock.adjust(1_000)
        yield* settle
      }
      assert.isAbove(theirs.bytesReceived(), before)
      for (const each of [ours, theirs]) {
        assert.lengthOf((yield* each.getBlockHeaders(query, 1_000)).headers, 0)
      }
    }),
  )

  it.scoped("comes when a handler dies, so that nobody waits for its answer", () =>
    Effect.gen(function* () {
      const [ours] = yield* sessionPair({}, { onRequest: () => Effect.die("a bug") })
      const error = yield* failureOf(ours.getBlockHeaders(query, 60_000))
      assert.include(error, { _tag: "Disconnected", reason: "subprotocol_error" })
    }),
  )
})

describe("back-pressure", () => {
  it.scoped("works on four requests at once and reads no further", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const gate = yield* Deferred.make<void>()
      const [ours] = yield* sessionPair(
        {},
        {
          onRequest: (_session, request) =>
            Effect.gen(function* () {
              most = Math.max(most, ++running)
              yield* Deferred.await(gate)
              running -= 1
              return encodeItems(request.requestId, [])
            }),
        },
      )
      const all = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 50 }, () => ours.getBlockHeaders(query, 1_000)),
          { concurrency: "unbounded" },
        ),
      )
      yield* until(() => running === 4)
      yield* settle
      assert.strictEqual(running, 4)
      yield* Deferred.succeed(gate, undefined)
      assert.lengthOf(yield* Fiber.join(all), 50)
      assert.strictEqual(most, 4)
    }),
  )

  it.scoped("takes no further request while the peer does not read its answers", () =>
    Effect.gen(function* () {
      let served = 0
      const delayed: Array<() => void> = []
      let stalled = false
      const [ours] = yield* sessionPair(
        {},
        answering(({ requestId }) => {
          served += 1
          return encodeItems(
            requestId,
            [crypto.getRandomValues(new Uint8Array(20_000))].map((b) =>
              encodeList([encodeBytes(b)]),
            ),
          )
        }),
        {
          highWaterBytes: 10_000,
          schedule: (deliver, bytes) => {
            // Answers are large; they stay in transit.
            if (stalled && bytes > 10_000) delayed.push(deliver)
            else queueMicrotask(deliver)
          },
        },
      )
      stalled = true
      const all = yield* Effect.fork(
        Effect.all(
          [1, 2, 3].map(() => ours.getBlockHeaders(query, 1_000)),
          { concurrency: 3 },
        ),
      )
      yield* until(() => delayed.length > 0)
      yield* settle
      assert.strictEqual(served, 1)
      stalled = false
      for (const deliver of delayed) deliver()
      assert.lengthOf(yield* Fiber.join(all), 3)
      assert.strictEqual(served, 3)
    }),
  )

  it.scoped("asks before a large frame is read, and reads nothing until it is let in", () =>
    Effect.gen(function* () {
      const asked: Array<number> = []
      const gate = Deferred.unsafeMake<void>(FiberId.none)
      const large = encodeList([encodeBytes(crypto.getRandomValues(new Uint8Array(60_000)))])
      const answers = new Map([
        [1, [fakeHeader(1)]],
        [2, [large, large]],
      ])
      const [ours] = yield* sessionPair(
        {
          admitFrame: (size) => {
            asked.push(size)
            return Effect.runPromise(Deferred.await(gate))
          },
        },
        answering((request) =>
          encodeItems(
            request.requestId,
            answers.get("start" in request ? Number(request.start) : 0) ?? [],
          ),
        ),
        { chunk: cutBy([16_384]) },
      )
      assert.lengthOf((yield* ours.getBlockHeaders({ ...query, start: 1 }, 1_000)).headers, 1)
      assert.lengthOf(asked, 0)
      const before = ours.bytesReceived()
      const request = yield* Effect.fork(ours.getBlockHeaders({ ...query, start: 2 }, 1_000))
      yield* until(() => asked.length === 1)
      yield* settle
      assert.isAbove(asked[0]!, 120_000)
      assert.isAtMost(ours.bytesReceived() - before, 2 * 16_384)
      yield* Deferred.succeed(gate, undefined)
      assert.lengthOf((yield* Fiber.join(request)).headers, 2)
    }),
  )
})
