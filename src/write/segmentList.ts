/**
 * Runs of stored blocks in order: how they are found, cut, and joined. Nothing is decided here; the
 * rules are those of `segments.ts`.
 *
 * Invariants: segments rise and share no block; no two neighbours that are alike stay apart; the
 * {@link Segment} objects never change.
 */
import { equalBytes } from "../domain/hex.ts"

/** The hashes that tie a block to its neighbours, 32 bytes each. */
export interface BlockLink {
  readonly hash: Uint8Array
  readonly parentHash: Uint8Array
}

/** A block that wants in. */
export interface NewBlock extends BlockLink {
  readonly blockNumber: number
}

/** A run of stored blocks, both ends inclusive, that are alike in trust and checks. */
export interface Segment {
  readonly from: number
  readonly to: number
  /** The parent's hash of block `from`. */
  readonly firstParentHash: Uint8Array
  /** The hash of block `to`. */
  readonly lastHash: Uint8Array
  /** Whether a trusted hash links down to all of it. */
  readonly anchored: boolean
  /** The checks that its blocks passed, in one canonical spelling. */
  readonly checks: string
  /** Whether its blocks were compared with their neighbours, that is: `checks` has `links`. */
  readonly linked: boolean
}

/** How the blocks of a run are checked. */
export type SegmentChecks = Pick<Segment, "checks" | "linked">

/** The segments of one store, rising. Changed in place. */
export class SegmentList {
  readonly #list: Array<Segment>
  readonly #linkOf: (blockNumber: number) => BlockLink

  /** `segments` in any order, without shared blocks; `linkOf` is asked only while one is cut. */
  constructor(segments: ReadonlyArray<Segment>, linkOf: (blockNumber: number) => BlockLink) {
    this.#list = segments.toSorted((a, b) => a.from - b.from)
    this.#linkOf = linkOf
  }

  /** The segments as they are now; the array changes with the list. */
  all(): ReadonlyArray<Segment> {
    return this.#list
  }

  /** The index of the first segment that ends at or above the block. */
  indexOf(blockNumber: number): number {
    let low = 0
    let high = this.#list.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#list[middle]!.to < blockNumber) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The segment that a block is in; undefined when it is not stored. */
  holding(blockNumber: number): Segment | undefined {
    const segment = this.#list[this.indexOf(blockNumber)]
    return segment !== undefined && segment.from <= blockNumber ? segment : undefined
  }

  /** The hash of a block of a segment. */
  hashIn(segment: Segment, blockNumber: number): Uint8Array {
    return blockNumber === segment.to ? segment.lastHash : this.#linkOf(blockNumber).hash
  }

  /** Puts a block between the segments around index `at`, and gives the index of its segment. */
  place(at: number, block: NewBlock, how: SegmentChecks, anchored: boolean): number {
    this.#list.splice(at, 0, {
      from: block.blockNumber,
      to: block.blockNumber,
      firstParentHash: block.parentHash.slice(),
      lastHash: block.hash.slice(),
      anchored,
      checks: how.checks,
      linked: how.linked,
    })
    return this.#merge(at)
  }

  /** Anchors a segment of the list up to block `to`, and gives the index of what is anchored. */
  anchor(segment: Segment, to: number): number {
    const at = this.indexOf(segment.from)
    const parts: Array<Segment> = [{ ...this.#upTo(segment, to), anchored: true }]
    if (to < segment.to) parts.push(this.#from(segment, to + 1))
    this.#list.splice(at, 1, ...parts)
    return this.#merge(at)
  }

  /** Takes blocks out that all lie in one segment. */
  remove(from: number, to: number): void {
    const at = this.indexOf(from)
    const segment = this.#list[at]!
    const left: Array<Segment> = []
    if (segment.from < from) left.push(this.#upTo(segment, from - 1))
    if (segment.to > to) left.push(this.#from(segment, to + 1))
    this.#list.splice(at, 1, ...left)
  }

  /** Joins the segment at `at` with its neighbours where they are alike; gives its new index. */
  #merge(at: number): number {
    let index = at
    if (this.#joinWithNext(index - 1)) index -= 1
    this.#joinWithNext(index)
    return index
  }

  #joinWithNext(at: number): boolean {
    const lower = this.#list[at]
    const upper = this.#list[at + 1]
    if (lower === undefined || upper === undefined || !alike(lower, upper)) return false
    this.#list.splice(at, 2, { ...lower, to: upper.to, lastHash: upper.lastHash })
    return true
  }

  #upTo(segment: Segment, to: number): Segment {
    return to === segment.to ? segment : { ...segment, to, lastHash: this.#linkOf(to).hash }
  }

  #from(segment: Segment, from: number): Segment {
    return from === segment.from
      ? segment
      : { ...segment, from, firstParentHash: this.#linkOf(from).parentHash }
  }
}

/** Whether two segments are neighbours that are to be one. */
const alike = (lower: Segment, upper: Segment): boolean =>
  lower.to + 1 === upper.from &&
  lower.anchored === upper.anchored &&
  lower.checks === upper.checks &&
  (!lower.linked || equalBytes(lower.lastHash, upper.firstParentHash))
