/**
 * What follows from a failure: the one table of consequences. Pure; the scheduler's driver acts on
 * it and nobody else does.
 */
import type { PeerConsequence } from "../peers/standing.ts"
import type { FetchError } from "./FetchError.ts"

/** The names of all failures. */
export type FailureTag = FetchError["_tag"]

/** What a failure means for the blocks, the peer and the counters. */
export interface Verdict {
  /** Whether the blocks had an attempt at this peer; otherwise they just go back. */
  readonly attempt: boolean
  /**
   * Whether the peer had its chance at the blocks in this round without it being an attempt: others
   * are asked first.
   */
  readonly tried: boolean
  /** Whether the peer is known not to hold these blocks, and is not asked for them again. */
  readonly lacks: boolean
  readonly peer: PeerConsequence
  /** The failure's name in the summary: the tag in snake_case. */
  readonly counter: string
}

/** The verdict on a failure with this tag. Source: PROTOCOL "What an answer means". */
export const verdict = (tag: FailureTag): Verdict => {
  switch (tag) {
    case "Timeout":
      return { attempt: true, tried: false, lacks: false, peer: "strike", counter: "timeout" }
    case "Disconnected":
      // Peers rotate: a session that ends is routine, and the block saw no answer.
      return { attempt: false, tried: false, lacks: false, peer: "none", counter: "disconnected" }
    case "Malformed":
      return { attempt: true, tried: false, lacks: false, peer: "ban", counter: "malformed" }
    case "MissingHeaders":
      return {
        attempt: true,
        tried: false,
        lacks: true,
        peer: "cool_down",
        counter: "missing_headers",
      }
    case "WrongHeader":
      return { attempt: true, tried: false, lacks: false, peer: "ban", counter: "wrong_header" }
    case "Truncated":
      return { attempt: false, tried: false, lacks: false, peer: "none", counter: "truncated" }
    case "Skipped":
      return { attempt: false, tried: false, lacks: true, peer: "none", counter: "skipped" }
    case "EmptyAnswer":
      // No malice, so no strike; but who has nothing shall not be asked at full speed.
      return {
        attempt: true,
        tried: false,
        lacks: true,
        peer: "cool_down",
        counter: "empty_answer",
      }
    case "PartlyServed":
      return { attempt: false, tried: true, lacks: false, peer: "none", counter: "partly_served" }
    case "WrongBody":
      return { attempt: true, tried: false, lacks: false, peer: "ban", counter: "wrong_body" }
    case "WrongReceipts":
      return { attempt: true, tried: false, lacks: false, peer: "ban", counter: "wrong_receipts" }
  }
}
