import { keccak_256 } from "@noble/hashes/sha3.js"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { addSpanToBloom, addToBloom, BLOOM_BYTES, orBloom } from "../../src/domain/bloom.ts"
import { toHex } from "../../src/domain/hex.ts"

/** The filter as the yellow paper words it: one 2048-bit number. */
const specified = (items: ReadonlyArray<Uint8Array>): string => {
  let bloom = 0n
  for (const item of items) {
    const hash = keccak_256(item)
    for (const i of [0, 2, 4]) bloom |= 1n << BigInt((hash[i]! * 256 + hash[i + 1]!) % 2048)
  }
  return bloom.toString(16).padStart(2 * BLOOM_BYTES, "0")
}

describe("addToBloom", () => {
  it("sets the bits that the yellow paper names, whatever was asked before", () => {
    // Few leading and trailing bytes, so that items collide in the table of recent ones.
    const item = fc
      .tuple(fc.constantFrom(0, 1, 7, 8, 20, 31, 32, 33, 100), fc.nat(3), fc.nat(3))
      .map(([length, first, last]) => {
        const bytes = new Uint8Array(length)
        if (length > 0) bytes[length - 1] = last
        if (length > 8) bytes[0] = first
        return bytes
      })
    fc.assert(
      fc.property(fc.array(item, { maxLength: 30 }), (items) => {
        const bloom = new Uint8Array(BLOOM_BYTES)
        for (const item of items) addToBloom(bloom, item)
        assert.strictEqual(toHex(bloom), specified(items))
      }),
      { numRuns: 300 },
    )
  })

  it("stays right when more items pass than the table holds", () => {
    let wrong = 0
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 40_000; i++) {
        const address = new Uint8Array(20)
        new DataView(address.buffer).setUint32(16, i)
        const bloom = new Uint8Array(BLOOM_BYTES)
        addToBloom(bloom, address)
        if (i % 97 === 0 && toHex(bloom) !== specified([address])) wrong += 1
      }
    }
    assert.strictEqual(wrong, 0)
  })

  it("takes an item from the middle of other bytes", () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => i)
    const bloom = new Uint8Array(BLOOM_BYTES)
    addSpanToBloom(bloom, bytes, 10, 42)
    addSpanToBloom(bloom, bytes, 50, 70)
    assert.strictEqual(toHex(bloom), specified([bytes.slice(10, 42), bytes.slice(50, 70)]))
  })
})

describe("orBloom", () => {
  it("gives the filter of the items of both", () => {
    const [a, b] = [Uint8Array.of(1), Uint8Array.of(2)]
    const bloom = new Uint8Array(BLOOM_BYTES)
    const other = new Uint8Array(BLOOM_BYTES)
    addToBloom(bloom, a)
    addToBloom(other, b)
    orBloom(bloom, other)
    assert.strictEqual(toHex(bloom), specified([a, b]))
  })
})
