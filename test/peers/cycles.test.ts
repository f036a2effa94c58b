/**
 * Peers that connect and leave, refuse, hang and break off, over and over: nothing is left of them.
 * `npm run stress -- --only cycles` does ten times as many.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { leaksOf, runCycles } from "../support/cycles.ts"

const CYCLES = 200

describe("peers that come and go", () => {
  it.scopedLive("leave no socket, timer, fiber, entry or memory behind", () =>
    Effect.gen(function* () {
      const end = yield* runCycles(CYCLES)
      assert.deepEqual(leaksOf(end), [])
      assert.isAtLeast(end.connections, CYCLES)
      // Every way to come and go was taken.
      assert.containsAllKeys(end.refused, [
        "too_many_peers",
        "handshake_timeout",
        "hello_timeout",
        "status_timeout",
        "handshake_failed",
        "hello_failed",
        "status_failed",
      ])
      assert.containsAllKeys(end.endings, [
        "peer: too_many_peers",
        "peer: tcp_error",
        "us: useless_peer",
      ])
    }),
  )
})
