/**
 * What is wanted above the stored chain, and how it stands once some of it is stored. Pure.
 */
import type { BlockId, StoredTop } from "./headerTree.ts"

/** Most blocks of a target; what lies above follows when it is committed. */
export const MOST_TARGET_BLOCKS = 1_280

/** What is wanted above a stored block. */
export interface Target {
  /** One below the first of the path; below the tip when stored blocks are to be replaced. */
  readonly ancestor: number
  /** Its hash in hex, as it was stored when the target was chosen; undefined: nothing is below. */
  readonly ancestorKey: string | undefined
  readonly path: ReadonlyArray<BlockId>
}

/**
 * The target as it stands above what is stored by now, since blocks of it may have been committed
 * after it was chosen; undefined when it stands on nothing that is stored.
 */
export const standing = (
  top: StoredTop,
  { ancestor, ancestorKey, path }: Target,
): Target | undefined => {
  if (ancestor < top.floor || ancestor > top.tip) return undefined
  if (top.hashes.get(ancestor) !== ancestorKey) return undefined
  const there = path.findIndex(({ number, key }) => top.hashes.get(number) !== key)
  const rest = path.slice(there === -1 ? path.length : there)
  const stands = ancestor + path.length - rest.length
  // Stored blocks of another branch are in the way only of blocks that come in their place.
  const above = rest.length === 0 ? top.tip : stands
  return {
    ancestor: above,
    ancestorKey: top.hashes.get(above),
    path: rest.slice(0, MOST_TARGET_BLOCKS),
  }
}
