/** What the flags of `annals sync` come to: defaults, precedence, and what does not go together. */
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { syncFlags, type SyncOptions } from "../../src/cli/syncOptions.ts"
import { ingest, ingestRefusal, probe, refusal } from "./givenSync.ts"

describe("syncOptions of a probe", () => {
  it("has the documented defaults", () => {
    const expected: SyncOptions = {
      kind: "probe",
      network: "mainnet",
      peers: [],
      discovery: { enabled: true, bootnodes: undefined, dnsTrees: undefined },
      maxPeers: 50,
      minPeers: 1,
      maxOutbound: 400,
      maxConcurrentDials: 200,
      port: undefined,
      maxInbound: 200,
      startBlock: 0,
      endBlock: undefined,
      blocksPerAssignment: 32,
      receiptsPerRequest: 16,
      peerCache: undefined,
      timeoutMs: 4000,
      rollbackWindow: 64,
      giveUpMs: 60_000,
    }
    assert.deepEqual(probe({}), expected)
  })

  it("takes harness for probe", () => {
    assert.deepEqual(probe({ benchmark: "harness" }), probe({}))
  })

  it("is handed nothing of what only an ingest uses, though it is checked", () => {
    const given = { json: true, "data-dir": "x", workers: 2, verify: ["none"], tables: ["all"] }
    assert.deepEqual(probe(given), probe({}))
    assert.include(refusal({ tables: ["receipts"] }), "--tables")
  })

  it("hands each general flag on", () => {
    const options = probe({
      network: "hoodi",
      "max-peers": 9,
      "min-peers": 2,
      "max-concurrent-dials": 3,
      port: 0,
      "max-inbound": 10,
      "start-block": 4,
      "end-block": 5,
      "blocks-per-assignment": 6,
      "receipts-per-request": 7,
      "timeout-ms": 8,
      "rollback-window": 0,
      "give-up-ms": 0,
      "peer-cache": "peers.json",
    })
    const expected: SyncOptions = {
      kind: "probe",
      network: "hoodi",
      peers: [],
      discovery: { enabled: true, bootnodes: undefined, dnsTrees: undefined },
      maxPeers: 9,
      minPeers: 2,
      maxOutbound: 400,
      maxConcurrentDials: 3,
      port: 0,
      maxInbound: 10,
      startBlock: 4,
      endBlock: 5,
      blocksPerAssignment: 6,
      receiptsPerRequest: 7,
      peerCache: "peers.json",
      timeoutMs: 8,
      rollbackWindow: 0,
      giveUpMs: 0,
    }
    assert.deepEqual(options, expected)
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
})

const one = "1f".repeat(32)

describe("syncOptions of an ingest", () => {
  it("has the documented defaults", () => {
    const expected: SyncOptions = {
      kind: "ingest",
      mode: "ingest",
      network: "mainnet",
      peers: [],
      discovery: { enabled: true, bootnodes: undefined, dnsTrees: undefined },
      maxPeers: 50,
      minPeers: 1,
      maxOutbound: 400,
      maxConcurrentDials: 200,
      port: undefined,
      maxInbound: 200,
      startBlock: 0,
      endBlock: undefined,
      blocksPerAssignment: 32,
      receiptsPerRequest: undefined,
      timeoutMs: 4000,
      rollbackWindow: 64,
      giveUpMs: 60_000,
      dataDir: "annals-data",
      dataDirGiven: false,
      verify: new Set([
        "links",
        "transactions",
        "uncles",
        "withdrawals",
        "receipts",
        "bloom",
      ] as const),
      tables: [],
      trustedHashes: [],
      workers: 2,
      json: false,
    }
    assert.deepEqual(ingest({}), expected)
  })

  it("is a profile with --benchmark profile, and otherwise the same", () => {
    const profile = ingest({ benchmark: "profile" })
    const expected: object = { ...ingest({}), kind: "profile", mode: "profile" }
    assert.deepEqual<object>(profile, expected)
  })

  it("hands each flag on", () => {
    const options = ingest({
      "receipts-per-request": 7,
      "timeout-ms": 8,
      "data-dir": "x",
      workers: 0,
      verify: ["receipts,links"],
      tables: ["logs"],
      "trusted-hash": [`5:0x${one}`],
      json: true,
    })
    assert.include(options, {
      receiptsPerRequest: 7,
      timeoutMs: 8,
      dataDir: "x",
      dataDirGiven: true,
      workers: 0,
      json: true,
    })
    assert.deepEqual([...options.verify], ["links", "receipts"])
    assert.deepEqual(options.tables, ["logs"])
    assert.deepEqual(options.trustedHashes, [
      { blockNumber: 5, hash: new Uint8Array(32).fill(0x1f) },
    ])
  })

  it("takes the default directory, where it is named, for a given one", () => {
    assert.isTrue(ingest({ "data-dir": "annals-data" }).dataDirGiven)
  })

  it("lets the benchmark's flags win in a profile too", () => {
    const options = ingest({
      benchmark: "profile",
      "receipts-per-request": 4,
      "start-block": 1,
      "benchmark-start": 11,
      "benchmark-blocks": 2,
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

  it.each([
    ["benchmark-start", "start-block"],
    ["benchmark-end", "end-block"],
    ["benchmark-blocks", "end-block"],
    ["benchmark-blocks-per-assignment", "blocks-per-assignment"],
    ["benchmark-receipts-per-request", "receipts-per-request"],
    ["benchmark-max-peers", "max-peers"],
    ["benchmark-timeout-ms", "timeout-ms"],
  ] as const)("refuses --%s without --benchmark and names --%s", (knob, general) => {
    const expected = `--${knob} goes with --benchmark; without it there is --${general}`
    assert.strictEqual(ingestRefusal({ [knob]: 1 }), expected)
  })

  it("has no knob of the benchmark that is not refused without it", () => {
    for (const name of Object.keys(syncFlags).filter((flag) => flag.startsWith("benchmark-"))) {
      assert.include(ingestRefusal({ [name]: 1 }), `--${name} goes with --benchmark`)
    }
  })

  it("refuses the ranges and peers that a probe is refused", () => {
    assert.include(ingestRefusal({ "start-block": 6, "end-block": 5 }), "above its end, 5")
    assert.include(ingestRefusal({ "min-peers": 51 }), "--min-peers is 51")
    assert.include(ingestRefusal({ peer: ["enode://12@h:1"] }), "is no enode")
  })

  it("checks in as many threads as there are cores less one, from 1 to 4", () => {
    const workers = [1, 2, 3, 4, 5, 6, 64].map((cores) => ingest({}, cores).workers)
    assert.deepEqual(workers, [1, 1, 2, 3, 4, 4, 4])
    assert.strictEqual(ingest({ workers: 64 }, 2).workers, 64)
  })
})
