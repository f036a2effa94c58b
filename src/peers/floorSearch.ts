/**
 * The search for the lowest block of which a peer serves a kind of data, as a pure
 * question-and-answer game like `headSearch.ts`: it says which block to ask for next, and is told
 * whether it came.
 *
 * Takes it that a peer that serves a block serves those above it too, up to its head: pruned nodes
 * drop the oldest first (EIP-4444). What a peer announces as its earliest block is only where the
 * search starts.
 *
 * At most about log2(head) + 4 questions, and two when the hint is right.
 */

/** The state of a search: the floor lies in `(missing, served]`. */
export interface FloorSearch {
  /** Highest block known not to be served; -1 while none is. */
  readonly missing: number
  /** Lowest block known to be served; undefined while none is. */
  readonly served: number | undefined
  /** Where the floor is thought to be. */
  readonly hint: number
  /** The peer's head: nothing is asked for above it. */
  readonly head: number
}

/**
 * A search up to `head`. `missing` is a block that did not come, -1 where none is known; `hint` is
 * the floor that the peer announces or had when it was last looked for.
 */
export const startFloorSearch = (head: number, missing: number, hint: number): FloorSearch => ({
  missing,
  served: undefined,
  hint,
  head,
})

/** The block to ask for next; undefined when the search is over ({@link FloorSearch.served}). */
export const nextFloorQuestion = (search: FloorSearch): number | undefined => {
  const { missing, served, hint, head } = search
  if (served === undefined) {
    if (hint > missing && hint < head) return hint
    return head > missing ? head : undefined
  }
  if (served - missing <= 1) return undefined
  // The hint is mostly right to the block: then this is the last question.
  if (served === hint) return hint - 1
  // Whoever serves below its floor as it was thought of mostly serves everything.
  if (missing === -1) return 0
  return missing + Math.floor((served - missing) / 2)
}

/** The search after `block` was asked for and came, or did not. */
export const afterFloorAnswer = (search: FloorSearch, block: number, came: boolean): FloorSearch =>
  came
    ? { ...search, served: Math.min(search.served ?? block, block) }
    : { ...search, missing: Math.max(search.missing, block) }
