/**
 * With which failure a block goes back to the scheduler when its kinds of part fared differently at
 * one peer. Pure.
 */
import type { FetchError } from "./FetchError.ts"
import { type Verdict, verdict } from "./verdict.ts"

/**
 * The failure that says what follows for the block, of those of its missing parts; undefined where
 * none does: the block was partly served.
 *
 * A lie or a strike comes first, they are attempts. What came up short by no fault goes back without
 * a mark: the same peer may go on with it. That the peer lacks the block is believed only when it
 * showed nothing of it: what it lacks of one kind it may have of the other, and would never be
 * asked for it again.
 */
export const failureOfBlock = (
  errors: ReadonlyArray<FetchError>,
  anyPart: boolean,
): FetchError | undefined => {
  const first = (fits: (verdict: Verdict) => boolean): FetchError | undefined =>
    errors.find((error) => fits(verdict(error._tag)))
  return (
    first(({ peer }) => peer === "ban") ??
    first(({ attempt, lacks }) => attempt && !lacks) ??
    first(({ lacks }) => !lacks) ??
    (anyPart ? undefined : (first(({ attempt }) => attempt) ?? errors[0]))
  )
}
