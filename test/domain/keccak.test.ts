import { keccak_256 } from "@noble/hashes/sha3.js"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { toHex } from "../../src/domain/hex.ts"
import { createKeccak } from "hash-wasm"
import { keccak256, keccak256Parts, KeccakState } from "../../src/domain/keccak.ts"
import { nativeHashes, wasmHashes } from "../../src/domain/keccakHashes.ts"
import { native } from "../../src/domain/native.ts"
import { concatBytes } from "../../src/domain/rlp.ts"

const bytes = fc.uint8Array({ maxLength: 500, size: "max" })

/** Both implementations, where both are there, and the one that was chosen. */
const implementations = [
  { name: "chosen", hashOne: keccak256, hash: keccak256Parts, sponge: KeccakState },
  { name: "in WebAssembly", ...wasmHashes(await createKeccak(256)) },
  ...(native === undefined ? [] : [{ name: "native", ...nativeHashes(native) }]),
]

describe.each(implementations)("keccak256, $name", ({ hashOne, hash }) => {
  it("agrees with @noble/hashes on any bytes, whole or in parts", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 5 }), (parts) => {
        const expected = toHex(keccak_256(concatBytes(parts)))
        assert.strictEqual(toHex(hashOne(concatBytes(parts))), expected)
        assert.strictEqual(toHex(hash(parts)), expected)
      }),
      { numRuns: 300 },
    )
  })
})

describe.each(implementations)("KeccakState, $name", ({ hashOne, sponge: State }) => {
  it("goes on after it was read, beside other states and one-shot hashes", () => {
    const step = fc.tuple(fc.nat(2), bytes, fc.boolean())
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const states = [new State(), new State(), new State()]
        const references = states.map(() => keccak_256.create())
        for (const [which, part, oneShot] of steps) {
          if (oneShot) hashOne(part)
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
