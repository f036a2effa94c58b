import { assert, describe, it } from "vitest"
import {
  EmptyAnswer,
  type FetchError,
  Skipped,
  Truncated,
  WrongReceipts,
} from "../../src/fetch/FetchError.ts"
import { failureOfBlock } from "../../src/fetch/goingBack.ts"
import { Timeout } from "../../src/wire/WireError.ts"

const peerId = "a"
const lie = new WrongReceipts({ peerId, blockNumber: 1, expected: "", actual: "" })
const timeout = new Timeout({ peerId, what: "receipts", afterMs: 1 })
const truncated = new Truncated({ peerId, asked: 2, got: 1 })
const empty = new EmptyAnswer({ peerId, what: "receipts", fromBlock: 1, asked: 1 })
const skipped = new Skipped({ peerId, blockNumbers: [1] })

const tagOf = (errors: ReadonlyArray<FetchError>, anyPart = false): string | undefined =>
  failureOfBlock(errors, anyPart)?._tag

describe("the failure of a block whose kinds fared differently", () => {
  it("is the gravest, in whichever order they came", () => {
    for (const other of [timeout, truncated, empty, skipped]) {
      assert.strictEqual(tagOf([other, lie], true), "WrongReceipts")
      assert.strictEqual(tagOf([lie, other]), "WrongReceipts")
    }
    for (const other of [truncated, empty, skipped]) {
      assert.strictEqual(tagOf([other, timeout], true), "Timeout")
    }
  })

  it("marks no lack where another kind only came up short", () => {
    assert.strictEqual(tagOf([empty, truncated]), "Truncated")
    assert.strictEqual(tagOf([skipped, truncated], true), "Truncated")
  })

  it("is a lack only where nothing of the block was shown", () => {
    assert.strictEqual(tagOf([skipped, empty]), "EmptyAnswer")
    assert.strictEqual(tagOf([skipped]), "Skipped")
    assert.isUndefined(tagOf([skipped, empty], true))
    assert.isUndefined(tagOf([], true))
    assert.isUndefined(tagOf([]))
  })
})
