/**
 * Fetches a range of blocks below the window, as history is fetched.
 *
 * In: the range; the blocks of it that are stored are not fetched again. Out: nothing, when it is whole
 * or is to be judged anew: another chain than the stored one was offered above the stored tip, or the
 * head from which it was measured is believed no more. {@link Gaps}, when blocks below the window of that
 * head are missing, although there were peers to ask: nobody has served them for `giveUpMs`, or two
 * chains are stored on both sides of them, and neither lets the other's block in.
 */
import { Clock, Duration, Effect } from "effect"
import { BlockRanges } from "../domain/blockRanges.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { Settings } from "../Settings.ts"
import type { StoreError } from "../write/StoreError.ts"
import { storedTo } from "./BackfillState.ts"
import { ChainTop } from "./ChainTop.ts"
import { SyncState } from "./SyncState.ts"
import type { Waiting } from "./Waiting.ts"

/** Blocks that nobody serves. */
export interface Gaps {
  readonly _tag: "Gaps"
  readonly missing: BlockRanges
}

/** How often it is looked how far it is. */
const LOOK_EVERY_MS = 50
/** Peers that have had so many requests' time without a block are said to serve none. */
const QUIET_REQUESTS = 2

/** Gives what fetches the blocks `from` to `to` of a run that begins at `startBlock`. */
export const makeFetchRange = Effect.fnUntraced(function* (
  startBlock: number,
  { measure, waiting }: { readonly measure: Effect.Effect<void>; readonly waiting: Waiting },
) {
  const { rollbackWindowBlocks, requestTimeoutMs, giveUpMs } = yield* Settings
  const chainTop = yield* ChainTop
  const scheduler = yield* Scheduler
  const state = yield* SyncState
  const pool = yield* PeerPool
  const hasPeers = Effect.map(pool.connected, (peers) => peers.length > 0)

  /** Whether blocks right above the hole that begins here have come. */
  const isBetween = (hole: number, wanted: BlockRanges): boolean => {
    const next = wanted.runEnd(hole)
    for (let block = hole + 1; block <= next; block++) {
      if (scheduler.doneTo(block) >= block) return true
    }
    return false
  }

  /** Waits until all is fetched, or the range is to be left; whether the rest of it does not come. */
  const fetchAll = Effect.fnUntraced(function* (before: BlockRanges, work: BlockRanges) {
    const { tip } = chainTop.top()
    let doneBefore = -1
    let movedMs = 0
    for (;;) {
      const { pending, assigned, delivered, done } = yield* scheduler.progress
      if (pending + assigned + delivered === 0) return false
      // Nobody is asked for headers above the tip meanwhile: it lies far below the head.
      yield* measure
      const end = storedTo(startBlock, before, scheduler.doneTo)
      if (end !== state.facts().storedBlock) yield* state.update({ storedBlock: end })
      const nowMs = yield* Clock.currentTimeMillis
      const peers = yield* hasPeers
      if (done !== doneBefore || !peers) {
        doneBefore = done
        movedMs = nowMs
      }
      const quietMs = nowMs - movedMs
      if (quietMs >= giveUpMs) return true
      if (quietMs >= requestTimeoutMs && chainTop.strangers() > 0 && end === tip) return false
      const quiet = quietMs >= QUIET_REQUESTS * requestTimeoutMs
      if (quiet && isBetween(end + 1, work)) return true
      yield* waiting(whyQuiet(peers, quiet, end + 1))
      yield* Effect.sleep(Duration.millis(LOOK_EVERY_MS))
    }
  })

  return Effect.fnUntraced(function* (
    from: number,
    to: number,
  ): Effect.fn.Return<Gaps | undefined, StoreError> {
    const before = chainTop.stored()
    const wanted = BlockRanges.of(from, to)
    yield* state.update({ targetBlock: to })
    const work = wanted.subtract(before)
    yield* chainTop.beginRange(work)
    const unserved = yield* fetchAll(before, work)
    yield* chainTop.endRange
    yield* waiting(undefined)
    const missing = wanted.subtract(chainTop.stored())
    const { headBlock = Infinity } = state.facts()
    const lowest = missing.next(from)
    const isHistory = lowest !== undefined && lowest <= headBlock - rollbackWindowBlocks
    return unserved && isHistory ? { _tag: "Gaps", missing } : undefined
  })
})

const whyQuiet = (peers: boolean, quiet: boolean, block: number): string | undefined => {
  if (!peers) return "no peer is there to fetch from"
  return quiet ? `nobody serves block ${block}` : undefined
}
