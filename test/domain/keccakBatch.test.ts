import { keccak_256 } from "@noble/hashes/sha3.js"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { toHex } from "../../src/domain/hex.ts"
import {
  type BatchEngine,
  KeccakBatch,
  messageBytes,
  nativeEngine,
  wasmEngine,
} from "../../src/domain/keccakBatch.ts"
import { native } from "../../src/domain/native.ts"

const MAX_JOBS = 64

/** The digests of `messages`, all hashed in one run of the batch. */
const hashAllIn = (
  batch: KeccakBatch,
  messages: ReadonlyArray<Uint8Array>,
): ReadonlyArray<string> => {
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

/** Those that this machine has; which those are depends on its compiler and its processor. */
const engines: ReadonlyArray<readonly [string, BatchEngine | undefined]> = [
  ["in WebAssembly", wasmEngine],
  ["natively, four at once", nativeEngine(4)],
  ["natively, eight at once", nativeEngine(8)],
]

describe.each(engines.filter(([, engine]) => engine !== undefined))(
  "KeccakBatch %s",
  (_, engine) => {
    const batch = new KeccakBatch(MAX_JOBS, engine)
    const hashAll = (messages: ReadonlyArray<Uint8Array>) => hashAllIn(batch, messages)

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
      assert.strictEqual(
        toHex(batch.bytes.subarray(batch.start, batch.start + 32)),
        "ee".repeat(32),
      )
    })
  },
)

describe.each(native === undefined || native.lanes === 1 ? [] : [native])(
  "the native batch",
  (native) => {
    it("refuses jobs that lie outside of the memory, and tables that are none", () => {
      const memory = new Uint8Array(1024)
      const table = new Int32Array(memory.buffer)
      const { lanes } = native
      const isUntouched = () => memory.subarray(12).every((byte) => byte === 0)
      table.set([1000, 100, 64])
      native.hashMany(memory, 0, 12, lanes)
      assert.isTrue(isUntouched())
      table.set([64, 0, 1000])
      native.hashMany(memory, 0, 12, lanes)
      assert.isTrue(isUntouched())
      table.set([512, -1, 64])
      native.hashMany(memory, 0, 12, lanes)
      table.set([512, -120, 64])
      native.hashMany(memory, 0, 12, lanes)
      assert.isTrue(isUntouched())
      // Its padding ends in the table's own entry.
      table.set([8, 0, 512], 33)
      native.hashMany(memory, 132, 144, lanes)
      assert.deepEqual(memory.slice(512, 544), keccak_256(new Uint8Array(0)))
      assert.throws(() => native.hashMany(memory, 0, 1028, lanes), RangeError)
      assert.throws(() => native.hashMany(memory, 0, 8, lanes), RangeError)
      assert.throws(() => native.hashMany(memory, 0, 12, 16), RangeError)
      assert.throws(() => native.hash(memory, new Uint8Array(31)), RangeError)
    })
  },
)
