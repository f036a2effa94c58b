/**
 * Sets of block numbers, kept as disjoint inclusive ranges, and lazy views for searching them.
 *
 * In and out: block numbers, which are integers from 0 to 2^53 - 2. A {@link BlockRanges} is
 * immutable and shares structure: an update copies one chunk of at most {@link CHUNK_MAX} ranges
 * and the list of chunks, so that it costs microseconds on a set of 500,000 ranges too.
 *
 * Invariants: ranges rise, and between two of them at least one block is missing; no chunk is
 * empty or holds more than CHUNK_MAX ranges; `count` and `rangeCount` are those of the ranges.
 */

/** One run of blocks, both ends inclusive. */
export type BlockRange = readonly [from: number, to: number]

/**
 * A set of blocks that can be searched and need not be stored. `has` tells membership; `next`
 * gives the smallest member at or above `n`; `runEnd` gives the last of the consecutive members
 * that start at `n`, and `n - 1` where `n` is no member.
 */
export interface BlockView {
  has(n: number): boolean
  next(n: number): number | undefined
  runEnd(n: number): number
}

/** Most ranges in a chunk: copying that many costs about as much as finding them. */
const CHUNK_MAX = 256
/** A chunk that shrinks below this is joined with its neighbour. */
const CHUNK_MIN = 64

interface Chunk {
  /** from, to, from, to, ... */
  readonly bounds: ReadonlyArray<number>
  /** Blocks in it. */
  readonly count: number
}

/** Where an update cuts: range `loIndex` of chunk `lo` is the first to go, `hiIndex` of `hi` stays. */
interface Cut {
  readonly lo: number
  readonly loIndex: number
  readonly hi: number
  readonly hiIndex: number
}

/** The index of the first chunk that ends at or above `n`. */
const chunkIndex = (chunks: ReadonlyArray<Chunk>, n: number): number => {
  let low = 0
  let high = chunks.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const { bounds } = chunks[middle]!
    if (bounds[bounds.length - 1]! < n) low = middle + 1
    else high = middle
  }
  return low
}

/** The index of the first range that ends at or above `n`. */
const rangeIndex = (bounds: ReadonlyArray<number>, n: number): number => {
  let low = 0
  let high = bounds.length >>> 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (bounds[2 * middle + 1]! < n) low = middle + 1
    else high = middle
  }
  return low
}

const blocksIn = (bounds: ReadonlyArray<number>): number => {
  let count = 0
  for (let i = 0; i < bounds.length; i += 2) count += bounds[i + 1]! - bounds[i]! + 1
  return count
}

/** Cuts bounds into as few chunks as will hold them, of about the same size. */
const chunked = (bounds: ReadonlyArray<number>): Array<Chunk> => {
  const ranges = bounds.length / 2
  if (ranges === 0) return []
  const pieces = Math.ceil(ranges / CHUNK_MAX)
  const perPiece = Math.ceil(ranges / pieces)
  const chunks: Array<Chunk> = []
  for (let at = 0; at < ranges; at += perPiece) {
    const part = pieces === 1 ? bounds : bounds.slice(2 * at, 2 * (at + perPiece))
    chunks.push({ bounds: part, count: blocksIn(part) })
  }
  return chunks
}

/** An immutable set of block numbers. Ranges with `from > to` are empty wherever they are given. */
export class BlockRanges implements BlockView {
  /** The set without members. */
  static readonly empty = new BlockRanges([], 0, 0)

  readonly #chunks: ReadonlyArray<Chunk>
  /** How many blocks are members. */
  readonly count: number
  /** How many runs of consecutive blocks there are. */
  readonly rangeCount: number

  private constructor(chunks: ReadonlyArray<Chunk>, count: number, rangeCount: number) {
    this.#chunks = chunks
    this.count = count
    this.rangeCount = rangeCount
  }

  /** The blocks `from` to `to`, inclusive. */
  static of(from: number, to: number): BlockRanges {
    if (from > to) return BlockRanges.empty
    const count = to - from + 1
    return new BlockRanges([{ bounds: [from, to], count }], count, 1)
  }

  /** The blocks of ranges that come in any order and may overlap. */
  static fromRanges(ranges: Iterable<BlockRange>): BlockRanges {
    const bounds: Array<number> = []
    const rising = [...ranges].filter(([from, to]) => from <= to).sort((a, b) => a[0] - b[0])
    for (const [from, to] of rising) {
      const last = bounds.length - 1
      if (last > 0 && from <= bounds[last]! + 1) bounds[last] = Math.max(bounds[last]!, to)
      else bounds.push(from, to)
    }
    return new BlockRanges(chunked(bounds), blocksIn(bounds), bounds.length / 2)
  }

  has(n: number): boolean {
    const chunk = this.#chunks[chunkIndex(this.#chunks, n)]
    return chunk !== undefined && chunk.bounds[2 * rangeIndex(chunk.bounds, n)]! <= n
  }

  next(n: number): number | undefined {
    const chunk = this.#chunks[chunkIndex(this.#chunks, n)]
    if (chunk === undefined) return undefined
    return Math.max(n, chunk.bounds[2 * rangeIndex(chunk.bounds, n)]!)
  }

  runEnd(n: number): number {
    const chunk = this.#chunks[chunkIndex(this.#chunks, n)]
    if (chunk === undefined) return n - 1
    const at = 2 * rangeIndex(chunk.bounds, n)
    return chunk.bounds[at]! <= n ? chunk.bounds[at + 1]! : n - 1
  }

  /** The smallest block at or above `n` that is no member. */
  nextGap(n: number): number {
    return this.runEnd(n) + 1
  }

  /** The ranges, rising. */
  *ranges(): IterableIterator<BlockRange> {
    for (const { bounds } of this.#chunks) {
      for (let i = 0; i < bounds.length; i += 2) yield [bounds[i]!, bounds[i + 1]!]
    }
  }

  /** This set with the blocks `from` to `to`; the same object when it has them all. */
  add(from: number, to: number): BlockRanges {
    if (from > to || this.runEnd(from) >= to) return this
    if (this.count === 0) return BlockRanges.of(from, to)
    // Neighbours are cut out too: they become one range with the new blocks.
    const cut = this.#cut(from - 1, to + 1)
    const first = this.#firstOf(cut)
    if (first === undefined) return this.#replace(cut, [from, to])
    return this.#replace(cut, [Math.min(from, first), Math.max(to, this.#lastOf(cut))])
  }

  /** This set without the blocks `from` to `to`; the same object when it has none of them. */
  remove(from: number, to: number): BlockRanges {
    const hit = this.next(from)
    if (hit === undefined || hit > to) return this
    const cut = this.#cut(from, to)
    const first = this.#firstOf(cut) ?? from
    const last = this.#lastOf(cut)
    const left: Array<number> = []
    if (first < from) left.push(first, from - 1)
    if (last > to) left.push(to + 1, last)
    return this.#replace(cut, left)
  }

  /** The members of both; costs an update for each range of the one that has fewer. */
  union(other: BlockRanges): BlockRanges {
    const [more, fewer] = this.rangeCount >= other.rangeCount ? [this, other] : [other, this]
    let joined: BlockRanges = more
    for (const [from, to] of fewer.ranges()) joined = joined.add(from, to)
    return joined
  }

  /** The members that `other` has not; costs an update for each range of `other`. */
  subtract(other: BlockRanges): BlockRanges {
    return [...other.ranges()].reduce<BlockRanges>(
      (rest, [from, to]) => rest.remove(from, to),
      this,
    )
  }

  /** Where the ranges lie that share a block with `from` to `to`. The set is not empty. */
  #cut(from: number, to: number): Cut {
    const chunks = this.#chunks
    const last = chunks.length - 1
    // Past the end means: behind the last range of the last chunk.
    const lo = Math.min(chunkIndex(chunks, from), last)
    const hi = Math.min(chunkIndex(chunks, to), last)
    const { bounds } = chunks[hi]!
    let hiIndex = rangeIndex(bounds, to)
    if (2 * hiIndex < bounds.length && bounds[2 * hiIndex]! <= to) hiIndex += 1
    return { lo, loIndex: rangeIndex(chunks[lo]!.bounds, from), hi, hiIndex }
  }

  /** The first block of the ranges cut out, if any are. */
  #firstOf({ lo, loIndex, hi, hiIndex }: Cut): number | undefined {
    return lo === hi && loIndex === hiIndex ? undefined : this.#chunks[lo]!.bounds[2 * loIndex]
  }

  /** The last block of the ranges cut out; some are. */
  #lastOf({ hi, hiIndex }: Cut): number {
    const { bounds } = this.#chunks[hiIndex === 0 ? hi - 1 : hi]!
    return bounds[(hiIndex === 0 ? bounds.length : 2 * hiIndex) - 1]!
  }

  #replace({ lo, loIndex, hi, hiIndex }: Cut, by: ReadonlyArray<number>): BlockRanges {
    const chunks = this.#chunks
    const before = chunks[lo]!.bounds.slice(0, 2 * loIndex)
    let bounds = before.concat(by, chunks[hi]!.bounds.slice(2 * hiIndex))
    // Most sets are one chunk, and this is what the scheduler does most.
    if (chunks.length === 1 && bounds.length > 0 && bounds.length <= 2 * CHUNK_MAX) {
      const all = blocksIn(bounds)
      return new BlockRanges([{ bounds, count: all }], all, bounds.length / 2)
    }
    let first = lo
    let behind = hi + 1
    if (bounds.length < 2 * CHUNK_MIN) {
      if (first > 0) {
        first -= 1
        bounds = chunks[first]!.bounds.concat(bounds)
      } else if (behind < chunks.length) {
        bounds = bounds.concat(chunks[behind]!.bounds)
        behind += 1
      }
    }
    const fresh = chunked(bounds)
    let { count, rangeCount } = this
    for (const old of chunks.slice(first, behind)) {
      count -= old.count
      rangeCount -= old.bounds.length / 2
    }
    for (const chunk of fresh) count += chunk.count
    rangeCount += bounds.length / 2
    return new BlockRanges(
      [...chunks.slice(0, first), ...fresh, ...chunks.slice(behind)],
      count,
      rangeCount,
    )
  }
}

/** The blocks `from` to `to`, inclusive; `to` may be Infinity. */
export const between = (from: number, to: number): BlockView => ({
  has: (n) => n >= from && n <= to,
  next: (n) => (Math.max(n, from) <= to ? Math.max(n, from) : undefined),
  runEnd: (n) => (n >= from && n <= to ? to : n - 1),
})

/** The blocks in both: each search leaps from a member of one to the next of the other. */
export const and = (a: BlockView, b: BlockView): BlockView => ({
  has: (n) => a.has(n) && b.has(n),
  next: (n) => {
    let candidate = a.next(n)
    while (candidate !== undefined) {
      const inB = b.next(candidate)
      if (inB === undefined || inB === candidate) return inB
      candidate = a.next(inB)
      if (candidate === inB) return candidate
    }
    return undefined
  },
  runEnd: (n) => Math.min(a.runEnd(n), b.runEnd(n)),
})

/** The blocks in at least one of `views`. Takes them all at once: nested, runs cost 2^depth. */
export const or = (views: ReadonlyArray<BlockView>): BlockView => ({
  has: (n) => views.some((view) => view.has(n)),
  next: (n) => {
    let lowest: number | undefined
    for (const view of views) {
      const candidate = view.next(n)
      if (candidate !== undefined && candidate < (lowest ?? Infinity)) lowest = candidate
    }
    return lowest
  },
  runEnd: (n) => {
    let end = n - 1
    for (;;) {
      let further = end
      for (const view of views) further = Math.max(further, view.runEnd(further + 1))
      if (further === end) return end
      end = further
    }
  },
})

/** The blocks of `a` that are not in `b`: each search leaps over the runs of `b`. */
export const without = (a: BlockView, b: BlockView): BlockView => ({
  has: (n) => a.has(n) && !b.has(n),
  next: (n) => {
    let candidate = a.next(n)
    while (candidate !== undefined) {
      const barredTo = b.runEnd(candidate)
      if (barredTo < candidate) return candidate
      candidate = a.next(barredTo + 1)
    }
    return undefined
  },
  runEnd: (n) => {
    const barred = b.next(n)
    return barred === undefined ? a.runEnd(n) : Math.min(a.runEnd(n), barred - 1)
  },
})
