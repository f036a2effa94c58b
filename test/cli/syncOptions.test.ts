/** What the flags of `annals sync` come to: defaults, precedence, and what does not go together. */
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { probeOptions, type ProbeOptions, type RawSyncOptions } from "../../src/cli/syncOptions.ts"

const nothing: RawSyncOptions = {
  network: undefined,
  peer: [],
  "no-discovery": false,
  "max-peers": undefined,
  "min-peers": undefined,
  "max-concurrent-dials": undefined,
  "start-block": undefined,
  "end-block": undefined,
  "blocks-per-assignment": undefined,
  "receipts-per-request": undefined,
  "timeout-ms": undefined,
  "rollback-window": undefined,
  "give-up-ms": undefined,
  benchmark: undefined,
  "benchmark-start": undefined,
  "benchmark-end": undefined,
  "benchmark-blocks": undefined,
  "benchmark-blocks-per-assignment": undefined,
  "benchmark-receipts-per-request": undefined,
  "benchmark-max-peers": undefined,
  "benchmark-timeout-ms": undefined,
  json: false,
  "data-dir": undefined,
}

const probe = (given: Partial<RawSyncOptions>): ProbeOptions => {
  const options = probeOptions({ ...nothing, benchmark: "probe", ...given })
  assert(options.ok, JSON.stringify(options))
  return options.value
}

const refusal = (given: Partial<RawSyncOptions>): string => {
  const options = probeOptions({ ...nothing, benchmark: "probe", ...given })
  assert(!options.ok, JSON.stringify(options))
  return options.reason
}

const nodeId = "ab".repeat(64)

describe("probeOptions", () => {
  it("has the documented defaults", () => {
    assert.deepEqual(probe({}), {
      network: "mainnet",
      peers: [],
      maxPeers: 50,
      minPeers: 1,
      maxConcurrentDials: 200,
      startBlock: 0,
      endBlock: undefined,
      blocksPerAssignment: 32,
      receiptsPerRequest: 16,
      timeoutMs: 4000,
      rollbackWindow: 64,
      giveUpMs: 60_000,
    })
  })

  it("takes harness for probe", () => {
    assert.deepEqual(probe({ benchmark: "harness" }), probe({}))
  })

  it("says that a sync without a benchmark is not built, and what is", () => {
    assert.include(refusal({ benchmark: undefined }), "--benchmark probe")
  })

  it("hands each general flag on", () => {
    const options = probe({
      network: "hoodi",
      "max-peers": 9,
      "min-peers": 2,
      "max-concurrent-dials": 3,
      "start-block": 4,
      "end-block": 5,
      "blocks-per-assignment": 6,
      "receipts-per-request": 7,
      "timeout-ms": 8,
      "rollback-window": 0,
      "give-up-ms": 0,
    })
    assert.deepEqual(options, {
      network: "hoodi",
      peers: [],
      maxPeers: 9,
      minPeers: 2,
      maxConcurrentDials: 3,
      startBlock: 4,
      endBlock: 5,
      blocksPerAssignment: 6,
      receiptsPerRequest: 7,
      timeoutMs: 8,
      rollbackWindow: 0,
      giveUpMs: 0,
    })
  })

  it("lets the benchmark's flags win over the general ones", () => {
    const options = probe({
      "start-block": 1,
      "end-block": 2,
      "blocks-per-assignment": 3,
      "receipts-per-request": 4,
      "max-peers": 5,
      "timeout-ms": 6,
      "benchmark-start": 11,
      "benchmark-end": 12,
      "benchmark-blocks-per-assignment": 13,
      "benchmark-receipts-per-request": 14,
      "benchmark-max-peers": 15,
      "benchmark-timeout-ms": 16,
    })
    assert.include(options, {
      startBlock: 11,
      endBlock: 12,
      blocksPerAssignment: 13,
      receiptsPerRequest: 14,
      maxPeers: 15,
      timeoutMs: 16,
    })
  })

  it("ends start + blocks - 1, whatever --end-block says", () => {
    const start = fc.nat({ max: 2 ** 40 })
    fc.assert(
      fc.property(start, fc.integer({ min: 1, max: 2 ** 40 }), (start, blocks) => {
        const options = probe({
          "start-block": start,
          "benchmark-blocks": blocks,
          "end-block": 0,
        })
        assert.strictEqual(options.endBlock, start + blocks - 1)
      }),
    )
  })

  it("refuses an end together with a number of blocks", () => {
    const reason = refusal({ "benchmark-end": 5, "benchmark-blocks": 5 })
    assert.include(reason, "--benchmark-end and --benchmark-blocks")
  })

  it("refuses an empty range, and one past the last number", () => {
    assert.include(refusal({ "start-block": 6, "end-block": 5 }), "start, 6, is above its end, 5")
    assert.include(refusal({ "benchmark-start": 6, "end-block": 5 }), "above its end")
    assert.strictEqual(probe({ "start-block": 5, "end-block": 5 }).endBlock, 5)
    const last = Number.MAX_SAFE_INTEGER
    assert.strictEqual(probe({ "start-block": last, "benchmark-blocks": 1 }).endBlock, last)
    assert.include(refusal({ "start-block": last, "benchmark-blocks": 2 }), "past block")
  })

  it("refuses more peers to start with than may be kept", () => {
    assert.include(refusal({ "min-peers": 51 }), "--min-peers is 51")
    assert.include(refusal({ "min-peers": 5, "benchmark-max-peers": 4 }), "--min-peers is 5")
    assert.strictEqual(probe({ "min-peers": 50 }).minPeers, 50)
  })

  it("reads enodes and keeps each node once", () => {
    const options = probe({
      peer: [`enode://${nodeId}@127.0.0.1:1`, `enode://${nodeId.toUpperCase()}@127.0.0.1:2`],
    })
    assert.deepEqual(options.peers, [{ nodeId, host: "127.0.0.1", tcpPort: 2, udpPort: 2 }])
  })

  it("refuses a bad enode and one that cannot be dialled", () => {
    assert.match(refusal({ peer: ["enode://12@h:1"] }), /^--peer "enode:\/\/12@h:1" is no enode: /)
    const reason = refusal({ peer: [`enode://${nodeId}@127.0.0.1:0?discport=3`] })
    assert.include(reason, "cannot be dialled")
  })
})
