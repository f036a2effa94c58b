/**
 * The checks of all blocks of a pack: what a checking thread does with one message. Pure.
 *
 * In: a pack and the checks that are wanted. Out: the outcome of each block, in the pack's order;
 * in the pack, the receipts of every block that passed are in form 69 afterwards.
 */
import { flattenPacked, readPack } from "./blockPack.ts"
import { type BlockCheck, checkBlock } from "./checkBlock.ts"
import type { Check } from "./checks.ts"

/** Checks every block of `pack`, and rewrites the receipts of those that pass. */
export const checkPack = (
  pack: ArrayBuffer,
  checks: ReadonlySet<Check>,
): ReadonlyArray<BlockCheck> =>
  readPack(pack).map((block, index) => {
    const outcome = checkBlock(block, checks)
    if (outcome._tag === "Passed") flattenPacked(pack, index)
    return outcome
  })
