/**
 * The stored chain as linked segments, and the decision whether a block fits into it.
 *
 * In: blocks in any order, each a number, its hash and its parent's hash; hashes that are trusted;
 * a way to ask for the hashes of a stored block. Out: for each block whether it is taken in,
 * refused, or stored already, and which stored blocks have to go.
 *
 * ```
 *             trusted hash at 7
 *                     │
 *   [ 2 ── 3 ] . [ 5 ─ 6 ─ 7 ][ 8 ── 9 ]
 *     linked       anchored     linked
 * ```
 *
 * A trusted hash proves what lies below it and nothing above: anyone can make children of a real
 * block. So a block is anchored when a trusted hash at its height or above links down to it
 * without a gap. Two neighbours that do not link cannot both be right:
 *
 * - one is anchored: the other one is wrong, which is proof enough to blame who sent it. When the
 *   wrong one is stored, it goes. Below an anchored block only its direct neighbour is proven
 *   wrong, but what else that one's sender made may reach far down: each time the mismatch is met
 *   again right below, twice as many blocks go (1, 2, 4, …), so that a forged run of n blocks costs
 *   log n rounds. Above a trusted hash all that descends from a wrong block is wrong with it.
 * - neither is anchored: nothing is proven. The new block is refused and the stored neighbour goes,
 *   one block only, so that a liar costs no more than it sends; both are to be fetched again.
 *   Where no trusted hash ever comes, two chains could go on like that for ever. So what comes for
 *   one height may put stored blocks out {@link MOST_CONTESTS} times; from then on it is taken in
 *   only where it contradicts nothing that is stored, until an anchor decides. Where both chains
 *   stay, the height between them stays empty, and is reported as missing.
 *
 * Blocks that come without the check `links` are compared with nothing (a trusted hash at their
 * own height excepted), are never anchored, and never let an anchor through.
 *
 * Invariants, each with a property test of its name:
 * - G1  Segments rise, share no block, and hold exactly what was accepted and not removed since.
 * - G2  In a linked segment, and between linked neighbours, each block's parent is the one below.
 * - G3  A block is anchored when a trusted hash links down to it, and only then.
 * - G4  What descends to a trusted hash is never refused or removed with proof.
 * - G5  No two neighbouring segments could be one.
 * - G6  The order in which an honest chain comes makes no difference to the end.
 * - G7  A forged run below an anchor is replaced after a number of rounds that is logarithmic in
 *       its length.
 * - G8  Without links nothing is compared, and segments with different checks stay apart.
 * - G9  Blocks that are offered again and again come to rest, whichever chains they are of: without
 *       proof a height's offers remove at most two blocks each, and only the first 32 do.
 */
import type { BlockRange } from "../domain/blockRanges.ts"
import { equalBytes } from "../domain/hex.ts"
import {
  type BlockLink,
  type NewBlock,
  type Segment,
  type SegmentChecks,
  SegmentList,
} from "./segmentList.ts"

/** Stored blocks that have to go; `proven` when they cannot be part of the trusted chain. */
export interface Removal {
  readonly from: number
  readonly to: number
  readonly proven: boolean
}

/**
 * Why a block is refused: another hash is trusted at its height; the stored block below or above
 * says otherwise; another block is stored at its height.
 */
export type RefusalReason = "trusted_hash" | "parent" | "child" | "other_block"

/** What becomes of a block. `removed` has to be taken out of the store, in that order. */
export type Insertion =
  | { readonly outcome: "accepted"; readonly removed: ReadonlyArray<Removal> }
  | { readonly outcome: "stored" }
  | {
      readonly outcome: "refused"
      readonly reason: RefusalReason
      /** Whether its sender is to blame; otherwise either side may be wrong. */
      readonly proven: boolean
      /** The hash that the store or the user stands by, and what the block has in its place. */
      readonly expected: Uint8Array
      readonly actual: Uint8Array
      readonly removed: ReadonlyArray<Removal>
    }

/** A trusted hash that differs from an anchored block: two trusted hashes cannot both be right. */
export interface Contradiction {
  readonly blockNumber: number
  /** The trusted hash. */
  readonly expected: Uint8Array
  /** The hash of the anchored block. */
  readonly actual: Uint8Array
}

/** What segments are made from. */
export interface SegmentsOptions {
  /** Stored segments, in any order, without shared blocks. */
  readonly segments: ReadonlyArray<Segment>
  /** Trusted hashes by block number; genesis is one of them and anchors only itself. */
  readonly trusted: ReadonlyMap<number, Uint8Array>
  /** The hashes of a stored block; asked only while a segment is cut. */
  readonly linkOf: (blockNumber: number) => BlockLink
}

/**
 * How often what comes for a height may put stored blocks out without proof. Which side came first is
 * chance; afterwards the scheduler asks whom fewest contradict (S13), and each liar may have to be
 * met once or twice before that is an honest one: enough for some fifteen liars at one height, with
 * 8 it was three. Where nobody can tell, a run ends the later the more there are.
 */
export const MOST_CONTESTS = 32

/** Heights whose contests are counted, some 50 bytes each; at others nothing goes without proof. */
const MOST_CONTESTED = 65_536

/** The segments of one store. Changed in place; the {@link Segment} objects never change. */
export class Segments {
  readonly #list: SegmentList
  readonly #trusted: ReadonlyMap<number, Uint8Array>
  /** How many blocks go next, by the number of the block at which a forged run is suspected. */
  readonly #suspects = new Map<number, number>()
  /** How often what came for a height has put stored blocks out without proof. */
  readonly #contests = new Map<number, number>()

  constructor(options: SegmentsOptions) {
    this.#list = new SegmentList(options.segments, options.linkOf)
    this.#trusted = options.trusted
  }

  /** The segments as they are now, rising. */
  list(): ReadonlyArray<Segment> {
    return this.#list.all().slice()
  }

  /** Whether the block is stored. */
  has(blockNumber: number): boolean {
    return this.#list.holding(blockNumber) !== undefined
  }

  /** The stored blocks as ranges, rising. */
  ranges(): ReadonlyArray<BlockRange> {
    return this.#list.all().map(({ from, to }) => [from, to] as const)
  }

  /**
   * Holds what is stored against the trusted hashes, which may be new: anchors what they prove,
   * and gives what they refute. To be called once, before the first block comes.
   */
  applyTrust(): {
    readonly removed: ReadonlyArray<Removal>
    readonly contradictions: ReadonlyArray<Contradiction>
  } {
    const removed: Array<Removal> = []
    const contradictions: Array<Contradiction> = []
    const heights = [...this.#trusted.keys()].sort((a, b) => b - a)
    for (const blockNumber of heights) {
      const segment = this.#list.holding(blockNumber)
      if (segment === undefined) continue
      const expected = this.#trusted.get(blockNumber)!
      const actual = this.#list.hashIn(segment, blockNumber)
      if (equalBytes(expected, actual)) this.#anchor(segment, blockNumber, removed)
      else if (segment.anchored) contradictions.push({ blockNumber, expected, actual })
      else this.#cutUpwards(segment, blockNumber, removed)
    }
    return { removed, contradictions }
  }

  /** The hash of a stored block; undefined when it is not stored. */
  hashAt(blockNumber: number): Uint8Array | undefined {
    const segment = this.#list.holding(blockNumber)
    return segment && this.#list.hashIn(segment, blockNumber)
  }

  /** The hash that is trusted at a height, if one is. */
  trustedAt(blockNumber: number): Uint8Array | undefined {
    return this.#trusted.get(blockNumber)
  }

  /** The end of the unbroken run of stored blocks that `blockNumber` is in; one below it: none. */
  runEnd(blockNumber: number): number {
    let end = blockNumber - 1
    for (const { from, to } of this.#list.all()) {
      if (from <= end + 1 && to > end) end = to
    }
    return end
  }

  /** The lowest anchored block from `from` to `to`; undefined when none of them is anchored. */
  anchoredWithin(from: number, to: number): number | undefined {
    const held = this.#list
      .all()
      .find((segment) => segment.anchored && segment.from <= to && segment.to >= from)
    return held === undefined ? undefined : Math.max(held.from, from)
  }

  /**
   * Takes all stored blocks from `from` to `to` out, because the chain went another way; nobody is
   * to blame. None of them may be anchored: see {@link Segments.anchoredWithin}.
   */
  removeRange(from: number, to: number): ReadonlyArray<Removal> {
    const removed: Array<Removal> = []
    const within = this.#list.all().filter((segment) => segment.from <= to && segment.to >= from)
    for (const segment of within) {
      this.#remove(Math.max(segment.from, from), Math.min(segment.to, to), false, removed)
    }
    // Who was right before says nothing of the chain that comes now.
    for (const blockNumber of this.#contests.keys()) {
      if (blockNumber >= from && blockNumber <= to) this.#contests.delete(blockNumber)
    }
    return removed
  }

  /** Takes a block in, or says why not; its hashes are copied where they are kept. */
  insert(block: NewBlock, how: SegmentChecks): Insertion {
    const { blockNumber, hash, parentHash } = block
    const trusted = this.#trusted.get(blockNumber)
    if (trusted !== undefined && !equalBytes(trusted, hash)) {
      return refused("trusted_hash", true, trusted, hash)
    }
    const at = this.#list.indexOf(blockNumber)
    const holder = this.#list.all()[at]
    if (holder !== undefined && holder.from <= blockNumber) return this.#meet(holder, block)
    if (!how.linked) {
      this.#list.place(at, block, how, false)
      return { outcome: "accepted", removed: [] }
    }
    const upper = holder?.from === blockNumber + 1 ? holder : undefined
    const below = this.#list.all()[at - 1]
    const lower = below?.to === blockNumber - 1 ? below : undefined
    const badChild = upper !== undefined && !equalBytes(upper.firstParentHash, hash)
    const badParent = lower !== undefined && !equalBytes(lower.lastHash, parentHash)
    if (badChild && upper.anchored) return refused("child", true, upper.firstParentHash, hash)
    if (badParent && lower.anchored) return refused("parent", true, lower.lastHash, parentHash)
    const anchored = trusted !== undefined || (upper?.anchored === true && !badChild)
    const removed: Array<Removal> = []
    if (!anchored && (badChild || badParent)) {
      const goes = this.#contest(blockNumber)
      if (badChild && goes) this.#remove(upper.from, upper.from, false, removed)
      if (badParent && goes) this.#removeTop(lower, 1, false, removed)
      return badParent
        ? refused("parent", false, lower.lastHash, parentHash, removed)
        : refused("child", false, upper!.firstParentHash, hash, removed)
    }
    if (badChild) this.#cutUpwards(upper, upper.from, removed)
    // What went lay above, so that the block's own place is still the same.
    const placed = this.#list.place(at, block, how, anchored)
    if (anchored) {
      this.#contests.delete(blockNumber)
      this.#spread(placed, removed)
    }
    return { outcome: "accepted", removed }
  }

  /** A block comes for a height that is stored. */
  #meet(holder: Segment, { blockNumber, hash }: NewBlock): Insertion {
    const stored = this.#list.hashIn(holder, blockNumber)
    if (equalBytes(stored, hash)) return { outcome: "stored" }
    const removed: Array<Removal> = []
    if (!holder.anchored && this.#contest(blockNumber)) {
      this.#remove(blockNumber, blockNumber, false, removed)
    }
    return refused("other_block", holder.anchored, stored, hash, removed)
  }

  /** Whether stored blocks still go, without proof, for what comes for this height; counts it. */
  #contest(blockNumber: number): boolean {
    const before = this.#contests.get(blockNumber) ?? 0
    if (before >= MOST_CONTESTS) return false
    if (before === 0 && this.#contests.size >= MOST_CONTESTED) return false
    this.#contests.set(blockNumber, before + 1)
    return true
  }

  /** Anchors a segment up to the trusted height `blockNumber`, and what links below it. */
  #anchor(segment: Segment, blockNumber: number, removed: Array<Removal>): void {
    // Inside a segment whose links nobody compared an anchor proves nothing of its neighbours.
    if (segment.anchored || !segment.linked) return
    this.#spread(this.#list.anchor(segment, blockNumber), removed)
  }

  /** Lets the anchor of the segment at `at` reach down as far as blocks link. */
  #spread(at: number, removed: Array<Removal>): void {
    for (let i = at; i > 0;) {
      const upper = this.#list.all()[i]!
      const lower = this.#list.all()[i - 1]!
      if (lower.to !== upper.from - 1 || lower.anchored) return
      if (!equalBytes(lower.lastHash, upper.firstParentHash)) {
        const step = this.#suspects.get(lower.to) ?? 1
        return this.#removeTop(lower, step, true, removed, 2 * step)
      }
      this.#suspects.delete(lower.to)
      if (!lower.linked) return
      i = this.#list.anchor(lower, lower.to)
    }
  }

  /**
   * Removes `count` blocks from the top of a segment, or all that it has. Only the topmost is
   * proven wrong. What is left below is suspected: next time `nextStep` blocks go.
   */
  #removeTop(
    segment: Segment,
    count: number,
    proven: boolean,
    removed: Array<Removal>,
    nextStep = this.#suspects.get(segment.to),
  ): void {
    const { from, to } = segment
    const first = Math.max(from, to - count + 1)
    if (proven && first < to) {
      this.#remove(to, to, true, removed)
      this.#remove(first, to - 1, false, removed)
    } else this.#remove(first, to, proven, removed)
    if (nextStep !== undefined && first > from) this.#suspects.set(first - 1, nextStep)
  }

  /** Removes a wrong block of a segment and all of its descendants in it. */
  #cutUpwards(segment: Segment, blockNumber: number, removed: Array<Removal>): void {
    const last = segment.linked ? segment.to : blockNumber
    this.#remove(blockNumber, last, true, removed)
  }

  /** Removes blocks that all lie in one segment, which is not anchored. */
  #remove(from: number, to: number, proven: boolean, removed: Array<Removal>): void {
    this.#list.remove(from, to)
    if (this.#suspects.size > 0) this.#suspects.delete(to)
    removed.push({ from, to, proven })
  }
}

const refused = (
  reason: RefusalReason,
  proven: boolean,
  expected: Uint8Array,
  actual: Uint8Array,
  removed: ReadonlyArray<Removal> = [],
): Insertion => ({
  outcome: "refused",
  reason,
  proven,
  expected: expected.slice(),
  actual: actual.slice(),
  removed,
})
