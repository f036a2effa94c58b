import { assert, describe, it } from "vitest"
import { duration, progressLine } from "../../src/observe/progressLine.ts"

const reading = {
  done: 2_500,
  total: 10_000,
  inFlight: 64,
  queued: 7_436,
  blocksPerSec: 250,
  mibPerSec: 31.25,
  peersActive: 8,
  peersKnown: 11,
  latency: { p50: 41.2, p95: 120.7, p99: 300 },
  requeued: 12,
  kept: undefined,
}

describe("progressLine", () => {
  it("says how far it is, how fast, with whom, and how long it will take", () => {
    assert.strictEqual(
      progressLine(reading),
      "2500/10000 blocks (25%) · 64 in flight, 7436 queued · 250 blocks/s, 31.3 MiB/s · peers 8/11 · p50 41 ms, p95 121 ms · 12 retries · ETA 30s",
    )
  })

  it("shows checked and written blocks of an ingest", () => {
    const line = progressLine({ ...reading, kept: { checked: 2_600, written: 2_500 } })
    assert.include(line, "(25%) · 2600 checked, 2500 written · 64 in flight")
  })

  it("guesses no end while nothing moves", () => {
    assert.include(progressLine({ ...reading, blocksPerSec: 0 }), "ETA unknown")
  })

  it("says durations in two units at most", () => {
    assert.deepStrictEqual([0, 59, 60, 187, 3_600, 18_120, 86_400, 1_051_200].map(duration), [
      "0s",
      "59s",
      "1m00s",
      "3m07s",
      "1h00m",
      "5h02m",
      "1d00h",
      "12d04h",
    ])
  })
})
