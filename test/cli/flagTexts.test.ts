/** What the texts of flags mean, and in what words they are refused. */
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { parseTables } from "../../src/cli/flagTexts.ts"
import { toHex } from "../../src/domain/hex.ts"
import { checks } from "../../src/process/checks.ts"
import { optionalTables } from "../../src/write/tables.ts"
import { ingest, ingestRefusal, probe, refusal } from "./givenSync.ts"

const nodeId = "ab".repeat(64)
const one = "1f".repeat(32)
const other = "E2".repeat(32)

describe("--peer", () => {
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
      assert.match(ingestRefusal(given), /^--(bootnode|dns-tree) "[^"]+" /)
    }
  })
})
