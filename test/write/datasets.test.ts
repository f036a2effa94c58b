import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { datasetName, parseDataset, type Dataset } from "../../src/write/datasets.ts"
import type { LogFilter } from "../../src/write/rows.ts"
import { optionalTables } from "../../src/write/tables.ts"

const hexes = (bytes: number) =>
  fc
    .uniqueArray(fc.uint8Array({ minLength: bytes, maxLength: bytes }), { maxLength: 3 })
    .map((members) => new Set(members.map((member) => Buffer.from(member).toString("hex"))))

const filtered = fc
  .record({ addresses: hexes(20), topic0s: hexes(32) })
  .filter(({ addresses, topic0s }) => addresses.size + topic0s.size > 0)
  .map((filter): Dataset => ({ kind: "filtered", table: "logs", filter }))

const dataset: fc.Arbitrary<Dataset> = fc.oneof(
  fc.constantFrom(...optionalTables).map((table): Dataset => ({ kind: "table", table })),
  fc.constant<Dataset>({ kind: "senders", table: "transactions" }),
  filtered,
)

const nameOf = (filter: LogFilter): string =>
  datasetName({ kind: "filtered", table: "logs", filter })

describe("names of datasets", () => {
  it("can be read back", () => {
    fc.assert(fc.property(dataset, (one) => assert.deepEqual(parseDataset(datasetName(one)), one)))
  })

  it("are the same for one filter however it was written", () => {
    fc.assert(
      fc.property(hexes(20), hexes(32), (addresses, topic0s) => {
        const reversed = {
          addresses: new Set([...addresses].toReversed()),
          topic0s: new Set([...topic0s].toReversed()),
        }
        assert.strictEqual(nameOf(reversed), nameOf({ addresses, topic0s }))
      }),
    )
  })

  it("say in words what is filtered", () => {
    const filter = { addresses: new Set(["bb", "aa"]), topic0s: new Set(["cc"]) }
    assert.strictEqual(nameOf(filter), "logs?address=0xaa,0xbb&topic0=0xcc")
  })

  it("are none of payloads, blocks and whatever else", () => {
    for (const name of ["payloads", "blocks", "", "logs?", "log", "logs?from=0x00"]) {
      assert.isUndefined(parseDataset(name), name)
    }
  })
})
