/**
 * Which chain to follow, from what several peers show of theirs. Pure.
 *
 * In: the top of the stored chain and, of each peer that has a say, how its head leads down to it. Out:
 * a {@link Decision}.
 *
 * The rule. A block needs a quorum: 3 peers that have it in their chain where 3 or more are connected,
 * both where there are 2. One peer alone moves nothing, unless the user trusts it. Where trusted peers
 * were named they decide, and nobody else, be they silent, far behind or away: then nothing moves. From the lowest block that the peers have in common the chain is walked up:
 * at each height to the child that most of the peers that are left have, as long as a quorum has it.
 * A tie stays with the stored chain, else with the child that leads higher. The stored chain is left
 * only when those that were not heard yet could not turn the vote, as long as they are waited for.
 *
 * Invariants, each with a property test of its name:
 * - Q1  Fewer than a quorum of peers change nothing, whatever they show.
 * - Q2  What is decided is a path of blocks, each the child of the one before, and each in the chain
 *       of a quorum.
 * - Q3  The stored chain is left only for one that more peers have than the stored block it replaces,
 *       with all that are still waited for on the stored block's side.
 * - Q4  The order of the peers makes no difference.
 * - Q5  Peers that are behind on the stored chain take nothing back.
 */
import type { BlockId, Descent, StoredTop } from "./headerTree.ts"

/** What a peer shows of its chain. */
export interface PeerView {
  readonly peerId: string
  readonly trusted: boolean
  /** Undefined: it was not heard yet, or is not there. */
  readonly descent: Descent | undefined
  /** Not heard yet, and asked so shortly ago that an answer may come. */
  readonly awaited: boolean
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
  const { voters, counted, quorum } = electorate(views)
  const awaited = counted.filter((view) => view.awaited).length
  const met = voters.flatMap(({ descent }) => (descent._tag === "Met" ? [descent] : []))
  const deepVotes = mostCommon(
    voters.flatMap(({ descent }) => (descent._tag === "Deep" ? [descent.key] : [])),
  )
  if (deepVotes >= quorum && deepVotes > met.length) {
    const needed = met.length + awaited + 1
    return deepVotes >= needed
      ? { _tag: "TooDeep", votes: deepVotes }
      : { _tag: "NoQuorum", voters: deepVotes, quorum: needed }
  }
  if (met.length < quorum) return { _tag: "NoQuorum", voters: met.length, quorum }
  const decision = walk(top, met, quorum)
  if (decision._tag !== "Advance" || decision.ancestor >= top.tip) return decision
  const { ancestor, path } = decision
  const against = met.filter((view) => view.ancestor > ancestor).length
  const votes = met.filter((view) => blockOf(view, top, ancestor + 1) === path[0]?.key).length
  const needed = against + awaited + 1
  return votes >= needed ? decision : { _tag: "NoQuorum", voters: votes, quorum: needed }
}

/** Whether the stored tip is on the chain of a quorum; pure, and no vote on anything above it. */
export const tipIsHeld = (
  { tip }: Pick<StoredTop, "tip">,
  views: ReadonlyArray<PeerView>,
  /** Whether it is enough, with too few for a quorum, that somebody has it and nobody another one. */
  unopposed: boolean,
): boolean => {
  const { voters, quorum } = electorate(views)
  const has = voters.filter(({ descent }) => descent._tag === "Met" && descent.ancestor === tip)
  if (has.length >= quorum) return true
  const opposed = voters.some(
    ({ descent }) =>
      descent._tag === "Deep" ||
      (descent._tag === "Met" && descent.ancestor < tip && descent.path.length > 0),
  )
  return unopposed && !opposed && has.length > 0
}

/** A peer that was heard. */
type Voter = PeerView & { readonly descent: Descent }

/**
 * Who has a say: `counted` are all that may vote, `voters` those of them that were heard, `quorum` is
 * how many have to agree. Who is far behind still syncs itself, and is not waited for; who was not heard
 * is. A trusted peer that is behind, shows no chain or is away leaves its say to nobody.
 */
export const electorate = (
  views: ReadonlyArray<PeerView>,
): {
  readonly voters: ReadonlyArray<Voter>
  readonly counted: ReadonlyArray<PeerView>
  readonly quorum: number
} => {
  const heard = views.flatMap((view): Array<Voter> => {
    const { descent } = view
    return descent === undefined || isOut(descent) ? [] : [{ ...view, descent }]
  })
  const trusted = views.filter((view) => view.trusted)
  if (trusted.length > 0) {
    return { voters: heard.filter((view) => view.trusted), counted: trusted, quorum: 1 }
  }
  const counted = views.filter(({ descent }) => descent === undefined || !isOut(descent))
  return { voters: heard, counted, quorum: quorumOf(counted.length) }
}

/** Whether a peer has no say: it is far behind, or shows no chain. */
export const isOut = ({ _tag }: Descent): boolean => _tag === "Behind" || _tag === "Broken"

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
    const key = blockOf(view, top, height)
    if (key === undefined) continue
    const child = children.get(key)
    if (child === undefined) {
      children.set(key, { id: { number: height, key }, stored, voters: [view] })
    } else child.voters.push(view)
  }
  return [...children.values()]
}

/** The block that a peer has at a height. */
const blockOf = ({ ancestor, path }: Met, top: StoredTop, height: number): string | undefined =>
  height <= ancestor ? top.hashes.get(height) : path[height - ancestor - 1]?.key

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
