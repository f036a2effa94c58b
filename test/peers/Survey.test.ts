/** Surveys of peers in memory, on the test's clock. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, TestClock } from "effect"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { type ServedChain, makeServedChain } from "../../src/devnet/servedChain.ts"
import { EMPTY_TRIE_ROOT, readHeader } from "../../src/domain/header.ts"
import { equalBytes } from "../../src/domain/hex.ts"
import { encodeList, RlpReader } from "../../src/domain/rlp.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { type Peer, servesAll } from "../../src/peers/Peer.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { NEARBY_BLOCKS, Survey, SURVEYS_AT_ONCE } from "../../src/peers/Survey.ts"
import {
  type PeerSurvey,
  type ServedByDepth,
  surveyDepths,
  surveyParts,
} from "../../src/peers/surveyTable.ts"
import { Settings } from "../../src/Settings.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { Disconnected } from "../../src/wire/WireError.ts"
import { type FakePeer, fakePeer, type FakePeerOptions } from "../support/FakePeer.ts"

const light = generateChain({ blocks: 1_005, shape: "light", seed: 3 })
const tiny = generateChain({ blocks: 200, shape: "tiny", seed: 5 })

const honest = (options: Partial<FakePeerOptions> = {}): FakePeer =>
  fakePeer({ name: "a", served: light, latencyMs: 20, ...options })

const surroundings = Survey.layer.pipe(
  Layer.provideMerge(PeerPool.layer),
  Layer.provideMerge(Layer.mergeAll(Settings.layer({ requestTimeoutMs: 500 }), Stats.layer)),
)

const join = ({ peer, range }: Pick<FakePeer, "peer" | "range">) =>
  Effect.flatMap(PeerPool, (pool) =>
    pool.join({ peer, serves: servesAll(range), drop: pool.leave(peer.peerId) }),
  )

/** Lets time pass until every peer was asked everything; a minute at most. */
const untilAsked = Effect.gen(function* () {
  const survey = yield* Survey
  for (let step = 0; step < 6_000 && !(yield* survey.allAsked); step++) {
    yield* TestClock.adjust(Duration.millis(10))
  }
  assert.isTrue(yield* survey.allAsked, "a survey that does not end")
  return yield* survey.peers
})

const surveyed = (...peers: ReadonlyArray<Pick<FakePeer, "peer" | "range">>) =>
  Effect.zipRight(Effect.forEach(peers, join), untilAsked).pipe(Effect.provide(surroundings))

const answersOf = (served: ServedByDepth): ReadonlyArray<string> =>
  surveyDepths.map((depth) => served.get(depth) ?? "unknown")

/** What was found at depths 0 and 1,000; deeper there is no block in any of the chains. */
const found = (survey: PeerSurvey | undefined) => {
  assert.isDefined(survey)
  for (const part of surveyParts) {
    assert.deepStrictEqual(answersOf(survey.serves[part]).slice(2), Array(4).fill("nothing"))
  }
  const of = (part: (typeof surveyParts)[number]) => answersOf(survey.serves[part]).slice(0, 2)
  return { headers: of("headers"), bodies: of("bodies"), receipts: of("receipts") }
}

const all = ["yes", "yes"]
const none = ["no", "no"]

/** The items without those of an answer that `when` picks. */
const without =
  (when: (request: EthRequest) => boolean): NonNullable<FakePeerOptions["alter"]> =>
  (request, items) =>
    when(request) ? [] : items

const ofBlock = (blockNumber: number, request: EthRequest): boolean =>
  request._tag !== "GetBlockHeaders" &&
  request.hashes.some((hash) => equalBytes(hash, light.hashAt(blockNumber)!))

/** Whether receipts of the block at depth 1,000 are asked for. */
const oldReceipts = (request: EthRequest) => request._tag === "GetReceipts" && ofBlock(5, request)

/** Sends parts of block 7, whatever is asked for. */
const otherParts: NonNullable<FakePeerOptions["alter"]> = (request, items) => {
  if (request._tag === "GetBlockBodies") return [light.bodyAt(7)!]
  return request._tag === "GetReceipts" ? [light.receipts69At(7)!] : items
}

const isEmpty = (blockNumber: number): boolean =>
  equalBytes(readHeader(tiny.headerAt(blockNumber)!).receiptsRoot, EMPTY_TRIE_ROOT)

/** The chain up to a block. */
const upTo = (last: number): ServedChain =>
  makeServedChain(
    Array.from({ length: last + 1 }, (_, number) => ({
      header: tiny.headerAt(number)!,
      body: tiny.bodyAt(number)!,
      receipts: tiny.receipts68At(number),
      path: "made",
      offset: number,
    })),
  )

/** The same peer, whose sessions end when it is asked for receipts. */
const leaving = ({
  peer,
  range,
}: FakePeer): { readonly peer: Peer; readonly range: typeof range } => {
  const { peerId } = peer
  const gone = new Disconnected({ peerId, reason: "too_many_peers" })
  return { range, peer: { ...peer, getReceipts: () => Effect.fail(gone) } }
}

/** The peer in another session. */
const again = ({ peer, range }: FakePeer) => ({ peer: { ...peer }, range })

describe("a survey", () => {
  it.effect("of an honest peer reports all of it, and asks each thing once", () =>
    Effect.gen(function* () {
      const peer = honest({ announced: { from: 3, to: 900 } })
      const [survey, ...others] = yield* surveyed(peer)
      assert.isEmpty(others)
      assert.deepStrictEqual(found(survey), { headers: all, bodies: all, receipts: all })
      const { serves: _serves, ...facts } = survey!
      assert.deepStrictEqual(facts, {
        peerId: peer.peer.peerId,
        client: "fake/a",
        ethVersion: 69,
        inbound: false,
        announced: { from: 3, to: 900 },
        head: 1_005,
        roundTripMs: 20,
      })
      assert.deepStrictEqual(peer.asked, [
        "headers 1005+8",
        "headers 5+6",
        "receipts 1",
        "receipts 1",
      ])
      assert.strictEqual(peer.mostOpen(), 2)
    }),
  )

  it.effect.each([68, 70] as const)("works over eth/%i as well", (ethVersion) =>
    Effect.gen(function* () {
      const [survey] = yield* surveyed(honest({ ethVersion }))
      assert.deepStrictEqual(found(survey), { headers: all, bodies: all, receipts: all })
      const announced = ethVersion === 68 ? undefined : { from: 0, to: 1_005 }
      assert.deepStrictEqual(survey?.announced, announced)
    }),
  )

  it.effect("tells a peer that has headers only from one that has more", () =>
    Effect.gen(function* () {
      const [empty, full] = yield* surveyed(honest({ fault: "empty" }), honest({ name: "b" }))
      assert.deepStrictEqual(found(empty), { headers: all, bodies: none, receipts: none })
      assert.deepStrictEqual(found(full), { headers: all, bodies: all, receipts: all })
    }),
  )

  it.effect("tells what is pruned apart by part and depth", () =>
    Effect.gen(function* () {
      const [survey] = yield* surveyed(honest({ alter: without(oldReceipts) }))
      assert.deepStrictEqual(found(survey), {
        headers: all,
        bodies: all,
        receipts: ["yes", "no"],
      })
    }),
  )

  it.effect("does not take another block's parts for those asked for", () =>
    Effect.gen(function* () {
      const [survey] = yield* surveyed(honest({ alter: otherParts }))
      assert.deepStrictEqual(found(survey), { headers: all, bodies: none, receipts: none })
    }),
  )

  it.effect.each([
    { what: "not those asked for", lie: () => [light.headerAt(6)!] },
    { what: "not linked", lie: () => [light.headerAt(1_005)!, tiny.headerAt(100)!] },
    { what: "unreadable", lie: () => [Uint8Array.of(1, 2, 3)] },
    { what: "none", lie: () => [] },
  ])("asks for no part where the headers are $what", ({ lie }) =>
    Effect.gen(function* () {
      const peer = honest({
        alter: (request, items) => (request._tag === "GetBlockHeaders" ? lie() : items),
      })
      const [survey] = yield* surveyed(peer)
      const unknown = ["unknown", "unknown"]
      assert.deepStrictEqual(found(survey), { headers: none, bodies: unknown, receipts: unknown })
      assert.strictEqual(peer.asked.length, 2)
    }),
  )

  it.effect("takes unreadable parts for none", () =>
    Effect.gen(function* () {
      const junk = [Uint8Array.of(0xc1, 0x80)]
      const [survey] = yield* surveyed(
        honest({ alter: (request, items) => (request._tag === "GetBlockHeaders" ? items : junk) }),
      )
      assert.deepStrictEqual(found(survey), { headers: all, bodies: none, receipts: none })
    }),
  )

  it.effect.each([
    { what: "some receipts", kept: 1, expected: all },
    { what: "no receipt", kept: 0, expected: none },
  ])("takes the start of a block with $what for $expected.0", ({ kept, expected }) =>
    Effect.gen(function* () {
      const { peer, range } = honest({ ethVersion: 70 })
      const cutting: Peer = {
        ...peer,
        getReceipts: (...question) =>
          Effect.map(peer.getReceipts(...question), (answer) => ({
            ...answer,
            lists: answer.lists.map((list) =>
              encodeList(RlpReader.list(list).restItems().slice(0, kept)),
            ),
            lastBlockIncomplete: true,
          })),
      }
      const [survey] = yield* surveyed({ peer: cutting, range })
      assert.deepStrictEqual(found(survey).receipts, expected)
    }),
  )

  it.effect("waits no longer than the deadline, and goes on", () =>
    Effect.gen(function* () {
      const [survey] = yield* surveyed(honest({ silentFor: 1 }))
      assert.deepStrictEqual(found(survey), {
        headers: ["no", "yes"],
        bodies: ["unknown", "yes"],
        receipts: ["unknown", "yes"],
      })
      assert.strictEqual(survey?.roundTripMs, 20)
    }),
  )
})

/** The survey of a peer whose chain ends at `last`, and whose parts it was asked for. */
const surveyedUpTo = (last: number) =>
  Effect.gen(function* () {
    const hashes: Array<Uint8Array> = []
    const peer = honest({
      served: upTo(last),
      alter: (request, items) => {
        if (request._tag !== "GetBlockHeaders") hashes.push(...request.hashes)
        return items
      },
    })
    const [survey] = yield* surveyed(peer)
    return { hashes, survey: survey! }
  })

describe("a block that is empty", () => {
  it.effect("is stood in for by the nearest one below that is not", () =>
    Effect.gen(function* () {
      const last = tiny.numbers.find(
        (number) => number > 1 && isEmpty(number) && !isEmpty(number - 1),
      )
      assert.isDefined(last)
      const { hashes, survey } = yield* surveyedUpTo(last)
      assert.deepStrictEqual(
        surveyParts.map((part) => survey.serves[part].get(0)),
        ["yes", "yes", "yes"],
      )
      assert.deepStrictEqual(hashes, [tiny.hashAt(last - 1)!, tiny.hashAt(last - 1)!])
    }),
  )

  it.effect("with nothing but empty ones below has nothing to serve", () =>
    Effect.gen(function* () {
      const { hashes, survey } = yield* surveyedUpTo(0)
      assert.strictEqual(survey.serves.headers.get(0), "yes")
      assert.strictEqual(survey.serves.bodies.get(0), "nothing")
      assert.strictEqual(survey.serves.receipts.get(0), "nothing")
      assert.isEmpty(hashes)
    }),
  )

  it.effect("is looked past no further than said", () =>
    Effect.gen(function* () {
      const { asked, peer, range } = honest()
      yield* surveyed({ peer, range })
      assert.include(asked, `headers 1005+${NEARBY_BLOCKS}`)
    }),
  )
})

describe("a peer that leaves while it is asked", () => {
  it.effect("is reported with what is known of it, and asked for the rest when it comes back", () =>
    Effect.gen(function* () {
      const fake = honest()
      const pool = yield* PeerPool
      yield* join(leaving(fake))
      const [early] = yield* untilAsked
      assert.deepStrictEqual(answersOf(early!.serves.headers).slice(0, 2), all)
      assert.deepStrictEqual(answersOf(early!.serves.receipts).slice(0, 2), ["unknown", "unknown"])

      yield* pool.leave(fake.peer.peerId)
      yield* join(again(fake))
      const [late, ...others] = yield* untilAsked
      assert.isEmpty(others)
      assert.deepStrictEqual(found(late), { headers: all, bodies: all, receipts: all })

      yield* pool.leave(fake.peer.peerId)
      const asked = fake.asked.length
      yield* join(again(fake))
      yield* untilAsked
      assert.strictEqual(fake.asked.length, asked, "asked again for what is known")
    }).pipe(Effect.provide(surroundings)),
  )
})

describe("many peers", () => {
  it.effect("are asked side by side, not more than said at a time", () =>
    Effect.gen(function* () {
      let open = 0
      let most = 0
      const peers = Array.from({ length: SURVEYS_AT_ONCE + 6 }, (_, index) => {
        const fake = honest({ name: `a${index}x` })
        const { getBlockHeaders } = fake.peer
        const counted: Peer = {
          ...fake.peer,
          getBlockHeaders: (query, timeoutMs) =>
            Effect.suspend(() => {
              open += 1
              most = Math.max(most, open)
              return Effect.ensuring(
                getBlockHeaders(query, timeoutMs),
                Effect.sync(() => (open -= 1)),
              )
            }),
        }
        return { peer: counted, range: fake.range }
      })
      const surveys = yield* surveyed(...peers)
      assert.deepStrictEqual(
        surveys.map(({ client }) => client),
        peers.map(({ peer }) => peer.client),
      )
      for (const survey of surveys) assert.deepStrictEqual(found(survey).receipts, all)
      assert.strictEqual(most, SURVEYS_AT_ONCE)
    }),
  )
})
