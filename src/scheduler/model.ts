/**
 * What the scheduler's core is told, what it answers and what it keeps: types, the first state,
 * and when it wants to be woken. Pure data; {@link ./core.ts} moves it.
 *
 * Times are milliseconds of one clock that the driver chooses; block ranges are inclusive.
 */
import {
  and,
  between,
  BlockRanges,
  or,
  without,
  type BlockRange,
  type BlockView,
} from "../domain/blockRanges.ts"
import { nextRestEndMs, noDisputes } from "./disputes.ts"

/** What a peer can serve, both ends inclusive; `to` is its measured head or below. */
export interface ServedRange {
  readonly from: number
  readonly to: number
}

/** Tunables of the core. */
export interface SchedulerOptions {
  /** Most blocks in a batch, at least 1. */
  readonly blocksPerAssignment: number
  /** How long blocks that nobody serves are waited for. */
  readonly giveUpMs: number
  /** Whether work may still be added: then the core never finishes by itself, only after Stop. */
  readonly open: boolean
}

/** What happened; each event says when. */
export type SchedulerEvent = { readonly nowMs: number } & (
  | {
      readonly _tag: "PeerJoined"
      readonly peerId: string
      /** Batches it takes at once, at least 1. */
      readonly slots: number
      readonly range: ServedRange
      /** Until when it is to rest, when the reputation has said so; see PeerPaused. */
      readonly usableFromMs?: number
      readonly banned?: boolean
    }
  | {
      readonly _tag: "PeerRangeChanged"
      readonly peerId: string
      readonly range: ServedRange
    }
  /** The peer is known not to have these blocks. */
  | { readonly _tag: "PeerLacks"; readonly peerId: string; readonly blocks: BlockRanges }
  /** The peer is seen to have these blocks: it may be asked for them, whatever was learned before. */
  | { readonly _tag: "PeerHas"; readonly peerId: string; readonly blocks: BlockRanges }
  /**
   * Parts of this block wait for what the peer has of it, and nothing else has room beside them. Where
   * all had their chance at it, the peer is offered it next of what is left to it, tried or not.
   */
  | { readonly _tag: "PartsWait"; readonly peerId: string; readonly block: number }
  | { readonly _tag: "PeerLeft"; readonly peerId: string }
  /** The reputation lets it rest until then; replaces what was said before. */
  | {
      readonly _tag: "PeerPaused"
      readonly peerId: string
      readonly untilMs: number
      /** A ban: nobody waits for this peer. Otherwise a cool-down. */
      readonly banned: boolean
    }
  /** Fetched; answered by Accept (hand it on) or Drop (it is somebody else's by now). */
  | { readonly _tag: "BlockDelivered"; readonly batchId: number; readonly block: number }
  /** Fetched after its batch had given it up; answered by Accept or Drop (somebody else has it). */
  | { readonly _tag: "BlockArrivedLate"; readonly block: number }
  /** What was done is found wrong and was taken away again: it goes back, with an attempt. */
  | {
      readonly _tag: "BlocksRevoked"
      readonly blocks: BlockRanges
      /** Who had sent them, where it is known. */
      readonly peerId: string | undefined
    }
  /** The last stage is through with it. */
  | { readonly _tag: "BlockDone"; readonly block: number }
  /** A later stage refused what this peer had delivered: it goes back, with an attempt. */
  | { readonly _tag: "BlockRejected"; readonly block: number; readonly peerId: string }
  /**
   * A later stage refused what this peer had delivered because it contradicts other blocks, and cannot
   * tell who is right. It goes back without an attempt, as do those that had to go for it, and rests.
   * Without others it had to go itself: it goes back and rests, and all else is said with the other.
   */
  | {
      readonly _tag: "BlockContested"
      readonly block: number
      readonly peerId: string
      readonly others: ReadonlyArray<Contestant>
    }
  /** Not fetched: it goes back. */
  | {
      readonly _tag: "BlockFailed"
      readonly batchId: number
      readonly block: number
      /** Whether it counts as an attempt of the block at this peer. */
      readonly attempt: boolean
      /** Whether the peer had its chance in this round all the same: others have it first. */
      readonly tried: boolean
      /** Whether the peer is now known not to have it. */
      readonly lacks: boolean
    }
  /** From now on it takes so many batches at once; what it has already it keeps. */
  | { readonly _tag: "PeerSlots"; readonly peerId: string; readonly slots: number }
  /**
   * The batch takes much longer than others. What idle peers could have of it is offered to them too, and
   * its peer had its chance at that; whoever brings a block first has brought it.
   */
  | { readonly _tag: "BatchOverdue"; readonly batchId: number }
  /** The slot is free; what is left of the batch goes back without an attempt. */
  | { readonly _tag: "BatchEnded"; readonly batchId: number }
  | { readonly _tag: "Tick" }
  /** More to fetch; blocks that are already known change nothing. */
  | { readonly _tag: "WorkAdded"; readonly ranges: Iterable<BlockRange> }
  /**
   * No longer wanted, as if they had never been work: what is out of them is dropped when it comes,
   * and added again they begin anew.
   */
  | { readonly _tag: "WorkRemoved"; readonly ranges: Iterable<BlockRange> }
  /** No further batches; finishes when nothing is out. */
  | { readonly _tag: "Stop" }
)

/** A block that another one contradicts. */
export interface Contestant {
  readonly block: number
  /** Who sent it, where that is known. */
  readonly peerId: string | undefined
  /** Whether it had to go, and is to be fetched again; otherwise it stays. */
  readonly putOut: boolean
}

/** What the driver has to do or to count, in this order. */
export type SchedulerCommand =
  | {
      readonly _tag: "Assign"
      readonly batchId: number
      readonly peerId: string
      readonly blocks: { readonly from: number; readonly to: number }
      /** Whether it is one block that has failed three times. */
      readonly escalated: boolean
    }
  /** `batchId` is 0 for a block that arrived late, here and in Drop. */
  | { readonly _tag: "Accept"; readonly batchId: number; readonly block: number }
  | { readonly _tag: "Drop"; readonly batchId: number; readonly block: number }
  | { readonly _tag: "Completed"; readonly block: number }
  | { readonly _tag: "Requeued"; readonly block: number; readonly counted: boolean }
  | { readonly _tag: "Escalated"; readonly block: number }
  /** Completed after it was requeued at least once; follows Completed. */
  | { readonly _tag: "Recovered"; readonly block: number }
  /** The last command ever; `failed` is what is missing. */
  | { readonly _tag: "Finished"; readonly failed: BlockRanges }

/** What is remembered of a peer, connected or not. `tried` and `lacks` share no block. */
export interface Standing {
  /** Blocks of the current round that it had an attempt at. */
  readonly tried: BlockRanges
  readonly lacks: BlockRanges
  readonly usableFromMs: number
  readonly banned: boolean
}

/** A connected peer. */
export interface Peer extends Standing {
  readonly peerId: string
  readonly slots: number
  readonly range: ServedRange
  readonly openBatches: number
  /** Logical time at which it last got or gave back a batch: the lowest has been idle longest. */
  readonly turn: number
  /** No block below this is in `normal`, not exhausted and open to the peer: searches start here. */
  readonly normalFloor: number
  /** The same for `escalated`. */
  readonly escalatedFloor: number
  /** Where its search for second chances goes on. */
  readonly secondFrom: number
}

/**
 * Blocks that a peer was asked for and has a slot occupied with. Those that are assigned and not
 * in `lost` are still its own: so a delivery, the most frequent event, changes no batch.
 */
export interface Batch {
  readonly batchId: number
  readonly peerId: string
  readonly from: number
  readonly to: number
  /** Those of its blocks that went back to pending since, and may be another batch's by now. */
  readonly lost: BlockRanges
  /** Those of `lost` that went back because it was overdue: it may still be the first to bring them. */
  readonly shared: BlockRanges
}

/** How a height is disputed. */
export interface Dispute {
  /** How often what came for it was contested; 0 where it only had to go for another. */
  readonly times: number
  /** It is offered to nobody before. */
  readonly restsUntilMs: number
}

/** Blocks that are disputed, and who contradicts whom; see `disputes.ts`. */
export interface Disputes {
  /** Oldest first; done or not. */
  readonly byBlock: ReadonlyMap<number, Dispute>
  /** The keys of it. */
  readonly blocks: BlockRanges
  /** Those whose rest is not over. */
  readonly resting: BlockRanges
  /** By peer, whom it has contradicted; itself among them where it did. */
  readonly opponents: ReadonlyMap<string, ReadonlySet<string>>
}

/** The whole state; invariants are in `core.ts`. */
export interface SchedulerState {
  readonly options: SchedulerOptions
  /** `draining`: nothing more is assigned, what is out may still come home. */
  readonly phase: "running" | "draining" | "finished"
  /** The latest time any event told. */
  readonly nowMs: number
  /** Pending, fewer than three attempts. */
  readonly normal: BlockRanges
  /** Pending, three attempts. */
  readonly escalated: BlockRanges
  readonly assigned: BlockRanges
  readonly delivered: BlockRanges
  readonly done: BlockRanges
  readonly failed: BlockRanges
  /** Blocks, not yet done, with at least one, two and three attempts. */
  readonly attempted: readonly [BlockRanges, BlockRanges, BlockRanges]
  /** Blocks, not yet done, that went back at least once. */
  readonly requeued: BlockRanges
  /** Blocks, not yet done, that had every peer once. */
  readonly exhausted: BlockRanges
  /** Blocks, not yet done, for which some `tried` or `lacks` was learned from an answer. */
  readonly marked: BlockRanges
  readonly disputes: Disputes
  readonly batches: ReadonlyMap<number, Batch>
  readonly peers: ReadonlyMap<string, Peer>
  /** Peers that left, oldest first, at most {@link DEPARTED_MAX}. */
  readonly departed: ReadonlyMap<string, Standing>
  readonly nextBatchId: number
  readonly nextTurn: number
  /** Since when no block could be hoped for. */
  readonly hopelessSinceMs: number | undefined
}

/** How many peers that left are remembered: leaving and rejoining is no new hope. */
export const DEPARTED_MAX = 1_000

/** A state in which all of `work` is pending and nobody is connected. */
export const initialState = (options: SchedulerOptions, work: BlockRanges): SchedulerState => ({
  options,
  phase: "running",
  nowMs: 0,
  normal: work,
  escalated: BlockRanges.empty,
  assigned: BlockRanges.empty,
  delivered: BlockRanges.empty,
  done: BlockRanges.empty,
  failed: BlockRanges.empty,
  attempted: [BlockRanges.empty, BlockRanges.empty, BlockRanges.empty],
  requeued: BlockRanges.empty,
  exhausted: BlockRanges.empty,
  marked: BlockRanges.empty,
  disputes: noDisputes,
  batches: new Map(),
  peers: new Map(),
  departed: new Map(),
  nextBatchId: 1,
  nextTurn: 1,
  hopelessSinceMs: undefined,
})

/** The blocks that are a batch's own: neither delivered nor gone back. */
export const ownedBy = (state: SchedulerState, { from, to, lost }: Batch): BlockView =>
  without(and(between(from, to), state.assigned), lost)

/** Pending blocks on which a batch that shares them still works. */
export const sharedOut = (state: SchedulerState): BlockView => {
  const shared: Array<BlockRanges> = []
  for (const batch of state.batches.values()) if (batch.shared.count > 0) shared.push(batch.shared)
  return and(or(shared), or([state.normal, state.escalated]))
}

/** When a Tick would change something, if nothing else happens; undefined when none would. */
export const nextWakeMs = (state: SchedulerState): number | undefined => {
  if (state.phase !== "running") return undefined
  let wakeMs = Infinity
  for (const { usableFromMs } of state.peers.values()) {
    if (usableFromMs > state.nowMs) wakeMs = Math.min(wakeMs, usableFromMs)
  }
  const pending = or([state.normal, state.escalated])
  wakeMs = Math.min(wakeMs, nextRestEndMs(state.disputes, pending) ?? Infinity)
  if (state.hopelessSinceMs !== undefined && !state.options.open) {
    wakeMs = Math.min(wakeMs, state.hopelessSinceMs + state.options.giveUpMs)
  }
  return wakeMs === Infinity ? undefined : wakeMs
}
