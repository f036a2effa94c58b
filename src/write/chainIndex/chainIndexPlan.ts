/**
 * Which blocks are indexed next.
 *
 * In: the stored blocks, the segments of the index, what can not be read. Out: a {@link SegmentJob}.
 *
 * The chain is cut into groups of {@link GROUP_BLOCKS} blocks. A segment lies within a group; a
 * group whose blocks are all stored becomes one segment (more where its entries are too many for
 * one). Where only a part of a group is stored, or old enough, that part becomes a segment that is
 * made again, with what has come, until the group is whole.
 *
 * Invariants: no job has a block within {@link FRESH_BLOCKS} of the highest stored one, which a
 * reorganisation may still replace, nor one that is not stored; a job's blocks are in no segment but
 * those that it replaces, and it has one at least that no segment has; when there is no job of any
 * kind, every stored block that is old enough is in a segment.
 */
import { BlockRanges } from "../../domain/blockRanges.ts"

/** Blocks of a group: some 2.6 million entries of mainnet's shape, 75,000 of light blocks. */
export const GROUP_BLOCKS = 1_024
/** As many blocks as `--rollback-window` has where nobody says otherwise. */
export const FRESH_BLOCKS = 64
/** By how many blocks a part of a group grows before it is made again. */
export const GROWTH_BLOCKS = 64

/** A segment as planning sees it. */
export interface PlannedSegment {
  readonly segmentId: number
  readonly from: number
  readonly to: number
  /** Whether it is never made again with more: a whole group, or as much as a segment takes. */
  readonly closed: boolean
}

/** Blocks to make a segment of, and the segments that it takes the place of. */
export interface SegmentJob {
  readonly from: number
  readonly to: number
  readonly replaces: ReadonlyArray<number>
  /** Whether a segment of all its blocks is closed. */
  readonly whole: boolean
}

/**
 * How eager: `whole` groups only; also parts that have `grown` by {@link GROWTH_BLOCKS}; `all`, also
 * parts that have grown by less, but for the one below the highest block, which goes on growing.
 */
export type Eagerness = "whole" | "grown" | "all"

/** The lowest job there is, or undefined. `stored` has no block that can not be read. */
export const nextJob = (
  stored: BlockRanges,
  highest: number,
  segments: ReadonlyArray<PlannedSegment>,
  eagerness: Eagerness,
): SegmentJob | undefined => {
  const limit = highest - FRESH_BLOCKS
  const settled = stored.remove(limit + 1, Infinity)
  const missing = settled.subtract(rangesOf(segments))
  for (let at = missing.next(0); at !== undefined;) {
    const groupEnd = at - (at % GROUP_BLOCKS) + GROUP_BLOCKS - 1
    const from = runStart(settled, at, groupEnd + 1 - GROUP_BLOCKS)
    const to = Math.min(settled.runEnd(at), groupEnd)
    const job = jobIn(from, to, segments)
    const lacking = countIn(missing, job.from, to)
    // What is missing is at its top, where more will come.
    const growing = to === limit && missing.runEnd(at) >= to
    const due =
      job.whole ||
      (eagerness !== "whole" && lacking >= GROWTH_BLOCKS) ||
      (eagerness === "all" && !growing)
    if (due) return job
    at = missing.next(to + 1)
  }
  return undefined
}

/** The blocks of segments. */
export const rangesOf = (segments: ReadonlyArray<PlannedSegment>): BlockRanges =>
  BlockRanges.fromRanges(segments.map(({ from, to }) => [from, to] as const))

/** The lowest block of the run that `at` is in, not below `lowest`. */
const runStart = (blocks: BlockRanges, at: number, lowest: number): number => {
  let from = blocks.next(lowest)!
  while (blocks.runEnd(from) < at) from = blocks.next(blocks.runEnd(from) + 1)!
  return from
}

/** Leaves the closed segments at the beginning as they are and makes the rest anew. */
const jobIn = (from: number, to: number, segments: ReadonlyArray<PlannedSegment>): SegmentJob => {
  const inside = segments
    .filter((segment) => segment.from >= from && segment.to <= to)
    .sort((a, b) => a.from - b.from)
  let start = from
  for (const segment of inside) {
    if (!segment.closed || segment.from !== start) break
    start = segment.to + 1
  }
  const replaces = inside.filter((segment) => segment.from >= start)
  return {
    from: start,
    to,
    replaces: replaces.map(({ segmentId }) => segmentId),
    whole: (to + 1) % GROUP_BLOCKS === 0 && (start > from || from % GROUP_BLOCKS === 0),
  }
}

const countIn = (blocks: BlockRanges, from: number, to: number): number => {
  let count = 0
  for (let at = blocks.next(from); at !== undefined && at <= to;) {
    const end = Math.min(blocks.runEnd(at), to)
    count += end - at + 1
    at = blocks.next(end + 1)
  }
  return count
}
