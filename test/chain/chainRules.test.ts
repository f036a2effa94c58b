import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { chainRulesOf, chainRulesText, parseChainRules } from "../../src/chain/chainRules.ts"
import { hoodi, mainnet } from "../../src/chain/networks.ts"

const schedule = fc.array(
  fc.record({
    fromTime: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
    baseFeeUpdateFraction: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
  }),
)

describe("a chain's rules", () => {
  it("come back from their text as they were", () => {
    fc.assert(
      fc.property(schedule, (blobSchedule) => {
        assert.deepEqual(parseChainRules(chainRulesText({ blobSchedule })), { blobSchedule })
      }),
    )
  })

  it("are undefined, not an error, for any other text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        assert.isUndefined(parseChainRules(text))
      }),
    )
    for (const entry of ['{"fromTime":1}', '{"fromTime":1.5,"baseFeeUpdateFraction":"1"}', "1"]) {
      assert.isUndefined(parseChainRules(`{"blobSchedule":[${entry}]}`))
    }
    const zero = '{"blobSchedule":[{"fromTime":1,"baseFeeUpdateFraction":"0"}]}'
    assert.isUndefined(parseChainRules(zero))
  })

  it("are a public network's own, whatever the note says", () => {
    const { chainId, genesisHash } = mainnet
    const note = chainRulesText({ blobSchedule: [] })
    const rules = chainRulesOf({ chainId: Number(chainId), genesisHash, text: note })
    assert.deepEqual(rules.blobSchedule, mainnet.blobSchedule)
  })

  it("are the note's for a chain that only shares an id with a public network", () => {
    const blobSchedule = [{ fromTime: 7, baseFeeUpdateFraction: 9n }]
    const genesisHash = new Uint8Array(32)
    const notes = { chainId: hoodi.chainId, genesisHash, text: chainRulesText({ blobSchedule }) }
    assert.deepEqual(chainRulesOf(notes), { blobSchedule })
    assert.deepEqual(chainRulesOf({ ...notes, text: undefined }), { blobSchedule: [] })
    assert.deepEqual(chainRulesOf({ ...notes, text: "no note" }), { blobSchedule: [] })
  })
})
