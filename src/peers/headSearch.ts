/**
 * The search for the highest block of which a peer serves the header, as a pure question-and-answer
 * game: it says which block to ask for next, and is told whether the header came.
 *
 * What a peer announces is only where the search starts: some announce 0 and serve everything,
 * some announce what they have not got. Takes it that a peer that serves a header serves those
 * below it too; a peer that does not is asked for what it lacks later and that is learned then.
 *
 * At most about twice log2(distance between hint and head) questions, and two when the hint is
 * right.
 */

/** The state of a search: the head lies in `[served, missing)`. */
export interface HeadSearch {
  /** Highest block known to be served; -1 while none is. */
  readonly served: number
  /** Lowest block known not to be served; undefined while none is. */
  readonly missing: number | undefined
  readonly hint: number
  /** The next stride while the head is sought upwards or downwards from the hint. */
  readonly stride: number
}

/** A search that starts at an announced head. */
export const startHeadSearch = (hint: number): HeadSearch => ({
  served: -1,
  missing: undefined,
  hint,
  stride: 1,
})

/** The block to ask for next; undefined when the head is known ({@link HeadSearch.served}). */
export const nextQuestion = (search: HeadSearch): number | undefined => {
  const { served, missing, hint, stride } = search
  if (served === -1 && missing === undefined) return hint
  if (missing === undefined) {
    const highest = Number.MAX_SAFE_INTEGER
    return served < highest ? Math.min(served + stride, highest) : undefined
  }
  if (missing - served <= 1) return undefined
  if (served === -1) return Math.max(0, missing - stride)
  return served + Math.floor((missing - served) / 2)
}

/** The search after `block` was asked for and its header came, or did not. */
export const afterAnswer = (search: HeadSearch, block: number, came: boolean): HeadSearch => {
  const first = search.served === -1 && search.missing === undefined
  const stride = first ? 1 : search.stride * 2
  return came
    ? { ...search, served: Math.max(search.served, block), stride }
    : { ...search, missing: Math.min(search.missing ?? block, block), stride }
}
