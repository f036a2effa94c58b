/**
 * Which blocks each peer may be given: those of which it serves some kind of part, and all connected
 * peers together every kind. Peers that serve parts of other blocks are given none of them; a lone
 * peer with bodies and no receipts would be hoped for, and asked for bodies, through all of history.
 * Pure.
 */
import { assignable, type ServedRange, type Serves } from "../peers/Peer.ts"
import type { RequestKind } from "../wire/WireError.ts"

/** A peer's range that is another than before. */
export interface RangeChange {
  readonly peerId: string
  /** Both ends inclusive; empty with `to` below `from`. */
  readonly range: ServedRange
}

/** See the module. Bounded by the peers that are connected. */
export class Reach {
  readonly #kinds: ReadonlyArray<Exclude<RequestKind, "headers">>
  readonly #peers = new Map<string, { readonly serves: Serves; range: ServedRange }>()

  /** For work that wants these kinds of part of each block. */
  constructor(kinds: ReadonlyArray<Exclude<RequestKind, "headers">>) {
    this.#kinds = kinds
  }

  /** The peer serves this; gives all ranges that are others now, its own among them. */
  set(peerId: string, serves: Serves): ReadonlyArray<RangeChange> {
    const range = this.#peers.get(peerId)?.range ?? NOTHING
    this.#peers.set(peerId, { serves, range })
    return this.#judge()
  }

  /** The peer is gone; gives the ranges that are others now. */
  delete(peerId: string): ReadonlyArray<RangeChange> {
    return this.#peers.delete(peerId) ? this.#judge() : []
  }

  /** The range of a peer; empty for one that is not known. */
  of(peerId: string): ServedRange {
    return this.#peers.get(peerId)?.range ?? NOTHING
  }

  #judge(): ReadonlyArray<RangeChange> {
    const whole = this.#kinds.map((kind) => this.#servedOf(kind)).reduce(both, EVERYTHING)
    const changes: Array<RangeChange> = []
    for (const [peerId, peer] of this.#peers) {
      const range = both(assignable(peer.serves, this.#kinds), whole)
      if (range.from === peer.range.from && range.to === peer.range.to) continue
      peer.range = range
      changes.push({ peerId, range })
    }
    return changes
  }

  /** From the lowest to the highest block of which some peer serves this; gaps are not seen. */
  #servedOf(kind: Exclude<RequestKind, "headers">): ServedRange {
    let from = Infinity
    let to = -1
    for (const { serves } of this.#peers.values()) {
      const range = assignable(serves, [kind])
      if (range.to < range.from) continue
      from = Math.min(from, range.from)
      to = Math.max(to, range.to)
    }
    return { from, to }
  }
}

const EVERYTHING: ServedRange = { from: 0, to: Infinity }
const NOTHING: ServedRange = { from: 0, to: -1 }

/** The blocks of both. */
const both = (a: ServedRange, b: ServedRange): ServedRange => {
  const from = Math.max(a.from, b.from)
  const to = Math.min(a.to, b.to)
  return from <= to ? { from, to } : NOTHING
}
