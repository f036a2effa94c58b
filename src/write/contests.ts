/**
 * Which blocks of a write were refused because they contradict others and nobody can tell who is
 * right, and which others those are: what the segments decided (`segments.ts`), told to the scheduler.
 *
 * In: the refusals and the removals of one write. Out: its {@link Contests}. Pure.
 */
import type { Removal } from "./segments.ts"
import type { Refusal } from "./storeProtocol.ts"

/** A refused block and the heights of those that it contradicts. */
export interface Contest {
  readonly blockNumber: number
  /** At least one; `putOut` where the stored block had to go for it. */
  readonly others: ReadonlyArray<{ readonly blockNumber: number; readonly putOut: boolean }>
}

/** What a write's refusals and removals come to. */
export interface Contests {
  readonly contests: ReadonlyArray<Contest>
  /** The removals that were for no contest. */
  readonly removed: ReadonlyArray<Removal>
}

/** See the module. A block that had to go is named in the contest that it went for. */
export const contestsOf = (
  refused: ReadonlyArray<Refusal>,
  removed: ReadonlyArray<Removal>,
): Contests => {
  const claimed = new Set<number>()
  const contests: Array<Contest> = []
  for (const { blockNumber, reason, proven, putOut } of refused) {
    const height = heightOf(blockNumber, reason)
    if (proven || height === undefined) continue
    const others = [...new Set([height, ...putOut])].map((other) => ({
      blockNumber: other,
      putOut: putOut.includes(other),
    }))
    for (const other of putOut) claimed.add(other)
    contests.push({ blockNumber, others })
  }
  const isClaimed = ({ from, to, proven }: Removal): boolean =>
    !proven && from === to && claimed.has(from)
  return { contests, removed: removed.filter((removal) => !isClaimed(removal)) }
}

/** The height of the stored block that a refused one contradicts. */
const heightOf = (blockNumber: number, reason: Refusal["reason"]): number | undefined => {
  switch (reason) {
    case "parent":
      return blockNumber - 1
    case "child":
      return blockNumber + 1
    case "other_block":
      return blockNumber
    case "trusted_hash":
    case "displaced":
    case "unreadable":
      return undefined
  }
}
