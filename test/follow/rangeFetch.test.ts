/** Ranges of history in a run that follows: what is stored stays, and what is not known is settled first. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { freshDirectory } from "../support/ingestRun.ts"
import {
  at,
  fork,
  headIs,
  honest,
  isWhole,
  liarsWithoutBlocks,
  main,
  says,
  seeded,
} from "./forkedChain.ts"
import { headOf, withFollower } from "../support/followRun.ts"

const FAR = { historyEnd: 392 }

describe("a range of history, while the head is followed", () => {
  it.scoped("has no hole when one peer offers another branch right above the stored tip", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory)
      const peers = [at("l", "fork", 400), ...honest("main", 400)]
      yield* withFollower(peers, { directory, ...FAR }, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.tip().number === 400), run.log.join("\n"))
          yield* isWhole(run, main, 400)
          assert.strictEqual(run.state.report().reorgs, 0)
        }),
      )
    }),
  )

  it.scoped("begins above the winning branch where a trusted node far ahead is followed", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory)
      const trustedHead = says(fork, 400)
      yield* withFollower(honest("fork", 400), { directory, ...FAR, trustedHead }, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.tip().number === 400), run.log.join("\n"))
          yield* isWhole(run, fork, 400)
          assert.strictEqual(run.state.report().reorgs, 1)
        }),
      )
    }),
  )

  it.scoped("is judged by the peers where the trusted node cannot name the block at the tip", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory)
      const trustedHead = { ...says(main, 400), blockAt: () => Effect.succeed(undefined) }
      yield* withFollower(honest("main", 400), { directory, ...FAR, trustedHead }, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.tip().number === 400), run.log.join("\n"))
          yield* isWhole(run, main, 400)
        }),
      )
    }),
  )

  it.scoped("ends the run when the trusted chain left the stored one below the window", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory, { windowBlocks: 2 })
      const options = { directory, windowBlocks: 2, historyEnd: 398, trustedHead: says(fork, 400) }
      yield* withFollower(honest("fork", 400), options, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.ended() !== undefined), run.log.join("\n"))
          assert.deepStrictEqual(run.ended(), { _tag: "TooDeep", tip: 60 })
          yield* isWhole(run, main, 60)
        }),
      )
    }),
  )

  it.scoped("waits, and leaves all that is stored, while a lone peer contradicts the tip", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory)
      const peers = [at("a", "fork", 400)]
      yield* withFollower(peers, { directory, ...FAR }, (run) =>
        Effect.gen(function* () {
          const isTold = () => run.log.some((line) => line.includes("waiting"))
          assert.isTrue(yield* run.until(isTold))
          assert.isDefined(run.state.report().stalled)
          assert.strictEqual(run.state.report().phase, "backfill")
          yield* isWhole(run, main, 60)
        }),
      )
    }),
  )

  it.scoped("is fetched from a lone peer whose chain goes on from the tip", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory)
      yield* withFollower([at("a", "main", 400)], { directory, ...FAR }, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.tip().number === 392), run.log.join("\n"))
          yield* isWhole(run, main, 392)
        }),
      )
    }),
  )

  it.scoped("goes no further than the head that is believed, whatever two of five announced", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      const peers = [...liarsWithoutBlocks(["x", "y"]), ...honest("main", 60)]
      yield* withFollower(peers, { directory, ...FAR }, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.tip().number === 60), run.log.join("\n"))
          assert.strictEqual(run.state.report().phase, "following")
          assert.strictEqual(run.state.report().headBlock, 60)
          yield* isWhole(run, main, 60)
        }),
      )
    }),
  )

  it.scoped("is left when the head from which it was measured is believed no more", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      const liars = liarsWithoutBlocks(["w", "x", "y"])
      const peers = [...liars, ...honest("main", 60)]
      const options = { directory, ...FAR, giveUpMs: 10_000 }
      yield* withFollower(peers, options, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.state.facts().storedBlock >= 60))
          for (const { peer } of liars) yield* run.leave(peer.peerId)
          assert.isTrue(yield* run.until(() => run.state.report().phase === "following"))
          assert.isUndefined(run.ended())
          assert.deepStrictEqual(run.tip(), headOf(peers.at(-1)!.live.current))
        }),
      )
    }),
  )

  it.scoped("ends with what is missing when nobody serves a part of history for long", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      const peers = liarsWithoutBlocks(["w", "x", "y"])
      const options = { directory, ...FAR, giveUpMs: 10_000 }
      yield* withFollower(peers, options, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => run.ended() !== undefined), run.log.join("\n"))
          const end = run.ended()
          assert(end?._tag === "Gaps")
          // Headers alone make those blocks whole that are empty.
          assert.isAbove(end.missing.next(0)!, 50)
          assert.isAbove(end.missing.count, 100)
        }),
      )
    }),
  )

  it.scoped("takes a stored piece above the start block for what it is, not for the run", () =>
    Effect.gen(function* () {
      const directory = yield* freshDirectory
      yield* seeded(directory, { startBlock: 62 }, 70)
      const peers = honest("fork", 61)
      yield* withFollower(peers, { directory, historyEnd: 53 }, (run) =>
        Effect.gen(function* () {
          assert.isTrue(yield* run.until(() => headIs(run, fork, 61)), run.log.join("\n"))
          for (const { live } of peers) live.moveTo({ branch: "fork", head: 251 })
          assert.isTrue(yield* run.until(() => headIs(run, fork, 251)), run.log.join("\n"))
          yield* isWhole(run, fork, 251)
        }),
      )
    }),
  )
})
