/** What a peer may cost us, in time and in bytes. */

/** Milliseconds that each phase of opening may take. */
export interface OpeningDeadlines {
  readonly connectMs: number
  readonly handshakeMs: number
  readonly helloMs: number
  readonly statusMs: number
}

/** Five seconds each: what geth gives (PROTOCOL: "Status timeouts 5 s"). */
export const defaultDeadlines: OpeningDeadlines = {
  connectMs: 5_000,
  handshakeMs: 5_000,
  helloMs: 5_000,
  statusMs: 5_000,
}

/** Bounds of what a peer may cost us. */
export interface SessionLimits {
  /** Decompressed bytes of an answer; 16 MiB - 1 by default. */
  readonly maxAnswerBytes: number
  /** Decompressed bytes of a request or any other message; 1 MiB by default. */
  readonly maxMessageBytes: number
  /** Requests of the peer that are worked on at once; 16 by default. */
  readonly maxServedAtOnce: number
}

/** The limits that hold where none are given. */
export const defaultLimits: SessionLimits = {
  maxAnswerBytes: 16 * 1024 * 1024 - 1,
  maxMessageBytes: 1024 * 1024,
  maxServedAtOnce: 16,
}

/** As geth does: a ping every 15 s, and half a minute of patience. */
export const defaultPingEveryMs = 15_000
export const defaultDropSilentAfterMs = 30_000
