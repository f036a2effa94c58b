/**
 * Which receipts list of an answer belongs to which block that was asked for, told by gas alone:
 * the cumulative gas of a list's last receipt is the header's gasUsed. For modes that compute no
 * roots. Pure.
 */

/** What became of one block of a request. */
export type PartMatch =
  /** List number `list` of the answer is this block's. */
  | { readonly _tag: "Matched"; readonly list: number }
  /** The peer passed over it: it answered a later one, or sent an empty list in its place. */
  | { readonly _tag: "Lacking" }
  /** The answer ended before it. */
  | { readonly _tag: "Beyond" }

/** The outcome of a match; `foreign` is the first list that belongs to no block, if any. */
export interface PartMatches {
  readonly blocks: ReadonlyArray<PartMatch>
  readonly foreign: number | undefined
}

/** Stands for the cumulative gas of an empty list. */
export const NO_RECEIPTS = -1

/**
 * Matches lists to blocks in order. `gasUsed[i]` is what the header of block i says, which has
 * receipts; `lastGas[j]` is the cumulative gas at the end of list j, {@link NO_RECEIPTS} for an
 * empty list. Servers answer a prefix, or leave out what they lack, but never change the order.
 */
export const matchByGas = (
  gasUsed: ReadonlyArray<number>,
  lastGas: ReadonlyArray<number>,
): PartMatches => {
  const blocks: Array<PartMatch> = gasUsed.map(() => ({ _tag: "Beyond" }))
  // As many lists as blocks: each stands in its own place, an empty one for what is lacking.
  const inPlace = lastGas.length === gasUsed.length
  let at = 0
  for (let list = 0; list < lastGas.length; list++) {
    const gas = lastGas[list]!
    if (gas === NO_RECEIPTS) {
      if (inPlace) blocks[at] = { _tag: "Lacking" }
      if (inPlace) at += 1
      continue
    }
    const found = inPlace ? (gasUsed[at] === gas ? at : -1) : gasUsed.indexOf(gas, at)
    if (found === -1) return { blocks, foreign: list }
    for (let passed = at; passed < found; passed++) blocks[passed] = { _tag: "Lacking" }
    blocks[found] = { _tag: "Matched", list }
    at = found + 1
  }
  return { blocks, foreign: undefined }
}
