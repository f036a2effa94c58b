import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { giveBack, lendMemory } from "../../src/domain/answerMemory.ts"
import { native } from "../../src/domain/native.ts"
import { compress, declaredSize, SnappyError, uncompress } from "../../src/wire/snappyMessage.ts"

const reasonOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, SnappyError)
    return error.reason
  }
  return assert.fail("nothing was thrown")
}

describe("snappy", () => {
  it("gives back what was compressed, in memory of its own", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
        const packed = compress(bytes)
        assert.strictEqual(declaredSize(packed), bytes.length)
        const plain = uncompress(packed, bytes.length)
        assert.isTrue(Buffer.from(bytes).equals(plain))
        assert.strictEqual(plain.buffer.byteLength, bytes.length)
      }),
    )
  })

  it("gives an array whose slices are copies", () => {
    const plain = uncompress(compress(Uint8Array.of(1, 2, 3)), 3)
    const kept = plain.subarray(1).slice()
    plain.fill(0)
    assert.deepStrictEqual([...kept], [2, 3])
  })

  it("gives memory that can be given back", () => {
    const plain = uncompress(compress(new Uint8Array(5_000)), 5_000)
    lendMemory(plain, 2)
    giveBack(plain.subarray(0, 9))
    assert.strictEqual(plain.buffer.byteLength, 5_000)
    giveBack(plain.subarray(9))
    assert.strictEqual(plain.buffer.byteLength, native === undefined ? 5_000 : 0)
  })

  it("refuses by the declared size, before anything is decompressed", () => {
    assert.strictEqual(
      reasonOf(() => uncompress(compress(new Uint8Array(101)), 100)),
      "too_large",
    )
    // 4 GiB - 1 in six bytes.
    const bomb = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0x00)
    assert.strictEqual(declaredSize(bomb), 2 ** 32 - 1)
    assert.strictEqual(
      reasonOf(() => uncompress(bomb, 16 * 1024 * 1024)),
      "too_large",
    )
  })

  it("refuses a size that its bytes cannot hold, and none that they can", () => {
    // 100,000 bytes in eleven.
    const overstated = Uint8Array.of(0xa0, 0x8d, 0x06, ...new Uint8Array(8))
    assert.strictEqual(declaredSize(overstated), 100_000)
    assert.strictEqual(
      reasonOf(() => uncompress(overstated, 1_000_000)),
      "overstated",
    )
    for (const length of [0, 1, 60, 64, 1_000, 65_536, 65_537, 1_000_000]) {
      const zeros = new Uint8Array(length)
      assert.lengthOf(uncompress(compress(zeros), length), length)
    }
  })

  it("refuses a size that does not end", () => {
    assert.strictEqual(
      reasonOf(() => declaredSize(Uint8Array.of(0x80))),
      "not_snappy",
    )
    assert.strictEqual(
      reasonOf(() => declaredSize(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x00))),
      "not_snappy",
    )
    assert.strictEqual(
      reasonOf(() => uncompress(new Uint8Array(), 10)),
      "not_snappy",
    )
  })

  it("fails with nothing but SnappyError on arbitrary bytes, and never gives more than allowed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          assert.isAtMost(uncompress(bytes, 1_000).length, 1_000)
        } catch (error) {
          assert.instanceOf(error, SnappyError)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
