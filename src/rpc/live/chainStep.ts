/**
 * How the stored chain has moved since it was last looked at. Pure: the driver reads what is asked
 * for.
 *
 *     window   … 7  8  9  10          the last blocks that were seen, each on the one before it
 *     store    … 7  8' 9' 10' 11'     now
 *     step     removed 10, 9, 8; the window is … 7, 8', 9', 10', 11'
 *
 * Invariants:
 * - W1: a window is unbroken, holds at most {@link WINDOW_BLOCKS} blocks, and ends with its head;
 * - W2: after a step every block of the window is the store's;
 * - W3: what a step removes is the window's end, newest first, and nothing that the store still has;
 * - W4: the head goes back only where blocks were removed. A store that is filled from below has a
 *   lower `latest` for a while (see `ChainExtent`): what was told stays told.
 */
import { equalBytes } from "../../domain/hex.ts"

/** How far back blocks are remembered, and how much of a leap forward is told block by block. */
export const WINDOW_BLOCKS = 128

/** A block that was seen in the store. */
export interface SeenBlock {
  readonly blockNumber: number
  readonly hash: Uint8Array
}

/** The blocks that were last seen, rising; empty before there was one. */
export type ChainWindow<B extends SeenBlock> = ReadonlyArray<B>

/** What became of a window. */
export interface ChainStep<B extends SeenBlock> {
  /** Blocks that are the chain's no longer, newest first. */
  readonly removed: ReadonlyArray<B>
  /** All that was remembered was removed, and blocks below that may have been, too. */
  readonly deeper: boolean
  readonly window: ChainWindow<B>
}

/**
 * Follows the chain to `latest` (undefined: nothing is stored). Asks for blocks by number, and takes
 * what the store has there; the answers must all come from one version of the store.
 */
export const followChain = function* <B extends SeenBlock>(
  window: ChainWindow<B>,
  latest: number | undefined,
): Generator<number, ChainStep<B>, B | undefined> {
  let kept = window.length
  for (; kept > 0; kept--) {
    const known = window[kept - 1]!
    const stored: B | undefined = yield known.blockNumber
    if (stored !== undefined && equalBytes(stored.hash, known.hash)) break
  }
  const removed = window.slice(kept).toReversed()
  const stays = window[kept - 1]
  const head = Math.max(latest ?? -1, stays?.blockNumber ?? -1)
  return {
    removed,
    deeper: kept === 0 && window.length === WINDOW_BLOCKS,
    window: yield* fillWindow(window.slice(0, kept), head),
  }
}

/** The window that ends with `head`, of which `kept` is known. */
const fillWindow = function* <B extends SeenBlock>(
  kept: ChainWindow<B>,
  head: number,
): Generator<number, ChainWindow<B>, B | undefined> {
  const known = new Map(kept.map((block) => [block.blockNumber, block]))
  const blocks: Array<B> = []
  for (let at = head; at >= 0 && at > head - WINDOW_BLOCKS; at--) {
    const block: B | undefined = known.get(at) ?? (yield at)
    if (block === undefined) break
    blocks.push(block)
  }
  return blocks.toReversed()
}
