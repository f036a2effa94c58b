/**
 * What a peer has of the blocks that are wanted, by what it shows of its chain. Pure.
 */
import { BlockRanges } from "../domain/blockRanges.ts"
import type { BlockId, Descent, StoredTop } from "./headerTree.ts"

/** Blocks that a peer has, and blocks in whose place it has others; of the rest it shows nothing. */
export interface TargetShare {
  readonly has: BlockRanges
  readonly lacks: BlockRanges
}

/** The share of a peer in the blocks `missing` of a path. */
export const targetShare = (
  path: ReadonlyArray<BlockId>,
  missing: BlockRanges,
  descent: Extract<Descent, { readonly _tag: "Met" }>,
  top: StoredTop,
): TargetShare => {
  const shown = new Map(descent.path.map(({ number, key }) => [number, key]))
  let has = BlockRanges.empty
  let lacks = BlockRanges.empty
  for (const { number, key } of path) {
    if (!missing.has(number)) continue
    const own = number <= descent.ancestor ? top.hashes.get(number) : shown.get(number)
    if (own === key) has = has.add(number, number)
    else if (own !== undefined) lacks = lacks.add(number, number)
  }
  return { has, lacks }
}
