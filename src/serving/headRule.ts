/**
 * Which head we announce, from the heads that were measured at our peers. Pure.
 *
 * In: headers in hand, each the highest that a peer serves. Out: the highest head that two peers
 * reach or exceed and of which we hold the header, so that one peer alone cannot make us announce
 * nonsense. As long as no two have agreed, the only peer's own.
 *
 * Invariants: once two peers have agreed on a head, a lone one changes it no more; a header from
 * the future counts nothing, since our fork id would follow it; of peers at most
 * {@link MOST_OFFERS} are remembered.
 */

/** A header that a peer sent as that of its highest block. */
export interface HeadOffer {
  readonly number: number
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** Unix seconds. */
  readonly time: number
  /** RLP of the header. */
  readonly bytes: Uint8Array
}

/** What is known of heads; see the module. */
export interface Heads {
  /** The last offer of each peer, the oldest first. */
  readonly offers: ReadonlyMap<string, HeadOffer>
  /** Undefined before the first offer. */
  readonly chosen: HeadOffer | undefined
  /** Whether two peers stood behind it. */
  readonly agreed: boolean
}

/** Before the first offer. */
export const noHeads: Heads = { offers: new Map(), chosen: undefined, agreed: false }

/** More peers than we ever have at once. */
export const MOST_OFFERS = 1_024

/** What clocks may differ by, in seconds: 15 s as the Merge's clients allow, and a bad clock's. */
const MOST_AHEAD_SECONDS = 60

/** A peer's head was measured to be this. */
export const offerHead = (
  heads: Heads,
  peerId: string,
  offer: HeadOffer,
  nowSeconds: number,
): Heads => {
  const offers = new Map(heads.offers)
  offers.delete(peerId)
  if (offer.time <= nowSeconds + MOST_AHEAD_SECONDS) offers.set(peerId, offer)
  for (const oldest of offers.keys()) {
    if (offers.size <= MOST_OFFERS) break
    offers.delete(oldest)
  }
  return choose({ ...heads, offers })
}

/** A peer is gone. */
export const withdrawHead = (heads: Heads, peerId: string): Heads => {
  if (!heads.offers.has(peerId)) return heads
  const offers = new Map(heads.offers)
  offers.delete(peerId)
  return choose({ ...heads, offers })
}

const choose = (heads: Heads): Heads => {
  const falling = [...heads.offers.values()].sort((a, b) => b.number - a.number)
  const [highest, second] = falling
  if (second !== undefined) return { ...heads, chosen: second, agreed: true }
  if (highest !== undefined && !heads.agreed) return { ...heads, chosen: highest }
  return heads
}
