/** What the flags of `annals sync` come to: defaults, precedence, and what does not go together. */
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  checks,
  parseTables,
  syncFlags,
  syncOptions,
  type IngestOptions,
  type ProbeOptions,
  type RawSyncOptions,
  type SyncOptions,
} from "../../src/cli/syncOptions.ts"
import { toHex } from "../../src/domain/hex.ts"
import { optionalTables } from "../../src/write/tables.ts"

const nothing: RawSyncOptions = {
  network: undefined,
  peer: [],
  "no-discovery": false,
  bootnode: [],
  "dns-tree": [],
  "peer-cache": undefined,
  "max-peers": undefined,
  "min-peers": undefined,
  "max-concurrent-dials": undefined,
  port: undefined,
  "max-outbound": undefined,
  "max-inbound": undefined,
  "start-block": undefined,
  "end-block": undefined,
  "blocks-per-assignment": undefined,
  "receipts-per-request": undefined,
  "timeout-ms": undefined,
  "rollback-window": undefined,
  "give-up-ms": undefined,
  follow: false,
  "trusted-peer": [],
  "trusted-head": undefined,
  "follow-every-ms": undefined,
  serve: false,
  "http-host": undefined,
  "http-port": undefined,
  "http-vhost": [],
  "cors-origin": [],
  "rpc-max-request-mib": undefined,
  "rpc-max-response-mib": undefined,
  "rpc-max-batch": undefined,
  "rpc-max-connections": undefined,
  "rpc-max-block-range": undefined,
  "rpc-max-logs": undefined,
  "rpc-max-filters": undefined,
  "rpc-call-timeout-ms": undefined,
  "trusted-hash": [],
  verify: [],
  tables: [],
  workers: undefined,
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

const CORES = 3

const sync = (given: Partial<RawSyncOptions>, cores = CORES): SyncOptions => {
  const options = syncOptions({ ...nothing, ...given }, cores)
  assert(options.ok, JSON.stringify(options))
  return options.value
}

const probe = (given: Partial<RawSyncOptions>): ProbeOptions => {
  const options = sync({ benchmark: "probe", ...given })
  assert(options.kind === "probe", options.kind)
  return options
}

const ingest = (given: Partial<RawSyncOptions>, cores = CORES): IngestOptions => {
  const options = sync(given, cores)
  assert(options.kind !== "probe", options.kind)
  return options
}

/** The one line that an ingest is refused with. */
const ingestRefusal = (given: Partial<RawSyncOptions>): string => {
  const options = syncOptions({ ...nothing, ...given }, CORES)
  assert(!options.ok, JSON.stringify(options))
  assert.notInclude(options.reason, "\n")
  return options.reason
}

const refusal = (given: Partial<RawSyncOptions>): string =>
  ingestRefusal({ benchmark: "probe", ...given })

const nodeId = "ab".repeat(64)

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

const one = "1f".repeat(32)
const other = "E2".repeat(32)

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

describe("--verify and --tables", () => {
  it("take all, none, or some, in any order and however often", () => {
    assert.deepEqual([...ingest({ verify: ["all"] }).verify], [...checks])
    assert.strictEqual(ingest({ verify: ["none"] }).verify.size, 0)
    assert.deepEqual([...ingest({ verify: ["bloom", "links, bloom"] }).verify], ["links", "bloom"])
    assert.deepEqual(ingest({ tables: ["all"] }).tables, optionalTables)
    assert.deepEqual(ingest({ tables: ["none"] }).tables, [])
    assert.deepEqual(ingest({ tables: ["all", "all"] }).tables, optionalTables)
  })

  it("give what was named, in the order of the tables, each once", () => {
    const named = fc.array(fc.constantFrom(...optionalTables), { minLength: 1 })
    fc.assert(
      fc.property(named, fc.boolean(), (words, together) => {
        const parsed = parseTables(together ? [words.join(",")] : words)
        assert.deepEqual(parsed, {
          ok: true,
          value: optionalTables.filter((table) => words.includes(table)),
        })
      }),
    )
  })

  it("refuse all and none beside others", () => {
    for (const verify of [["all,links"], ["bloom", "all"]]) {
      assert.include(ingestRefusal({ verify }), "--verify all stands alone")
    }
    assert.include(ingestRefusal({ verify: ["none,links"] }), "--verify none stands alone")
    assert.include(ingestRefusal({ verify: ["none,all"] }), "stands alone")
    assert.include(ingestRefusal({ tables: ["logs,all"] }), "--tables all stands alone")
  })

  it("refuse words that they do not know and say what they take", () => {
    const verify = `--verify takes all, none, or of links, transactions, uncles, withdrawals, receipts, bloom, not "logs"`
    assert.strictEqual(ingestRefusal({ verify: ["links,logs"] }), verify)
    const tables = `--tables takes all, none, or of transactions, logs, withdrawals, uncles, not "Logs"`
    assert.strictEqual(ingestRefusal({ tables: ["Logs"] }), tables)
    assert.include(ingestRefusal({ tables: ["logs,"] }), 'not ""')
    assert.include(ingestRefusal({ verify: ["constructor"] }), 'not "constructor"')
  })
})

describe("--trusted-hash", () => {
  it("reads a number and a hash, with or without 0x, and sorts them by number", () => {
    const trusted = ingest({
      "trusted-hash": [`15537393:0x${one}`, `0:${other}`, `9007199254740991:${one}`],
    }).trustedHashes
    const read = trusted.map(({ blockNumber, hash }) => [blockNumber, toHex(hash)])
    assert.deepEqual(read, [
      [0, other.toLowerCase()],
      [15_537_393, one],
      [Number.MAX_SAFE_INTEGER, one],
    ])
  })

  it("keeps a hash that is given twice once, and refuses two for one block", () => {
    const again = [`7:${other}`, `7:0x${other.toLowerCase()}`]
    assert.strictEqual(ingest({ "trusted-hash": again }).trustedHashes.length, 1)
    const reason = ingestRefusal({ "trusted-hash": [`7:${one}`, `8:${other}`, `7:${other}`] })
    assert.strictEqual(reason, "--trusted-hash gives block 7 two different hashes")
  })

  it.each([one, `5:`, `5:${one.slice(2)}`, `5:${one}00`, `-5:${one}`, `0x5:${one}`, `5=${one}`])(
    "refuses %s",
    (text) => {
      const reason = `--trusted-hash takes N:HASH, a block number and 32 bytes in hex, not "${text}"`
      assert.strictEqual(ingestRefusal({ "trusted-hash": [text] }), reason)
    },
  )

  it("refuses a block above the last number", () => {
    const reason = ingestRefusal({ "trusted-hash": [`9007199254740992:${one}`] })
    assert.include(reason, "the block is above 9007199254740991")
  })
})

describe("the flags of discovery", () => {
  const node = `enode://${"ab".repeat(64)}@127.0.0.1:0?discport=30301`

  it("turn it off, or replace where it begins", () => {
    assert.isFalse(probe({ "no-discovery": true }).discovery.enabled)
    const { discovery } = probe({ bootnode: [node], "dns-tree": ["enrtree://KEY@nodes.example"] })
    assert.deepStrictEqual(
      discovery.bootnodes?.map(({ udpPort }) => udpPort),
      [30_301],
    )
    assert.deepStrictEqual(discovery.dnsTrees, ["enrtree://KEY@nodes.example"])
  })

  it("are refused in one line where they name nothing", () => {
    for (const given of [{ bootnode: ["enode://12@host:1"] }, { "dns-tree": ["nodes.example"] }]) {
      const refused = syncOptions({ ...nothing, ...given }, CORES)
      assert(!refused.ok)
      assert.match(refused.reason, /^--(bootnode|dns-tree) "[^"]+" /)
    }
  })
})

describe("syncOptions of a run that follows", () => {
  const enode = `enode://${nodeId}@127.0.0.1:30303`

  it("follows only where it is asked to", () => {
    assert.isUndefined(ingest({}).follow)
    assert.deepStrictEqual(ingest({ follow: true }).follow, {
      everyMs: 2_000,
      trustedPeers: [],
      trustedHead: undefined,
    })
  })

  it("dials trusted peers as well as named ones, each once", () => {
    const options = ingest({ follow: true, peer: [enode], "trusted-peer": [enode] })
    assert.lengthOf(options.peers, 1)
    assert.deepStrictEqual(options.follow?.trustedPeers, [nodeId])
  })

  it("refuses what has an end, what cannot be held, and what is for following alone", () => {
    assert.include(ingestRefusal({ follow: true, "end-block": 5 }), "--end-block")
    assert.include(ingestRefusal({ follow: true, benchmark: "profile" }), "--benchmark")
    assert.include(ingestRefusal({ follow: true, "rollback-window": 1_025 }), "1024")
    assert.include(ingestRefusal({ "trusted-peer": [enode] }), "--follow")
    assert.include(ingestRefusal({ "trusted-head": "http://127.0.0.1" }), "--follow")
    assert.include(ingestRefusal({ "follow-every-ms": 100 }), "--follow")
  })

  it("takes a plain URL of a trusted head, and nothing else", () => {
    const url = "http://127.0.0.1:8545"
    assert.strictEqual(ingest({ follow: true, "trusted-head": url }).follow?.trustedHead, url)
    for (const text of ["file:///etc/passwd", "127.0.0.1:8545", "http://a:b@127.0.0.1"]) {
      assert.include(ingestRefusal({ follow: true, "trusted-head": text }), "--trusted-head takes")
    }
  })
})
