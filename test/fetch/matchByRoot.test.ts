import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { matchByRoot } from "../../src/fetch/matchByRoot.ts"

const root = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff)
const never = (): Uint8Array => {
  throw new Error("a root was computed")
}
const values = fc.uniqueArray(fc.nat(60_000), { minLength: 1, maxLength: 20 })

describe("matchByRoot", () => {
  it("matches any subset in order and says which blocks were passed over", () => {
    fc.assert(
      fc.property(values, fc.infiniteStream(fc.boolean()), (blocks, coins) => {
        const kept = blocks.filter(() => coins.next().value)
        fc.pre(kept.length < blocks.length)
        const matches = matchByRoot(blocks.map(root), kept.length, (item) => root(kept[item]!))
        assert.isUndefined(matches.foreign)
        const last = kept.length === 0 ? -1 : blocks.indexOf(kept.at(-1)!)
        for (const [index, match] of matches.blocks.entries()) {
          const list = kept.indexOf(blocks[index]!)
          if (list >= 0) assert.deepStrictEqual(match, { _tag: "Matched", list })
          else assert.strictEqual(match._tag, index < last ? "Lacking" : "Beyond")
        }
      }),
    )
  })

  it("takes as many items as blocks by their place, without computing a root", () => {
    const { blocks, foreign } = matchByRoot([root(1), root(2)], 2, never)
    assert.isUndefined(foreign)
    assert.deepStrictEqual(blocks, [
      { _tag: "Matched", list: 0 },
      { _tag: "Matched", list: 1 },
    ])
  })

  it("names the first item that belongs to no block that is left", () => {
    const items = [root(2), root(1)]
    const { foreign } = matchByRoot([root(1), root(2), root(3)], 2, (item) => items[item]!)
    assert.strictEqual(foreign, 1)
  })
})
