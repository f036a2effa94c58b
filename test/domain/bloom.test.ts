import { keccak_256 } from "@noble/hashes/sha3.js"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  addSpanToBloom,
  addToBloom,
  BLOOM_BYTES,
  BloomBatch,
  type BloomFiller,
  orBloom,
} from "../../src/domain/bloom.ts"
import { NativeBloomFiller } from "../../src/domain/bloomNative.ts"
import { toHex } from "../../src/domain/hex.ts"
import { native } from "../../src/domain/native.ts"

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

/** Those that this machine has. */
const fillers: ReadonlyArray<readonly [string, BloomFiller]> = [
  ["with the table", new BloomBatch()],
  ...([4, 8] as const).flatMap((lanes) =>
    native === undefined || native.lanes < lanes
      ? []
      : [[`natively, ${lanes} at once`, new NativeBloomFiller(native, lanes)] as const],
  ),
]

describe.each(fillers)("BloomFiller %s", (_, filler) => {
  /** An address or a topic by its first byte, of which there are few; and which filter it is for. */
  const item = fc.tuple(fc.boolean(), fc.nat(40), fc.nat(5))

  it("fills the filters of many lists, and the filter of all, one list after the other", () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 200, size: "max" }), (items) => {
        const source = new Uint8Array(32 * items.length + 7)
        const filters = new Uint8Array(3 + 6 * BLOOM_BYTES)
        const bytesOf = items.map(([isAddress, first], index) => {
          const bytes = source.subarray(7 + 32 * index, 7 + 32 * index + (isAddress ? 20 : 32))
          bytes[0] = first
          return bytes
        })
        filler.start(source)
        for (const [index, [isAddress, , which]] of items.entries()) {
          filler.add(filters, 3 + which * BLOOM_BYTES, 7 + 32 * index, isAddress ? 20 : 32)
        }
        filler.settle(filters)
        for (let which = 0; which < 6; which++) {
          const at = 3 + which * BLOOM_BYTES
          const own = bytesOf.filter((bytes, index) => items[index]![2] === which)
          assert.strictEqual(toHex(filters.subarray(at, at + BLOOM_BYTES)), specified(own))
        }
        assert.strictEqual(toHex(filler.total), specified(bytesOf))
      }),
      { numRuns: 60 },
    )
  })

  it("takes more items than it notes down at a time", () => {
    const topics = Array.from({ length: 5_000 }, (_, index) =>
      new Uint8Array(32).fill(index >> 3, 0, 9),
    )
    const source = new Uint8Array(32 * topics.length)
    for (const [index, topic] of topics.entries()) source.set(topic, 32 * index)
    const filter = new Uint8Array(BLOOM_BYTES)
    filler.start(source)
    for (const index of topics.keys()) filler.add(filter, 0, 32 * index, 32)
    filler.settle(filter)
    assert.strictEqual(toHex(filter), specified(topics))
    assert.deepEqual(filler.total, filter)
  })
})

describe.each(native === undefined || native.lanes === 1 ? [] : [native])(
  "native blooms",
  (addon) => {
    it("leave out items that are too long or lie outside, and refuse tables that are none", () => {
      const source = new Uint8Array(64)
      const filters = new Uint8Array(256)
      const total = new Uint8Array(256)
      const table = new Uint8Array(Int32Array.of(0, 33, 0, 40, 32, 0, 0, 32, 1, -1, 20, 0).buffer)
      addon.blooms(source, table, 48, filters, total, addon.lanes)
      assert.isTrue([...filters, ...total].every((byte) => byte === 0))
      assert.throws(() => addon.blooms(source, table, 60, filters, total, addon.lanes), RangeError)
      assert.throws(() => addon.blooms(source, table, 10, filters, total, addon.lanes), RangeError)
      assert.throws(
        () => addon.blooms(source, table, 48, filters, filters.subarray(1), addon.lanes),
        RangeError,
      )
    })
  },
)
