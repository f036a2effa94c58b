/**
 * What a run counts, in plain numbers: written by every stage, read by the progress line and the
 * summary. No clock: durations come from those who measured them.
 */
import { Histogram } from "./histogram.ts"
import { NetworkCounters } from "./networkCounters.ts"

/** What is asked of peers. */
export type RequestKind = "headers" | "bodies" | "receipts"

/** What a run knows of one peer that took part in it. */
export interface PeerTally {
  readonly peerId: string
  client: string
  ethVersion: number
  /** Blocks of which the last stage is through and of which this peer sent some part. */
  blocks: number
  /** Time in which it had a batch. */
  busyMs: number
  /** Failures that were its fault or its lack; truncation and leaving are neither. */
  failures: number
  /** How often it was banned. */
  bans: number
}

/**
 * Peers remembered for the summary. Beyond this the one that served least is forgotten, so that
 * months of rotation do not grow the process.
 */
const MAX_TALLIES = 5_000

/** The counts of one run. */
export class Counters {
  /** Blocks in the work list. */
  blocksRequested = 0
  blocksSucceeded = 0
  blocksFailed = 0
  receipts = 0
  /** Decoded payload of all answers, in bytes. */
  bytesReceived = 0
  readonly requests: Record<RequestKind, number> = { headers: 0, bodies: 0, receipts: 0 }
  readonly latencies: Record<RequestKind | "batch", Histogram> = {
    headers: new Histogram(),
    bodies: new Histogram(),
    receipts: new Histogram(),
    batch: new Histogram(),
  }
  readonly failures = new Map<string, number>()
  requeued = 0
  escalated = 0
  recovered = 0
  readonly network = new NetworkCounters()
  /** Peers in the pool now. */
  peersPooled = 0
  readonly peers = new Map<string, PeerTally>()

  /** A request was answered, well or badly, after `elapsedMs` with `bytes` of decoded payload. */
  answered(kind: RequestKind, elapsedMs: number, bytes: number): void {
    this.latencies[kind].record(elapsedMs)
    this.bytesReceived += bytes
  }

  /** A failure by its name in the summary. */
  failed(name: string): void {
    this.failures.set(name, (this.failures.get(name) ?? 0) + 1)
  }

  /** A session opened; of an earlier one of the same peer the tally goes on. */
  sessionOpened(peerId: string, client: string, ethVersion: number, inbound = false): void {
    this.network.sessionOpened(client, ethVersion, inbound)
    const tally = this.peers.get(peerId)
    if (tally !== undefined) {
      tally.client = client
      tally.ethVersion = ethVersion
      return
    }
    if (this.peers.size >= MAX_TALLIES) this.#forgetLeast()
    this.peers.set(peerId, {
      peerId,
      client,
      ethVersion,
      blocks: 0,
      busyMs: 0,
      failures: 0,
      bans: 0,
    })
  }

  /** The last stage is through with a block of which these peers sent the parts. */
  blockSucceeded(peerIds: string | ReadonlyArray<string>, receipts: number): void {
    this.blocksSucceeded += 1
    this.receipts += receipts
    for (const peerId of typeof peerIds === "string" ? [peerIds] : peerIds) {
      const tally = this.peers.get(peerId)
      if (tally !== undefined) tally.blocks += 1
    }
  }

  /** A batch of `peerId` ended after `elapsedMs`. */
  batchEnded(peerId: string, elapsedMs: number): void {
    this.latencies.batch.record(elapsedMs)
    const tally = this.peers.get(peerId)
    if (tally !== undefined) tally.busyMs += elapsedMs
  }

  #forgetLeast(): void {
    let least: PeerTally | undefined
    for (const tally of this.peers.values()) {
      if (least === undefined || tally.blocks < least.blocks) least = tally
    }
    if (least !== undefined) this.peers.delete(least.peerId)
  }
}
