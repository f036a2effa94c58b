import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, FastCheck as fc, Fiber, Layer, Option, Runtime, TestClock } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import { answerItems, encodeAnswer, sourceOf } from "../../src/devnet/answers.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { type AnswerOptions, HistoryAnswers } from "../../src/serving/HistoryAnswers.ts"
import {
  HistoryReader,
  type HistoryReaderShape,
  HistoryUnavailable,
} from "../../src/serving/HistoryReader.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { decodeItems, type EthRequest } from "../../src/wire/ethMessages.ts"
import type { EthVersion } from "../../src/wire/hello.ts"
import type { Session } from "../../src/wire/Session.ts"
import { fakePeer } from "../support/FakePeer.ts"
import { fakeSession } from "../support/fakeSession.ts"
import { arbitraryQuestion } from "./arbitraryRequest.ts"
import { chain, measured, spec } from "./support.ts"

const range = { from: chain.firstBlock, to: chain.lastBlock }

const session = (ethVersion: EthVersion = 69): Effect.Effect<Session> =>
  fakeSession(fakePeer({ name: "them", served: chain, latencyMs: 1, ethVersion }), () => range)

const layerOver = (
  reader: Layer.Layer<HistoryReader>,
  options: Partial<AnswerOptions> = {},
): Layer.Layer<HistoryAnswers | OurHead | Stats> =>
  HistoryAnswers.layerWith(options).pipe(
    Layer.provide(reader),
    Layer.provideMerge(Stats.layer),
    Layer.provideMerge(Layer.provide(OurHead.layer, Chain.layer(spec))),
  )

const whole = HistoryReader.layerMemory(sourceOf(chain), [[range.from, range.to]])

/** A reader whose bodies take their time, or do not come. */
const readerWith = (bodies: HistoryReaderShape["bodies"]) =>
  Layer.effect(
    HistoryReader,
    Effect.map(HistoryReader, (reader) => ({ ...reader, bodies })),
  ).pipe(Layer.provide(HistoryReader.layerNone))

const bodiesRequest: EthRequest = {
  _tag: "GetBlockBodies",
  requestId: 7n,
  hashes: [chain.hashAt(3)!],
}

const ask = Effect.fnUntraced(function* (from: Session, request: EthRequest) {
  const { onRequest } = yield* HistoryAnswers
  return yield* onRequest(from, request)
})

const itemsIn = (payload: Uint8Array | null) =>
  payload === null ? null : decodeItems(payload).items.map((item) => Buffer.from(item))

const headersRequest = (
  start: number | Uint8Array,
  limit: number,
  reverse = false,
): EthRequest => ({ _tag: "GetBlockHeaders", requestId: 7n, start, limit, skip: 0, reverse })

describe("answers to peers", () => {
  it.scoped("are what a node says that holds the chain in memory, byte for byte", () =>
    Effect.gen(function* () {
      const sessions = { 68: yield* session(68), 69: yield* session(69), 70: yield* session(70) }
      const run = Runtime.runSync(yield* Effect.runtime<HistoryAnswers>())
      fc.assert(
        fc.property(arbitraryQuestion(chain), ({ version, request }) => {
          const ours = run(ask(sessions[version], request))
          const theirs = encodeAnswer(version, request, answerItems(chain, version, request))
          assert.isTrue(Buffer.from(ours!).equals(theirs))
        }),
        { numRuns: 500 },
      )
    }).pipe(Effect.provide(layerOver(whole, { rate: { perSecond: 1, burst: 10_000 } }))),
  )

  it.scoped("without a store: the header of our head by number and hash, all else empty", () =>
    Effect.gen(function* () {
      const them = yield* session()
      const ourHead = yield* OurHead
      yield* TestClock.setTime((chain.head.time + 60) * 1000)
      yield* ourHead.offer("a", measured(chain, 100))
      const header = [Buffer.from(chain.headerAt(100)!)]
      for (const start of [100, chain.hashAt(100)!]) {
        for (const limit of [1, 3]) {
          assert.deepEqual(itemsIn(yield* ask(them, headersRequest(start, limit))), header)
        }
        assert.deepEqual(itemsIn(yield* ask(them, headersRequest(start, 5, true))), header)
        assert.deepEqual(itemsIn(yield* ask(them, headersRequest(start, 0))), [])
      }
      assert.deepEqual(itemsIn(yield* ask(them, headersRequest(99, 1))), [])
      assert.deepEqual(itemsIn(yield* ask(them, bodiesRequest)), [])
    }).pipe(Effect.provide(layerOver(HistoryReader.layerNone))),
  )

  it.scoped("go on from the head in memory to what is held", () =>
    Effect.gen(function* () {
      const them = yield* session()
      const ourHead = yield* OurHead
      yield* TestClock.setTime((chain.head.time + 60) * 1000)
      yield* ourHead.offer("a", measured(chain, 100))
      const answer = itemsIn(yield* ask(them, headersRequest(chain.hashAt(100)!, 4, true)))
      const expected = [100, 99, 98, 97].map((n) => Buffer.from(chain.headerAt(n)!))
      assert.deepEqual(answer, expected)
    }).pipe(Effect.provide(layerOver(whole))),
  )

  it.scoped("come in time: empty where the reader takes too long", () =>
    Effect.gen(function* () {
      const them = yield* session()
      const asked = yield* Effect.fork(ask(them, bodiesRequest))
      yield* TestClock.adjust("1999 millis")
      assert.isTrue((yield* Fiber.poll(asked))._tag === "None")
      yield* TestClock.adjust("1 millis")
      assert.deepEqual(itemsIn(yield* Fiber.join(asked)), [])
    }).pipe(Effect.provide(layerOver(readerWith(() => Effect.never)))),
  )

  it.scoped("are empty where what is held cannot be read", () =>
    Effect.gen(function* () {
      const them = yield* session()
      assert.deepEqual(itemsIn(yield* ask(them, bodiesRequest)), [])
    }).pipe(
      Effect.provide(
        layerOver(readerWith(() => Effect.fail(new HistoryUnavailable({ reason: "damaged" })))),
      ),
    ),
  )

  it.scoped("are worked on a few at once, whoever asks", () => {
    let running = 0
    let most = 0
    const slow = readerWith(() =>
      Effect.suspend(() => {
        running += 1
        most = Math.max(most, running)
        return Effect.sleep(Duration.millis(100))
      }).pipe(
        Effect.as([]),
        Effect.ensuring(
          Effect.sync(() => {
            running -= 1
          }),
        ),
      ),
    )
    return Effect.gen(function* () {
      const sessions = yield* Effect.all(Array.from({ length: 10 }, () => session()))
      const asked = yield* Effect.forEach(sessions, (them) => Effect.fork(ask(them, bodiesRequest)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(asked)
      assert.deepEqual([most, running], [3, 0])
    }).pipe(Effect.provide(layerOver(slow, { atOnce: 3 })))
  })

  it.scoped("are empty while peers do not take what they were sent", () =>
    Effect.gen(function* () {
      const them = yield* session()
      const { unsent } = yield* HistoryAnswers
      const count = Effect.map(ask(them, bodiesRequest), (payload) => itemsIn(payload)?.length)
      unsent.bytes = 999
      assert.strictEqual(yield* count, 1)
      unsent.bytes = 1_000
      assert.strictEqual(yield* count, 0)
      unsent.bytes = 0
      assert.strictEqual(yield* count, 1)
    }).pipe(Effect.provide(layerOver(whole, { unsentBytes: 1_000 }))),
  )

  it.scoped("come as fast as their bytes may, of one session and of all", () =>
    Effect.gen(function* () {
      const sessions = [yield* session(), yield* session()]
      const size = (yield* ask(yield* session(), bodiesRequest))!.length + 256
      const done = [0, 0]
      const asking = (index: 0 | 1) =>
        Effect.gen(function* () {
          while (done[index]! < 1_000) {
            const payload = yield* ask(sessions[index]!, bodiesRequest)
            assert.lengthOf(itemsIn(payload)!, 1)
            done[index]! += 1
          }
        })
      yield* Effect.fork(asking(0))
      for (let second = 0; second < 100; second++) yield* TestClock.adjust("100 millis")
      // A burst, and then what ten seconds bring.
      const bytes = done[0]! * size
      assert.isAtMost(bytes, 10_000 + 10 * 5_000 + 2 * size)
      assert.isAtLeast(bytes, 10 * 5_000 - size)
      // Two have more than one, and not twice as much: all have a bound together.
      const before = done[0]!
      yield* Effect.fork(asking(1))
      for (let step = 0; step < 100; step++) yield* TestClock.adjust("100 millis")
      const both = (done[0]! - before + done[1]!) * size
      assert.isAtMost(both, 12_000 + 10 * 8_000 + 2 * size)
      assert.isAtLeast(both, 10 * 8_000 - 2 * size)
    }).pipe(
      Effect.provide(
        layerOver(whole, {
          sessionCost: { perSecond: 5_000, burst: 10_000 },
          cost: { perSecond: 8_000, burst: 12_000 },
          requestCost: 0,
        }),
      ),
    ),
  )

  it.scoped("have their pace also where all of them are empty", () =>
    Effect.gen(function* () {
      const them = yield* session()
      let done = 0
      yield* Effect.fork(
        Effect.gen(function* () {
          while (done < 1_000) {
            assert.lengthOf(itemsIn(yield* ask(them, bodiesRequest))!, 0)
            done += 1
          }
        }),
      )
      for (let step = 0; step < 100; step++) yield* TestClock.adjust("100 millis")
      // A burst of ten, and then ten seconds of five; their few bytes and lookups are beside it.
      assert.isAtLeast(done, 55)
      assert.isAtMost(done, 62)
    }).pipe(
      Effect.provide(
        layerOver(HistoryReader.layerNone, {
          sessionCost: { perSecond: 500_000, burst: 1_000_000 },
          requestCost: 100_000,
        }),
      ),
    ),
  )

  it.scoped("have their pace also where they are refused", () =>
    Effect.gen(function* () {
      const seconds = 10
      const sessions = yield* Effect.all(Array.from({ length: 5 }, () => session()))
      const asking = sessions.flatMap((them) =>
        Array.from({ length: 4 }, () => Effect.forever(ask(them, bodiesRequest))),
      )
      yield* Effect.fork(Effect.all(asking, { concurrency: "unbounded" }))
      for (let step = 0; step < 10 * seconds; step++) yield* TestClock.adjust("100 millis")
      const { refused } = (yield* Stats).network.served
      assert.isAtLeast(refused, asking.length)
      assert.isAtMost(refused, asking.length * (seconds + 1))
    }).pipe(
      Effect.provide(
        layerOver(HistoryReader.layerNone, {
          cost: { perSecond: 10_000, burst: 10_000 },
          requestCost: 100_000,
        }),
      ),
    ),
  )

  it.scoped("wait their turn above the rate, and are empty where that would take too long", () =>
    Effect.gen(function* () {
      const [them, other] = [yield* session(), yield* session()]
      const asked = yield* Effect.forEach(Array.from({ length: 12 }), () =>
        Effect.fork(Effect.map(ask(them, bodiesRequest), (payload) => itemsIn(payload)?.length)),
      )
      const answered = Effect.gen(function* () {
        const exits = yield* Effect.forEach(asked, Fiber.poll)
        return exits.flatMap((exit) => (Option.isSome(exit) ? [exit.value] : []))
      })
      yield* TestClock.adjust("1 millis")
      // Of twelve five come at once, two have to wait, and for the others it would be too long.
      assert.lengthOf(yield* answered, 5)
      // The others are none the worse for it.
      assert.strictEqual(itemsIn(yield* ask(other, bodiesRequest))?.length, 1)
      yield* TestClock.adjust("499 millis")
      assert.lengthOf(yield* answered, 6)
      yield* TestClock.adjust("500 millis")
      const counts = yield* Fiber.joinAll(asked)
      assert.deepEqual([...counts], [1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
      const { served } = (yield* Stats).network
      assert.deepEqual(served, { requests: 13, delayed: 2, refused: 5 })
    }).pipe(Effect.provide(layerOver(whole, { rate: { perSecond: 2, burst: 5 } }))),
  )
})
