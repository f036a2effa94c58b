/** What a peer may cost us, in time and in bytes. */
import type { BucketRate } from "../domain/tokenBucket.ts"

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
  /**
   * Decompressed bytes of a request or any other message that is opened; 128 KiB by default: almost
   * 4,000 hashes, where nobody serves more than 1,024 at once.
   */
  readonly maxMessageBytes: number
  /**
   * Bytes of a frame that is no answer to anything we wait for; 2 MiB by default. Nodes announce in
   * messages of some 100 kB; a whole new block, which some chains still send around, has its place.
   */
  readonly maxGossipBytes: number
  /**
   * Requests of the peer that are worked on at once; 4 by default. Others wait: four full answers are
   * what a second brings at the pace of `HistoryAnswers`.
   */
  readonly maxServedAtOnce: number
  /**
   * Messages of gossip. 100 a second, 5,000 at once by default: mainnet brings some ten a second, at
   * times far more, and what came while we read nothing comes in one go.
   */
  readonly gossip: BucketRate
  /** Bytes of gossip as they lie in their frames; 1 MiB a second, 32 MiB at once by default. */
  readonly gossipBytes: BucketRate
  /** Requests for transactions of the pool. 1 a second, 20 at once: we announce none. */
  readonly poolRequests: BucketRate
  /**
   * BlockRangeUpdates. 20 a second, 600 at once by default: EIP-7642 has one an epoch, and a node
   * that still imports blocks sends one for every 32 of them.
   */
  readonly announcements: BucketRate
}

/** The limits that hold where none are given. */
export const defaultLimits: SessionLimits = {
  maxAnswerBytes: 16 * 1024 * 1024 - 1,
  maxMessageBytes: 128 * 1024,
  maxGossipBytes: 2 * 1024 * 1024,
  maxServedAtOnce: 4,
  gossip: { perSecond: 100, burst: 5_000 },
  gossipBytes: { perSecond: 1024 * 1024, burst: 32 * 1024 * 1024 },
  poolRequests: { perSecond: 1, burst: 20 },
  announcements: { perSecond: 20, burst: 600 },
}

/** As geth does: a ping every 15 s, and half a minute of patience. */
export const defaultPingEveryMs = 15_000
export const defaultDropSilentAfterMs = 30_000

/** Pings and pongs of a session, from the end of the handshake on: nodes send one in 10 s and less. */
export const PING_RATE: BucketRate = { perSecond: 2, burst: 60 }

/**
 * Beyond the patience for a silent peer, a frame that has begun must come at this rate. 16 KiB a
 * second: a fortieth of a line of 5 Mbit/s, so one of many that answer at once.
 */
export const SLOWEST_BYTES_PER_SECOND = 16 * 1024

/**
 * What all frames that are under way may weigh together. 64 MiB: a full answer of 2 MiB from each of
 * 32 peers at the same instant; so much is only reached where somebody holds theirs back.
 */
export const MOST_UNFINISHED_BYTES = 64 * 1024 * 1024

/** Hello with its 64 capabilities, and Status, are far smaller; nothing else comes before them. */
export const MAX_OPENING_FRAME_BYTES = 16 * 1024
