/**
 * What the server counts, with Effect's metrics, and their text for Prometheus.
 *
 * In: calls as they end, readings when a scrape comes. Out: families named `annals_…`. Every label
 * comes from a list that is bounded by who sets it: methods that there are, kinds of outcome.
 */
import {
  Array as Arr,
  Effect,
  HashSet,
  Metric,
  MetricBoundaries,
  type MetricPair,
  MetricState,
} from "effect"
import { type Family, histogramSamples, prometheusText, type Sample } from "./prometheus.ts"

const PREFIX = "annals_"

/** Seconds, from what a header takes to the longest call. */
const callBounds = MetricBoundaries.fromIterable([
  0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
])

const calls = Metric.counter(`${PREFIX}rpc_calls_total`, {
  description: "Calls of JSON-RPC, by method and outcome.",
  incremental: true,
})
const seconds = Metric.histogram(
  `${PREFIX}rpc_call_seconds`,
  callBounds,
  "Time from a call's begin to its result, by method.",
)
const responseBytes = Metric.counter(`${PREFIX}rpc_response_bytes_total`, {
  description: "Bytes of answers, before they are sent.",
  incremental: true,
})

/** What is read when somebody asks, by the name of its metric. */
const gauges = {
  connections: Metric.gauge(`${PREFIX}http_connections`, {
    description: "Connections that are open, HTTP and WebSocket.",
  }),
  webSockets: Metric.gauge(`${PREFIX}websockets`, { description: "WebSockets that are open." }),
  filters: Metric.gauge(`${PREFIX}rpc_filters`, {
    description: "Filters and subscriptions of all clients.",
  }),
  heldBytes: Metric.gauge(`${PREFIX}rpc_held_bytes`, {
    description: "Bytes of requests and answers in memory.",
  }),
  storedBlocks: Metric.gauge(`${PREFIX}store_blocks`, { description: "Blocks in the store." }),
  earliestBlock: Metric.gauge(`${PREFIX}store_earliest_block`, {
    description: "The lowest stored block.",
  }),
  latestBlock: Metric.gauge(`${PREFIX}store_latest_block`, {
    description: "The highest block of the unbroken range that begins with the lowest.",
  }),
  unindexedBlocks: Metric.gauge(`${PREFIX}store_unindexed_blocks`, {
    description: "Stored blocks whose transactions cannot be found by hash yet.",
  }),
  reorgsSeen: Metric.gauge(`${PREFIX}rpc_reorgs_seen`, {
    description: "Reorganisations that filters and subscriptions were told of.",
  }),
} as const

/** A reading that {@link setReadings} takes. */
export type Reading = keyof typeof gauges

/** Metrics of one pair of labels, made once: to make one costs more than to count. */
const callMetrics = new Map<string, readonly [Metric.Metric.Counter<number>, typeof seconds]>()

/**
 * Counts a call. `method` must be one that there is, or a word that stands for all others; `outcome`
 * is of a fixed list.
 */
export const countCall = (method: string, outcome: string, ms: number): Effect.Effect<void> => {
  const key = `${method} ${outcome}`
  let pair = callMetrics.get(key)
  if (pair === undefined) {
    const counted = calls.pipe(Metric.tagged("method", method), Metric.tagged("outcome", outcome))
    pair = [counted, seconds.pipe(Metric.tagged("method", method))]
    callMetrics.set(key, pair)
  }
  return Effect.zipRight(Metric.increment(pair[0]), Metric.update(pair[1], ms / 1000))
}

/** Counts the bytes of an answer. */
export const countResponse = (bytes: number): Effect.Effect<void> =>
  Metric.incrementBy(responseBytes, bytes)

/** Takes readings down; what is undefined stays as it was. */
export const setReadings = (
  readings: Readonly<Partial<Record<Reading, number | undefined>>>,
): Effect.Effect<void> =>
  Effect.forEach(
    Object.entries(gauges),
    ([name, gauge]) => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the names are the table's own
      const value = readings[name as Reading]
      return value === undefined ? Effect.void : Metric.set(gauge, value)
    },
    { discard: true },
  )

/** All of this program's metrics as text; `version` is told by `annals_build_info`. */
export const metricsText = (build: Readonly<Record<string, string>>): Effect.Effect<string> =>
  Effect.map(Metric.snapshot, (pairs) => prometheusText([buildInfo(build), ...families(pairs)]))

const buildInfo = (labels: Readonly<Record<string, string>>): Family => ({
  name: `${PREFIX}build_info`,
  help: "What runs here; always 1.",
  type: "gauge",
  samples: [{ labels, value: 1 }],
})

const families = (pairs: ReadonlyArray<MetricPair.MetricPair.Untyped>): ReadonlyArray<Family> => {
  const ours = pairs.filter(({ metricKey }) => metricKey.name.startsWith(PREFIX))
  return Object.entries(Arr.groupBy(ours, ({ metricKey }) => metricKey.name))
    .map(([name, group]): Family => {
      const { metricKey, metricState } = group[0]
      return {
        name,
        help: metricKey.description._tag === "Some" ? metricKey.description.value : name,
        type: typeOf(metricState),
        samples: group.flatMap(samplesOf),
      }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

const typeOf = (state: unknown): Family["type"] => {
  if (MetricState.isHistogramState(state)) return "histogram"
  return MetricState.isCounterState(state) ? "counter" : "gauge"
}

const samplesOf = ({
  metricKey,
  metricState,
}: MetricPair.MetricPair.Untyped): ReadonlyArray<Sample> => {
  const tags = HashSet.toValues(HashSet.fromIterable(metricKey.tags))
  const labels = Object.fromEntries(tags.map(({ key, value }) => [key, value]))
  const state: unknown = metricState
  if (MetricState.isHistogramState(state)) return histogramSamples(labels, state.buckets, state)
  if (MetricState.isCounterState(state)) return [{ labels, value: Number(state.count) }]
  return MetricState.isGaugeState(state) ? [{ labels, value: Number(state.value) }] : []
}
