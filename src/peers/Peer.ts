/**
 * A peer as the stages see it: who it is and what it can be asked. A session on the wire is one; a
 * test's peer in memory is another.
 */
import type { Session } from "../wire/Session.ts"
import type { RequestKind } from "../wire/WireError.ts"

/** A connected peer. Each request has its own deadline; requests may overlap. */
export type Peer = Pick<
  Session,
  | "peerId"
  | "client"
  | "ethVersion"
  | "inbound"
  | "announcedRange"
  | "heldMs"
  | "getBlockHeaders"
  | "getBlockBodies"
  | "getReceipts"
>

/** Blocks that a peer can serve, inclusive: from its earliest block to its measured head. */
export interface ServedRange {
  readonly from: number
  readonly to: number
}

/** What a peer serves of each kind, as measured; undefined for a kind that it does not serve. */
export type Serves = Readonly<Record<RequestKind, ServedRange | undefined>>

/** What a peer serves of which nothing is known but its head. */
export const servesAll = (range: ServedRange): Serves => ({
  headers: range,
  bodies: range,
  receipts: range,
})

/** Whether the peer serves this kind of a block. */
export const servesKind = (serves: Serves, kind: RequestKind, block: number): boolean => {
  const range = serves[kind]
  return range !== undefined && block >= range.from && block <= range.to
}

/**
 * The blocks that a peer may be given where `kinds` are wanted: from the lowest to the highest of
 * which it serves the header and any of the kinds. Empty (`to` below `from`) when there is none.
 */
export const assignable = (
  { headers, ...parts }: Serves,
  kinds: ReadonlyArray<Exclude<RequestKind, "headers">>,
): ServedRange => {
  let from = Infinity
  let to = -1
  for (const kind of kinds) {
    const range = parts[kind]
    if (headers === undefined || range === undefined) continue
    const lowest = Math.max(range.from, headers.from)
    const highest = Math.min(range.to, headers.to)
    if (lowest > highest) continue
    from = Math.min(from, lowest)
    to = Math.max(to, highest)
  }
  return from <= to ? { from, to } : { from: 0, to: -1 }
}
