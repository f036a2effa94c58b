import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { ECIES_OVERHEAD_BYTES, EciesError, open, seal } from "../../src/wire/eciesMessage.ts"
import { makeKey } from "./support.ts"

const { privateKey, nodeId } = makeKey()
const anyBytes = fc.uint8Array({ maxLength: 400 })

describe("an encrypted message", () => {
  it("is read by the owner of the key, and is longer by a constant", () => {
    fc.assert(
      fc.property(anyBytes, anyBytes, (content, shared) => {
        const message = seal(nodeId, content, shared)
        assert.lengthOf(message, content.length + ECIES_OVERHEAD_BYTES)
        assert.deepEqual(open(privateKey, message, shared), content)
      }),
      { numRuns: 50 },
    )
  })

  it("is another one each time", () => {
    const content = new Uint8Array(32)
    assert.notDeepEqual(seal(nodeId, content, content), seal(nodeId, content, content))
  })

  it("is refused when one bit of it, or of what is shared, was altered", () => {
    const shared = Uint8Array.of(1, 2)
    const message = seal(nodeId, new Uint8Array(50), shared)
    assert.throws(() => open(privateKey, message, Uint8Array.of(1, 3)), EciesError)
    fc.assert(
      fc.property(fc.nat(message.length * 8 - 1), (bit) => {
        const altered = Uint8Array.from(message)
        altered[bit >> 3]! ^= 1 << (bit & 7)
        assert.throws(() => open(privateKey, altered, shared), EciesError)
      }),
      { numRuns: 100 },
    )
  })

  it("is refused by others, and cut short", () => {
    const message = seal(nodeId, new Uint8Array(50), new Uint8Array(0))
    assert.throws(() => open(makeKey().privateKey, message, new Uint8Array(0)), EciesError)
    for (let length = 0; length < message.length; length++) {
      assert.throws(
        () => open(privateKey, message.subarray(0, length), new Uint8Array(0)),
        EciesError,
      )
    }
  })

  it("is refused, and nothing else happens, when it is arbitrary bytes", () => {
    const noise = fc.uint8Array({ maxLength: 300 })
    const pointed = noise.map((bytes) => Uint8Array.of(4, ...nodeId, ...bytes))
    fc.assert(
      fc.property(fc.oneof(noise, pointed), noise, (message, shared) => {
        assert.throws(() => open(privateKey, message, shared), EciesError)
      }),
      { numRuns: 200 },
    )
  })

  it("is not made for a recipient that is no point of the curve", () => {
    const nobody = new Uint8Array(64).fill(1)
    assert.throws(() => seal(nobody, new Uint8Array(1), new Uint8Array(0)), EciesError)
  })
})
