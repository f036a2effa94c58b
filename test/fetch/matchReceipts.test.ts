import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { matchByGas, NO_RECEIPTS } from "../../src/fetch/matchReceipts.ts"

/** Blocks with distinct gas, as nearly all of a request's are. */
const distinctGas = fc.uniqueArray(fc.integer({ min: 21_000, max: 60_000_000 }), {
  minLength: 1,
  maxLength: 20,
})

describe("matchByGas", () => {
  it("matches any prefix to the first blocks and leaves the rest beyond", () => {
    fc.assert(
      fc.property(distinctGas, fc.nat(20), (gas, cut) => {
        const got = gas.slice(0, cut)
        const { blocks, foreign } = matchByGas(gas, got)
        assert.isUndefined(foreign)
        for (const [index, match] of blocks.entries()) {
          assert.deepStrictEqual(
            match,
            index < got.length ? { _tag: "Matched", list: index } : { _tag: "Beyond" },
          )
        }
      }),
    )
  })

  it("matches any subset in order and says which blocks were passed over", () => {
    fc.assert(
      fc.property(distinctGas, fc.infiniteStream(fc.boolean()), (gas, coins) => {
        const kept = gas.filter(() => coins.next().value)
        fc.pre(kept.length < gas.length)
        const { blocks, foreign } = matchByGas(gas, kept)
        assert.isUndefined(foreign)
        const last = kept.length === 0 ? -1 : gas.indexOf(kept.at(-1)!)
        for (const [index, match] of blocks.entries()) {
          const list = kept.indexOf(gas[index]!)
          if (list >= 0) assert.deepStrictEqual(match, { _tag: "Matched", list })
          else assert.strictEqual(match._tag, index < last ? "Lacking" : "Beyond")
        }
      }),
    )
  })

  it("takes as many lists as blocks by their place, an empty one for what is lacking", () => {
    const { blocks, foreign } = matchByGas([5, 6, 7], [5, NO_RECEIPTS, 7])
    assert.isUndefined(foreign)
    assert.deepStrictEqual(
      blocks.map((match) => match._tag),
      ["Matched", "Lacking", "Matched"],
    )
  })

  it("names the first list that belongs to no block that is left", () => {
    assert.strictEqual(matchByGas([5, 6, 7], [6, 9]).foreign, 1)
    assert.strictEqual(matchByGas([5, 6, 7], [6, 5]).foreign, 1)
    assert.strictEqual(matchByGas([5, 6], [5, 5]).foreign, 1)
  })

  it("gives blocks of equal gas their lists in order", () => {
    const { blocks } = matchByGas([21_000, 21_000, 42_000], [21_000, 21_000])
    assert.deepStrictEqual(blocks, [
      { _tag: "Matched", list: 0 },
      { _tag: "Matched", list: 1 },
      { _tag: "Beyond" },
    ])
  })
})
