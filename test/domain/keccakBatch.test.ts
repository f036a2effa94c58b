import { keccak_256 } from "@noble/hashes/sha3.js"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { toHex } from "../../src/domain/hex.ts"
import { KeccakBatch, messageBytes } from "../../src/domain/keccakBatch.ts"

const MAX_JOBS = 64
const batch = new KeccakBatch(MAX_JOBS)

/** The digests of `messages`, all hashed in one run. */
const hashAll = (messages: ReadonlyArray<Uint8Array>): ReadonlyArray<string> => {
  const digests = batch.start
  let at = digests + 32 * messages.length
  batch.reserve(at + messages.reduce((sum, { length }) => sum + messageBytes(length), 0))
  for (const [index, message] of messages.entries()) {
    batch.bytes.set(message, at)
    batch.add(at, message.length, digests + 32 * index)
    at += messageBytes(message.length)
  }
  batch.run()
  return messages.map((_, index) =>
    toHex(batch.bytes.subarray(digests + 32 * index, digests + 32 * index + 32)),
  )
}

const reference = (message: Uint8Array): string => toHex(keccak_256(message))

const filled = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index * 7 + length) & 255)

describe("KeccakBatch", () => {
  it("agrees with @noble/hashes on any messages, however many and however unlike in length", () => {
    const message = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ minLength: 120, maxLength: 150, size: "max" }),
      fc.uint8Array({ maxLength: 1500, size: "max" }),
    )
    fc.assert(
      fc.property(fc.array(message, { maxLength: MAX_JOBS, size: "max" }), (messages) => {
        assert.deepEqual(hashAll(messages), messages.map(reference))
      }),
      { numRuns: 150 },
    )
  })

  it("agrees at each length around the size of a block", () => {
    for (const blocks of [1, 2, 3]) {
      const messages = Array.from({ length: 5 }, (_, index) => filled(blocks * 136 - 2 + index))
      assert.deepEqual(hashAll(messages), messages.map(reference))
    }
  })

  it("hashes nothing, one message, and one that is far longer than the other", () => {
    assert.deepEqual(hashAll([]), [])
    assert.deepEqual(hashAll([filled(0)]), [reference(filled(0))])
    const unlike = [filled(1), filled(300_000), filled(2), filled(3), filled(4)]
    assert.deepEqual(hashAll(unlike), unlike.map(reference))
  })

  it("takes no more jobs than its table holds, and forgets them when told to", () => {
    batch.reserve(batch.start + 32 + 136)
    for (let job = 0; job < MAX_JOBS; job++) batch.add(batch.start + 32, 0, batch.start)
    assert.isTrue(batch.full)
    assert.throws(() => batch.add(batch.start + 32, 0, batch.start), RangeError)
    batch.clear()
    batch.bytes.fill(0xee, batch.start, batch.start + 32)
    batch.run()
    assert.strictEqual(toHex(batch.bytes.subarray(batch.start, batch.start + 32)), "ee".repeat(32))
  })
})
