/**
 * Follows the head of the chain: first the history below the rollback window, then block by block,
 * through reorganisations.
 *
 *     peers ─▶ HeadWatch ─▶ decide ─▶ nextMove ─▶ ChainTop ─▶ the pipeline ─▶ store
 *                 trusted head ─┘
 *
 * In: what peers, or a trusted node, show of the head. Out: targets and ranges; a run that ends only
 * when the chain went another way below the window. While there is nothing to follow it waits, and
 * says why.
 *
 * Before the first range is fetched, the stored tip is held against the peers': a branch that lost
 * while the program was away is replaced first.
 */
import { Clock, Duration, Effect, type Scope } from "effect"
import { BlockRanges } from "../domain/blockRanges.ts"
import { fromHex } from "../domain/hex.ts"
import { Terminal } from "../observe/Terminal.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { Scheduler } from "../scheduler/Scheduler.ts"
import { Settings } from "../Settings.ts"
import type { StoreError } from "../write/StoreError.ts"
import type { TrustedHash } from "../write/storeProtocol.ts"
import { storedTo } from "./BackfillState.ts"
import { ChainTop } from "./ChainTop.ts"
import { type HeadWatch, makeHeadWatch } from "./HeadWatch.ts"
import type { BlockId } from "./headerTree.ts"
import { type Move, nextMove, rangeTo } from "./nextMove.ts"
import { decide, electorate, type PeerView, reachOf } from "./quorum.ts"
import { targetShare } from "./targetShare.ts"
import { SyncState } from "./SyncState.ts"
import type { AskTrustedHead, TrustedChain } from "./TrustedHead.ts"

/** What to follow. */
export interface FollowOptions {
  readonly startBlock: number
  /** The last block that is history at the start, below the window of the measured head. */
  readonly historyEnd: number
  /** Node ids in hex of the peers that may move the chain alone. */
  readonly trustedPeers: ReadonlySet<string>
  /** Undefined: the peers say where the head is. */
  readonly trustedHead: AskTrustedHead | undefined
  /** Runs once when the first range is stored, before the head is followed; told the last block. */
  readonly afterHistory: (storedBlock: number) => Effect.Effect<void, StoreError>
}

/** Why a run that follows came to its end. */
export interface FollowEnd {
  readonly _tag: "TooDeep"
  readonly tip: number
}

/** How often it is looked whether something is to be done. */
const LOOK_EVERY_MS = 50
/** A reason to wait that lasts so long is told. */
const TELL_WAIT_AFTER_MS = 5_000

/** Follows until the end; see the module. */
export const follow = (options: FollowOptions) =>
  Effect.scoped(
    Effect.gen(function* () {
      const chainTop = yield* ChainTop
      const state = yield* SyncState
      const terminal = yield* Terminal
      const follower = yield* makeFollower(options)
      yield* state.update({ phase: "backfill" })
      const lost = yield* follower.settleTip
      if (lost !== undefined) return lost
      if (options.historyEnd > chainTop.top().tip) {
        yield* follower.fetchRange(options.startBlock, options.historyEnd)
      }
      yield* options.afterHistory(chainTop.top().tip)
      yield* state.update({ phase: "following" })
      yield* terminal.log(`annals: following the head from block ${chainTop.top().tip} on`)
      return yield* follower.run
    }),
  )

const makeFollower = Effect.fnUntraced(function* (options: FollowOptions) {
  const { startBlock, trustedPeers, trustedHead } = options
  const { rollbackWindowBlocks, requestTimeoutMs } = yield* Settings
  const chainTop = yield* ChainTop
  const scheduler = yield* Scheduler
  const state = yield* SyncState
  const watch = yield* makeHeadWatch(startBlock, trustedPeers)
  const trusted =
    trustedHead === undefined ? undefined : yield* watchTrusted(trustedHead, watch, chainTop)
  const waiting = yield* makeWaiting
  const headOf = yield* makeHeadOf

  /** What the peers, or the trusted node, lead to. */
  const judge = (views: ReadonlyArray<PeerView>, reach: number | undefined): Move => {
    const top = chainTop.top()
    if (trusted !== undefined) return trustedMove(watch, trusted(), chainTop, rollbackWindowBlocks)
    return nextMove(top, decide(top, views), reach, rollbackWindowBlocks)
  }

  let told = ""
  /** Who has what of the target: nobody is asked for blocks in whose place it has others. */
  const tellScheduler = Effect.fnUntraced(function* (views: ReadonlyArray<PeerView>) {
    const target = chainTop.target()
    const missing = chainTop.missing()
    if (target === undefined || missing.count === 0) return
    const now = `${watch.version()} ${target.path.at(-1)?.key}`
    if (now === told) return
    told = now
    for (const { peerId, descent } of views) {
      if (descent?._tag !== "Met") continue
      const { has, lacks } = targetShare(target.path, missing, descent, chainTop.top())
      yield* scheduler.seen(peerId, has, lacks)
    }
  })

  /** How far the chain goes, as far as anybody is believed; told to the state. */
  const measure = Effect.fnUntraced(function* (views: ReadonlyArray<PeerView>) {
    const { quorum } = electorate(views)
    const reach = yield* headOf(views, quorum)
    const headBlock = trusted === undefined ? reach : trusted()?.head.number
    if (headBlock !== undefined && headBlock !== state.facts().headBlock) {
      yield* state.update({ headBlock })
    }
    return Number.isFinite(quorum) ? reach : undefined
  })

  /** Looks once, and gives what is to be done. */
  const look = Effect.gen(function* () {
    yield* watch.look
    const views = yield* watch.views
    const reach = yield* measure(views)
    yield* state.update({ targetBlock: state.facts().headBlock })
    return { views, move: judge(views, reach) }
  })

  const aim = Effect.fnUntraced(function* (move: Move, views: ReadonlyArray<PeerView>) {
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

  /** Fetches a range as history is fetched, what is stored of it excepted. */
  const fetchRange = Effect.fnUntraced(function* (from: number, to: number) {
    const work = BlockRanges.of(from, to).subtract(chainTop.stored())
    const before = chainTop.stored()
    yield* state.update({ targetBlock: to })
    yield* chainTop.beginRange(work)
    const isDone = (): boolean =>
      [...work.ranges()].every(([first, last]) => scheduler.doneTo(first) >= last)
    while (!isDone()) {
      // Nobody is asked for headers above the tip meanwhile: it lies far below the head.
      yield* measure(yield* watch.views)
      const end = storedTo(startBlock, before, scheduler.doneTo)
      if (end !== state.facts().storedBlock) yield* state.update({ storedBlock: end })
      yield* waiting((yield* hasPeers) ? undefined : "no peer is there to fetch from")
      yield* pause
    }
    yield* chainTop.endRange
  })

  const pool = yield* PeerPool
  const hasPeers = Effect.map(pool.connected, (peers) => peers.length > 0)

  return {
    fetchRange,
    /** Waits until the stored tip is known to be on the peers' chain, or nobody can say. */
    settleTip: Effect.gen(function* () {
      if (chainTop.top().tip < startBlock) return undefined
      const untilMs = (yield* Clock.currentTimeMillis) + requestTimeoutMs
      for (;;) {
        const { views, move } = yield* look
        if (move._tag === "TooDeep") return tooDeep()
        const leaves = move._tag === "Target" && move.ancestor < chainTop.top().tip
        if (leaves) yield* aim(move, views)
        else if (move._tag !== "Wait" || (yield* Clock.currentTimeMillis) >= untilMs)
          return undefined
        yield* pause
      }
    }),
    run: Effect.gen(function* () {
      for (;;) {
        const { views, move } = yield* look
        if (move._tag === "TooDeep") return tooDeep()
        if (move._tag === "Range") yield* fetchRange(move.from, move.to)
        else yield* aim(move, views)
        yield* pause
      }
    }),
  }
})

/** The move that a trusted head asks for. */
const trustedMove = (
  watch: HeadWatch,
  chain: TrustedChain | undefined,
  chainTop: ChainTop["Type"],
  windowBlocks: number,
): Move => {
  if (chain === undefined)
    return { _tag: "Wait", reason: "the trusted head has not been heard yet" }
  const top = chainTop.top()
  const descent = watch.descend(chain.head)
  switch (descent._tag) {
    case "Met": {
      const { ancestor, path } = descent
      const [first] = path
      if (first === undefined) return { _tag: "Rest" }
      const range = ancestor === top.tip ? rangeTo(top, chain.head.number, windowBlocks) : undefined
      if (range !== undefined) return range
      if (chainTop.isBarred(first.key)) {
        return { _tag: "Wait", reason: "the trusted head's chain does not fit the store" }
      }
      return { _tag: "Target", ancestor, path }
    }
    case "Deep":
      return { _tag: "TooDeep" }
    case "Missing":
      return (
        rangeTo(top, chain.head.number, windowBlocks) ?? {
          _tag: "Wait",
          reason: `no peer has shown block ${chain.head.number} of the trusted head`,
        }
      )
    case "Behind":
      return { _tag: "Rest" }
    case "Broken":
      return { _tag: "Wait", reason: "the trusted head is of no chain" }
  }
}

/** The head that is believed: what a quorum reaches, or the highest there is where one peer is alone. */
const makeHeadOf = Effect.map(PeerPool, (pool) =>
  Effect.fnUntraced(function* (views: ReadonlyArray<PeerView>, quorum: number) {
    const voters = new Set(views.map(({ peerId }) => peerId))
    const heads = (yield* pool.connected)
      .filter(({ peer }) => voters.has(peer.peerId))
      .map(({ serves }) => serves.headers?.to ?? -1)
    return reachOf(heads, Number.isFinite(quorum) ? quorum : 1)
  }),
)

/** Gives what tells why nothing moves, once it has lasted. */
const makeWaiting = Effect.gen(function* () {
  const terminal = yield* Terminal
  const state = yield* SyncState
  let reason: string | undefined
  let sinceMs = 0
  let told: string | undefined
  return Effect.fnUntraced(function* (now: string | undefined) {
    const nowMs = yield* Clock.currentTimeMillis
    if (now !== reason) {
      reason = now
      sinceMs = nowMs
      yield* state.update({ stalled: now })
    }
    if (now === undefined || now === told || nowMs - sinceMs < TELL_WAIT_AFTER_MS) return
    told = now
    yield* terminal.log(`annals: waiting: ${now}`, "warning")
  })
})

/** Asks the trusted node again and again; gives what it said last. */
const watchTrusted = Effect.fnUntraced(function* (
  ask: AskTrustedHead,
  watch: HeadWatch,
  chainTop: ChainTop["Type"],
): Effect.fn.Return<() => TrustedChain | undefined, never, Settings | Terminal | Scope.Scope> {
  const { followEveryMs } = yield* Settings
  const terminal = yield* Terminal
  let chain: TrustedChain | undefined
  let warned = false
  yield* ask.pipe(
    Effect.flatMap((said) => {
      chain = said
      watch.seek(said.head)
      return chainTop.mark({ safe: markOf(said.safe), finalized: markOf(said.finalized) })
    }),
    Effect.catchTag("TrustedHeadUnavailable", ({ reason }) => {
      if (warned) return Effect.void
      warned = true
      return terminal.log(`annals: --trusted-head does not answer (${reason}); waiting`, "warning")
    }),
    // The run hears of a broken store from its writer.
    Effect.catchTag("StoreError", () => Effect.void),
    Effect.zipRight(Effect.sleep(Duration.millis(followEveryMs))),
    Effect.forever,
    Effect.forkScoped,
  )
  return () => chain
})

const markOf = (block: BlockId | undefined): TrustedHash | undefined =>
  block && { blockNumber: block.number, hash: fromHex(block.key) }
