/** Who moves the chain, when trusted ones fall behind or go, and when others try. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TrustedHeadUnavailable } from "../../src/follow/TrustedHead.ts"
import { freshDirectory } from "../support/ingestRun.ts"
import { type FollowedRun, livePeer, withFollower } from "../support/followRun.ts"
import { at, fork, forkFrom, headIs, honest, isWhole, main, says, seeded } from "./forkedChain.ts"
import { LiveChain } from "../../src/devnet/liveChain.ts"

const reaches = (run: FollowedRun, head: number) =>
  Effect.map(
    run.until(() => headIs(run, main, head)),
    (there) => assert.isTrue(there, run.log.join("\n")),
  )

describe("who moves the chain of a run that follows", () => {
  it.scoped("is a trusted peer alone: no other one's head counts beside it", () => {
    const trusted = at("t", "main", 60)
    const trustedPeers = new Set([trusted.peer.peerId])
    return withFollower([trusted, at("l", "fork", 400)], { trustedPeers }, (run) =>
      Effect.gen(function* () {
        yield* reaches(run, 60)
        assert.strictEqual(run.state.report().headBlock, 60)
        trusted.live.moveTo({ branch: "main", head: 65 })
        yield* reaches(run, 65)
        yield* isWhole(run, main, 65)
      }),
    )
  })

  it.scoped("is nobody while the trusted peer is far behind, or away", () => {
    const trusted = at("t", "main", 60)
    const others = honest("main", 60)
    const trustedPeers = new Set([trusted.peer.peerId])
    return withFollower([trusted, ...others], { trustedPeers }, (run) =>
      Effect.gen(function* () {
        yield* reaches(run, 60)
        trusted.live.moveTo({ branch: "main", head: 40 })
        for (const { live } of others) live.moveTo({ branch: "fork", head: 70 })
        yield* run.pass(10_000)
        assert.isTrue(headIs(run, main, 60))
        assert.include(run.state.report().stalled, "no trusted peer")
        yield* run.leave(trusted.peer.peerId)
        yield* run.pass(5_000)
        assert.isTrue(headIs(run, main, 60))
      }),
    )
  })

  it.scoped("is no trusted node that has gone silent: that is told, and the lag is seen", () => {
    let asked = 0
    const node = says(main, 60)
    const ask = Effect.suspend(() => {
      asked += 1
      return asked === 1 || asked > 3
        ? Effect.fail(new TrustedHeadUnavailable({ reason: "ECONNREFUSED" }))
        : node.ask
    })
    const peers = honest("main", 60)
    return withFollower(peers, { trustedHead: { ...node, ask } }, (run) =>
      Effect.gen(function* () {
        yield* reaches(run, 60)
        for (const { live } of peers) live.moveTo({ branch: "main", head: 70 })
        const isSeen = () => run.state.report().stalled?.includes("has not answered since") === true
        assert.isTrue(yield* run.until(isSeen))
        assert.strictEqual(run.state.report().headBlock, 70)
        assert.lengthOf(
          run.log.filter((line) => line.includes("ECONNREFUSED")),
          2,
        )
        assert.isTrue(headIs(run, main, 60))
      }),
    )
  })

  for (const windowBlocks of [8, 2]) {
    it.scoped(`is not who answers first: slow peers are heard, window ${windowBlocks}`, () =>
      Effect.gen(function* () {
        const directory = yield* freshDirectory
        yield* seeded(directory, { windowBlocks })
        const liars = Array.from("xyz").map((name) => at(name, "fork", 62))
        const slow = Array.from("abcde").map((name) => at(name, "main", 60, 400))
        yield* withFollower([...liars, ...slow], { directory, windowBlocks }, (run) =>
          Effect.gen(function* () {
            yield* run.pass(3_000)
            assert.isUndefined(run.ended())
            assert.isTrue(headIs(run, main, 60))
            assert.strictEqual(run.state.report().reorgs, 0)
          }),
        )
      }),
    )
  }

  it.scoped("is heard though sixteen that lag came first", () => {
    const lagging = Array.from("abcdefghijklmnop").map((name) => at(name, "main", 10))
    const others = Array.from("qrst").map((name) => at(name, "main", 14))
    return withFollower([...lagging, ...others], {}, (run) =>
      Effect.gen(function* () {
        yield* reaches(run, 14)
        assert.strictEqual(run.state.report().blocksBehind, 0)
        for (const { live } of others) live.moveTo({ branch: "main", head: 60 })
        yield* reaches(run, 60)
      }),
    )
  })
})

describe("what is stored around the start block, and above the tip", () => {
  it.scoped("is gone on from where it ends right below the start block", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory, {}, 40)
      yield* withFollower(honest("main", 45), { directory, startBlock: 41 }, (run) =>
        Effect.gen(function* () {
          yield* reaches(run, 45)
          yield* isWhole(run, main, 45)
        }),
      )
    }),
  )

  it.scoped("is replaced below the start block as well, within the window", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory)
      const options = { directory, startBlock: 60, windowBlocks: 30 }
      yield* withFollower(honest("fork", 63), options, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => headIs(run, fork, 63)), run.log.join("\n"))
          yield* isWhole(run, fork, 63)
        }),
      )
    }),
  )

  for (const anchored of [false, true]) {
    it.scoped(`stays where it is of the chain that comes, anchored ${anchored}`, () =>
      Effect.gen(function* () {
        const directory = yield* freshDirectory
        const trusted = anchored ? [{ blockNumber: 45, hash: main.hashAt(45)! }] : []
        yield* seeded(directory, { startBlock: 40, trusted }, 50)
        const options = { directory, windowBlocks: 64, trusted }
        yield* withFollower(honest("main", 55), options, (run) =>
          Effect.gen(function* () {
            yield* reaches(run, 55)
            yield* isWhole(run, main, 55)
            assert.isEmpty(run.log.filter((line) => line.includes("do not fit")))
          }),
        )
      }),
    )
  }

  for (const [first, end] of [
    [53, undefined],
    [45, "TooDeep"],
  ] as const) {
    it.scoped(`is compared with a window below a lower tip: a branch from ${first} on`, () => {
      const deep = forkFrom(first)
      const peers = Array.from("abc").map((name) => {
        const one = new LiveChain({ main, fork }, { branch: "main", head: 60 })
        const two = new LiveChain({ main, fork: deep }, { branch: "fork", head: 66 })
        let now = one
        const made = livePeer(name, {
          get current() {
            return now.current
          },
        })
        return { peer: made.peer, live: made.live, one, change: () => (now = two) }
      })
      return withFollower(peers, {}, (run) =>
        Effect.gen(function* () {
          yield* reaches(run, 60)
          for (const { one } of peers) one.moveTo({ branch: "fork", head: 58 })
          assert.isTrue(yield* run.until(() => headIs(run, fork, 58)))
          for (const peer of peers) peer.change()
          yield* run.until(() => headIs(run, deep, 66) || run.ended() !== undefined)
          assert.strictEqual(run.ended()?._tag, end)
          if (end === undefined) yield* isWhole(run, deep, 66)
        }),
      )
    })
  }
})
