/**
 * The one place where a failure is booked: counted under its name, held against the peer's
 * reputation, and the peer's session ended when that means a ban. What it means is `verdict.ts`'s.
 */
import { Clock, Context, Effect, Layer } from "effect"
import { Stats } from "../observe/Stats.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { Reputation } from "../peers/Reputation.ts"
import type { PeerConsequence, Standing } from "../peers/standing.ts"
import type { FetchError } from "./FetchError.ts"
import { type Verdict, verdict } from "./verdict.ts"

/** See the module. */
export interface BlameShape {
  /**
   * Counts a failure and says what follows; the peer's account is untouched. What the peer had nothing
   * of is told to the pool, which has it measured.
   */
  readonly count: (error: FetchError) => Verdict
  /** Holds a consequence against a peer; a ban ends its session. */
  readonly punish: (peerId: string, consequence: PeerConsequence) => Effect.Effect<Standing>
}

/** See {@link BlameShape}. */
export class Blame extends Context.Tag("annals/Blame")<Blame, BlameShape>() {
  static readonly layer: Layer.Layer<Blame, never, Stats | Reputation | PeerPool> = Layer.effect(
    Blame,
    Effect.gen(function* () {
      const stats = yield* Stats
      const reputation = yield* Reputation
      const pool = yield* PeerPool
      return {
        count: (error) => {
          const result = verdict(error._tag)
          stats.failed(result.counter)
          if (error._tag === "EmptyAnswer") pool.missed(error.peerId, error.what, error.fromBlock)
          if (error._tag === "MissingHeaders") pool.missed(error.peerId, "headers", error.fromBlock)
          const tally = stats.peers.get(error.peerId)
          if (tally !== undefined && result.peer !== "none") tally.failures += 1
          return result
        },
        punish: Effect.fnUntraced(function* (peerId, consequence) {
          const before = yield* reputation.standing(peerId)
          const standing = yield* reputation.failed(peerId, consequence)
          const nowMs = yield* Clock.currentTimeMillis
          const wasBanned = before.banned && before.usableFromMs > nowMs
          if (standing.banned && !wasBanned) {
            const tally = stats.peers.get(peerId)
            if (tally !== undefined) tally.bans += 1
            const why =
              consequence === "ban" ? "it broke the protocol or lied" : "failures in a row"
            yield* Effect.logInfo(`banned ${peerId.slice(0, 16)} (${tally?.client ?? "?"}): ${why}`)
            yield* pool.drop(peerId)
          }
          return standing
        }),
      }
    }),
  )
}
