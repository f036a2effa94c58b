import { assert, describe, it } from "vitest"
import { duration, followLine, progressLine } from "../../src/observe/progressLine.ts"

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

describe("followLine", () => {
  const at = {
    storedBlock: 120,
    headBlock: 120,
    blocksBehind: 0,
    behindSinceMs: undefined,
    nowMs: Date.UTC(2026, 0, 2, 3, 4, 21),
    peersActive: 4,
    peersKnown: 5,
    reorgs: 1,
    stalled: undefined,
  }

  it("says that it is not behind", () => {
    assert.strictEqual(
      followLine(at),
      "following: block 120 of 120 · not behind · peers 4/5 · 1 reorganisation",
    )
  })

  it("says how far behind it is, since when, and why nothing moves", () => {
    const behind = {
      ...at,
      headBlock: 123,
      blocksBehind: 3,
      behindSinceMs: Date.UTC(2026, 0, 2, 3, 4, 7),
      stalled: "no peer is there to follow",
    }
    assert.include(followLine(behind), "3 behind since 03:04:07Z (14s)")
    assert.include(followLine(behind), "waiting: no peer is there to follow")
  })
})
