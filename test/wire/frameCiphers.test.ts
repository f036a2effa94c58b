import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { native } from "../../src/domain/native.ts"
import {
  type DirectionSecrets,
  type FrameCiphers,
  nativeCiphers,
  nodeCiphers,
} from "../../src/wire/frameCiphers.ts"

const blocks = (most: number) =>
  fc.integer({ min: 0, max: most }).chain((count) => {
    const length = count * 16
    return fc.uint8Array({ minLength: length, maxLength: length })
  })
const secretsOf: fc.Arbitrary<DirectionSecrets> = fc.record({
  aesSecret: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  macSecret: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  macSeed: fc.uint8Array({ minLength: 1, maxLength: 500 }),
})
const framesOf = fc.array(fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), blocks(200)), {
  minLength: 1,
  maxLength: 6,
})

/** A frame with room for its MACs, at any place of its memory. */
const roomy = (header: Uint8Array, body: Uint8Array, shift: number): Uint8Array => {
  const frame = new Uint8Array(shift + 48 + body.length).subarray(shift)
  frame.set(header)
  frame.set(body, 32)
  return frame
}

const open = (opener: ReturnType<FrameCiphers["opener"]>, frame: Uint8Array) => {
  const sealed = frame.slice()
  const header = opener.header(sealed.subarray(0, 32))
  const body = header && opener.body(sealed.subarray(32))
  return { header: header?.slice(), body: body?.slice() }
}

const plain = (bytes: Uint8Array | undefined) => bytes && [...bytes]

describe.skipIf(native?.frames !== true)("the addon's frames", () => {
  const addon = nativeCiphers(native!)

  it("are those of node:crypto, in either direction", () => {
    fc.assert(
      fc.property(secretsOf, framesOf, fc.nat(7), (secrets, frames, shift) => {
        const sealers = [addon.sealer(secrets), nodeCiphers.sealer(secrets)]
        const openers = [addon.opener(secrets), nodeCiphers.opener(secrets)]
        for (const [header, body] of frames) {
          const [ours, theirs] = sealers.map((seal) => {
            const frame = roomy(header, body, shift)
            seal(frame)
            return frame
          })
          assert.deepStrictEqual(plain(ours), plain(theirs))
          for (const opener of openers) {
            const opened = open(opener, ours!)
            assert.deepStrictEqual(plain(opened.header), [...header])
            assert.deepStrictEqual(plain(opened.body), [...body])
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  it("are refused where those of node:crypto are", () => {
    fc.assert(
      fc.property(secretsOf, blocks(20), fc.nat(), fc.integer({ min: 0, max: 7 }), (...given) => {
        const [secrets, body, where, bit] = given
        const frame = roomy(new Uint8Array(16), body, 0)
        nodeCiphers.sealer(secrets)(frame)
        const at = where % frame.length
        frame[at]! ^= 1 << bit
        for (const ciphers of [addon, nodeCiphers]) {
          const opened = open(ciphers.opener(secrets), frame)
          assert.strictEqual(opened.header === undefined, at < 32)
          assert.isUndefined(opened.body)
        }
      }),
      { numRuns: 200 },
    )
  })

  it("are not touched where they have the wrong size", () => {
    const secrets = {
      aesSecret: new Uint8Array(32),
      macSecret: new Uint8Array(32),
      macSeed: new Uint8Array(32),
    }
    const { header, body } = addon.opener(secrets)
    assert.throws(() => header(new Uint8Array(31)), RangeError)
    assert.throws(() => body(new Uint8Array(15)), RangeError)
    assert.throws(() => body(new Uint8Array(40)), RangeError)
    assert.throws(() => addon.sealer(secrets)(new Uint8Array(47)), RangeError)
    assert.throws(() => addon.sealer({ ...secrets, aesSecret: new Uint8Array(31) }), RangeError)
  })
})
