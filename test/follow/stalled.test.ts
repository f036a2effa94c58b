/** A run that follows and stands still: it is seen while it lasts, and no longer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TrustedHeadUnavailable } from "../../src/follow/TrustedHead.ts"
import { notReady } from "../../src/rpc/server/readiness.ts"
import { type FollowedRun, withFollower } from "../support/followRun.ts"
import { at, headIs, honest, main, says } from "./forkedChain.ts"

/** What `/ready` would lack of a server beside the run; undefined: nothing. */
const lacking = (run: FollowedRun): string | undefined => {
  const { number } = run.tip()
  return notReady(
    { ranges: [[0, number]], latest: number },
    { syncs: true, report: run.state.report },
  )
}

const comesTo = (run: FollowedRun, wanted: string | undefined) =>
  Effect.map(
    run.until(() =>
      wanted === undefined ? lacking(run) === undefined : lacking(run)?.includes(wanted) === true,
    ),
    (came) => assert.isTrue(came, `${lacking(run)}\n${run.log.join("\n")}`),
  )

/** Each look of so much time finds it ready. */
const staysReady = (run: FollowedRun, ms: number) =>
  Effect.repeatN(
    Effect.zipRight(
      run.pass(100),
      Effect.sync(() => assert.isUndefined(lacking(run))),
    ),
    ms / 100,
  )

describe("a run that follows is not ready", () => {
  it.scoped("while its peers go on and disagree, and is again when they agree", () => {
    const peers = [...honest("main", 60), at("d", "main", 60)]
    return withFollower(peers, {}, (run) =>
      Effect.gen(function* () {
        yield* comesTo(run, undefined)
        for (const { live } of peers.slice(0, 2)) live.moveTo({ branch: "fork", head: 64 })
        for (const { live } of peers.slice(2)) live.moveTo({ branch: "main", head: 64 })
        yield* comesTo(run, "4 blocks behind the head")
        yield* run.pass(3_000)
        assert.strictEqual(lacking(run), "4 blocks behind the head")
        assert.isTrue(headIs(run, main, 60))
        for (const { live } of peers.slice(0, 2)) live.moveTo({ branch: "main", head: 64 })
        yield* comesTo(run, undefined)
        assert.isTrue(headIs(run, main, 64))
      }),
    )
  })

  it.scoped("when peers leave until too few are left, but not for a moment's silence", () => {
    const peers = honest("main", 60)
    return withFollower(peers, {}, (run) =>
      Effect.gen(function* () {
        yield* comesTo(run, undefined)
        // Two are enough where there are two.
        yield* run.leave(peers[0]!.peer.peerId)
        yield* staysReady(run, 8_000)
        yield* run.leave(peers[1]!.peer.peerId)
        yield* staysReady(run, 3_000)
        yield* comesTo(run, "the sync waits: one peer alone")
        yield* run.leave(peers[2]!.peer.peerId)
        yield* comesTo(run, "the sync waits: no peer is there to follow")
      }),
    )
  })

  it.scoped("while its trusted node is silent, and is again when it speaks", () => {
    const node = says(main, 60)
    let silent = false
    const ask = Effect.suspend(() =>
      silent ? Effect.fail(new TrustedHeadUnavailable({ reason: "ECONNREFUSED" })) : node.ask,
    )
    const peers = honest("main", 60)
    return withFollower(peers, { trustedHead: { ...node, ask } }, (run) =>
      Effect.gen(function* () {
        yield* comesTo(run, undefined)
        silent = true
        yield* comesTo(run, "the sync waits: ")
        assert.isTrue(headIs(run, main, 60))
        silent = false
        yield* comesTo(run, undefined)
      }),
    )
  })
})
