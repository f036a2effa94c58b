/**
 * What to do about the chain that a trusted node says is the one. Pure.
 *
 * Near the tip its head leads down to the stored chain by headers. Where it is far ahead nobody was
 * asked for the headers between: then the node's own block at the tip's height says whether the tip is
 * on its chain, and leads to the one that takes its place if it is not.
 */
import type { BlockId, Descent, StoredTop } from "./headerTree.ts"
import { type Move, rangeTo } from "./nextMove.ts"

/** What the trusted node said last, as far as it still counts. */
export interface TrustedSaid {
  readonly head: BlockId
  /** Its block at the height of the stored tip, where that was asked; undefined: it does not say. */
  readonly atTip: BlockId | undefined
}

/** What the move depends on beside what was said. */
export interface TrustedView {
  readonly top: StoredTop
  readonly windowBlocks: number
  readonly descend: (block: BlockId) => Descent
  readonly isBarred: (path: ReadonlyArray<BlockId>) => boolean
}

/** The move that a trusted head asks for. */
export const trustedMove = (said: TrustedSaid, view: TrustedView): Move => {
  const { top, windowBlocks, descend } = view
  const { head, atTip } = said
  const descent = descend(head)
  if (descent._tag !== "Missing") {
    return met(descent, view, () => rangeTo(top, head.number, windowBlocks))
  }
  const range = rangeTo(top, head.number, windowBlocks)
  if (range === undefined) return unseen(head.number)
  if (!top.hashes.has(top.tip)) return range
  if (atTip?.number !== top.tip) return { ...range, tipHeld: false }
  if (atTip.key === top.hashes.get(top.tip)) return range
  const below = descend(atTip)
  return below._tag === "Missing" ? unseen(top.tip) : met(below, view, () => undefined)
}

const met = (
  descent: Exclude<Descent, { readonly _tag: "Missing" }>,
  { top, isBarred }: TrustedView,
  range: () => Move | undefined,
): Move => {
  switch (descent._tag) {
    case "Met": {
      const { ancestor, path } = descent
      if (path.length === 0) return { _tag: "Rest" }
      if (isBarred(path)) {
        return { _tag: "Wait", reason: "the trusted head's chain does not fit the store" }
      }
      const whole = ancestor === top.tip ? range() : undefined
      return whole ?? { _tag: "Target", ancestor, path }
    }
    case "Deep":
      return { _tag: "TooDeep" }
    case "Behind":
      return { _tag: "Rest" }
    case "Broken":
      return { _tag: "Wait", reason: "the trusted head is of no chain" }
  }
}

const unseen = (number: number): Move => ({
  _tag: "Wait",
  reason: `no peer has shown block ${number} of the trusted head`,
})
