/**
 * Follows the head of the chain: first the history below the rollback window, then block by block,
 * through reorganisations.
 *
 *     peers ─▶ HeadWatch ─▶ decide ─▶ nextMove ─▶ ChainTop ─▶ the pipeline ─▶ store
 *                 trusted head ─┘
 *
 * In: what peers, or a trusted node, show of the head. Out: targets and ranges; a run that ends only
 * when the chain went another way below the window, or nobody serves a part of history. While there is
 * nothing to follow it waits, and says why.
 *
 * Before a range is fetched, the stored tip is held against the peers' chain, or the trusted node's: a
 * branch that lost while the program was away is replaced first.
 */
import { Clock, Duration, Effect } from "effect"
import type { BlockRanges } from "../domain/blockRanges.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { Settings } from "../Settings.ts"
import type { StoreError } from "../write/StoreError.ts"
import { ChainTop } from "./ChainTop.ts"
import { makeHeadWatch } from "./HeadWatch.ts"
import { makeMeasure } from "./Measure.ts"
import { type Move, nextMove } from "./nextMove.ts"
import { decide, type PeerView, tipIsHeld } from "./quorum.ts"
import { makeFetchRange } from "./RangeFetch.ts"
import { SyncState } from "./SyncState.ts"
import { targetShare } from "./targetShare.ts"
import type { TrustedHead } from "./TrustedHead.ts"
import { trustedMove } from "./trustedMove.ts"
import { watchTrusted } from "./TrustedWatch.ts"
import { makeWaiting } from "./Waiting.ts"

/** What to follow. */
export interface FollowOptions {
  readonly startBlock: number
  /** The last block that is history at the start, below the window of the measured head. */
  readonly historyEnd: number
  /** Node ids in hex of the peers that may move the chain alone. */
  readonly trustedPeers: ReadonlySet<string>
  /** Undefined: the peers say where the head is. */
  readonly trustedHead: TrustedHead | undefined
  /** Runs once when the first range is stored, before the head is followed; told the last block. */
  readonly afterHistory: (storedBlock: number) => Effect.Effect<void, StoreError>
}

/** Why a run that follows came to its end. */
export type FollowEnd =
  /** The chain went another way below the window of the stored block `tip`. */
  | { readonly _tag: "TooDeep"; readonly tip: number }
  /** Nobody has served these blocks for `giveUpMs`, and they lie below the window. */
  | { readonly _tag: "Gaps"; readonly missing: BlockRanges }

/** How often it is looked whether something is to be done. */
const LOOK_EVERY_MS = 50

/** Follows until the end; see the module. */
export const follow = (options: FollowOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const chainTop = yield* ChainTop
      const state = yield* SyncState
      const terminal = yield* Terminal
      const follower = yield* makeFollower(options)
      yield* state.update({ phase: "backfill" })
      const end = yield* follower.backfill
      if (end !== undefined) return end
      yield* options.afterHistory(chainTop.top().tip)
      yield* state.update({ phase: "following" })
      yield* terminal.log(`annals: following the head from block ${chainTop.top().tip} on`)
      return yield* follower.run
    }),
  )

/** What was seen at one look. */
interface Looked {
  readonly views: ReadonlyArray<PeerView>
  readonly move: Move
}

const makeFollower = Effect.fnUntraced(function* (options: FollowOptions) {
  const { startBlock, trustedPeers, trustedHead } = options
  const { rollbackWindowBlocks: windowBlocks, requestTimeoutMs, giveUpMs } = yield* Settings
  const chainTop = yield* ChainTop
  const state = yield* SyncState
  const watch = yield* makeHeadWatch(startBlock, trustedPeers)
  const trusted = trustedHead === undefined ? undefined : yield* watchTrusted(trustedHead, watch)
  const waiting = yield* makeWaiting
  const measure = yield* makeMeasure(trustedPeers, trusted)
  const tellScheduler = yield* makeTellScheduler(watch.version)
  const fetchRange = yield* makeFetchRange(startBlock, {
    measure: Effect.asVoid(Effect.flatMap(watch.views, measure)),
    waiting,
  })

  /** What the peers, or the trusted node, lead to. */
  const judge = Effect.fnUntraced(function* (
    views: ReadonlyArray<PeerView>,
    reach: number | undefined,
  ): Effect.fn.Return<Move> {
    const top = chainTop.top()
    if (trusted === undefined) return nextMove(top, decide(top, views), reach, windowBlocks)
    const said = yield* trusted()
    if ("silence" in said) return { _tag: "Wait", reason: said.silence }
    const { isBarred } = chainTop
    return trustedMove(said, { top, windowBlocks, descend: watch.descend, isBarred })
  })

  /** Looks once, and gives what is to be done. */
  const look: Effect.Effect<Looked> = Effect.gen(function* () {
    yield* watch.look
    const views = yield* watch.views
    const reach = yield* measure(views)
    yield* state.update({ targetBlock: state.facts().headBlock })
    return { views, move: yield* judge(views, reach) }
  })

  const aim = Effect.fnUntraced(function* ({ move, views }: Looked) {
    yield* waiting(move._tag === "Wait" ? move.reason : undefined)
    if (move._tag === "Rest") yield* chainTop.retarget(undefined)
    if (move._tag === "Target") {
      const { ancestor, path } = move
      const ancestorKey = chainTop.top().hashes.get(ancestor)
      yield* chainTop.retarget({ ancestor, ancestorKey, path })
      yield* tellScheduler(views)
    }
  })

  const pause = Effect.sleep(Duration.millis(LOOK_EVERY_MS))
  const tooDeep = (): FollowEnd => ({ _tag: "TooDeep", tip: chainTop.top().tip })

  /** Whether the stored tip is of the chain that is followed, as far as anybody says. */
  const isHeld = ({ move, views }: Looked, unopposed: boolean): boolean => {
    if (trusted !== undefined) {
      if (move._tag === "Target" || move._tag === "Rest") return true
      if (move._tag === "Range" && move.tipHeld) return true
    }
    // A trusted node that cannot say leaves it to the peers: a range is only added to what is stored.
    return tipIsHeld(chainTop.top(), views, unopposed)
  }

  /** Waits until the stored tip is known to be on the chain that is followed, or replaced by what is. */
  const settleTip = Effect.gen(function* () {
    const { tip, hashes } = chainTop.top()
    if (!hashes.has(tip)) return undefined
    const unopposedMs = (yield* Clock.currentTimeMillis) + requestTimeoutMs
    for (;;) {
      const looked = yield* look
      const { move } = looked
      if (move._tag === "TooDeep") return tooDeep()
      if (move._tag === "Target" && move.ancestor < chainTop.top().tip) yield* aim(looked)
      else if (isHeld(looked, (yield* Clock.currentTimeMillis) >= unopposedMs)) return undefined
      else {
        const { tip: now } = chainTop.top()
        yield* waiting(
          move._tag === "Wait"
            ? move.reason
            : `it is not known whether block ${now}, the last that is stored, is of the peers' chain`,
        )
      }
      yield* pause
    }
  })

  /**
   * Fetches the lowest hole by the hashes that a quorum of peers shows: so what is stored around it makes
   * way, where it is of another chain. Whether it is closed within `giveUpMs`.
   */
  const mend = Effect.fnUntraced(function* (missing: BlockRanges) {
    const last = missing.runEnd(missing.next(0) ?? 0)
    const untilMs = (yield* Clock.currentTimeMillis) + giveUpMs
    while (chainTop.top().tip < last && (yield* Clock.currentTimeMillis) < untilMs) {
      const { views } = yield* look
      const top = chainTop.top()
      const move = nextMove(top, decide(top, views), undefined, windowBlocks)
      if (move._tag === "Target" && move.ancestor === top.tip) yield* aim({ move, views })
      yield* pause
    }
    return chainTop.top().tip >= last
  })

  /** A range, once the tip below it is settled; undefined: the run goes on. */
  const fetchSettled = Effect.fnUntraced(function* (from: number, to: number) {
    const end = (yield* settleTip) ?? (yield* fetchRange(from, to))
    return end?._tag === "Gaps" && (yield* mend(end.missing)) ? undefined : end
  })

  return {
    /** The history below the window: of the head that was measured, or of a lower one that is believed. */
    backfill: Effect.gen(function* () {
      yield* measure(yield* watch.views)
      for (;;) {
        const { headBlock } = state.facts()
        const believed = headBlock === undefined ? Infinity : headBlock - windowBlocks
        const to = Math.min(options.historyEnd, believed)
        if (to <= chainTop.top().tip) return undefined
        const end = yield* fetchSettled(startBlock, to)
        if (end !== undefined) return end
        yield* pause
      }
    }),
    run: Effect.gen(function* () {
      for (;;) {
        const looked = yield* look
        const { move } = looked
        if (move._tag === "TooDeep") return tooDeep()
        if (move._tag === "Range") {
          const end = yield* fetchSettled(move.from, move.to)
          if (end !== undefined) return end
        } else yield* aim(looked)
        yield* pause
      }
    }),
  }
})

/** Gives what tells the scheduler who has what of the target, when that has changed. */
const makeTellScheduler = Effect.fnUntraced(function* (version: () => number) {
  const chainTop = yield* ChainTop
  const scheduler = yield* Scheduler
  let told = ""
  // Nobody is asked for blocks in whose place it has others.
  return Effect.fnUntraced(function* (views: ReadonlyArray<PeerView>) {
    const target = chainTop.target()
    const missing = chainTop.missing()
    if (target === undefined || missing.count === 0) return
    const now = `${version()} ${target.path.at(-1)?.key}`
    if (now === told) return
    told = now
    for (const { peerId, descent } of views) {
      if (descent?._tag !== "Met") continue
      const { has, lacks } = targetShare(target.path, missing, descent, chainTop.top())
      yield* scheduler.seen(peerId, has, lacks)
    }
  })
})
