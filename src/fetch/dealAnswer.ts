/**
 * What an answer means for each block that was asked for: its matches sorted into those that
 * arrived and those that did not, by what follows from it (PROTOCOL "What an answer means"). Pure.
 */
import type { HashedHeader } from "./checkHeaders.ts"
import type { PartMatches } from "./matchReceipts.ts"

/** The blocks of a request, dealt out. */
export interface Dealt {
  readonly arrived: ReadonlyArray<{ readonly block: HashedHeader; readonly item: number }>
  /** An empty item stands in their place: the peer says that it has nothing for them. */
  readonly empty: ReadonlyArray<HashedHeader>
  /** Passed over: the answer goes on with later ones. */
  readonly skipped: ReadonlyArray<HashedHeader>
  /** The answer ended before them. */
  readonly beyond: ReadonlyArray<HashedHeader>
}

/** Deals the matches out. `whole` is the number of items, without one that was cut. */
export const dealAnswer = (
  blocks: ReadonlyArray<HashedHeader>,
  matches: PartMatches,
  whole: number,
): Dealt => {
  const arrived: Array<{ readonly block: HashedHeader; readonly item: number }> = []
  const lacking: Array<HashedHeader> = []
  const beyond: Array<HashedHeader> = []
  for (const [index, match] of matches.blocks.entries()) {
    const block = blocks[index]!
    if (match._tag === "Matched") arrived.push({ block, item: match.list })
    else if (match._tag === "Lacking") lacking.push(block)
    else beyond.push(block)
  }
  return whole === blocks.length
    ? { arrived, empty: lacking, skipped: [], beyond }
    : { arrived, empty: [], skipped: lacking, beyond }
}
