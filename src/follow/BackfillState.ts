/**
 * Keeps the {@link SyncState} true while a range of history is fetched without following the head: how
 * far the unbroken run of stored blocks has come, and where the peers' head is.
 */
import { Duration, Effect } from "effect"
import type { BlockRanges } from "../domain/blockRanges.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { reachOf } from "./quorum.ts"
import { SyncState } from "./SyncState.ts"

const LOOK_EVERY_MS = 500

/** Looks again and again until it is interrupted; `stored` is what was there before. */
export const watchBackfill = (
  startBlock: number,
  targetBlock: number,
  stored: BlockRanges,
): Effect.Effect<never, never, SyncState | Scheduler | PeerPool> =>
  Effect.gen(function* () {
    const state = yield* SyncState
    const scheduler = yield* Scheduler
    const look = Effect.gen(function* () {
      const headBlock = yield* headOfPeers
      const storedBlock = storedTo(startBlock, stored, scheduler.doneTo)
      yield* state.update({
        phase: "backfill",
        targetBlock,
        storedBlock,
        ...(headBlock === undefined ? {} : { headBlock }),
      })
    })
    return yield* look.pipe(
      Effect.zipRight(Effect.sleep(Duration.millis(LOOK_EVERY_MS))),
      Effect.forever,
    )
  })

/** The end of the unbroken run from `startBlock` on of what was stored before and what is done since. */
export const storedTo = (
  startBlock: number,
  stored: BlockRanges,
  doneTo: (fromBlock: number) => number,
): number => {
  for (let end = startBlock - 1; ;) {
    const next = Math.max(stored.runEnd(end + 1), doneTo(end + 1))
    if (next === end) return end
    end = next
  }
}

/** The head that two peers reach; a lone one's own; of peers that we dialled where there are some. */
const headOfPeers = Effect.gen(function* () {
  const pool = yield* PeerPool
  const peers = yield* pool.connected
  const chosen = peers.filter(({ peer }) => !peer.inbound)
  const heads = (chosen.length > 0 ? chosen : peers).map(({ serves }) => serves.headers?.to ?? -1)
  return reachOf(heads, Math.min(2, heads.length))
})
