import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { Larder, type Part } from "../../src/fetch/larder.ts"

const MOST_BYTES = 10_000
const KEEP_MS = 1_000
/** What an entry costs beside its bytes. */
const ENTRY_BYTES = 512

const hashOf = (blockNumber: number, fork = 0): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, index) => [blockNumber, fork][index] ?? 7)

const partOf = (blockNumber: number, fields: Partial<Part> = {}): Part => ({
  kind: "bodies",
  blockNumber,
  hash: hashOf(blockNumber),
  bytes: new Uint8Array(488),
  sender: { peerId: "a", batchId: 1, ethVersion: 69 },
  ...fields,
})

/** A larder with room for ten parts of 1,000 bytes each, with all that they cost. */
const tenfold = (): Larder => new Larder(MOST_BYTES, KEEP_MS)

const hasPartOf = (larder: Larder, blockNumber: number): boolean => {
  const lent = larder.lend(blockNumber, hashOf(blockNumber))
  for (const part of lent) larder.takeBack(part)
  return lent.length > 0
}

describe("the larder", () => {
  it("gives a part to who has the same header, and to nobody else", () => {
    const larder = tenfold()
    larder.put(partOf(5), 0)
    assert.deepStrictEqual(larder.lend(5, hashOf(5, 1)), [])
    const [lent] = larder.lend(5, hashOf(5))
    assert.strictEqual(lent?.blockNumber, 5)
    assert.deepStrictEqual(larder.lend(5, hashOf(5)), [], "lent once")
  })

  it("keeps a copy, not the answer that the part came in", () => {
    const larder = tenfold()
    const answer = new Uint8Array(1_000).fill(1)
    larder.put(partOf(5, { bytes: answer.subarray(100, 110) }), 0)
    answer.fill(2)
    const [lent] = larder.lend(5, hashOf(5))
    assert.deepStrictEqual(lent?.bytes, new Uint8Array(10).fill(1))
    assert.strictEqual(lent?.bytes.buffer.byteLength, 10)
  })

  it("makes room by the highest block, and has none for one that is higher still", () => {
    const larder = tenfold()
    for (let block = 20; block < 30; block++) assert.isTrue(larder.put(partOf(block), 0))
    assert.isFalse(larder.hasRoom(100, 30, 0, true))
    assert.isFalse(larder.put(partOf(30), 0))
    assert.isTrue(larder.put(partOf(10), 0))
    assert.isFalse(hasPartOf(larder, 29))
    assert.isTrue(hasPartOf(larder, 28))
    assert.strictEqual(larder.count, 10)
  })

  it("makes room by what has waited for long, the oldest first", () => {
    const larder = tenfold()
    for (let block = 20; block < 30; block++) larder.put(partOf(block), block)
    assert.isFalse(larder.put(partOf(99), KEEP_MS + 19))
    assert.isTrue(larder.put(partOf(99), KEEP_MS + 20))
    assert.isFalse(hasPartOf(larder, 20))
    assert.isTrue(hasPartOf(larder, 21))
  })

  it("throws nothing out for a part for which there is no room even so", () => {
    const larder = tenfold()
    larder.put(partOf(5), 0)
    larder.put(partOf(9), 0)
    assert.isFalse(larder.put(partOf(7, { bytes: new Uint8Array(MOST_BYTES) }), 0))
    assert.strictEqual(larder.count, 2)
  })

  it("holds a part of any size where it is alone, and lets nothing in beside it", () => {
    const larder = tenfold()
    larder.put(partOf(5), 0)
    larder.put(partOf(9), 0)
    const large = { bytes: new Uint8Array(3 * MOST_BYTES) }
    assert.isTrue(larder.hasRoom(large.bytes.length, 1, 0, true))
    assert.isFalse(larder.hasRoom(large.bytes.length, 1, 0, false), "of several parts")
    assert.isTrue(larder.put(partOf(1, large), 0))
    assert.strictEqual(larder.count, 1)
    assert.isFalse(larder.put(partOf(2), 0))
    const [lent] = larder.lend(1, hashOf(1))
    assert.isFalse(larder.put(partOf(0, large), 0), "what is lent does not go")
    larder.usedUp(lent!)
    assert.strictEqual(larder.bytes, 0)
  })

  it("knows the lowest block of which a part of some kind waits", () => {
    const larder = tenfold()
    for (const block of [7, 5, 9]) larder.put(partOf(block), 0)
    larder.put(partOf(3, { kind: "receipts" }), 0)
    assert.strictEqual(larder.lowestOf(["bodies"]), 5)
    assert.strictEqual(larder.lowestOf(["bodies", "receipts"]), 3)
    assert.isUndefined(larder.lowestOf([]))
    larder.lend(3, hashOf(3))
    assert.isUndefined(larder.lowestOf(["receipts"]))
  })

  it("drops what waits for a block under every hash, once it is whole", () => {
    const larder = tenfold()
    larder.put(partOf(5), 0)
    larder.put(partOf(5, { hash: hashOf(5, 1) }), 0)
    larder.put(partOf(5, { kind: "receipts" }), 0)
    larder.put(partOf(6), 0)
    larder.drop(5)
    assert.strictEqual(larder.count, 1)
    assert.strictEqual(larder.bytes, 1_000)
  })

  it("holds its bound, counts every byte once and never takes away what is lent", () => {
    const kinds = ["put", "put", "put", "lend", "takeBack", "usedUp", "drop"] as const
    const move = fc.record({
      kind: fc.constantFrom(...kinds),
      block: fc.nat(25),
      fork: fc.nat(1),
      part: fc.constantFrom("bodies" as const, "receipts" as const),
      size: fc.nat(3_000),
      waitMs: fc.nat(300),
      n: fc.nat(100),
    })
    fc.assert(
      fc.property(fc.array(move, { maxLength: 80, size: "max" }), (moves) => {
        const larder = tenfold()
        const lent: Array<Part> = []
        let nowMs = 0
        for (const { kind, block, fork, part, size, waitMs, n } of moves) {
          nowMs += waitMs
          const hash = hashOf(block, fork)
          const before = larder.bytes
          if (kind === "put") {
            const bytes = new Uint8Array(size)
            const room = larder.hasRoom(size, block, nowMs, false)
            const put = larder.put(partOf(block, { kind: part, hash, bytes }), nowMs)
            assert.isTrue(put || !room, "room was promised")
          } else if (kind === "lend") {
            const borrowed = larder.lend(block, hash)
            for (const each of borrowed) assert.deepStrictEqual(each.hash, hash)
            lent.push(...borrowed)
            assert.strictEqual(larder.bytes, before)
          } else if (kind === "drop") larder.drop(block)
          else if (lent.length > 0) {
            const [each] = lent.splice(n % lent.length, 1)
            if (kind === "takeBack") larder.takeBack(each!)
            else {
              larder.usedUp(each!)
              assert.strictEqual(larder.bytes, before - each!.bytes.length - ENTRY_BYTES)
            }
            // Once is enough.
            const after = larder.bytes
            larder.usedUp(each!)
            larder.takeBack(each!)
            assert.strictEqual(larder.bytes, after)
          }
          assert.isAtMost(larder.bytes, MOST_BYTES)
        }
        for (const each of lent) larder.usedUp(each)
        for (let block = 0; block <= 25; block++) larder.drop(block)
        assert.strictEqual(larder.bytes, 0)
        assert.strictEqual(larder.count, 0)
      }),
      { numRuns: 500 },
    )
  })

  it("always has room for the lowest block of all while nothing is lent", () => {
    const sizes = fc.array(
      fc.record({ block: fc.integer({ min: 1, max: 40 }), size: fc.nat(12_000) }),
    )
    fc.assert(
      fc.property(sizes, fc.nat(30_000), (puts, size) => {
        const larder = tenfold()
        for (const each of puts)
          larder.put(partOf(each.block, { bytes: new Uint8Array(each.size) }), 0)
        assert.isTrue(larder.put(partOf(0, { bytes: new Uint8Array(size) }), 0))
      }),
    )
  })
})
