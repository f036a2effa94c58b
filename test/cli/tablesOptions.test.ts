import { assert, describe, it } from "vitest"
import { nothingGiven } from "../../src/cli/flags.ts"
import { tablesFlags, tablesOptions, type RawTablesOptions } from "../../src/cli/tablesOptions.ts"

const raw = (given: Partial<RawTablesOptions>): RawTablesOptions => ({
  ...nothingGiven(tablesFlags),
  ...given,
})

const ADDRESS = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
const TOPIC = `0x${"dd".repeat(32)}`

describe("tablesOptions", () => {
  it("fills in the defaults", () => {
    assert.deepEqual(tablesOptions(raw({ tables: ["all"] })), {
      ok: true,
      value: {
        dataDir: "annals-data",
        tables: ["transactions", "logs", "withdrawals", "uncles"],
        addresses: [],
        topic0s: [],
        senders: false,
        startBlock: 0,
        endBlock: Infinity,
        json: false,
      },
    })
  })

  it("takes addresses and topics in any spelling, each once", () => {
    const given = {
      tables: ["logs"],
      contract: [`${ADDRESS},${ADDRESS.toLowerCase()}`],
      topic0: [TOPIC],
    }
    const checked = tablesOptions(raw(given))
    assert.deepInclude(checked.ok ? checked.value : {}, {
      addresses: [ADDRESS.slice(2).toLowerCase()],
      topic0s: ["dd".repeat(32)],
    })
  })

  it("takes senders without tables", () => {
    assert.isTrue(tablesOptions(raw({ senders: true })).ok)
  })

  it.each([
    { given: {}, says: "--tables" },
    { given: { tables: ["none"] }, says: "--tables" },
    { given: { tables: ["receipts"] }, says: '"receipts"' },
    { given: { tables: ["logs"], contract: ["0x12"] }, says: "--contract takes 20 bytes" },
    { given: { tables: ["logs"], topic0: [ADDRESS] }, says: "--topic0 takes 32 bytes" },
    { given: { tables: ["transactions"], topic0: [TOPIC] }, says: "--tables logs" },
    { given: { tables: ["logs"], "start-block": 9, "end-block": 8 }, says: "9" },
  ])("refuses $given in one line", ({ given, says }) => {
    const checked = tablesOptions(raw(given))
    assert.isFalse(checked.ok)
    if (!checked.ok) {
      assert.include(checked.reason, says)
      assert.notInclude(checked.reason, "\n")
    }
  })
})
