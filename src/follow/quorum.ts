/**
 * Which chain to follow, from what several peers show of theirs. Pure.
 *
 * In: the top of the stored chain and, of each peer that has a say, how its head leads down to it. Out:
 * a {@link Decision}.
 *
 * The rule. A block needs a quorum: 3 peers that have it in their chain where 3 or more are connected,
 * both where there are 2. One peer alone moves nothing, unless the user trusts it; then trusted peers
 * decide, and nobody else. From the lowest block that the peers have in common the chain is walked up:
 * at each height to the child that most of the peers that are left have, as long as a quorum has it.
 * A tie stays with the stored chain, else with the child that leads higher.
 *
 * Invariants, each with a property test of its name:
 * - Q1  Fewer than a quorum of peers change nothing, whatever they show.
 * - Q2  What is decided is a path of blocks, each the child of the one before, and each in the chain
 *       of a quorum.
 * - Q3  The stored chain is left only for one that more peers have than the stored block it replaces.
 * - Q4  The order of the peers makes no difference.
 * - Q5  Peers that are behind on the stored chain take nothing back.
 */
import type { BlockId, Descent, StoredTop } from "./headerTree.ts"

/** What a peer shows of its chain. */
export interface PeerView {
  readonly peerId: string
  readonly trusted: boolean
  /** Undefined: it was not heard yet. */
  readonly descent: Descent | undefined
}

/** What follows. */
export type Decision =
  /** The agreed chain ends with the stored one, or below it. */
  | { readonly _tag: "Stay" }
  /** Blocks to have above `ancestor`; it is the tip unless the chain went another way. */
  | {
      readonly _tag: "Advance"
      readonly ancestor: number
      readonly path: ReadonlyArray<BlockId>
      /** Peers that have the last of the path. */
      readonly votes: number
    }
  /** The agreed chain leaves the stored one below the window. */
  | { readonly _tag: "TooDeep"; readonly votes: number }
  /** Too few peers have a say. */
  | { readonly _tag: "NoQuorum"; readonly voters: number; readonly quorum: number }

/** The head that the `quorum` highest of some heads reach; undefined where there are fewer. */
export const reachOf = (heads: ReadonlyArray<number>, quorum: number): number | undefined =>
  heads.toSorted((a, b) => b - a)[quorum - 1]

/** Peers that have to agree where there are that many. */
export const FULL_QUORUM = 3

/** How many of `peers` untrusted peers have to agree; Infinity for a lone one. */
export const quorumOf = (peers: number): number =>
  peers >= FULL_QUORUM ? FULL_QUORUM : peers === 2 ? 2 : Infinity

/** See the module. `views` are of all peers that may have a say, heard or not. */
export const decide = (top: StoredTop, views: ReadonlyArray<PeerView>): Decision => {
  const { voters, quorum } = electorate(views)
  const met = voters.flatMap(({ descent }) => (descent._tag === "Met" ? [descent] : []))
  const deepVotes = mostCommon(
    voters.flatMap(({ descent }) => (descent._tag === "Deep" ? [descent.key] : [])),
  )
  if (deepVotes >= quorum && deepVotes > met.length) return { _tag: "TooDeep", votes: deepVotes }
  if (met.length < quorum) return { _tag: "NoQuorum", voters: met.length, quorum }
  return walk(top, met, quorum)
}

/** A peer that was heard. */
type Voter = PeerView & { readonly descent: Descent }

/**
 * Who has a say, and how many of them have to agree. Who is far behind still syncs itself, and is not
 * waited for; who was not heard is.
 */
export const electorate = (
  views: ReadonlyArray<PeerView>,
): { readonly voters: ReadonlyArray<Voter>; readonly quorum: number } => {
  const heard = views.flatMap((view): Array<Voter> => {
    const { descent } = view
    return descent === undefined || isOut(descent) ? [] : [{ ...view, descent }]
  })
  const counted = views.filter(({ descent }) => descent === undefined || !isOut(descent))
  // One that is there and was not heard yet is waited for: nobody else speaks in its place.
  if (counted.some(({ trusted }) => trusted)) {
    return { voters: heard.filter(({ trusted }) => trusted), quorum: 1 }
  }
  return { voters: heard, quorum: quorumOf(counted.length) }
}

/** Whether the peer has no say: it is far behind, or shows no chain. */
const isOut = ({ _tag }: Descent): boolean => _tag === "Behind" || _tag === "Broken"

type Met = Extract<Descent, { readonly _tag: "Met" }>

/** A block at the height that the walk looks at, and who has it. */
interface Child {
  readonly id: BlockId
  readonly stored: boolean
  readonly voters: Array<Met>
}

const walk = (top: StoredTop, views: ReadonlyArray<Met>, quorum: number): Decision => {
  const path: Array<BlockId> = []
  let ancestor = Math.min(...views.map((view) => view.ancestor))
  let group = views
  for (let height = ancestor + 1; ; height++) {
    const child = choose(childrenAt(top, group, height), quorum)
    if (child === undefined) break
    group = child.voters
    if (child.stored) ancestor = height
    else path.push(child.id)
  }
  return path.length === 0
    ? { _tag: "Stay" }
    : { _tag: "Advance", ancestor, path, votes: group.length }
}

const childrenAt = (
  top: StoredTop,
  views: ReadonlyArray<Met>,
  height: number,
): ReadonlyArray<Child> => {
  const children = new Map<string, Child>()
  for (const view of views) {
    const stored = height <= view.ancestor
    const key = stored ? top.hashes.get(height) : view.path[height - view.ancestor - 1]?.key
    if (key === undefined) continue
    const child = children.get(key)
    if (child === undefined) {
      children.set(key, { id: { number: height, key }, stored, voters: [view] })
    } else child.voters.push(view)
  }
  return [...children.values()]
}

const choose = (children: ReadonlyArray<Child>, quorum: number): Child | undefined =>
  children.filter(({ voters }) => voters.length >= quorum).sort(preferred)[0]

const preferred = (a: Child, b: Child): number =>
  b.voters.length - a.voters.length ||
  Number(b.stored) - Number(a.stored) ||
  highest(b) - highest(a) ||
  (a.id.key < b.id.key ? -1 : 1)

const highest = ({ voters }: Child): number =>
  Math.max(...voters.map(({ ancestor, path }) => ancestor + path.length))

/** How often the most frequent of some words is there. */
const mostCommon = (words: ReadonlyArray<string>): number => {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return Math.max(0, ...counts.values())
}
