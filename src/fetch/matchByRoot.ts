/**
 * Which item of a short answer belongs to which block that was asked for, told by its root. For
 * modes that check roots anyway: no two different blocks' items have the same one. Pure.
 */
import { equalBytes } from "../domain/hex.ts"
import type { PartMatch, PartMatches } from "./matchReceipts.ts"

/**
 * Matches `count` items to blocks in order. `roots[i]` is what the header of block i says,
 * `rootOf(j)` computes that of item j. As many items as blocks are taken by their place without
 * computing anything: whoever checks them afterwards finds a lie. A short answer is a prefix, or
 * leaves out what the peer lacks, and never changes the order.
 */
export const matchByRoot = (
  roots: ReadonlyArray<Uint8Array>,
  count: number,
  rootOf: (item: number) => Uint8Array,
): PartMatches => {
  if (count === roots.length) {
    return { blocks: roots.map((_, item) => ({ _tag: "Matched", list: item })), foreign: undefined }
  }
  const blocks: Array<PartMatch> = roots.map(() => ({ _tag: "Beyond" }))
  let at = 0
  for (let item = 0; item < count; item++) {
    const root = rootOf(item)
    let found = at
    while (found < roots.length && !equalBytes(roots[found]!, root)) found += 1
    if (found === roots.length) return { blocks, foreign: item }
    for (let passed = at; passed < found; passed++) blocks[passed] = { _tag: "Lacking" }
    blocks[found] = { _tag: "Matched", list: item }
    at = found + 1
  }
  return { blocks, foreign: undefined }
}
