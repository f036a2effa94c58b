/**
 * What follows for a peer that broke the rules of a session, beside the session's end: the one table
 * of it, as `fetch/verdict.ts` is that of what answers say. Pure.
 */
import type { Breach } from "../wire/breach.ts"
import type { PeerConsequence } from "./standing.ts"

/** The consequence of a breach. */
export const breachConsequence = (breach: Breach): PeerConsequence => {
  switch (breach) {
    // No node does these by accident.
    case "bad_frame":
    case "frame_too_large":
    case "bad_compression":
    case "message_too_large":
    case "bad_message":
    case "unexpected_message":
    case "unasked_answer":
    case "wrong_answer":
      return "ban"
    // A node may be eager, and a line may be slow: it may come back, some times.
    case "flood":
    case "slow_frame":
      return "strike"
  }
}
