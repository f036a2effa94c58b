import { RLP } from "@ethereumjs/rlp"
import { keccak_256 } from "@noble/hashes/sha3.js"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { BLOOM_BYTES } from "../../src/domain/bloom.ts"
import { toHex } from "../../src/domain/hex.ts"
import { FlatReceiptCursor } from "../../src/domain/logs.ts"
import { exactInteger } from "../../src/domain/quantity.ts"
import { flattenReceipts, lastCumulativeGas, ReceiptCursor } from "../../src/domain/receiptList.ts"
import {
  carriedBloom,
  receipts68To69,
  receipts69To68,
  receiptsBloom,
  receiptsRoot,
} from "../../src/domain/receipts.ts"
import { digestReceipts, type ReceiptsDigest } from "../../src/domain/receiptsDigest.ts"
import { encodeList, RlpError, RlpReader } from "../../src/domain/rlp.ts"

const ALL = { root: true, blooms: true }

const fixed = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
/** Few different items, so that a block repeats them, and those that the table confuses. */
const topic = fc.oneof(
  fixed(32),
  fc.nat(40).map((n) => new Uint8Array(32).fill(n, 0, 20)),
)
const address = fc.oneof(
  fixed(20),
  fc.nat(5).map((n) => new Uint8Array(20).fill(n)),
)
const log = fc
  .tuple(address, fc.array(topic, { maxLength: 4 }), fc.uint8Array({ maxLength: 200 }))
  .map(([address, topics, data]) => [address, topics, data])
const receipt = fc
  .tuple(
    fc.constantFrom(0, 1, 2, 3, 4, 0x7f),
    fc.oneof(fc.constantFrom(new Uint8Array(0), Uint8Array.of(1)), fixed(32)),
    fc.integer({ min: 0, max: 2 ** 40 }),
    fc.array(log, { maxLength: 6 }),
  )
  .map(([type, first, gas, logs]) => [type, first, gas, logs])
/** Lists in form 69. */
const receipts = fc
  .array(receipt, { maxLength: 40, size: "large" })
  .map((items) => RLP.encode(items))

/** The same told by the plain functions, which walk the list once for each answer. */
const plain = (list: Uint8Array): Omit<ReceiptsDigest, "wrongBloom"> => {
  const types: Array<number> = []
  const gas: Array<number> = []
  let logCount = 0
  const receipts = new FlatReceiptCursor(list)
  while (receipts.next()) {
    types.push(receipts.type)
    gas.push(Number(exactInteger(list, receipts.gasStart, receipts.gasEnd)))
    logCount += receipts.countLogs()
  }
  return {
    types: Uint8Array.from(types),
    logCount,
    cumulativeGas: lastCumulativeGas(list, 69),
    fallingGas: gas.findIndex((each, index) => index > 0 && each < gas[index - 1]!),
    root: receiptsRoot(list, 69),
    bloom: receiptsBloom(list, 69),
  }
}

const failure = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

/** `n` at the end of `length` bytes. */
const padded = (n: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  new DataView(bytes.buffer).setUint32(length - 4, n)
  return bytes
}

/** A receipt in form 69 with `count` logs of addresses and topics that no other log has. */
const busyReceipt = (count: number, from: number) => {
  const logs = Array.from({ length: count }, (_, index) => {
    const n = from + 5 * index
    const topics = [1, 2, 3, 4].map((topic) => padded(n + topic, 32))
    return [padded(n, 20), topics, new Uint8Array(40)]
  })
  return [2, 1, 21_000 + from, logs]
}

/** The filter of a {@link busyReceipt}, as hex, by another library's hash. */
const referenceBits = (count: number, from: number): string => {
  let bloom = 0n
  for (let n = from; n < from + 5 * count; n++) {
    const hash = keccak_256(padded(n, (n - from) % 5 === 0 ? 20 : 32))
    for (const i of [0, 2, 4]) bloom |= 1n << BigInt((hash[i]! * 256 + hash[i + 1]!) % 2048)
  }
  return bloom.toString(16).padStart(2 * BLOOM_BYTES, "0")
}

describe("digestReceipts", () => {
  it("agrees with the plain functions on any list, in both forms", () => {
    fc.assert(
      fc.property(receipts, (list) => {
        const expected = { ...plain(list), wrongBloom: -1 }
        assert.deepEqual(digestReceipts(list, 69, ALL), expected)
        assert.deepEqual(digestReceipts(receipts69To68(list), 68, ALL), expected)
      }),
      { numRuns: 300 },
    )
  })

  it("agrees where items, places and leaves outgrow what is gathered at a time", () => {
    const busy = RLP.encode(
      Array.from({ length: 12 }, (_, index) => busyReceipt(60 * (index + 1), 4000 * index)),
    )
    const repeated = RLP.encode(Array.from({ length: 2500 }, () => busyReceipt(3, 7)))
    const large = RLP.encode([busyReceipt(1, 1), busyReceipt(3000, 9), busyReceipt(2, 3)])
    for (const list of [busy, repeated, large]) {
      const expected = { ...plain(list), wrongBloom: -1 }
      assert.deepEqual(digestReceipts(list, 69, ALL), expected)
      assert.deepEqual(digestReceipts(receipts69To68(list), 68, ALL), expected)
    }
  })

  it("gives the blooms alone, the root alone, or neither", () => {
    fc.assert(
      fc.property(receipts, fc.boolean(), fc.boolean(), (list, root, blooms) => {
        const whole = plain(list)
        const expected = {
          ...whole,
          root: root ? whole.root : undefined,
          bloom: blooms ? whole.bloom : undefined,
          wrongBloom: -1,
        }
        assert.deepEqual(digestReceipts(list, 69, { root, blooms }), expected)
        assert.deepEqual(digestReceipts(receipts69To68(list), 68, { root, blooms }), expected)
      }),
      { numRuns: 100 },
    )
  })

  it("finds the first receipt whose bloom is not that of its logs", () => {
    const items = Array.from({ length: 9 }, (_, index) => busyReceipt(2, 100 * index))
    const list = receipts69To68(RLP.encode(items))
    const blooms: Array<number> = []
    const receipts = new ReceiptCursor(RlpReader.list(list), 68)
    while (receipts.next()) blooms.push(receipts.bloomStart)
    assert.lengthOf(blooms, 9)
    for (const [index, at] of blooms.entries()) {
      const wrong = new Uint8Array(list)
      wrong[at + 200]! ^= 0x10
      const digest = digestReceipts(wrong, 68, ALL)
      assert.strictEqual(digest.wrongBloom, index)
      assert.notDeepEqual(digest.root, receiptsRoot(list, 68))
      assert.notDeepEqual(carriedBloom(wrong), digest.bloom)
    }
  })

  it("is right after a list that ended in an error half way through", () => {
    const broken = [2, 1, 5, [[new Uint8Array(19), [], ""]]]
    for (const [index, wants] of [ALL, { root: false, blooms: true }].entries()) {
      // Items that nothing has seen before, so that they wait to be hashed when the error comes.
      const fresh = busyReceipt(20, 90_000_000 + 1000 * index)
      const bad = RLP.encode([fresh, broken])
      assert.instanceOf(
        failure(() => digestReceipts(bad, 69, wants)),
        RlpError,
      )
      const good = RLP.encode([fresh])
      const digest = digestReceipts(good, 69, ALL)
      assert.deepEqual(digest, { ...plain(good), wrongBloom: -1 })
      assert.deepEqual(carriedBloom(receipts69To68(good)), digest.bloom)
      assert.strictEqual(toHex(digest.bloom!), referenceBits(20, 90_000_000 + 1000 * index))
    }
  })

  it("refuses more receipts than any block has, and those of form 68 that have no room for blooms", () => {
    const many = encodeList([new Uint8Array((1 << 20) + 1).fill(0xc0)])
    for (const form of [68, 69] as const) {
      assert.instanceOf(
        failure(() => digestReceipts(many, form, ALL)),
        RlpError,
      )
      assert.instanceOf(
        failure(() => digestReceipts(RLP.encode([[], []]), form, ALL)),
        RlpError,
      )
    }
  })
})

describe("flattenReceipts", () => {
  it("rewrites a list in place, byte for byte as form 69 has it", () => {
    fc.assert(
      fc.property(receipts, (list) => {
        const old = receipts69To68(list)
        const place = Buffer.from(old)
        assert.deepEqual(new Uint8Array(place.subarray(0, flattenReceipts(place))), list)
        const whole = Buffer.from(old)
        assert.deepEqual(receipts68To69(whole), list)
        assert.isTrue(whole.equals(old), "the list that is converted stays as it is")
      }),
      { numRuns: 200 },
    )
  })
})
