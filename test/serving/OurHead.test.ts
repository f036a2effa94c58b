import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope, TestClock } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import { mainnet } from "../../src/chain/networks.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { decodeBlockRangeUpdate, ETH } from "../../src/wire/ethMessages.ts"
import { chain, measured, recording, spec } from "./support.ts"

const layer = Layer.provide(OurHead.layer, Chain.layer(spec))

/** When the made chain's last block is a minute old. */
const now = TestClock.setTime(((chain.head.time ?? 0) + 60) * 1000)

const offers = (numbers: Readonly<Record<string, number>>) =>
  Effect.gen(function* () {
    const ourHead = yield* OurHead
    for (const [peer, number] of Object.entries(numbers)) {
      yield* ourHead.offer(peer, measured(chain, number))
    }
  })

describe("our head", () => {
  it.scoped("is genesis before any was measured, and then what two peers reach", () =>
    Effect.gen(function* () {
      yield* now
      const ourHead = yield* OurHead
      assert.deepInclude(ourHead.current(), { number: 0, hash: spec.genesisHash, earliest: 0 })
      yield* offers({ a: 150, b: 120, c: 90 })
      assert.deepInclude(ourHead.current(), {
        number: 120,
        hash: new Uint8Array(chain.hashAt(120)!),
        earliest: 120,
      })
    }).pipe(Effect.provide(layer)),
  )

  it.scoped("has its header in memory, by number and by hash, and those of its predecessors", () =>
    Effect.gen(function* () {
      yield* now
      const ourHead = yield* OurHead
      yield* offers({ a: 100, b: 100 })
      yield* offers({ a: 120, b: 120 })
      for (const number of [100, 120]) {
        for (const start of [number, chain.hashAt(number)!]) {
          const held = ourHead.headerOf(start)
          assert.deepEqual(held?.bytes, new Uint8Array(chain.headerAt(number)!))
        }
      }
      assert.isUndefined(ourHead.headerOf(110))
      assert.isUndefined(ourHead.headerOf(chain.hashAt(110)!))
    }).pipe(Effect.provide(layer)),
  )

  it.scoped("is announced from where an unbroken run of stored blocks leads up to it", () =>
    Effect.gen(function* () {
      yield* now
      const ourHead = yield* OurHead
      yield* offers({ a: 120, b: 120 })
      const earliest = (ranges: ReadonlyArray<readonly [number, number]>) =>
        Effect.map(ourHead.stored(ranges), () => ourHead.current().earliest)
      assert.strictEqual(yield* earliest([[0, 119]]), 120)
      assert.strictEqual(
        yield* earliest([
          [0, 50],
          [52, 130],
        ]),
        52,
      )
      assert.strictEqual(yield* earliest([]), 120)
      const { localStatus } = ourHead.introduction()
      assert.deepInclude(localStatus(69), { earliestBlock: 120, latestBlock: 120 })
      assert.deepInclude(localStatus(68), { bestHash: new Uint8Array(chain.hashAt(120)!) })
    }).pipe(Effect.provide(layer)),
  )

  it.scoped("tells eth/69 and later of a head that is 32 blocks on, once", () =>
    Effect.gen(function* () {
      yield* now
      const ourHead = yield* OurHead
      yield* offers({ a: 100, b: 100 })
      const sessions = ([68, 69, 70] as const).map((v) => recording(`peer ${v}`, v))
      for (const { session } of sessions) {
        const { localStatus, follow } = ourHead.introduction()
        localStatus(session.ethVersion)
        yield* follow(session)
      }
      const counts = () => sessions.map(({ sent }) => sent.length)
      yield* TestClock.adjust("5 seconds")
      assert.deepEqual(counts(), [0, 0, 0])
      yield* offers({ a: 131, b: 131 })
      yield* TestClock.adjust("5 seconds")
      assert.deepEqual(counts(), [0, 0, 0])
      // Two heads in one go: the later one is told.
      yield* offers({ a: 132, b: 140 })
      yield* offers({ a: 140 })
      yield* TestClock.adjust("5 seconds")
      assert.deepEqual(counts(), [0, 1, 1])
      const [{ code, payload } = assert.fail()] = sessions[1]!.sent
      assert.strictEqual(code, ETH.blockRangeUpdate)
      assert.deepEqual(decodeBlockRangeUpdate(payload), {
        earliestBlock: 140,
        latestBlock: 140,
        latestBlockHash: new Uint8Array(chain.hashAt(140)!),
      })
      yield* offers({ a: 160, b: 160 })
      yield* TestClock.adjust("1 hour")
      assert.deepEqual(counts(), [0, 1, 1])
    }).pipe(Effect.provide(layer)),
  )

  it.scoped("tells a session that said genesis, because no head was known when it was opened", () =>
    Effect.gen(function* () {
      yield* now
      const ourHead = yield* OurHead
      const { session, sent } = recording("early", 69)
      const { localStatus, checkStatus, follow } = ourHead.introduction()
      const status = localStatus(69)
      yield* offers({ a: 100, b: 100 })
      assert.isUndefined(checkStatus(status))
      yield* follow(session)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(decodeBlockRangeUpdate(sent[0]!.payload).latestBlock, 100)
    }).pipe(Effect.provide(layer)),
  )

  it.scoped("tells nobody who left, and forgets what such a one said of heads", () =>
    Effect.gen(function* () {
      yield* now
      const ourHead = yield* OurHead
      yield* offers({ a: 50, b: 90 })
      const scope = yield* Scope.make()
      const { session, sent } = recording("c", 69)
      yield* Scope.extend(ourHead.introduction().follow(session), scope)
      yield* offers({ c: 130 })
      assert.strictEqual(ourHead.current().number, 90)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(ourHead.current().number, 50)
      yield* offers({ a: 190, b: 190 })
      yield* TestClock.adjust("5 seconds")
      assert.deepEqual(sent, [])
    }).pipe(Effect.provide(layer)),
  )

  it.scoped(
    "says the total difficulty at the Merge over eth/68, and that of nothing at genesis",
    () =>
      Effect.gen(function* () {
        yield* now
        const ourHead = yield* OurHead
        assert.deepInclude(ourHead.introduction().localStatus(68), { totalDifficulty: 0n })
        yield* offers({ a: 100 })
        assert.deepInclude(ourHead.introduction().localStatus(68), {
          totalDifficulty: 58_750_003_716_598_352_816_469n,
        })
      }).pipe(Effect.provide(Layer.provide(OurHead.layer, Chain.layer(mainnet)))),
  )

  it.scoped("has the header of genesis, where it is known, from the start", () =>
    Effect.gen(function* () {
      const ourHead = yield* OurHead
      for (const start of [0, mainnet.genesisHash]) {
        const held = ourHead.headerOf(start) ?? assert.fail("not held")
        assert.deepEqual(keccak256(held.bytes), mainnet.genesisHash)
      }
    }).pipe(Effect.provide(Layer.provide(OurHead.layer, Chain.layer(mainnet)))),
  )
})
