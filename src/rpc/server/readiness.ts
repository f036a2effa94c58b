/**
 * Whether the store is caught up, as `/ready` means it. Pure.
 *
 * Without a sync it is when it holds a block. With one, when the sync follows the head, is not stalled
 * and lags by at most {@link MOST_BEHIND} blocks, or has ended with all of its range stored.
 */
import type { SyncReport } from "../../observe/syncReport.ts"
import type { ChainExtent } from "../ChainReader.ts"

/** Blocks that one who follows may lag: one is on its way, one is being made. */
export const MOST_BEHIND = 2

/** Why the store is not caught up, in a few words; undefined when it is. */
export const notReady = (
  { ranges, latest }: Pick<ChainExtent, "ranges" | "latest">,
  { syncs, report }: { readonly syncs: boolean; readonly report: () => SyncReport | undefined },
): string | undefined => {
  if (latest === undefined) return "no block is stored"
  if (!syncs) return undefined
  const state = report()
  if (state === undefined) return "the sync does not say how it stands"
  const { phase, blocksBehind, startBlock, targetBlock, stalled } = state
  if (phase === "ended") {
    const whole =
      targetBlock !== undefined &&
      ranges.some(([from, to]) => from <= startBlock && to >= targetBlock)
    return whole ? undefined : "the sync ended before it was complete"
  }
  if (phase !== "following") return `the sync is at its ${phase}`
  if (stalled !== undefined) return `the sync waits: ${stalled}`
  if (blocksBehind === undefined) return "the head is not known"
  return blocksBehind <= MOST_BEHIND ? undefined : `${blocksBehind} blocks behind the head`
}
