/**
 * One step's working copy of the state, and the few moves that all events are made of.
 *
 * A draft shares everything with the state it came from; moves replace its fields and never
 * change what a field refers to, so the state stays as it was. Each move keeps the invariants of
 * `core.ts` that it names.
 */
import { and, between, BlockRanges } from "../domain/blockRanges.ts"
import { openTo, type Offer } from "./choose.ts"
import { rested, withoutDisputed } from "./disputes.ts"
import {
  DEPARTED_MAX,
  ownedBy,
  type Batch,
  type Peer,
  type SchedulerCommand,
  type SchedulerState,
  type Standing,
} from "./model.ts"

/** A state under change, and the commands so far. */
export type Draft = { -readonly [Key in keyof SchedulerState]: SchedulerState[Key] } & {
  readonly commands: Array<SchedulerCommand>
}

/** A working copy at `nowMs`; time never runs backwards. */
export const draftOf = (state: SchedulerState, nowMs: number): Draft => ({
  ...state,
  nowMs: Math.max(state.nowMs, nowMs),
  disputes: rested(state.disputes, nowMs),
  commands: [],
})

/** The state that a draft has become, and its commands. The draft itself: a copy costs as much as a step. */
export const sealed = (
  draft: Draft,
): readonly [SchedulerState, ReadonlyArray<SchedulerCommand>] => [draft, draft.commands]

const withEntry = <Key, Value>(map: ReadonlyMap<Key, Value>, key: Key, value: Value) =>
  new Map(map).set(key, value)

const withoutEntry = <Key, Value>(map: ReadonlyMap<Key, Value>, key: Key) => {
  const copy = new Map(map)
  copy.delete(key)
  return copy
}

/** The map with `change` applied to each value; the same map when no value changes. */
const mapped = <Value>(
  map: ReadonlyMap<string, Value>,
  change: (value: Value) => Value,
): ReadonlyMap<string, Value> => {
  let copy: Map<string, Value> | undefined
  for (const [key, value] of map) {
    const changed = change(value)
    if (changed === value) continue
    copy ??= new Map(map)
    copy.set(key, changed)
  }
  return copy ?? map
}

/** Replaces what is kept of a connected peer. */
export const setPeer = (draft: Draft, peer: Peer): void => {
  draft.peers = withEntry(draft.peers, peer.peerId, peer)
}

/** Changes what is known of a peer, connected or remembered; unknown peers stay unknown. */
export const changeStanding = (
  draft: Draft,
  peerId: string,
  change: (standing: Standing) => Partial<Standing>,
): void => {
  const peer = draft.peers.get(peerId)
  if (peer !== undefined) {
    setPeer(draft, { ...peer, ...change(peer) })
    return
  }
  const standing = draft.departed.get(peerId)
  if (standing === undefined) return
  draft.departed = withEntry(draft.departed, peerId, { ...standing, ...change(standing) })
}

/** The peer had its chance at the block in this round. */
export const markTried = (draft: Draft, peerId: string, block: number): void => {
  draft.marked = draft.marked.add(block, block)
  changeStanding(draft, peerId, ({ tried, lacks }) =>
    lacks.has(block) ? {} : { tried: tried.add(block, block) },
  )
}

/** The peer does not have the blocks. */
export const markLacks = (draft: Draft, peerId: string, blocks: BlockRanges): void =>
  changeStanding(draft, peerId, ({ tried, lacks }) => ({
    tried: tried.subtract(blocks),
    lacks: lacks.union(blocks),
  }))

/** Counts one attempt of the block; the third escalates it (S6). */
export const countAttempt = (draft: Draft, block: number): void => {
  const [once, twice, thrice] = draft.attempted
  if (!once.has(block)) draft.attempted = [once.add(block, block), twice, thrice]
  else if (!twice.has(block)) draft.attempted = [once, twice.add(block, block), thrice]
  else if (!thrice.has(block)) {
    draft.attempted = [once, twice, thrice.add(block, block)]
    draft.commands.push({ _tag: "Escalated", block })
  }
}

/** Lowers the floors of the peers that may be asked for blocks which have become pending. */
const lowerFloors = (draft: Draft, from: number, to: number, escalated: boolean): void => {
  draft.peers = mapped(draft.peers, (peer) => {
    const floor = escalated ? peer.escalatedFloor : peer.normalFloor
    if (floor <= from) return peer
    const lowest = and(between(from, to), openTo(peer)).next(from)
    if (lowest === undefined || lowest >= floor) return peer
    return escalated ? { ...peer, escalatedFloor: lowest } : { ...peer, normalFloor: lowest }
  })
}

/** Makes new blocks, which are in no set, pending. */
export const makePending = (draft: Draft, from: number, to: number): void => {
  draft.normal = draft.normal.add(from, to)
  lowerFloors(draft, from, to, false)
}

/** Makes a block that was just taken out of `assigned` or `delivered` pending again. */
const putBack = (draft: Draft, block: number): void => {
  const escalated = draft.attempted[2].has(block)
  if (escalated) draft.escalated = draft.escalated.add(block, block)
  else draft.normal = draft.normal.add(block, block)
  if (!draft.exhausted.has(block)) lowerFloors(draft, block, block, escalated)
}

/** Sends a block that was just taken out of `assigned` or `delivered` back to pending. */
export const requeue = (draft: Draft, block: number, counted: boolean): void => {
  draft.requeued = draft.requeued.add(block, block)
  draft.commands.push({ _tag: "Requeued", block, counted })
  if (counted) countAttempt(draft, block)
  putBack(draft, block)
}

/** Offers a block of an overdue batch to others too: no failure, no attempt (S14). */
export const share = (draft: Draft, batchId: number, block: number): void => {
  draft.assigned = draft.assigned.remove(block, block)
  loseFromBatches(draft, block)
  const batch = draft.batches.get(batchId)
  if (batch === undefined) return
  const shared = batch.shared.add(block, block)
  draft.batches = withEntry(draft.batches, batchId, { ...batch, shared })
  markTried(draft, batch.peerId, block)
  putBack(draft, block)
}

/** Takes a block that a batch shares from whoever has it now; whether it was still wanted (S14). */
export const takeShared = (draft: Draft, batchId: number, block: number): boolean => {
  if (draft.batches.get(batchId)?.shared.has(block) !== true) return false
  for (const set of ["normal", "escalated", "assigned"] as const) {
    if (!draft[set].has(block)) continue
    draft[set] = draft[set].remove(block, block)
    return true
  }
  return false
}

/** Takes a block of a batch out of `assigned`; the batch, if the block was its own (S1, S8). */
export const takeFromBatch = (draft: Draft, batchId: number, block: number): Batch | undefined => {
  const batch = draft.batches.get(batchId)
  if (batch === undefined || !ownedBy(draft, batch).has(block)) return undefined
  draft.assigned = draft.assigned.remove(block, block)
  return batch
}

/** Notes that a block went back, in the open batches that had it: they own it no more (S8). */
export const loseFromBatches = (draft: Draft, block: number): void => {
  for (const batch of draft.batches.values()) {
    if (block < batch.from || block > batch.to) continue
    const lost = batch.lost.add(block, block)
    draft.batches = withEntry(draft.batches, batch.batchId, { ...batch, lost })
  }
}

/** Forgets a batch and gives what was left of it back without an attempt, `onBlock` first (S1). */
export const closeBatch = (draft: Draft, batch: Batch, onBlock?: (block: number) => void): void => {
  draft.batches = withoutEntry(draft.batches, batch.batchId)
  // A view of `assigned` as it is now: the loop takes its blocks out of the draft's.
  const owned = ownedBy(draft, batch)
  for (let block = owned.next(batch.from); block !== undefined; block = owned.next(block + 1)) {
    onBlock?.(block)
    draft.assigned = draft.assigned.remove(block, block)
    requeue(draft, block, false)
  }
}

/** Moves a peer from the connected to the remembered, at the newest end. */
export const depart = (
  draft: Draft,
  { peerId, tried, lacks, usableFromMs, banned }: Peer,
): void => {
  draft.peers = withoutEntry(draft.peers, peerId)
  const departed = withoutEntry(draft.departed, peerId)
  departed.set(peerId, { tried, lacks, usableFromMs, banned })
  if (departed.size > DEPARTED_MAX) {
    for (const oldest of departed.keys()) {
      departed.delete(oldest)
      break
    }
  }
  draft.departed = departed
}

/** Takes a peer out of the remembered ones, if it is among them. */
export const recall = (draft: Draft, peerId: string): Standing | undefined => {
  const standing = draft.departed.get(peerId)
  if (standing !== undefined) draft.departed = withoutEntry(draft.departed, peerId)
  return standing
}

/** Forgets at all peers that they tried the blocks. */
const forgetTried = (draft: Draft, from: number, to: number): void => {
  const forget = <Kept extends Standing>(kept: Kept): Kept => {
    const tried = kept.tried.remove(from, to)
    return tried === kept.tried ? kept : { ...kept, tried }
  }
  draft.peers = mapped(draft.peers, forget)
  draft.departed = mapped(draft.departed, forget)
}

/** Forgets all that was kept for the sake of a block that is done: memory follows the work. */
export const forgetBlock = (draft: Draft, block: number): void => {
  const [once, twice, thrice] = draft.attempted
  draft.requeued = draft.requeued.remove(block, block)
  draft.exhausted = draft.exhausted.remove(block, block)
  draft.attempted = [
    once.remove(block, block),
    twice.remove(block, block),
    thrice.remove(block, block),
  ]
  if (!draft.marked.has(block)) return
  draft.marked = draft.marked.remove(block, block)
  const forget = <Kept extends Standing>(kept: Kept): Kept => {
    const tried = kept.tried.remove(block, block)
    const lacks = kept.lacks.remove(block, block)
    return tried === kept.tried && lacks === kept.lacks ? kept : { ...kept, tried, lacks }
  }
  draft.peers = mapped(draft.peers, forget)
  draft.departed = mapped(draft.departed, forget)
}

/** Forgets blocks altogether: they are in no set, nobody's own, and nobody has tried or lacks them. */
export const removeBlocks = (draft: Draft, blocks: BlockRanges): void => {
  for (const set of ["normal", "escalated", "assigned", "delivered", "done"] as const) {
    draft[set] = draft[set].subtract(blocks)
  }
  const [once, twice, thrice] = draft.attempted
  draft.attempted = [once.subtract(blocks), twice.subtract(blocks), thrice.subtract(blocks)]
  for (const set of ["requeued", "exhausted", "marked"] as const) {
    draft[set] = draft[set].subtract(blocks)
  }
  draft.disputes = withoutDisputed(draft.disputes, blocks)
  for (const batch of draft.batches.values()) {
    const lost = batch.lost.union(within(blocks, batch.from, batch.to))
    const shared = batch.shared.subtract(blocks)
    if (lost.count > batch.lost.count || shared.count < batch.shared.count) {
      draft.batches = withEntry(draft.batches, batch.batchId, { ...batch, lost, shared })
    }
  }
  const forget = <Kept extends Standing>(kept: Kept): Kept => ({
    ...kept,
    tried: kept.tried.subtract(blocks),
    lacks: kept.lacks.subtract(blocks),
  })
  draft.peers = mapped(draft.peers, forget)
  draft.departed = mapped(draft.departed, forget)
}

const within = (blocks: BlockRanges, from: number, to: number): BlockRanges =>
  blocks.subtract(BlockRanges.of(0, from - 1)).subtract(BlockRanges.of(to + 1, LAST_BLOCK))

/** No block has a higher number. */
const LAST_BLOCK = Number.MAX_SAFE_INTEGER - 1

/** Gives an offer to a free slot of the peer (S2, S3, S4). */
export const assign = (draft: Draft, peer: Peer, offer: Offer): Peer => {
  const { from, to, escalated } = offer
  if (offer.newRound) {
    forgetTried(draft, from, to)
    draft.exhausted = draft.exhausted.add(from, to)
  }
  if (escalated) draft.escalated = draft.escalated.remove(from, to)
  else draft.normal = draft.normal.remove(from, to)
  draft.assigned = draft.assigned.add(from, to)

  const batchId = draft.nextBatchId++
  const { peerId } = peer
  draft.batches = withEntry(draft.batches, batchId, {
    batchId,
    peerId,
    from,
    to,
    lost: BlockRanges.empty,
    shared: BlockRanges.empty,
  })
  const current = draft.peers.get(peerId) ?? peer
  const busier = {
    ...current,
    openBatches: current.openBatches + 1,
    turn: draft.nextTurn++,
    secondFrom: offer.secondChance ? to + 1 : current.secondFrom,
  }
  setPeer(draft, busier)
  draft.commands.push({ _tag: "Assign", batchId, peerId, blocks: { from, to }, escalated })
  return busier
}
