/** Says on stderr which blocks are missing at the end of a run. */
import { Effect } from "effect"
import type { BlockRanges } from "../domain/blockRanges.ts"
import { Terminal } from "../observe/Terminal.ts"

/** How many missing ranges are named on stderr; the summary has them all. */
const MOST_RANGES = 10

/** One line with the first of the ranges; the summary has them all. Nothing when none are. */
export const tellMissing = Effect.fnUntraced(function* (failed: BlockRanges, why: string) {
  if (failed.count === 0) return
  const terminal = yield* Terminal
  const ranges = [...failed.ranges()]
  const named = ranges.slice(0, MOST_RANGES).map(([from, to]) => `${from}-${to}`)
  const more = ranges.length > MOST_RANGES ? ` and ${ranges.length - MOST_RANGES} more ranges` : ""
  const line = `annals: ${failed.count} blocks are missing, ${why}: ${named.join(", ")}${more}`
  yield* terminal.log(line, "error")
})
