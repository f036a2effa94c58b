/**
 * A search for the nodes around a target, as a pure state (devp2p, `discv4.md`, "Recursive
 * Lookup"): who to ask next, and what follows from the answers. Asking is the driver's.
 *
 * Invariants: nobody is asked twice; nobody is asked who is not among the 16 nearest that are not
 * known to be dead; at most {@link MAX_ASKED} are asked and {@link MAX_HEARD} remembered, so a
 * search ends whatever the answers are.
 */
import { BUCKET_NODES, type Contact, compareDistance, placeOf } from "./nodeTable.ts"

/** Requests of a lookup that are open at once (`discv4.md`: alpha). */
export const ALPHA = 3

/** An honest search asks some 20; hostile answers that are always a little nearer end here. */
export const MAX_ASKED = 48

/** Contacts remembered by a search: about three answers for each node asked. */
export const MAX_HEARD = 512

interface Known {
  readonly contact: Contact
  readonly place: Uint8Array
  readonly state: "unasked" | "asked" | "dead"
}

/** A search under way. */
export interface Lookup {
  /** 32 bytes. */
  readonly target: Uint8Array
  /** By node id. */
  readonly known: ReadonlyMap<string, Known>
  readonly askedCount: number
}

/** A search that knows only its start. `ownNodeId` is never asked. */
export const startLookup = (
  target: Uint8Array,
  ownNodeId: string,
  seeds: ReadonlyArray<Contact>,
): Lookup => ({
  target,
  known: withContacts(new Map(), seeds, ownNodeId),
  askedCount: 0,
})

/** The next to ask, at most {@link ALPHA}; empty when the search is over. They count as asked. */
export const nextToAsk = (lookup: Lookup): readonly [Lookup, ReadonlyArray<Contact>] => {
  const nearest = [...lookup.known.values()]
    .filter(({ state }) => state !== "dead")
    .sort((a, b) => compareDistance(lookup.target, a.place, b.place))
    .slice(0, BUCKET_NODES)
  const asking = nearest
    .filter(({ state }) => state === "unasked")
    .slice(0, Math.min(ALPHA, MAX_ASKED - lookup.askedCount))
  const known = new Map(lookup.known)
  for (const one of asking) known.set(one.contact.nodeId, { ...one, state: "asked" })
  const askedCount = lookup.askedCount + asking.length
  return [{ ...lookup, known, askedCount }, asking.map(({ contact }) => contact)]
}

/** The search after `nodeId` named `contacts`; undefined when it did not answer. */
export const afterNeighbors = (
  lookup: Lookup,
  nodeId: string,
  contacts: ReadonlyArray<Contact> | undefined,
  ownNodeId: string,
): Lookup => {
  if (contacts !== undefined) {
    return { ...lookup, known: withContacts(lookup.known, contacts, ownNodeId) }
  }
  const silent = lookup.known.get(nodeId)
  if (silent === undefined) return lookup
  const known = new Map(lookup.known).set(nodeId, { ...silent, state: "dead" })
  return { ...lookup, known }
}

const withContacts = (
  before: ReadonlyMap<string, Known>,
  contacts: ReadonlyArray<Contact>,
  ownNodeId: string,
): ReadonlyMap<string, Known> => {
  const known = new Map(before)
  for (const contact of contacts) {
    if (known.size >= MAX_HEARD) break
    if (contact.nodeId === ownNodeId || known.has(contact.nodeId)) continue
    known.set(contact.nodeId, { contact, place: placeOf(contact.nodeId), state: "unasked" })
  }
  return known
}
