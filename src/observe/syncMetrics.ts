/**
 * What a sync counts, as Prometheus' text. Pure: counters that are kept anyway go in, so that a
 * scrape costs the sync a text and nothing between two scrapes.
 *
 * Every label is bounded by who counts it: kinds of failure, the names of clients that
 * `NetworkCounters` keeps apart, stages, queues.
 */
import type { Counters } from "./counters.ts"
import type { Histogram } from "./histogram.ts"
import type { IngestCounters } from "./IngestStats.ts"
import { type Family, histogramSamples, prometheusText, type Sample } from "./prometheus.ts"
import type { SyncReport } from "./syncReport.ts"

/** A sync at one instant. */
export interface SyncReadings {
  readonly report: SyncReport
  readonly counters: Counters
  readonly ingest: IngestCounters
  /** Sessions now, by what they are to us (`pooled`, `measuring`, …) and what they call themselves. */
  readonly peers: ReadonlyArray<{ readonly state: string; readonly client: string }>
  /** What waits between the stages, by the queue's name. */
  readonly queues: ReadonlyArray<{ readonly name: string; readonly items: number }>
  /** Bytes that are held, by the budget's name, and its size. */
  readonly budgets: ReadonlyArray<{
    readonly name: string
    readonly usedBytes: number
    readonly totalBytes: number
  }>
}

/** Bounds of the histograms in milliseconds: from a devnet's answer to a deadline. */
const BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000]
/** Names of clients that are kept apart. */
const MOST_CLIENTS = 50

/** See the module. */
export const syncMetricsText = (readings: SyncReadings): string =>
  prometheusText([
    ...blockFamilies(readings),
    ...peerFamilies(readings),
    ...requestFamilies(readings),
    ...loadFamilies(readings),
    ...headFamilies(readings.report),
  ])

const blockFamilies = ({ counters, ingest }: SyncReadings): ReadonlyArray<Family> => [
  count(
    "annals_blocks_fetched_total",
    "Blocks that came whole, to be checked.",
    ingest.checked + ingest.refuted,
  ),
  count("annals_blocks_checked_total", "Blocks that passed all their checks.", ingest.checked),
  count("annals_blocks_refuted_total", "Blocks that failed a check.", ingest.refuted),
  count("annals_blocks_written_total", "Blocks that this run committed.", ingest.written),
  count(
    "annals_blocks_requeued_total",
    "Blocks that went back to be asked for again.",
    counters.requeued,
  ),
  gauge("annals_blocks_wanted", "Blocks that this run was to fetch.", counters.blocksRequested),
  count("annals_logs_written_total", "Logs of the blocks that were committed.", ingest.logs),
  count(
    "annals_transactions_written_total",
    "Transactions of the blocks that were committed.",
    ingest.transactions,
  ),
  gauge("annals_database_bytes", "The database with its write-ahead log.", ingest.databaseBytes),
  byLabel(
    "annals_failures_total",
    "Failures of requests, parts and blocks, by kind.",
    "kind",
    counters.failures,
  ),
  byLabel(
    "annals_stage_seconds_total",
    "Time that the blocks spent, by stage.",
    "stage",
    Object.entries(ingest.stagesMs).map(([stage, ms]) => [stage, ms / 1000] as const),
  ),
]

const peerFamilies = ({ counters: { network }, peers }: SyncReadings): ReadonlyArray<Family> => [
  {
    name: "annals_peers",
    help: "Sessions now, by state and client.",
    type: "gauge",
    samples: peerSamples(peers),
  },
  count("annals_peers_discovered_total", "Nodes that a source named.", network.discovered),
  count("annals_dials_total", "Dials begun.", network.dialled),
  count("annals_sessions_opened_total", "Sessions that opened.", network.sessionsOpened),
  count("annals_sessions_closed_total", "Sessions that ended.", network.sessionsClosed),
  byLabel("annals_clients_total", "Sessions that opened, by client.", "client", network.clients),
]

/** One sample for each pair of state and client; clients beyond the limit are `other`. */
const peerSamples = (peers: SyncReadings["peers"]): ReadonlyArray<Sample> => {
  const clients = new Set<string>()
  const counts = new Map<string, { labels: Record<string, string>; value: number }>()
  for (const { state, client } of peers) {
    const name = client.split("/", 1)[0]!.toLowerCase()
    if (clients.size < MOST_CLIENTS) clients.add(name)
    const labels = { state, client: clients.has(name) ? name : "other" }
    const key = JSON.stringify(labels)
    const sample = counts.get(key) ?? { labels, value: 0 }
    sample.value += 1
    counts.set(key, sample)
  }
  return [...counts.values()]
}

const requestFamilies = ({ counters }: SyncReadings): ReadonlyArray<Family> => [
  byLabel(
    "annals_requests_total",
    "Requests to peers, by kind.",
    "kind",
    Object.entries(counters.requests),
  ),
  {
    name: "annals_request_seconds",
    help: "Time to a peer's answer, by kind; of a batch of blocks to its end.",
    type: "histogram",
    samples: Object.entries(counters.latencies).flatMap(([kind, histogram]) =>
      latencySamples(kind, histogram),
    ),
  },
  count("annals_received_bytes_total", "Decoded payload of all answers.", counters.bytesReceived),
]

const latencySamples = (kind: string, histogram: Histogram): ReadonlyArray<Sample> =>
  histogramSamples(
    { kind },
    histogram.atMost(BOUNDS_MS).map(([boundMs, seen]) => [boundMs / 1000, seen] as const),
    { sum: histogram.sumMs / 1000, count: histogram.count },
  )

const loadFamilies = ({ queues, budgets }: SyncReadings): ReadonlyArray<Family> => [
  byLabel(
    "annals_queue_items",
    "What waits between two stages, by queue.",
    "queue",
    queues.map(({ name, items }) => [name, items] as const),
    "gauge",
  ),
  byLabel(
    "annals_held_bytes",
    "Bytes that are under way or in memory, by budget; above its size where it is overdrawn.",
    "budget",
    budgets.map(({ name, usedBytes }) => [name, usedBytes] as const),
    "gauge",
  ),
  byLabel(
    "annals_budget_bytes",
    "The size of a budget of bytes.",
    "budget",
    budgets.map(({ name, totalBytes }) => [name, totalBytes] as const),
    "gauge",
  ),
]

const headFamilies = (report: SyncReport): ReadonlyArray<Family> => [
  byLabel(
    "annals_sync_phase",
    "1 for the phase that the sync is in.",
    "phase",
    PHASES.map((phase) => [phase, phase === report.phase ? 1 : 0] as const),
    "gauge",
  ),
  gauge(
    "annals_head_block",
    "The highest block that the network's head reached.",
    report.headBlock,
  ),
  gauge("annals_target_block", "The last block that the run wants stored.", report.targetBlock),
  gauge("annals_blocks_behind", "How far the store lags behind the head.", report.blocksBehind),
  gauge(
    "annals_behind_since_seconds",
    "Unix time since when it lags; absent while it does not.",
    report.behindSinceMs === undefined ? undefined : report.behindSinceMs / 1000,
  ),
  count("annals_reorgs_total", "Reorganisations that were carried out.", report.reorgs),
]

const PHASES: ReadonlyArray<SyncReport["phase"]> = ["starting", "backfill", "following", "ended"]

const count = (name: string, help: string, value: number): Family => ({
  name,
  help,
  type: "counter",
  samples: [{ value }],
})

/** What is not known has no sample. */
const gauge = (name: string, help: string, value: number | undefined): Family => ({
  name,
  help,
  type: "gauge",
  samples: value === undefined ? [] : [{ value }],
})

const byLabel = (
  name: string,
  help: string,
  label: string,
  values: Iterable<readonly [string, number]>,
  type: Family["type"] = "counter",
): Family => ({
  name,
  help,
  type,
  samples: Array.from(values, ([text, value]) => ({ labels: { [label]: text }, value })),
})
