import { keccak_256 } from "@noble/hashes/sha3.js"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { toHex } from "../../src/domain/hex.ts"
import { keccak256, keccak256Parts, KeccakState } from "../../src/domain/keccak.ts"
import { concatBytes } from "../../src/domain/rlp.ts"

const bytes = fc.uint8Array({ maxLength: 500, size: "max" })

describe("keccak256", () => {
  it("agrees with @noble/hashes on any bytes, whole or in parts", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 5 }), (parts) => {
        const expected = toHex(keccak_256(concatBytes(parts)))
        assert.strictEqual(toHex(keccak256(concatBytes(parts))), expected)
        assert.strictEqual(toHex(keccak256Parts(parts)), expected)
      }),
      { numRuns: 300 },
    )
  })
})

describe("KeccakState", () => {
  it("goes on after it was read, beside other states and one-shot hashes", () => {
    const step = fc.tuple(fc.nat(2), bytes, fc.boolean())
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const states = [new KeccakState(), new KeccakState(), new KeccakState()]
        const references = states.map(() => keccak_256.create())
        for (const [which, part, oneShot] of steps) {
          if (oneShot) keccak256(part)
          states[which]!.update(part)
          references[which]!.update(part)
          const expected = references[which]!.clone().digest()
          assert.strictEqual(toHex(states[which]!.digest()), toHex(expected))
        }
      }),
      { numRuns: 200 },
    )
  })
})
