/**
 * Blocks about which peers contradict each other and nobody can prove who is right: how long they
 * rest before they are fetched again, and of whom.
 *
 * In: each contest, that is a block that was refused because it contradicts stored ones, and who had
 * sent what. Out: which pending blocks rest, until when, and how many peers contradict a peer.
 * Among honest peers there are no contradictions, so that in the graph of who contradicts whom a liar
 * has an edge to each honest peer that it met, and an honest peer none but to liars: where more are
 * honest, a liar is soon contradicted by more peers than they are. Who contradicts itself lies.
 *
 * Bounded: {@link MOST_DISPUTED} heights, {@link MOST_PARTIES} peers, {@link MOST_OPPONENTS} for each;
 * the oldest is forgotten. Pure.
 */
import { and, BlockRanges, or, without, type BlockView } from "../domain/blockRanges.ts"
import type { Dispute, Disputes, Peer, SchedulerState } from "./model.ts"

/**
 * How long a block rests after its first contest: a forged run is gone through block by block, and so
 * that both sides of a contest are ready to be asked for in one batch.
 */
export const FIRST_REST_MS = 50
/** It rests so many times as long each time. */
const REST_FACTOR = 4
/** And never longer than this: where many lie, a border between two chains wanders contest by contest. */
export const MOST_REST_MS = 1_000
/**
 * From this contest of a height on both senders had their chance at it, until it is completed the next
 * time: hope must not last. What ends it is that the store puts out no more (`MOST_CONTESTS`).
 */
export const DECIDES_NOTHING = 8

/** Heights that are remembered as disputed, some 100 bytes each. */
const MOST_DISPUTED = 4_096
/** Peers of which it is remembered whom they contradict. */
const MOST_PARTIES = 1_000
/** Opponents that are counted of one peer. */
const MOST_OPPONENTS = 64

/** No disputes. */
export const noDisputes: Disputes = {
  byBlock: new Map(),
  blocks: BlockRanges.empty,
  resting: BlockRanges.empty,
  opponents: new Map(),
}

/** How long blocks rest of which one was contested so often, from 1. */
export const restMs = (times: number): number =>
  Math.min(MOST_REST_MS, FIRST_REST_MS * REST_FACTOR ** Math.min(times - 1, 20))

/** The blocks are contested once more, together: all of them rest until the same time. */
export const contested = (
  disputes: Disputes,
  blocks: ReadonlyArray<number>,
  nowMs: number,
): Disputes => {
  const byBlock = new Map(disputes.byBlock)
  const timesOf = (block: number): number => (byBlock.get(block)?.times ?? 0) + 1
  const restsUntilMs = nowMs + restMs(Math.max(...blocks.map(timesOf)))
  let { blocks: all, resting } = disputes
  for (const block of blocks) {
    const dispute: Dispute = { times: timesOf(block), restsUntilMs }
    // Deleting first moves it to the young end of the map's order.
    byBlock.delete(block)
    byBlock.set(block, dispute)
    all = all.add(block, block)
    resting = resting.add(block, block)
  }
  return bounded({ ...disputes, byBlock, blocks: all, resting })
}

/** The block had to go for another: it rests once more, and the contest it went for is what counts. */
export const restAgain = (disputes: Disputes, block: number, nowMs: number): Disputes => {
  const known = disputes.byBlock.get(block)
  const restsUntilMs = Math.max(known?.restsUntilMs ?? 0, nowMs + FIRST_REST_MS)
  const byBlock = new Map(disputes.byBlock).set(block, { times: known?.times ?? 0, restsUntilMs })
  return bounded({
    ...disputes,
    byBlock,
    blocks: disputes.blocks.add(block, block),
    resting: disputes.resting.add(block, block),
  })
}

/** The oldest heights are forgotten where there are too many. */
const bounded = (disputes: Disputes): Disputes => {
  const byBlock = new Map(disputes.byBlock)
  let { blocks, resting } = disputes
  for (const oldest of byBlock.keys()) {
    if (byBlock.size <= MOST_DISPUTED) break
    byBlock.delete(oldest)
    blocks = blocks.remove(oldest, oldest)
    resting = resting.remove(oldest, oldest)
  }
  return { ...disputes, byBlock, blocks, resting }
}

/** The disputes at `nowMs`: rests that are over have ended. */
export const rested = (disputes: Disputes, nowMs: number): Disputes => {
  let { resting } = disputes
  if (resting.count === 0) return disputes
  for (let block = resting.next(0); block !== undefined; block = resting.next(block + 1)) {
    const ends = disputes.byBlock.get(block)?.restsUntilMs ?? nowMs
    if (ends <= nowMs) resting = resting.remove(block, block)
  }
  return resting === disputes.resting ? disputes : { ...disputes, resting }
}

/** When the first rest ends of one of these blocks; undefined when none of them rests. */
export const nextRestEndMs = (
  { resting, byBlock }: Disputes,
  pending: BlockView,
): number | undefined => {
  if (resting.count === 0) return undefined
  let endsMs: number | undefined
  const waiting = and(resting, pending)
  for (let block = waiting.next(0); block !== undefined; block = waiting.next(block + 1)) {
    const ends = byBlock.get(block)?.restsUntilMs ?? Infinity
    endsMs = Math.min(endsMs ?? Infinity, ends)
  }
  return endsMs
}

/** Blocks that are work no more are disputed no more. */
export const withoutDisputed = (disputes: Disputes, removed: BlockRanges): Disputes => {
  const gone = and(disputes.blocks, removed)
  if (gone.next(0) === undefined) return disputes
  const byBlock = new Map(disputes.byBlock)
  for (let block = gone.next(0); block !== undefined; block = gone.next(block + 1)) {
    byBlock.delete(block)
  }
  const { blocks, resting } = disputes
  return {
    ...disputes,
    byBlock,
    blocks: blocks.subtract(removed),
    resting: resting.subtract(removed),
  }
}

/** Two peers have contradicted each other, or one itself. */
export const opposed = (disputes: Disputes, a: string, b: string): Disputes => {
  const opponents = new Map(disputes.opponents)
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const known = opponents.get(one)
    if (known?.has(other) === true || (known?.size ?? 0) >= MOST_OPPONENTS) continue
    opponents.delete(one)
    opponents.set(one, new Set(known).add(other))
  }
  for (const oldest of opponents.keys()) {
    if (opponents.size <= MOST_PARTIES) break
    opponents.delete(oldest)
  }
  return { ...disputes, opponents }
}

/** How many connected peers contradict this one, banned ones not counted; Infinity: it itself does. */
export const opponentsOf = (
  { disputes, peers, nowMs }: Pick<SchedulerState, "disputes" | "peers" | "nowMs">,
  peerId: string,
): number => {
  const opponents = disputes.opponents.get(peerId)
  if (opponents === undefined) return 0
  if (opponents.has(peerId)) return Infinity
  let count = 0
  for (const other of opponents) {
    // Who has left, to come back under another name perhaps, says nothing against who stays.
    const standing = peers.get(other)
    if (standing !== undefined && !(standing.banned && standing.usableFromMs > nowMs)) count += 1
  }
  return count
}

/**
 * What is kept from `peer` now: blocks that rest, and disputed ones that `wanted` says a peer could
 * be asked for of which fewer contradict. Undefined where nothing is, as nearly always.
 */
export const keptFrom = (
  state: SchedulerState,
  peer: Peer,
  wanted: (better: Peer) => BlockView,
): BlockView | undefined => {
  const { disputes } = state
  if (disputes.blocks.count === 0) return undefined
  const own = opponentsOf(state, peer.peerId)
  if (own === 0) return disputes.resting
  const better = [...state.peers.values()].filter(
    (other) =>
      other.peerId !== peer.peerId &&
      !(other.banned && other.usableFromMs > state.nowMs) &&
      opponentsOf(state, other.peerId) < own,
  )
  return or([disputes.resting, and(disputes.blocks, or(better.map(wanted)))])
}

/** `view` less what is kept from somebody. */
export const lessKept = (view: BlockView, kept: BlockView | undefined): BlockView =>
  kept === undefined ? view : without(view, kept)
