/**
 * How a peer can break the rules of an open session, by name. A breach ends the session; what else
 * follows for the peer is decided in one place, `peers/breachConsequence.ts`, and each is counted
 * under its name in the summary.
 */

/** See the module. */
export type Breach =
  /** A frame whose MAC is wrong, or whose message code is none. */
  | "bad_frame"
  /** A frame larger than anything that may come now. */
  | "frame_too_large"
  /** What is no snappy, or declares more than its bytes can hold. */
  | "bad_compression"
  /** A message that is longer decompressed than any of its kind may be. */
  | "message_too_large"
  /** Broken RLP, a wrong shape, a number out of range, a range upside down. */
  | "bad_message"
  /** A message that has no place in an open session: a second Status, a code of nobody's. */
  | "unexpected_message"
  /** An answer to no request of ours, or a second one to the same. */
  | "unasked_answer"
  /** An answer of another kind than the request that it names, or with more items. */
  | "wrong_answer"
  /** More messages or bytes that nobody asked for than a node has reason to send. */
  | "flood"
  /** A frame that does not come to its end. */
  | "slow_frame"

/** A rule of the session was broken; the peer is to blame. */
export class BreachError extends Error {
  override readonly name = "BreachError"
  readonly breach: Breach
  readonly reason: string

  constructor(breach: Breach, reason: string) {
    super(`${breach}: ${reason}`)
    this.breach = breach
    this.reason = reason
  }
}

/**
 * Whether a breach is one of conduct, which says nothing of the answers that are under way: these
 * fail because the session ends, and not because they were bad.
 */
export const isConduct = (breach: Breach): boolean => breach === "flood" || breach === "slow_frame"
