/** What the thread that builds the index is told, and what it says, as plain data. */

/** A message to the thread. */
export type IndexerRequest =
  /** The first one: the directory of the store. */
  | { readonly call: "open"; readonly directory: string }
  /** The index is to be thrown away and built again. */
  | { readonly call: "damaged"; readonly reason: string }
  /** The last one: the thread ends. */
  | { readonly call: "close" }

/** A message from the thread. */
export interface IndexerReply {
  /** The index is not built for now, and why. */
  readonly kind: "warned"
  readonly reason: string
}
