import { keccak_256 } from "@noble/hashes/sha3.js"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { toHex } from "../../src/domain/hex.ts"
import { keccak256Many } from "../../src/domain/keccakMany.ts"
import { concatBytes } from "../../src/domain/rlp.ts"

const expected = (messages: ReadonlyArray<Uint8Array>): string =>
  toHex(concatBytes(messages.map((message) => keccak_256(message))))

describe("keccak256Many", () => {
  it("agrees with @noble/hashes on any messages", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400, size: "max" })), (messages) => {
        assert.strictEqual(toHex(keccak256Many(messages)), expected(messages))
      }),
    )
  })

  it("takes more messages, and longer ones, than it hashes in one run", () => {
    const many = Array.from({ length: 1_300 }, (_, index) => new Uint8Array(index % 7).fill(index))
    assert.strictEqual(toHex(keccak256Many(many)), expected(many))
    const long = [700_000, 3, 600_000, 0, 1_200_000, 5].map((length, index) =>
      new Uint8Array(length).fill(index),
    )
    assert.strictEqual(toHex(keccak256Many(long)), expected(long))
  })
})
