/**
 * A peer as the stages see it: who it is and what it can be asked. A session on the wire is one; a
 * test's peer in memory is another.
 */
import type { Session } from "../wire/Session.ts"

/** A connected peer. Each request has its own deadline; requests may overlap. */
export type Peer = Pick<
  Session,
  | "peerId"
  | "client"
  | "ethVersion"
  | "inbound"
  | "announcedRange"
  | "getBlockHeaders"
  | "getBlockBodies"
  | "getReceipts"
>

/** What a peer can serve, inclusive: from its earliest block to its measured head. */
export interface ServedRange {
  readonly from: number
  readonly to: number
}
