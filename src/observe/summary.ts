/**
 * The summary of a run: the JSON object of the contract, from its counters. Pure.
 */
import type { Counters, PeerTally } from "./counters.ts"
import type { NetworkCounters, NetworkLimits } from "./networkCounters.ts"
import { type Percentiles, roundTo } from "./histogram.ts"

/** What the summary needs beside the counters. */
export interface RunFacts {
  readonly mode: "probe" | "ingest" | "profile"
  readonly network: string
  readonly startBlock: number
  /** Undefined when the run ended before the head was known. */
  readonly endBlock: number | undefined
  /** Whether every block of the range is done. */
  readonly complete: boolean
  readonly elapsedMs: number
  /** Processor time of the whole process within the run. */
  readonly cpuMs: number
  readonly maxRssMib: number
  readonly receiptsPerRequest: number
  /** What failed for good, inclusive ranges. */
  readonly failedBlocks: ReadonlyArray<readonly [number, number]>
  readonly limits: NetworkLimits
}

/** A peer in the summary. */
export interface PeerSummary {
  readonly peer_id: string
  readonly client: string
  readonly eth: number
  readonly blocks: number
  /** Blocks per second of the time in which it had a batch. */
  readonly blocks_per_sec: number
  readonly failures: number
  readonly banned: boolean
}

/** The contract's summary object. Times in milliseconds, sizes in bytes unless named otherwise. */
export interface Summary {
  readonly mode: string
  readonly network: string
  readonly complete: boolean
  readonly range: { readonly start_block: number; readonly end_block: number | null }
  readonly totals: {
    readonly blocks_requested: number
    readonly blocks_succeeded: number
    readonly blocks_failed: number
    readonly receipts: number
    readonly bytes_received: number
  }
  readonly performance: {
    readonly elapsed_ms: number
    readonly blocks_per_sec: number
    readonly receipts_per_sec: number
    readonly mib_per_sec: number
    readonly cpu_ms_per_block: number
    readonly max_rss_mib: number
  }
  readonly latency: {
    readonly headers_ms: Percentiles
    readonly bodies_ms: Percentiles
    readonly receipts_ms: Percentiles
    readonly batch_ms: Percentiles
  }
  readonly requests: {
    readonly headers: number
    readonly bodies: number
    readonly receipts: number
    readonly receipts_per_request: number
    readonly truncated: number
  }
  readonly peers: {
    readonly connected: number
    readonly used: number
    readonly banned: number
    /** How peers were found and kept; counts by reason or name. */
    readonly network: {
      readonly discovered: number
      readonly dialled: number
      readonly sessions_opened: number
      /** Of those, opened by the peer. */
      readonly inbound: number
      readonly sessions_closed: number
      readonly refused: Readonly<Record<string, number>>
      /** Connections of peers that became no session. */
      readonly inbound_refused: Readonly<Record<string, number>>
      readonly closed: Readonly<Record<string, number>>
      /** Sessions that ended because the peer broke a rule. */
      readonly breaches: Readonly<Record<string, number>>
      /** What peers asked of us. */
      readonly served: {
        readonly requests: number
        readonly delayed: number
        readonly refused: number
      }
      readonly clients: Readonly<Record<string, number>>
      readonly eth: Readonly<Record<string, number>>
      /** Sessions ended to make room for others. */
      readonly rotated: number
      readonly limits: {
        readonly max_peers: number
        readonly max_outbound: number
        readonly max_inbound: number
        readonly max_concurrent_dials: number
      }
    }
    readonly top: ReadonlyArray<PeerSummary>
  }
  readonly retries: {
    readonly requeued: number
    readonly escalated: number
    readonly recovered: number
  }
  readonly failures: Readonly<Record<string, number>>
  readonly failed_blocks: ReadonlyArray<readonly [number, number]>
}

/** How many peers the summary names. */
const TOP_PEERS = 20

/** The summary of a run that ended, or was stopped, with these counters. */
export const summarize = (counters: Counters, facts: RunFacts): Summary => {
  const perSecond = (amount: number): number =>
    facts.elapsedMs > 0 ? (amount / facts.elapsedMs) * 1000 : 0
  const tallies = [...counters.peers.values()]
  const done = counters.blocksSucceeded
  return {
    mode: facts.mode,
    network: facts.network,
    complete: facts.complete,
    range: { start_block: facts.startBlock, end_block: facts.endBlock ?? null },
    totals: {
      blocks_requested: counters.blocksRequested,
      blocks_succeeded: done,
      blocks_failed: counters.blocksFailed,
      receipts: counters.receipts,
      bytes_received: counters.bytesReceived,
    },
    performance: {
      elapsed_ms: Math.round(facts.elapsedMs),
      blocks_per_sec: roundTo(perSecond(done), 2),
      receipts_per_sec: roundTo(perSecond(counters.receipts), 2),
      mib_per_sec: roundTo(perSecond(counters.bytesReceived) / 2 ** 20, 3),
      cpu_ms_per_block: done > 0 ? roundTo(facts.cpuMs / done, 4) : 0,
      max_rss_mib: roundTo(facts.maxRssMib, 1),
    },
    latency: {
      headers_ms: counters.latencies.headers.percentiles(),
      bodies_ms: counters.latencies.bodies.percentiles(),
      receipts_ms: counters.latencies.receipts.percentiles(),
      batch_ms: counters.latencies.batch.percentiles(),
    },
    requests: {
      headers: counters.requests.headers,
      bodies: counters.requests.bodies,
      receipts: counters.requests.receipts,
      receipts_per_request: facts.receiptsPerRequest,
      truncated: counters.failures.get("truncated") ?? 0,
    },
    peers: {
      connected: tallies.length,
      used: tallies.filter((tally) => tally.blocks > 0).length,
      banned: tallies.filter((tally) => tally.bans > 0).length,
      network: networkSummary(counters.network, facts.limits),
      top: tallies.sort(byService).slice(0, TOP_PEERS).map(peerSummary),
    },
    retries: {
      requeued: counters.requeued,
      escalated: counters.escalated,
      recovered: counters.recovered,
    },
    failures: Object.fromEntries([...counters.failures].sort(([a], [b]) => (a < b ? -1 : 1))),
    failed_blocks: facts.failedBlocks,
  }
}

/** The counters of finding and keeping peers, as the summary has them. */
export const networkSummary = (
  network: NetworkCounters,
  limits: NetworkLimits,
): Summary["peers"]["network"] => ({
  discovered: network.discovered,
  dialled: network.dialled,
  sessions_opened: network.sessionsOpened,
  inbound: network.inbound,
  sessions_closed: network.sessionsClosed,
  refused: Object.fromEntries(network.refused),
  inbound_refused: Object.fromEntries(network.inboundRefused),
  closed: Object.fromEntries(network.closed),
  breaches: Object.fromEntries(network.breaches),
  served: { ...network.served },
  clients: Object.fromEntries(network.clients),
  eth: Object.fromEntries(network.ethVersions),
  rotated: network.rotated,
  limits: {
    max_peers: limits.maxPeers,
    max_outbound: limits.maxOutbound,
    max_inbound: limits.maxInbound,
    max_concurrent_dials: limits.maxConcurrentDials,
  },
})

const byService = (a: PeerTally, b: PeerTally): number =>
  b.blocks - a.blocks || (a.peerId < b.peerId ? -1 : 1)

const peerSummary = (tally: PeerTally): PeerSummary => ({
  peer_id: tally.peerId,
  client: tally.client,
  eth: tally.ethVersion,
  blocks: tally.blocks,
  blocks_per_sec: tally.busyMs > 0 ? roundTo((tally.blocks / tally.busyMs) * 1000, 2) : 0,
  failures: tally.failures,
  banned: tally.bans > 0,
})
