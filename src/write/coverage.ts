/**
 * What `coverage` says: which blocks each dataset has, in how trusted and how checked a run.
 *
 * In: the segments of the stored chain, as they change, and the blocks that get or lose the rows
 * of a dataset. Out: the rows of `coverage`, and at each commit those of them that change.
 *
 * Invariants: the rows of `payloads` and `blocks` are the segments; a row of any other dataset lies
 * within one segment and has its trust and its checks; a block that is not stored is in no dataset.
 */
import { BlockRanges, type BlockRange } from "../domain/blockRanges.ts"
import { blockDatasets } from "./datasets.ts"
import type { Segment } from "./segmentList.ts"
import type { Segments } from "./segments.ts"

/** A row of `coverage`. */
export interface CoverageRow {
  readonly dataset: string
  readonly from: number
  readonly to: number
  readonly anchored: boolean
  readonly checks: string
}

/** What a commit does to `coverage`, in this order. */
export interface CoverageChange {
  /** Rows that go: all of any dataset whose `from` is in one of the ranges. */
  readonly cleared: ReadonlyArray<BlockRange>
  readonly added: ReadonlyArray<CoverageRow>
}

/** The coverage of one store; changed in place. */
export class Coverage {
  readonly segments: Segments
  readonly #datasets: Map<string, BlockRanges>
  /** The segments whose rows are in the database. */
  #written: ReadonlyArray<Segment>
  /** Blocks whose datasets changed while their segment may have stayed as it is. */
  #touched = BlockRanges.empty

  /** `datasets` are those beyond `payloads` and `blocks`; `written` is what the database has. */
  constructor(
    segments: Segments,
    datasets: ReadonlyMap<string, BlockRanges>,
    written: ReadonlyArray<Segment>,
  ) {
    this.segments = segments
    this.#datasets = new Map(datasets)
    this.#written = written
  }

  /** The blocks that a dataset has. */
  of(dataset: string): BlockRanges {
    if (blockDatasets.some((name) => name === dataset)) {
      return BlockRanges.fromRanges(this.segments.ranges())
    }
    return this.#datasets.get(dataset) ?? BlockRanges.empty
  }

  /** The datasets that have blocks or had some. */
  names(): ReadonlyArray<string> {
    return [...blockDatasets, ...this.#datasets.keys()]
  }

  /** The rows of a stored block are in a dataset now. */
  add(dataset: string, blockNumber: number): void {
    this.#datasets.set(dataset, this.of(dataset).add(blockNumber, blockNumber))
    this.#touched = this.#touched.add(blockNumber, blockNumber)
  }

  /** Blocks are no longer stored; the segments know it already. */
  remove(from: number, to: number): void {
    for (const [name, blocks] of this.#datasets) this.#datasets.set(name, blocks.remove(from, to))
  }

  /** What changed since the last time; the caller writes it in the transaction that it commits. */
  takeChange(): CoverageChange {
    const before = this.#written
    const after = this.segments.list()
    const { gone, come } = difference(before, after, this.#touched)
    this.#written = after
    this.#touched = BlockRanges.empty
    return {
      cleared: gone.map(({ from, to }) => [from, to] as const),
      added: come.flatMap((segment) => this.#rowsOf(segment)),
    }
  }

  #rowsOf(segment: Segment): ReadonlyArray<CoverageRow> {
    const { anchored, checks } = segment
    const rows: Array<CoverageRow> = blockDatasets.map((dataset) => {
      return { dataset, from: segment.from, to: segment.to, anchored, checks }
    })
    for (const [dataset, blocks] of this.#datasets) {
      for (let from = blocks.next(segment.from); from !== undefined && from <= segment.to;) {
        const to = Math.min(blocks.runEnd(from), segment.to)
        rows.push({ dataset, from, to, anchored, checks })
        from = blocks.next(to + 1)
      }
    }
    return rows
  }
}

/** Segments never change, so one that is there before and after is the same object. */
const difference = (
  before: ReadonlyArray<Segment>,
  after: ReadonlyArray<Segment>,
  touched: BlockRanges,
): { readonly gone: ReadonlyArray<Segment>; readonly come: ReadonlyArray<Segment> } => {
  const gone: Array<Segment> = []
  const come: Array<Segment> = []
  for (let old = 0, now = 0; old < before.length || now < after.length;) {
    const was = before[old]
    const is = after[now]
    if (was !== undefined && was === is) {
      if ((touched.next(was.from) ?? Infinity) <= was.to) {
        gone.push(was)
        come.push(was)
      }
      old += 1
      now += 1
    } else if (is === undefined || (was !== undefined && was.from <= is.from)) {
      gone.push(was!)
      old += 1
    } else {
      come.push(is)
      now += 1
    }
  }
  return { gone, come }
}
