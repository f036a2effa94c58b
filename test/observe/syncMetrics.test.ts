import { assert, describe, it } from "vitest"
import { Counters } from "../../src/observe/counters.ts"
import { Histogram } from "../../src/observe/histogram.ts"
import { IngestCounters } from "../../src/observe/IngestStats.ts"
import { prometheusText } from "../../src/observe/prometheus.ts"
import { type SyncReadings, syncMetricsText } from "../../src/observe/syncMetrics.ts"

const readings = (given: Partial<SyncReadings> = {}): SyncReadings => ({
  report: {
    phase: "following",
    startBlock: 0,
    targetBlock: 90,
    headBlock: 100,
    blocksBehind: 10,
    behindSinceMs: 1_500,
    reorgs: 3,
  },
  counters: new Counters(),
  ingest: new IngestCounters(),
  peers: [],
  queues: [],
  budgets: [],
  ...given,
})

describe("syncMetricsText", () => {
  it("is Prometheus' text, every family once and with its type", () => {
    const text = syncMetricsText(readings())
    const families = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name]) => name)
    assert.strictEqual(new Set(families).size, families.length)
    for (const line of text.trimEnd().split("\n")) {
      assert.match(
        line,
        /^(# (HELP|TYPE) annals_\w+ .+|annals_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? \S+)$/,
      )
    }
  })

  it("tells counts, failures by kind, latencies as histograms, and how far behind", () => {
    const counters = new Counters()
    const ingest = new IngestCounters()
    ingest.checked = 5
    ingest.refuted = 2
    ingest.written = 4
    counters.failed("timeout")
    counters.failed("timeout")
    for (const ms of [3, 30, 300]) counters.answered("bodies", ms, 10)
    const text = syncMetricsText(readings({ counters, ingest }))
    for (const line of [
      "annals_blocks_fetched_total 7",
      "annals_blocks_checked_total 5",
      "annals_blocks_written_total 4",
      'annals_failures_total{kind="timeout"} 2',
      'annals_request_seconds_bucket{kind="bodies",le="0.005"} 1',
      'annals_request_seconds_bucket{kind="bodies",le="0.05"} 2',
      'annals_request_seconds_bucket{kind="bodies",le="+Inf"} 3',
      'annals_request_seconds_sum{kind="bodies"} 0.333',
      "annals_blocks_behind 10",
      "annals_behind_since_seconds 1.5",
      "annals_reorgs_total 3",
      'annals_sync_phase{phase="following"} 1',
      'annals_sync_phase{phase="backfill"} 0',
    ]) {
      assert.include(text, `${line}\n`)
    }
  })

  it("leaves out what is not known", () => {
    const { report } = readings()
    const text = syncMetricsText(
      readings({ report: { ...report, blocksBehind: undefined, behindSinceMs: undefined } }),
    )
    assert.notInclude(text, "annals_blocks_behind")
    assert.notInclude(text, "annals_behind_since_seconds")
  })

  it("keeps peers apart by state and client, and only so many clients", () => {
    const many = Array.from({ length: 80 }, (_, at) => ({
      state: "pooled",
      client: `made-up-${at}/v1`,
    }))
    const geth = { state: "pooled", client: "Geth/v1.17/linux" }
    const text = syncMetricsText(
      readings({ peers: [geth, geth, { ...geth, state: "measuring" }, ...many] }),
    )
    assert.include(text, 'annals_peers{state="pooled",client="geth"} 2\n')
    assert.include(text, 'annals_peers{state="measuring",client="geth"} 1\n')
    assert.include(text, 'annals_peers{state="pooled",client="other"} 31\n')
  })
})

describe("prometheusText", () => {
  it("escapes what labels and help must not hold", () => {
    const text = prometheusText([
      {
        name: "a",
        help: "b\nc\\",
        type: "gauge",
        samples: [{ labels: { d: 'e"\n\\' }, value: 1 }],
      },
      { name: "none", help: "none", type: "counter", samples: [] },
    ])
    assert.strictEqual(text, '# HELP a b\\nc\\\\\n# TYPE a gauge\na{d="e\\"\\n\\\\"} 1\n')
  })
})

describe("Histogram.atMost", () => {
  it("counts what is at most each bound, beyond the last ones too", () => {
    const histogram = new Histogram()
    for (const ms of [0, 0.5, 1.5, 1.5, 9, 1e12]) histogram.record(ms)
    assert.deepEqual(histogram.atMost([1, 2, 10]), [
      [1, 2],
      [2, 4],
      [10, 5],
    ])
  })
})
