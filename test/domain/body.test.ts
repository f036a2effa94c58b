import { RLP } from "@ethereumjs/rlp"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { countBody, openBody, readBody, readWithdrawal } from "../../src/domain/body.ts"
import { RlpError } from "../../src/domain/rlp.ts"
import { encodeTransaction } from "../../src/domain/transactions.ts"
import { anyTransaction, arbitraryHeader, encodeBody } from "../support/arbitraryBlocks.ts"

const withdrawalItem = RLP.encode([7, 300, new Uint8Array(20).fill(9), 1_000_000_000])

const arbitraryBody = fc.record({
  transactions: fc.array(anyTransaction.map(encodeTransaction), { maxLength: 5 }),
  uncles: fc.array(arbitraryHeader(fc.constant(5n)), { maxLength: 2 }),
  withdrawals: fc.option(fc.constant([withdrawalItem, withdrawalItem]), { nil: undefined }),
})

describe("bodies", () => {
  it("give back their items, and their counts", () => {
    fc.assert(
      fc.property(arbitraryBody, (body) => {
        const bytes = encodeBody(body.transactions, body.uncles, body.withdrawals)
        assert.deepEqual(readBody(bytes), body)
        assert.deepEqual(countBody(bytes), {
          transactions: body.transactions.length,
          uncles: body.uncles.length,
          withdrawals: body.withdrawals?.length,
        })
      }),
    )
  })

  it("tell no withdrawals from before Shanghai from an empty list", () => {
    assert.isUndefined(openBody(RLP.encode([[], []])).withdrawals)
    assert.isTrue(openBody(RLP.encode([[], [], []])).withdrawals?.done)
  })

  it("in another form are RlpErrors: the same roots must not have two bodies", () => {
    const legacy = RLP.encode([1, 2, 3, new Uint8Array(20), 4, "", 27, 5, 6])
    const broken = [
      // A legacy transaction wrapped in a byte string, no transaction at all, the types 0 and 0x80.
      RLP.encode([[legacy], []]),
      RLP.encode([[new Uint8Array(0)], []]),
      RLP.encode([[Uint8Array.of(0, 0xc0)], []]),
      RLP.encode([[Uint8Array.of(0x80, 0xc0)], []]),
      // Too few parts, too many, a string for a list, bytes after it.
      RLP.encode([[]]),
      RLP.encode([[], [], [], []]),
      RLP.encode([[], new Uint8Array(0)]),
      Uint8Array.of(0xc2, 0xc0, 0xc0, 0xc0),
      new Uint8Array(0),
    ]
    for (const bytes of broken) assert.throws(() => readBody(bytes), RlpError)
  })
})

describe("withdrawals", () => {
  it("are read field by field", () => {
    assert.deepEqual(readWithdrawal(withdrawalItem), {
      index: Uint8Array.of(7),
      validatorIndex: Uint8Array.of(1, 44),
      address: new Uint8Array(20).fill(9),
      amount: Uint8Array.of(0x3b, 0x9a, 0xca, 0x00),
    })
  })

  it("with other fields are RlpErrors", () => {
    const address = new Uint8Array(20)
    for (const fields of [
      [1, 2, address],
      [1, 2, address, 3, 4],
      [1, 2, address.subarray(1), 3],
      [Uint8Array.of(0), 2, address, 3],
    ]) {
      assert.throws(() => readWithdrawal(RLP.encode(fields)), RlpError)
    }
  })
})
