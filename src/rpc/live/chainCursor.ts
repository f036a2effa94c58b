/**
 * Where somebody stands who is told of the chain: a filter, a subscription. Pure.
 *
 * Nothing is kept for him but his place: what is new is read from the store when he is told of it,
 * however far the chain leapt ahead meanwhile. Only blocks that have left the store are kept, since
 * they are nowhere else.
 *
 * Invariants:
 * - C1: whoever takes back `removed`, in its order, and then takes what the store has from `next` up
 *   to the head, has exactly the store's chain, of the blocks since he began;
 * - C2: nobody is asked to take back what he was not told;
 * - C3: at most {@link MOST_REMOVED} blocks are kept; whoever would need more is `lost`.
 */
import type { ChainStep, SeenBlock } from "./chainStep.ts"

/** Removed blocks that are kept for somebody who was not told of it yet. */
export const MOST_REMOVED = 256

/** See the module. */
export interface ChainCursor<B extends SeenBlock> {
  /** The lowest block that was not told. */
  readonly next: number
  /** Blocks that were told and have left the chain, newest first. */
  readonly removed: ReadonlyArray<B>
  /** More has left the chain than is known: he cannot be told what to take back. */
  readonly lost: boolean
}

/** Blocks from the one to the other, both inclusive. */
export type Span = readonly [from: number, to: number]

/** Of somebody who knows the chain up to its head; undefined where there is none yet. */
export const cursorAt = <B extends SeenBlock>(head: number | undefined): ChainCursor<B> => ({
  next: head === undefined ? 0 : head + 1,
  removed: [],
  lost: false,
})

/** After the chain has moved. */
export const afterStep = <B extends SeenBlock>(
  cursor: ChainCursor<B>,
  { removed, deeper }: ChainStep<B>,
): ChainCursor<B> => {
  const told = removed.filter(({ blockNumber }) => blockNumber < cursor.next)
  const lowest = removed.at(-1)
  if (lowest === undefined) return cursor
  const all = [...cursor.removed, ...told]
  return {
    next: Math.min(cursor.next, lowest.blockNumber),
    removed: all.slice(0, MOST_REMOVED),
    lost: cursor.lost || (deeper && cursor.next > 0) || all.length > MOST_REMOVED,
  }
}

/** What he is to be told of blocks that are new, at most `mostBlocks` of them. */
export const newBlocks = <B extends SeenBlock>(
  { next }: ChainCursor<B>,
  chain: { readonly earliest: number | undefined; readonly head: number | undefined },
  mostBlocks: number,
): Span | undefined => {
  if (chain.head === undefined) return undefined
  const from = Math.max(next, chain.earliest ?? next)
  if (from > chain.head) return undefined
  return [from, Math.min(chain.head, from + mostBlocks - 1)]
}

/**
 * After he was told of `removed`, but for what is `left` of it, and of what is new up to `upTo`;
 * undefined: of nothing new, as it has to be while anything is left.
 */
export const afterTelling = <B extends SeenBlock>(
  cursor: ChainCursor<B>,
  upTo: number | undefined,
  left: ReadonlyArray<B> = [],
): ChainCursor<B> => ({
  next: upTo === undefined ? cursor.next : upTo + 1,
  removed: left,
  lost: cursor.lost,
})
