import { assert, describe, it } from "vitest"
import { MOST_TARGET_BLOCKS, standing } from "../../src/follow/target.ts"
import { keyOf, topOf } from "./arbitraryChains.ts"

const top = topOf({ tip: 20, window: 8 })

/** A path of the stored branch up to `shared`, and of branch `name` from there on. */
const pathOf = (name: string, shared: number, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => {
    const number = from + index
    return { number, key: keyOf(number <= shared ? "s" : name, number) }
  })

describe("a target above what is stored by now", () => {
  it("stands on what of it was stored after it was chosen: no block goes for itself", () => {
    const chosen = { ancestor: 16, ancestorKey: keyOf("s", 16), path: pathOf("a", 20, 17, 24) }
    assert.deepStrictEqual(standing(top, chosen), {
      ancestor: 20,
      ancestorKey: keyOf("s", 20),
      path: pathOf("a", 20, 21, 24),
    })
  })

  it("replaces only from where it leaves the stored chain", () => {
    const chosen = { ancestor: 14, ancestorKey: keyOf("s", 14), path: pathOf("a", 17, 15, 22) }
    assert.deepStrictEqual(standing(top, chosen), {
      ancestor: 17,
      ancestorKey: keyOf("s", 17),
      path: pathOf("a", 17, 18, 22),
    })
  })

  it("is nothing more to have when all of it is stored", () => {
    const chosen = { ancestor: 14, ancestorKey: keyOf("s", 14), path: pathOf("s", 20, 15, 18) }
    assert.deepStrictEqual(standing(top, chosen)?.path, [])
    assert.strictEqual(standing(top, chosen)?.ancestor, 20)
  })

  it("stands on nothing when its ancestor is not stored any more, or never was", () => {
    const path = pathOf("a", 0, 17, 22)
    assert.isUndefined(standing(top, { ancestor: 16, ancestorKey: keyOf("b", 16), path }))
    assert.isUndefined(standing(top, { ancestor: 11, ancestorKey: undefined, path }))
    assert.isUndefined(standing(top, { ancestor: 21, ancestorKey: undefined, path }))
  })

  it("is taken some blocks at a time", () => {
    const path = pathOf("a", 20, 21, 20 + 2 * MOST_TARGET_BLOCKS)
    const chosen = { ancestor: 20, ancestorKey: keyOf("s", 20), path }
    assert.lengthOf(standing(top, chosen)!.path, MOST_TARGET_BLOCKS)
  })
})
