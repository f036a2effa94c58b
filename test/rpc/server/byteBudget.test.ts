import { assert, describe, it } from "vitest"
import { ByteBudget } from "../../../src/rpc/server/byteBudget.ts"

describe("ByteBudget", () => {
  it("gives what is free and no more, and takes it back once", () => {
    const budget = new ByteBudget(10)
    const release = budget.take(7)
    assert.isUndefined(budget.take(4))
    assert.isDefined(budget.take(3))
    assert.strictEqual(budget.free, 0)
    release?.()
    release?.()
    assert.strictEqual(budget.free, 7)
  })
})
