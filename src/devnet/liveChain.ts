/**
 * A chain that moves while it is served: its head rises, falls, or goes over to another branch. Pure;
 * each peer has one of its own, over branches that they share.
 *
 * Invariant: what is served at any instant is a branch up to one of its blocks.
 */
import { type ServedChain, upTo } from "./servedChain.ts"

/** The names of the branches. */
export const branchNames = ["main", "fork"] as const
/** One of {@link branchNames}. */
export type BranchName = (typeof branchNames)[number]

/** The chains that there are to serve. */
export interface Branches {
  readonly main: ServedChain
  readonly fork: ServedChain | undefined
}

/** Which branch, and up to which of its blocks. */
export interface ChainPosition {
  readonly branch: BranchName
  readonly head: number
}

/** See the module. */
export class LiveChain {
  readonly #branches: Branches
  readonly #listeners = new Set<() => void>()
  #position: ChainPosition
  #current: ServedChain

  /** Throws a `RangeError` where there is no such position. */
  constructor(branches: Branches, position: ChainPosition) {
    this.#branches = branches
    this.#position = position
    this.#current = this.#at(position)
  }

  /** What is served now. */
  get current(): ServedChain {
    return this.#current
  }

  get position(): ChainPosition {
    return this.#position
  }

  /** Why there is no such position, in a few words; undefined where there is one. */
  refusalOf({ branch, head }: ChainPosition): string | undefined {
    const chain = this.#branches[branch]
    if (chain === undefined) return "there is no fork"
    return chain.has(head) ? undefined : `${branch} has no block ${head}`
  }

  /** Goes there and tells the listeners. Throws a `RangeError` where there is no such position. */
  moveTo(position: ChainPosition): void {
    this.#current = this.#at(position)
    this.#position = position
    for (const listener of this.#listeners) listener()
  }

  /** Moves the head up by one; nothing happens at the end of the branch. */
  grow(): void {
    const { branch, head } = this.#position
    const next = { branch, head: head + 1 }
    if (this.refusalOf(next) === undefined) this.moveTo(next)
  }

  /** Calls `listener` after each move until the function that it gives is called. */
  onMove(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #at(position: ChainPosition): ServedChain {
    const refusal = this.refusalOf(position)
    if (refusal !== undefined) throw new RangeError(refusal)
    return upTo(this.#branches[position.branch]!, position.head)
  }
}
