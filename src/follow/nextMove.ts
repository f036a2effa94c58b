/**
 * What to do about the chain that was decided on. Pure.
 *
 * Near the head blocks are wanted by their hashes, one target at a time. Where the stored chain lies
 * further back, what lies below the rollback window is fetched as any other range of history is.
 */
import type { BlockId, StoredTop } from "./headerTree.ts"
import type { Decision } from "./quorum.ts"

/** What to do next. */
export type Move =
  /** Nothing: the store has the agreed chain. */
  | { readonly _tag: "Rest" }
  /** Nothing can be done now; `reason` says why, in a few words. */
  | { readonly _tag: "Wait"; readonly reason: string }
  /**
   * Fetch these blocks as a range, both ends inclusive. `tipHeld`: the stored tip below it is known to
   * be of the chain that is followed; otherwise that is to be found out first.
   */
  | {
      readonly _tag: "Range"
      readonly from: number
      readonly to: number
      readonly tipHeld: boolean
    }
  /** Have this path above `ancestor`. */
  | { readonly _tag: "Target"; readonly ancestor: number; readonly path: ReadonlyArray<BlockId> }
  /** End the run: the chain went another way below the window. */
  | { readonly _tag: "TooDeep" }

/** With less than this to fetch below the window, all of it is fetched by hash. */
export const LEAST_RANGE_BLOCKS = 128

/** The move; `reach` is the head that is believed, undefined where none is. */
export const nextMove = (
  top: StoredTop,
  decision: Decision,
  reach: number | undefined,
  windowBlocks: number,
): Move => {
  switch (decision._tag) {
    case "Stay":
      return { _tag: "Rest" }
    case "TooDeep":
      return { _tag: "TooDeep" }
    case "NoQuorum":
      return { _tag: "Wait", reason: waitingFor(decision) }
    case "Advance": {
      const { ancestor, path } = decision
      const range = ancestor === top.tip ? rangeTo(top, reach, windowBlocks) : undefined
      return range ?? { _tag: "Target", ancestor, path }
    }
  }
}

/** The range below the window, where it is worth one. */
export const rangeTo = (
  { tip }: StoredTop,
  reach: number | undefined,
  windowBlocks: number,
): Extract<Move, { readonly _tag: "Range" }> | undefined => {
  const to = (reach ?? -1) - windowBlocks
  if (to - tip < LEAST_RANGE_BLOCKS) return undefined
  return { _tag: "Range", from: tip + 1, to, tipHeld: true }
}

const waitingFor = ({
  voters,
  quorum,
}: Extract<Decision, { readonly _tag: "NoQuorum" }>): string => {
  if (quorum === 1) return "no trusted peer shows a chain that leads on"
  if (Number.isFinite(quorum)) return `${voters} of the ${quorum} peers that have to agree do so`
  return voters === 0
    ? "no peer is there to follow"
    : "one peer alone does not move the chain: another is waited for, or it is named by --trusted-peer"
}
