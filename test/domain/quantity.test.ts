import { RLP } from "@ethereumjs/rlp"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { exactInteger, nextQuantity, quantityToBigInt } from "../../src/domain/quantity.ts"
import { RlpError, RlpReader, uintBytes } from "../../src/domain/rlp.ts"
import { hostileInteger } from "../support/arbitraryBlocks.ts"

const read = (item: Uint8Array): Uint8Array => nextQuantity(new RlpReader(item))

describe("quantities", () => {
  it("are exact, as numbers to 2^53 - 1 and as bigints above", () => {
    fc.assert(
      fc.property(hostileInteger, (value) => {
        const quantity = read(RLP.encode(value))
        assert.deepEqual(quantity, uintBytes(value))
        assert.strictEqual(quantityToBigInt(quantity), value)
        const exact = exactInteger(quantity, 0, quantity.length)
        assert.strictEqual(BigInt(exact), value)
        assert.strictEqual(typeof exact, value < 2n ** 53n ? "number" : "bigint")
      }),
      { numRuns: 500 },
    )
  })

  it("with a leading zero, of 33 bytes or a list are RlpErrors", () => {
    for (const item of [Uint8Array.of(0), Uint8Array.of(0, 1), new Uint8Array(33).fill(1), []]) {
      assert.throws(() => read(RLP.encode(item)), RlpError)
    }
  })
})
