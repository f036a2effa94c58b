/**
 * Which blocks a peer is offered next, and whether anything can still be hoped for.
 *
 * In: a state and one of its peers. Out: answers, no changes. Searches leap over ranges from the
 * peer's floor on, so that their cost does not grow with the blocks that are done or barred
 * below it.
 */
import { and, between, or, without, type BlockView } from "../domain/blockRanges.ts"
import type { Peer, SchedulerState, Standing } from "./model.ts"

/** What a peer can be asked for now. */
export interface Offer {
  readonly from: number
  readonly to: number
  readonly escalated: boolean
  /** Whether a new round starts with it: all peers, this one too, had their chance at it. */
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

/** The best offer for a free slot of `peer`: escalated, then normal, then a second chance. */
export const choose = (state: SchedulerState, peer: Peer): Choice => {
  const open = openTo(peer)
  const escalated = and(state.escalated, open).next(peer.escalatedFloor)
  const escalatedFloor = escalated ?? Infinity
  if (escalated !== undefined) {
    const offer = { from: escalated, to: escalated, escalated: true, newRound: false }
    return { offer, normalFloor: peer.normalFloor, escalatedFloor }
  }
  const normal = and(state.normal, open)
  const from = normal.next(peer.normalFloor)
  if (from !== undefined) {
    const to = Math.min(normal.runEnd(from), from + state.options.blocksPerAssignment - 1)
    const offer = { from, to, escalated: false, newRound: false }
    return { offer, normalFloor: from, escalatedFloor }
  }
  return { offer: secondChance(state, peer), normalFloor: Infinity, escalatedFloor }
}

/**
 * The lowest blocks that the peer did try, when every other connected peer that is not banned
 * has tried them too, or lacks them, or cannot serve them by range.
 */
const secondChance = (state: SchedulerState, peer: Peer): Offer | undefined => {
  // Most peers have tried nothing that is pending: found out before the others are looked at.
  const servable = and(peer.tried, between(peer.range.from, peer.range.to))
  const candidates = and(servable, or([state.escalated, state.normal]))
  if (candidates.next(0) === undefined) return undefined

  const others = [...state.peers.values()]
    .filter((other) => other.peerId !== peer.peerId && !isBanned(other, state.nowMs))
    .map(openTo)
  const from = without(candidates, or(others)).next(0)
  if (from === undefined) return undefined
  if (state.escalated.has(from)) return { from, to: from, escalated: true, newRound: true }

  // Only this window is looked at: the end of a run asks for the others' next block.
  const window = between(from, from + state.options.blocksPerAssignment - 1)
  const barred = or(others.map((other) => and(window, other)))
  const run = and(window, without(and(servable, state.normal), barred))
  return { from, to: run.runEnd(from), escalated: false, newRound: true }
}

/**
 * Whether some block can be hoped for: it is out for the first time round, or a connected peer
 * that is not banned could serve it and has had no attempt at it, and not all had it before.
 */
export const isHopeful = (state: SchedulerState): boolean => {
  const { exhausted } = state
  if (without(or([state.assigned, state.delivered]), exhausted).next(0) !== undefined) return true
  for (const peer of state.peers.values()) {
    if (isBanned(peer, state.nowMs)) continue
    const fresh = without(openTo(peer), exhausted)
    if (and(state.normal, fresh).next(peer.normalFloor) !== undefined) return true
    if (and(state.escalated, fresh).next(peer.escalatedFloor) !== undefined) return true
  }
  return false
}
