/** Following with everything real but the wire: peers in memory, on the test's clock. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import * as TestContext from "effect/TestContext"
import { generateChain, generateFork } from "../../src/devnet/generatedChain.ts"
import { type BranchName, LiveChain } from "../../src/devnet/liveChain.ts"
import { toHex } from "../../src/domain/hex.ts"
import type { EthRequest } from "../../src/wire/ethMessages.ts"
import { headOf, livePeer, withFollower } from "../support/followRun.ts"

const SHAPE = { blocks: 60, shape: "tiny", seed: 31 } as const
const main = generateChain(SHAPE)
const fork = generateFork(main, 26, { ...SHAPE, seed: 32 })
const branches = { main, fork }

/** Peers that all begin at a block of the main branch. */
const peersAt = (head: number, count: number) =>
  Array.from({ length: count }, (_, index) =>
    livePeer("abcdefgh"[index]!, new LiveChain(branches, { branch: "main", head })),
  )

const moveAll = (
  peers: ReadonlyArray<{ readonly live: LiveChain }>,
  branch: BranchName,
  head: number,
): void => {
  for (const { live } of peers) live.moveTo({ branch, head })
}

describe("a run that follows, in memory", () => {
  it.scoped("stores blocks as they come, goes through a reorganisation, and verifies", () => {
    const peers = peersAt(20, 3)
    return withFollower(peers, { historyEnd: 12 }, (run) =>
      Effect.gen(function* () {
        const reached = () => run.tip().hash === headOf(peers[0]!.live.current).hash
        assert.isTrue(yield* run.until(reached), run.log.join("\n"))
        for (let head = 21; head <= 30; head++) {
          moveAll(peers, "main", head)
          assert.isTrue(yield* run.until(reached), `block ${head}`)
        }
        moveAll(peers, "fork", 33)
        assert.isTrue(yield* run.until(reached), run.log.join("\n"))
        // To a lower block of the first branch again.
        moveAll(peers, "main", 29)
        assert.isTrue(yield* run.until(reached), run.log.join("\n"))
        assert.strictEqual(run.state.report().reorgs, 2)
        assert.strictEqual(run.state.report().blocksBehind, 0)
        assert.deepStrictEqual((yield* run.store.verify()).damages, [])
        assert.strictEqual((yield* run.store.status).blocks, 30)
        assert.deepStrictEqual(Object.fromEntries(run.stats.failures), {})
      }),
    )
  })

  it.scoped(
    "takes an empty answer near the head for not yet: no fault, no ban, asked again",
    () => {
      let notYet = 0
      const lateFor = new Map<string, number>()
      /** Of each block near the head, bodies and receipts come at the third time of asking only. */
      const late =
        (name: string) =>
        (request: EthRequest, items: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> => {
          if (request._tag === "GetBlockHeaders") return items
          const key = `${name} ${request._tag} ${toHex(request.hashes[0]!)}`
          const number = main.numberOf(toHex(request.hashes[0]!)) ?? 0
          const asked = (lateFor.get(key) ?? 0) + 1
          lateFor.set(key, asked)
          if (number <= 20 || asked > 2) return items
          notYet += 1
          return []
        }
      const peers = ["a", "b", "c"].map((name) =>
        livePeer(name, new LiveChain(branches, { branch: "main", head: 20 }), {
          alter: late(name),
        }),
      )
      return withFollower(peers, {}, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.tip().number === 20))
          for (let head = 21; head <= 25; head++) {
            moveAll(peers, "main", head)
            assert.isTrue(yield* run.until(() => run.tip().number === head), `block ${head}`)
          }
          assert.isAbove(notYet, 5)
          assert.deepStrictEqual(Object.fromEntries(run.stats.failures), {})
          assert.isTrue([...run.stats.peers.values()].every(({ bans }) => bans === 0))
        }),
      )
    },
  )

  it.scoped("takes nothing out before all that comes in its place is there", () => {
    let withheld = true
    const last = toHex(fork.hashAt(34)!)
    /** The last block's receipts come only when they are let go. */
    const alter = (request: EthRequest, items: ReadonlyArray<Uint8Array>) =>
      withheld &&
      request._tag === "GetReceipts" &&
      request.hashes.some((one) => toHex(one) === last)
        ? []
        : items
    const peers = ["a", "b", "c"].map((name) =>
      livePeer(name, new LiveChain(branches, { branch: "main", head: 30 }), { alter }),
    )
    return withFollower(peers, {}, (run) =>
      Effect.gen(function* () {
        assert.isTrue(yield* run.until(() => run.tip().number === 30))
        moveAll(peers, "fork", 34)
        yield* run.pass(8_000)
        assert.isAtLeast(run.stats.blocksRequested, 40)
        const hashes = yield* run.store.hashes([26, 40])
        assert.deepStrictEqual(
          hashes.map(({ hash }) => toHex(hash)),
          [26, 27, 28, 29, 30].map((number) => toHex(main.hashAt(number)!)),
        )
        withheld = false
        assert.isTrue(yield* run.until(() => run.tip().number === 34))
        assert.strictEqual(run.tip().hash, last)
        assert.strictEqual(run.state.report().reorgs, 1)
      }),
    )
  })

  it.scoped("leaves the store alone when a quorum leaves the chain below the window", () => {
    const peers = peersAt(30, 3)
    return withFollower(peers, { windowBlocks: 4 }, (run) =>
      Effect.gen(function* () {
        assert.isTrue(yield* run.until(() => run.tip().number === 30))
        moveAll(peers, "fork", 40)
        assert.isTrue(yield* run.until(() => run.ended() !== undefined))
        assert.deepStrictEqual(run.ended(), { _tag: "TooDeep", tip: 30 })
        const [last] = yield* run.store.hashes([30, 60])
        assert.strictEqual(toHex(last!.hash), toHex(main.hashAt(30)!))
        assert.strictEqual((yield* run.store.status).blocks, 31)
      }),
    )
  })

  it.scoped("is not moved by one of four peers, nor by two, whatever they offer", () => {
    const peers = peersAt(28, 4)
    return withFollower(peers, {}, (run) =>
      Effect.gen(function* () {
        assert.isTrue(yield* run.until(() => run.tip().number === 28))
        moveAll(peers.slice(0, 1), "fork", 60)
        yield* run.pass(6_000)
        moveAll(peers.slice(0, 2), "fork", 60)
        yield* run.pass(6_000)
        assert.deepStrictEqual(run.tip(), { number: 28, hash: toHex(main.hashAt(28)!) })
        assert.isUndefined(run.ended())
        // What the honest ones do not agree on three to three is not taken either.
        moveAll(peers.slice(2), "main", 30)
        yield* run.pass(6_000)
        assert.strictEqual(run.tip().number, 28)
        assert.deepStrictEqual((yield* run.store.verify()).damages, [])
      }),
    )
  })

  it.scoped("is moved by a trusted peer alone", () => {
    const peers = peersAt(28, 1)
    const trustedPeers = new Set([peers[0]!.peer.peerId])
    return withFollower(peers, { trustedPeers }, (run) =>
      Effect.gen(function* () {
        assert.isTrue(yield* run.until(() => run.tip().number === 28))
        moveAll(peers, "fork", 35)
        assert.isTrue(yield* run.until(() => run.tip().number === 35))
        assert.strictEqual(run.tip().hash, toHex(fork.hashAt(35)!))
      }),
    )
  })

  it.scoped("says why it waits when only one peer is there", () => {
    const peers = peersAt(28, 1)
    return withFollower(peers, { historyEnd: 10 }, (run) =>
      Effect.gen(function* () {
        assert.isTrue(yield* run.until(() => run.log.some((line) => line.includes("one peer"))))
        assert.strictEqual(run.tip().number, 10)
        assert.strictEqual(run.state.report().blocksBehind, 18)
        assert.isDefined(run.state.report().behindSinceMs)
        assert.strictEqual(run.state.report().phase, "following")
      }),
    )
  })

  it("ends on the peers' chain after any moves of theirs, and verifies", async () => {
    const position = fc.record({
      fork: fc.boolean(),
      head: fc.integer({ min: 26, max: 33 }),
      /** How long until the next move: some come before the last is through. */
      waitMs: fc.constantFrom(20, 60, 140, 400, 2_000),
      /** How many of the four peers move at once, the others a moment later. */
      first: fc.integer({ min: 1, max: 4 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(position, { minLength: 1, maxLength: 8 }), async (moves) => {
        const peers = peersAt(25, 4)
        const program = withFollower(peers, { windowBlocks: 12 }, (run) =>
          Effect.gen(function* () {
            assert.isTrue(yield* run.until(() => run.tip().number === 25))
            for (const move of moves) {
              const branch = move.fork ? "fork" : "main"
              moveAll(peers.slice(0, move.first), branch, move.head)
              yield* run.pass(move.waitMs)
              moveAll(peers, branch, move.head)
            }
            // A head that falls back on its own branch takes nothing back.
            const { branch } = peers[0]!.live.position
            moveAll(peers, branch, 36)
            const wanted = headOf(peers[0]!.live.current)
            const there = yield* run.until(() => run.tip().hash === wanted.hash)
            assert.isTrue(there, `${JSON.stringify(run.tip())}\n${run.log.join("\n")}`)
            assert.deepStrictEqual((yield* run.store.verify()).damages, [])
            assert.strictEqual((yield* run.store.status).blocks, 37)
            assert.isTrue([...run.stats.peers.values()].every(({ bans }) => bans === 0))
          }),
        )
        await Effect.runPromise(
          Effect.scoped(program).pipe(Effect.provide(TestContext.TestContext)),
        )
      }),
      { numRuns: 6 },
    )
  })
})
