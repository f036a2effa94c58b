/**
 * Which blocks a peer is offered next, and whether anything can still be hoped for.
 *
 * In: a state and one of its peers. Out: answers, no changes. Searches leap over ranges from the
 * peer's floor on, so that their cost does not grow with the blocks that are done or barred
 * below it.
 */
import { and, between, or, without, type BlockView } from "../domain/blockRanges.ts"
import { keptFrom, lessKept } from "./disputes.ts"
import { type Peer, type SchedulerState, sharedOut, type Standing } from "./model.ts"

/** What a peer can be asked for now. */
export interface Offer {
  readonly from: number
  readonly to: number
  readonly escalated: boolean
  /** Whether all peers had their chance at these blocks before, in this round or an earlier one. */
  readonly secondChance: boolean
  /** Whether a new round starts with it: this peer had its chance in the round that was. */
  readonly newRound: boolean
}

/** The outcome of a search: an offer if there is one, and the floors it has found. */
export interface Choice {
  readonly offer: Offer | undefined
  readonly normalFloor: number
  readonly escalatedFloor: number
}

/** Whether a ban lasts; nobody waits for the peer then. */
export const isBanned = (standing: Standing, nowMs: number): boolean =>
  standing.banned && standing.usableFromMs > nowMs

/** Whether it has a slot free and is not paused. */
export const isFree = (peer: Peer, nowMs: number): boolean =>
  peer.openBatches < peer.slots && peer.usableFromMs <= nowMs

/** What the peer could serve and has had no attempt at in this round. */
export const openTo = (peer: Peer): BlockView =>
  without(without(between(peer.range.from, peer.range.to), peer.tried), peer.lacks)

/** What the peer could serve, tried or not. */
const servedBy = (peer: Peer): BlockView =>
  without(between(peer.range.from, peer.range.to), peer.lacks)

/**
 * The best offer for a free slot of `peer`: escalated, then normal, then what comes next around of second
 * chances and new rounds.
 */
export const choose = (state: SchedulerState, peer: Peer): Choice => {
  // Exhausted blocks come last: going round among the peers, they would starve normal work.
  const fresh = without(openTo(peer), state.exhausted)
  const escalated = and(state.escalated, fresh).next(peer.escalatedFloor)
  const escalatedFloor = escalated ?? Infinity
  // Floors are of all that is open: what is kept from the peer for now must not slip below them.
  const kept = keptFrom(state, peer, openTo)
  const free = lessKept(fresh, kept)
  const alone = nextOf(and(state.escalated, free), escalated, kept)
  if (alone !== undefined) {
    const offer = runFrom(state, alone, free, false, false)
    return { offer, normalFloor: peer.normalFloor, escalatedFloor }
  }
  const normal = and(state.normal, fresh).next(peer.normalFloor)
  const normalFloor = normal ?? Infinity
  const first = nextOf(and(state.normal, free), normal, kept)
  if (first !== undefined) {
    const offer = runFrom(state, first, free, false, false)
    return { offer, normalFloor, escalatedFloor }
  }
  const offer = firstAround(peer.secondFrom, secondChance(state, peer, kept), newRound(state, peer))
  return { offer, normalFloor, escalatedFloor }
}

/**
 * Of a second chance and a new round the one that comes first from `n` on: where somebody else begins
 * one block's rounds again and again, another block's must not wait for it for ever.
 */
const firstAround = (
  n: number,
  second: Offer | undefined,
  anew: Offer | undefined,
): Offer | undefined => {
  if (second === undefined || anew === undefined) return second ?? anew
  const isAhead = second.from >= n
  if (isAhead !== anew.from >= n) return isAhead ? second : anew
  return second.from <= anew.from ? second : anew
}

/** The first member of `view` from `lowest` on, which is it where nothing is kept back. */
const nextOf = (
  view: BlockView,
  lowest: number | undefined,
  kept: BlockView | undefined,
): number | undefined => (lowest === undefined || kept === undefined ? lowest : view.next(lowest))

/** Pending block `from` alone if it is escalated, else with the normal ones after it in `fitting`. */
const runFrom = (
  state: SchedulerState,
  from: number,
  fitting: BlockView,
  secondChance: boolean,
  newRound: boolean,
): Offer => {
  if (state.escalated.has(from)) {
    return { from, to: from, escalated: true, secondChance, newRound }
  }
  const last = from + state.options.blocksPerAssignment - 1
  const to = Math.min(last, and(state.normal, fitting).runEnd(from))
  return { from, to, escalated: false, secondChance, newRound }
}

const pendingOf = (state: SchedulerState): BlockView => or([state.escalated, state.normal])

/** The next member from `n` on, beginning anew at the end: each gets its turn. */
const nextAround = (view: BlockView, n: number): number | undefined => view.next(n) ?? view.next(0)

/** Exhausted blocks that this peer has had no attempt at since their new round began. */
const secondChance = (
  state: SchedulerState,
  peer: Peer,
  kept: BlockView | undefined,
): Offer | undefined => {
  if (state.exhausted.count === 0) return undefined
  const open = lessKept(and(state.exhausted, openTo(peer)), kept)
  const from = nextAround(and(pendingOf(state), open), peer.secondFrom)
  return from === undefined ? undefined : runFrom(state, from, open, true, false)
}

/**
 * Blocks that the peer did try in this round, when every other connected peer that is not banned
 * has tried them too, or lacks them, or cannot serve them by range, or has no slot free for them and
 * had its chance in a round before.
 */
const newRound = (state: SchedulerState, peer: Peer): Offer | undefined => {
  // Most peers have tried nothing that is pending: found out before the others are looked at.
  const tried = and(peer.tried, between(peer.range.from, peer.range.to))
  const servable = lessKept(tried, keptFrom(state, peer, servedBy))
  const candidates = and(servable, pendingOf(state))
  if (candidates.next(0) === undefined) return undefined

  const others = [...state.peers.values()]
    .filter((other) => other.peerId !== peer.peerId && !isBanned(other, state.nowMs))
    .map((other) => barredBy(state, other))
  const from = nextAround(without(candidates, or(others)), peer.secondFrom)
  if (from === undefined) return undefined
  // Only this window is looked at: where a run ends depends on where the others' blocks begin.
  const window = between(from, from + state.options.blocksPerAssignment - 1)
  const barred = or(others.map((other) => and(window, other)))
  return runFrom(state, from, without(and(window, servable), barred), true, true)
}

/**
 * Blocks that get no new round for want of `other`'s chance at them. After the first round it is not
 * waited for while its slots are full: whoever answers late would hold up all others.
 */
const barredBy = (state: SchedulerState, other: Peer): BlockView =>
  other.openBatches < other.slots ? openTo(other) : without(openTo(other), state.exhausted)

/**
 * Whether some block can be hoped for: it is out for the first time round, or a connected peer
 * that is not banned could serve it and has had no attempt at it, and not all had it before.
 */
export const isHopeful = (state: SchedulerState): boolean => {
  const { exhausted } = state
  const out = [state.assigned, state.delivered].filter(({ count }) => count > 0)
  if (out.length > 0 && exhausted.count === 0) return true
  if (without(or([...out, sharedOut(state)]), exhausted).next(0) !== undefined) return true
  for (const peer of state.peers.values()) {
    if (isBanned(peer, state.nowMs)) continue
    const fresh = without(openTo(peer), exhausted)
    if (and(state.normal, fresh).next(peer.normalFloor) !== undefined) return true
    if (and(state.escalated, fresh).next(peer.escalatedFloor) !== undefined) return true
  }
  return false
}
