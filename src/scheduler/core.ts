/**
 * The scheduler's core: which peer is asked for which blocks, and when to stop hoping.
 *
 * `step(state, event) -> [state, commands]`: no clock, no randomness, no Effect; time arrives in
 * the event. A driver takes an event, steps, and runs the commands. The core knows peers, slots,
 * blocks and batches, not sockets and not errors.
 *
 * A block:
 *
 * ```
 *              Assign              Accept              BlockDone
 *   pending ───────────▶ assigned ────────▶ delivered ───────────▶ done
 *   │ ▲ ▲                   │                   │
 *   │ │ └───── requeued ────┘ (BlockFailed,     │
 *   │ │        or shared       BatchEnded,      │
 *   │ │       (BatchOverdue)   PeerLeft)        │
 *   │ └──────────── requeued ───────────────────┘ (BlockRejected, BlockContested;
 *   │                                              BlocksRevoked and BlockContested from done)
 *   ├─ disputed: contested at least once; rests, then goes to whom fewest contradict
 *   ├─ escalated: three attempts, travels alone and before normal work
 *   ├─ exhausted: all connected peers had it once, a new round has begun; offered last
 *   └─▶ failed: at the end of the run, when nothing can be hoped for, or after Stop
 *   From anywhere: nowhere, when the work is removed (WorkRemoved); added again it begins anew.
 * ```
 *
 * Invariants, each with a property test of its name:
 * - S1  Each block of the work is in exactly one of pending, assigned, delivered, done, failed,
 *       and a block is completed once, or once more after it was revoked, removed or put out.
 * - S2  A batch is a run of consecutive pending blocks, at most `blocksPerAssignment`, all within
 *       what the peer can serve, none that it is known to lack.
 * - S3  A block with three attempts is offered alone and, while it is not exhausted and nothing
 *       keeps it back (S13), before all others. Exhausted blocks come last, in turn.
 * - S4  A peer has at most as many open batches as slots.
 * - S5  A peer that is paused or banned is given nothing, also after it left and came back.
 * - S6  A requeue with an attempt adds one attempt to the block and one try to the peer; a
 *       requeue without adds no attempt, and a try only when it says so.
 * - S7  A block is offered to a peer again only when every other connected peer that is not
 *       banned and could serve it has tried it in this round or lacks it, or, from the second round
 *       on, has no slot free; or when parts of it wait for that peer.
 * - S8  A peer that leaves gives its blocks back at once; an answer to a batch that no longer
 *       owns the block is dropped, unless the batch shares it (S14).
 * - S9  No usable slot is left empty while there is something to offer to it, and it is offered
 *       the lowest there is of its kind; peers that have been idle longest come first.
 * - S10 One honest peer that holds everything finishes the work, from any state.
 * - S11 Without hope the run ends `giveUpMs` after the hope went, or after the last block that
 *       was completed since, and names exactly what is missing.
 * - S14 Of a batch that is overdue, exactly those blocks go back, without an attempt, that another
 *       peer with a free slot could have and has not tried; whoever brings one of them first, its own
 *       peer too, has brought it. While the batch is open they are out, and hoped for.
 * - S12 After Stop and after Finished nothing is assigned; Finished comes once.
 * - S13 A block that was contested is offered to nobody before it has rested: 50 ms, four times as
 *       long each time, 1 s at the most; what was contested together rests as long. It is offered to no
 *       peer while another one, connected and not banned, of which fewer contradict, could be asked
 *       for it; and of two that contradict each other, whom more contradict had its chance at both
 *       blocks, or, among equals, who sent the block that had to go.
 *
 * Hope: a block is hopeful while it is out for the first time round, or while some connected
 * peer that is not banned could serve it, does not lack it and has not tried it, and it is not
 * exhausted. Second chances go on while the core waits. A peer that leaves has tried what it
 * left behind (no attempt is counted): otherwise coming and going would be hope for ever.
 */
import { and, BlockRanges, or, without } from "../domain/blockRanges.ts"
import { choose, isFree, isHopeful, openTo } from "./choose.ts"
import { contested, DECIDES_NOTHING, opponentsOf, opposed, restAgain } from "./disputes.ts"
import {
  assign,
  changeStanding,
  closeBatch,
  depart,
  draftOf,
  forgetBlock,
  loseFromBatches,
  makePending,
  markLacks,
  markTried,
  recall,
  removeBlocks,
  requeue,
  sealed,
  setPeer,
  share,
  takeFromBatch,
  takeShared,
  type Draft,
} from "./draft.ts"
import {
  ownedBy,
  sharedOut,
  type Peer,
  type SchedulerCommand,
  type SchedulerEvent,
  type SchedulerState,
} from "./model.ts"

/** The state after `event`, and what is to be done; total: events that fit nothing change nothing. */
export const step = (
  state: SchedulerState,
  event: SchedulerEvent,
): readonly [SchedulerState, ReadonlyArray<SchedulerCommand>] => {
  const draft = draftOf(state, event.nowMs)
  if (state.phase === "finished") {
    if (event._tag === "BlockDelivered") drop(draft, event.batchId, event.block)
    if (event._tag === "BlockArrivedLate") drop(draft, LATE, event.block)
    return sealed(draft)
  }
  take(draft, event)
  judgeHope(draft)
  if (draft.phase === "running") fillSlots(draft)
  finishWhenOver(draft)
  return sealed(draft)
}

const take = (draft: Draft, event: SchedulerEvent): void => {
  switch (event._tag) {
    case "PeerJoined":
      return join(draft, event)
    case "PeerRangeChanged": {
      const peer = draft.peers.get(event.peerId)
      if (peer === undefined) return
      const { range } = event
      return setPeer(draft, { ...peer, range, normalFloor: 0, escalatedFloor: 0 })
    }
    case "PeerLacks":
      return markLacks(draft, event.peerId, event.blocks)
    case "PeerHas":
      return learnHas(draft, event)
    case "PartsWait":
      return pointTo(draft, event)
    case "PeerLeft":
      return leave(draft, event.peerId)
    case "PeerPaused": {
      const { untilMs: usableFromMs, banned } = event
      return changeStanding(draft, event.peerId, () => ({ usableFromMs, banned }))
    }
    case "BlockDelivered":
      return deliver(draft, event.batchId, event.block)
    case "BlockArrivedLate":
      return arriveLate(draft, event.block)
    case "BlocksRevoked":
      return revoke(draft, event)
    case "BlockDone":
      return complete(draft, event.block)
    case "BlockRejected":
      return reject(draft, event.block, event.peerId)
    case "BlockContested":
      return contest(draft, event)
    case "BlockFailed":
      return fail(draft, event)
    case "PeerSlots": {
      const peer = draft.peers.get(event.peerId)
      if (peer !== undefined) setPeer(draft, { ...peer, slots: event.slots })
      return
    }
    case "BatchOverdue":
      return shareOverdue(draft, event.batchId)
    case "BatchEnded":
      return endBatch(draft, event.batchId)
    case "WorkAdded":
      return addWork(draft, BlockRanges.fromRanges(event.ranges))
    case "WorkRemoved":
      return removeBlocks(draft, BlockRanges.fromRanges(event.ranges))
    case "Stop":
      draft.phase = "draining"
      return
    case "Tick":
      return
  }
}

type EventOf<Tag extends SchedulerEvent["_tag"]> = Extract<SchedulerEvent, { readonly _tag: Tag }>

const join = (draft: Draft, event: EventOf<"PeerJoined">): void => {
  const { peerId, slots, range } = event
  // A session that replaces another one under the same id: the old one's batches are lost.
  leave(draft, peerId)
  const standing = recall(draft, peerId)
  if (standing === undefined) draft.hopelessSinceMs = undefined
  setPeer(draft, {
    tried: standing?.tried ?? BlockRanges.empty,
    lacks: standing?.lacks ?? BlockRanges.empty,
    usableFromMs: event.usableFromMs ?? standing?.usableFromMs ?? 0,
    banned: event.banned ?? standing?.banned ?? false,
    peerId,
    slots,
    range,
    openBatches: 0,
    turn: draft.nextTurn++,
    normalFloor: 0,
    escalatedFloor: 0,
    secondFrom: 0,
  })
}

const learnHas = (draft: Draft, { peerId, blocks }: EventOf<"PeerHas">): void => {
  changeStanding(draft, peerId, ({ tried, lacks }) => ({
    tried: tried.subtract(blocks),
    lacks: lacks.subtract(blocks),
  }))
  const peer = draft.peers.get(peerId)
  if (peer !== undefined) setPeer(draft, { ...peer, normalFloor: 0, escalatedFloor: 0 })
}

const pointTo = (draft: Draft, { peerId, block }: EventOf<"PartsWait">): void => {
  const peer = draft.peers.get(peerId)
  // Of exhausted blocks only: of others, hope would be renewed with it, and might be for ever.
  if (peer === undefined || !draft.exhausted.has(block)) return
  setPeer(draft, { ...peer, tried: peer.tried.remove(block, block), secondFrom: block })
}

const leave = (draft: Draft, peerId: string): void => {
  if (!draft.peers.has(peerId)) return
  for (const batch of draft.batches.values()) {
    if (batch.peerId !== peerId) continue
    closeBatch(draft, batch, (block) => markTried(draft, peerId, block))
  }
  const peer = draft.peers.get(peerId)
  if (peer !== undefined) depart(draft, peer)
}

const drop = (draft: Draft, batchId: number, block: number): void => {
  draft.commands.push({ _tag: "Drop", batchId, block })
}

const deliver = (draft: Draft, batchId: number, block: number): void => {
  const isOwn = takeFromBatch(draft, batchId, block) !== undefined
  if (!isOwn && !takeShared(draft, batchId, block)) return drop(draft, batchId, block)
  draft.delivered = draft.delivered.add(block, block)
  draft.commands.push({ _tag: "Accept", batchId, block })
}

/** Stands for the batch of a block that arrived after its batch had given it up. */
const LATE = 0

const arriveLate = (draft: Draft, block: number): void => {
  if (!draft.normal.has(block) && !draft.escalated.has(block)) return drop(draft, LATE, block)
  draft.normal = draft.normal.remove(block, block)
  draft.escalated = draft.escalated.remove(block, block)
  draft.delivered = draft.delivered.add(block, block)
  draft.commands.push({ _tag: "Accept", batchId: LATE, block })
}

const revoke = (draft: Draft, { blocks, peerId }: EventOf<"BlocksRevoked">): void => {
  const known = and(blocks, draft.done)
  for (let block = known.next(0); block !== undefined; block = known.next(block + 1)) {
    draft.done = draft.done.remove(block, block)
    loseFromBatches(draft, block)
    if (peerId !== undefined) markTried(draft, peerId, block)
    requeue(draft, block, true)
  }
}

const complete = (draft: Draft, block: number): void => {
  if (!draft.delivered.has(block)) return
  draft.delivered = draft.delivered.remove(block, block)
  draft.done = draft.done.add(block, block)
  draft.commands.push({ _tag: "Completed", block })
  // Second chances do help, as it seems: wait anew. Blocks are finite, so this ends too.
  if (draft.hopelessSinceMs !== undefined) draft.hopelessSinceMs = draft.nowMs
  const wasRequeued = draft.requeued.has(block)
  if (wasRequeued) draft.commands.push({ _tag: "Recovered", block })
  if (wasRequeued || draft.marked.has(block)) forgetBlock(draft, block)
}

const reject = (draft: Draft, block: number, peerId: string): void => {
  if (!draft.delivered.has(block)) return
  draft.delivered = draft.delivered.remove(block, block)
  loseFromBatches(draft, block)
  markTried(draft, peerId, block)
  requeue(draft, block, true)
}

const contest = (draft: Draft, { block, peerId, others }: EventOf<"BlockContested">): void => {
  const isOut = draft.delivered.has(block)
  if (isOut) draft.delivered = draft.delivered.remove(block, block)
  if (others.length === 0) {
    if (!isOut) return
    draft.disputes = restAgain(draft.disputes, block, draft.nowMs)
    return sendBack(draft, block)
  }
  for (const other of others) {
    if (other.peerId === undefined) continue
    draft.disputes = opposed(draft.disputes, peerId, other.peerId)
  }
  const gone = others.filter((other) => other.putOut && mayGo(draft, other.block))
  // What had to go is gone, whatever became of the block that it went for.
  const back = [...new Set([...(isOut ? [block] : []), ...gone.map((other) => other.block)])]
  if (back.length === 0) return
  draft.disputes = contested(draft.disputes, back, draft.nowMs)
  for (const each of back) sendBack(draft, each)
  // Where nothing had to go, the stored side stays: the other had its chance.
  if (gone.length === 0) return isOut ? markTried(draft, peerId, block) : undefined
  const decidesNothing = (draft.disputes.byBlock.get(block)?.times ?? 0) >= DECIDES_NOTHING
  for (const other of gone) {
    const loser = other.peerId && loserOf(draft, peerId, other.peerId)
    for (const each of isOut ? [block, other.block] : [other.block]) {
      if (loser !== undefined) markTried(draft, loser, each)
      if (!decidesNothing) continue
      markTried(draft, peerId, each)
      if (other.peerId !== undefined) markTried(draft, other.peerId, each)
    }
  }
}

/** Of two that contradict each other, whom more contradict; among equals whose block had to go. */
const loserOf = (draft: Draft, peerId: string, putOut: string): string =>
  opponentsOf(draft, putOut) >= opponentsOf(draft, peerId) ? putOut : peerId

/** Whether a block that had to go is one that can be sent back: it is not out to be fetched. */
const mayGo = ({ assigned, delivered }: Draft, block: number): boolean =>
  !assigned.has(block) && !delivered.has(block)

/** Makes a block pending again, without an attempt, wherever it was; unknown ones are work now. */
const sendBack = (draft: Draft, block: number): void => {
  if (draft.normal.has(block) || draft.escalated.has(block)) return
  draft.done = draft.done.remove(block, block)
  loseFromBatches(draft, block)
  requeue(draft, block, false)
}

const fail = (draft: Draft, event: EventOf<"BlockFailed">): void => {
  const { batchId, block, attempt, tried, lacks } = event
  const batch = takeFromBatch(draft, batchId, block)
  if (batch === undefined) return
  loseFromBatches(draft, block)
  if (attempt || tried) markTried(draft, batch.peerId, block)
  if (lacks) {
    draft.marked = draft.marked.add(block, block)
    markLacks(draft, batch.peerId, BlockRanges.of(block, block))
  }
  requeue(draft, block, attempt)
}

/** Shares what others that are idle could have of a batch. */
const shareOverdue = (draft: Draft, batchId: number): void => {
  const batch = draft.batches.get(batchId)
  // What is out may come home after a stop, but nothing is given out any more.
  if (batch === undefined || draft.phase !== "running") return
  const idle = [...draft.peers.values()].filter(
    (peer) => peer.peerId !== batch.peerId && isFree(peer, draft.nowMs),
  )
  const theirs = without(and(ownedBy(draft, batch), or(idle.map(openTo))), draft.exhausted)
  for (let block = theirs.next(0); block !== undefined; block = theirs.next(block + 1)) {
    share(draft, batchId, block)
  }
}

const endBatch = (draft: Draft, batchId: number): void => {
  const batch = draft.batches.get(batchId)
  if (batch === undefined) return
  closeBatch(draft, batch)
  const peer = draft.peers.get(batch.peerId)
  if (peer === undefined) return
  setPeer(draft, { ...peer, openBatches: peer.openBatches - 1, turn: draft.nextTurn++ })
}

const addWork = (draft: Draft, work: BlockRanges): void => {
  const { normal, escalated, assigned, delivered, done } = draft
  const added = without(work, or([normal, escalated, assigned, delivered, done]))
  for (let from = added.next(0); from !== undefined;) {
    const to = added.runEnd(from)
    makePending(draft, from, to)
    from = added.next(to + 1)
  }
}

/** Starts, clears and ends the wait for hope (S11). */
const judgeHope = (draft: Draft): void => {
  const over = draft.normal.count + draft.escalated.count + outCount(draft) === 0
  if (over || isHopeful(draft)) {
    draft.hopelessSinceMs = undefined
    return
  }
  draft.hopelessSinceMs ??= draft.nowMs
  if (draft.options.open) return
  if (draft.nowMs - draft.hopelessSinceMs >= draft.options.giveUpMs) draft.phase = "draining"
}

/** Gives each free slot of a usable peer what there is for it, longest idle first (S9). */
const fillSlots = (draft: Draft): void => {
  const free: Array<Peer> = []
  for (const peer of draft.peers.values()) if (isFree(peer, draft.nowMs)) free.push(peer)
  const waiting = free.sort((a, b) => a.turn - b.turn).map((peer) => peer.peerId)
  for (let next = 0; next < waiting.length; next++) {
    const peer = draft.peers.get(waiting[next] ?? "")
    if (peer === undefined) continue
    const { offer, normalFloor, escalatedFloor } = choose(draft, peer)
    let current: Peer = peer
    if (peer.normalFloor !== normalFloor || peer.escalatedFloor !== escalatedFloor) {
      current = { ...peer, normalFloor, escalatedFloor }
      setPeer(draft, current)
    }
    if (offer === undefined) continue
    // Behind all others: a peer's second slot comes after everybody's first.
    if (isFree(assign(draft, current, offer), draft.nowMs)) waiting.push(peer.peerId)
  }
}

const outCount = (draft: Draft): number => draft.assigned.count + draft.delivered.count

const finishWhenOver = (draft: Draft): void => {
  // What an overdue batch shares is out as well, as long as the batch is open.
  if (outCount(draft) > 0 || sharedOut(draft).next(0) !== undefined) return
  const missing = draft.normal.union(draft.escalated)
  if (draft.phase === "running" && (draft.options.open || missing.count > 0)) return
  draft.failed = missing
  draft.normal = BlockRanges.empty
  draft.escalated = BlockRanges.empty
  draft.phase = "finished"
  draft.hopelessSinceMs = undefined
  draft.commands.push({ _tag: "Finished", failed: missing })
}
