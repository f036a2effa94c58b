/**
 * How the server listens and what it allows, in plain data: it crosses a thread's border as it is.
 */
import type { BucketRate } from "../../domain/tokenBucket.ts"
import type { RpcLimits } from "../rpcLimits.ts"
import type { HttpRules } from "./httpRules.ts"

/** See the module. */
export interface ServeSettings extends HttpRules {
  /** Where the store is. */
  readonly directory: string
  /** The address to listen at. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly limits: RpcLimits
  /** What `web3_clientVersion` says. */
  readonly clientVersion: string
}

/** Bytes of requests and answers that all connections together hold. */
export const heldBytes = ({ requestBytes, responseBytes }: RpcLimits): number =>
  4 * responseBytes + 64 * requestBytes

/** How long things may take, in milliseconds. */
export interface Deadlines {
  /**
   * A request in line behind those of others, beside the time that its calls work: longer than most
   * clients wait for an answer.
   */
  readonly waitMs: number
  /** A client over the headers of a request. */
  readonly headersMs: number
  /** A client over a whole request. */
  readonly requestMs: number
  /** A connection between two requests. */
  readonly idleMs: number
  /** A client over taking an answer, or what it subscribed to. */
  readonly takeMs: number
  /** A WebSocket over the answer to a ping; so often one is sent. */
  readonly pingMs: number
  /** Open requests when the server is asked to end. */
  readonly graceMs: number
  /** How often the deadlines of requests are looked at. */
  readonly checkMs: number
}

/** What holds where nobody says otherwise. */
export const defaultDeadlines: Deadlines = {
  waitMs: 30_000,
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 15_000,
  takeMs: 60_000,
  pingMs: 30_000,
  graceMs: 3_000,
  checkMs: 2_000,
}

/** Calls of a batch that are worked on at once. */
export const callsAtOnce = 4
/**
 * Calls of all clients that are worked on at once; apart from them as many that look for logs, which
 * take long, and would keep the others waiting. There is one processor to share, so more at once
 * would only make each slower, and hold more results in memory.
 */
export const resultsAtOnce = 4
/** Requests that one connection may have sent before the first was answered. */
export const pipelinedAtOnce = 8
/** Requests of one WebSocket that are worked on at once; then nothing more is read from it. */
export const messagesAtOnce = 8
/** Bytes that wait for a subscriber; above this it is told nothing more until it has taken some. */
export const notifyAboveBytes = 1024 * 1024
/**
 * Frames that a message over WebSocket may come in, of 256 bytes each on average: each costs some
 * hundred bytes beside its payload, and clients that send in pieces send about a kilobyte
 * (go-ethereum's 1,024 bytes), so that none comes near it.
 */
export const mostFrames = ({ requestBytes }: RpcLimits): number =>
  Math.max(256, Math.ceil(requestBytes / 256))
/**
 * Chunks of a socket that a frame may come in, of 256 bytes each on average; a small packet is a chunk.
 */
export const mostChunks = ({ requestBytes }: RpcLimits): number =>
  Math.max(1024, Math.ceil(requestBytes / 256))
/**
 * Pings and pongs of one WebSocket: clients send some in a minute. Those that come within a message
 * stay in memory with it.
 */
export const controlFrames: BucketRate = { perSecond: 10, burst: 200 }
