import { FastCheck as fc } from "effect"
import { assert, beforeAll, describe, it, vi } from "vitest"
import { fromHex, toHex } from "../../src/domain/hex.ts"

type Curve = typeof import("../../src/domain/secp256k1.ts")

/** The native package looks for its compiled part in this folder, if the variable is set. */
const FOLDER_VARIABLE = "SECP256K1_PREBUILD"

/** The module, loaded anew where `folder` is the place of the compiled part. */
const loadCurve = async (folder: string | undefined): Promise<Curve> => {
  vi.resetModules()
  vi.stubEnv(FOLDER_VARIABLE, folder)
  try {
    return await import("../../src/domain/secp256k1.ts")
  } finally {
    vi.unstubAllEnvs()
  }
}

// The fallback first: a compiled part that was loaded stays loaded.
const noble = await loadCurve("/nonexistent")
const installed = await loadCurve(undefined)

if (!installed.isNative) console.info("agreement is not tested: no native secp256k1 is installed")

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const FIELD = 2n ** 256n - 2n ** 32n - 977n

/** A number as 32 bytes. */
const word = (value: bigint): Uint8Array => fromHex(value.toString(16).padStart(64, "0"))
const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`)
const join = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Buffer.concat(parts)

/** Numbers of 256 bits, the remarkable ones often. */
const anyWord = fc.oneof(
  { weight: 2, arbitrary: fc.uint8Array({ minLength: 32, maxLength: 32 }) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(0n, ORDER, FIELD, ORDER / 2n, FIELD - ORDER, 2n ** 256n - 4n)
      .chain((value) => fc.integer({ min: 0, max: 3 }).map((more) => word(value + BigInt(more)))),
  },
)

const privateKey = anyWord.filter((key) => noble.isPrivateKey(key))

/** Public keys, and what is nearly one: the other y, a y of another point, an x past the field. */
const anyPublicKey = fc.oneof(
  privateKey.map((key) => noble.publicKey(key)),
  privateKey.map((key) => {
    const own = noble.publicKey(key)
    return join(own.subarray(0, 32), word(FIELD - numberOf(own.subarray(32))))
  }),
  fc.tuple(privateKey, anyWord).map(([key, y]) => join(noble.publicKey(key).subarray(0, 32), y)),
  fc.tuple(anyWord, anyWord).map(([x, y]) => join(x, y)),
)

/** Signatures of a hash by some key, made wrong in several ways, and arbitrary ones. */
const anySigned = fc
  .tuple(anyWord, privateKey, anyWord, fc.integer({ min: 0, max: 3 }), fc.nat(4))
  .map(([hash, key, noise, recovery, change]) => {
    const { signature, recovery: right } = noble.sign(hash, key)
    const [r, s] = [signature.subarray(0, 32), signature.subarray(32)]
    const publicKey = noble.publicKey(key)
    if (change === 0) return { hash, publicKey, signature, recovery: right }
    if (change === 1) return { hash, publicKey, signature, recovery }
    const highS = join(r, word(ORDER - numberOf(s)))
    if (change === 2) return { hash, publicKey, signature: highS, recovery: right ^ 1 }
    if (change === 3) return { hash, publicKey, signature: join(r, noise), recovery }
    return { hash, publicKey, signature: join(noise, s), recovery }
  })

const describeCurve = (name: string, curveOf: () => Curve): void => {
  describe(`secp256k1 by ${name}`, () => {
    let curve: Curve
    beforeAll(() => {
      curve = curveOf()
    })

    it("knows the generator and its double", () => {
      const x1 = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
      const y1 = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
      const x2 = "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
      assert.strictEqual(toHex(curve.publicKey(word(1n))), x1 + y1)
      assert.strictEqual(toHex(curve.ecdhX(fromHex(x1 + y1), word(2n))!), x2)
      assert.strictEqual(toHex(curve.decompress(fromHex(`02${x1}`))!), x1 + y1)
      assert.strictEqual(
        numberOf(curve.decompress(fromHex(`03${x1}`))!.subarray(32)),
        FIELD - BigInt(`0x${y1}`),
      )
    })

    it("signs as RFC 6979 says", () => {
      // SHA-256 of "Satoshi Nakamoto", signed with 1: a vector that several libraries test with.
      const hash = fromHex("a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e")
      const { signature } = curve.sign(hash, word(1n))
      assert.strictEqual(
        toHex(signature),
        "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8" +
          "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
      )
    })

    it("recovers and verifies what it signed, and agrees on secrets", () => {
      fc.assert(
        fc.property(anyWord, privateKey, privateKey, (hash, one, other) => {
          const publicKey = curve.publicKey(one)
          const { signature, recovery } = curve.sign(hash, one)
          assert.deepEqual(curve.recover(hash, signature, recovery), publicKey)
          assert.isTrue(curve.verify(hash, signature, publicKey))
          assert.isFalse(curve.verify(word(numberOf(hash) ^ 1n), signature, publicKey))
          assert.isTrue(curve.isPublicKey(publicKey))
          assert.deepEqual(curve.ecdhX(publicKey, other), curve.ecdhX(curve.publicKey(other), one))
        }),
        { numRuns: 40 },
      )
    })

    it("takes neither zero nor the order nor more for a private key", () => {
      const generator = curve.publicKey(word(1n))
      for (const bad of [0n, ORDER, ORDER + 1n, 2n ** 256n - 1n].map(word)) {
        assert.isFalse(curve.isPrivateKey(bad))
        assert.isUndefined(curve.ecdhX(generator, bad))
        assert.throws(() => curve.publicKey(bad), RangeError)
        assert.throws(() => curve.sign(word(7n), bad), RangeError)
      }
      assert.isTrue(curve.isPrivateKey(word(ORDER - 1n)))
    })

    it("recovers no key from an r or s of zero or of the order", () => {
      const hash = word(7n)
      const { signature } = curve.sign(hash, word(5n))
      const [r, s] = [signature.subarray(0, 32), signature.subarray(32)]
      for (const bad of [0n, ORDER, 2n ** 256n - 1n].map(word)) {
        for (const recovery of [0, 1, 2, 3]) {
          assert.isUndefined(curve.recover(hash, join(bad, s), recovery))
          assert.isUndefined(curve.recover(hash, join(r, bad), recovery))
        }
      }
      // No point of the curve has this x.
      assert.isUndefined(curve.recover(hash, join(word(5n), s), 0))
      // One has r + order as its x only when r is small.
      assert.isUndefined(curve.recover(hash, signature, 2))
      assert.isDefined(curve.recover(hash, join(word(1n), s), 0))
    })

    it("verifies the lower s only, but recovers from both", () => {
      const hash = word(7n)
      const publicKey = curve.publicKey(word(5n))
      const { signature, recovery } = curve.sign(hash, word(5n))
      const highS = join(signature.subarray(0, 32), word(ORDER - numberOf(signature.subarray(32))))
      assert.isTrue(curve.verify(hash, signature, publicKey))
      assert.isFalse(curve.verify(hash, highS, publicKey))
      assert.deepEqual(curve.recover(hash, highS, recovery ^ 1), publicKey)
    })

    it("gives undefined or false for bytes of any length and content, and never throws", () => {
      const bytes = fc.oneof(
        fc.uint8Array({ maxLength: 70 }),
        ...[32, 33, 64, 65].map((n) => fc.uint8Array({ minLength: n, maxLength: n })),
      )
      fc.assert(
        fc.property(bytes, bytes, bytes, fc.double(), (a, b, c, recovery) => {
          assert.include([undefined, 32], curve.ecdhX(a, b)?.length)
          assert.include([undefined, 64], curve.recover(a, b, recovery)?.length)
          assert.isFalse(curve.verify(a, b, c))
          assert.include([undefined, 64], curve.decompress(a)?.length)
          assert.isBoolean(curve.isPublicKey(a))
          assert.isBoolean(curve.isPrivateKey(a))
        }),
        { numRuns: 300 },
      )
    })

    it("gives arrays of its own, and leaves those of the caller alone", () => {
      const [hash, key] = [word(7n), word(5n)]
      const publicKey = curve.publicKey(key)
      const { signature, recovery } = curve.sign(hash, key)
      const before = [hash, key, publicKey, signature].map(toHex)
      const first = curve.ecdhX(publicKey, key)!
      const second = curve.ecdhX(publicKey, word(6n))!
      curve.recover(hash, signature, recovery)
      curve.verify(hash, signature, publicKey)
      assert.notDeepEqual(first, second)
      assert.deepEqual([hash, key, publicKey, signature].map(toHex), before)
    })
  })
}

describeCurve("noble", () => noble)
describe.skipIf(!installed.isNative)("where it is installed", () => {
  describeCurve("the native library", () => installed)

  describe("both libraries", () => {
    it("make the same keys, and the same signatures of hashes below the order", () => {
      fc.assert(
        fc.property(privateKey, privateKey, (hash, key) => {
          assert.deepEqual(installed.publicKey(key), noble.publicKey(key))
          assert.deepEqual(plain(installed.sign(hash, key)), plain(noble.sign(hash, key)))
        }),
        { numRuns: 100 },
      )
    })

    it("accept each other's signatures of any hash", () => {
      fc.assert(
        fc.property(anyWord, privateKey, (hash, key) => {
          const publicKey = noble.publicKey(key)
          for (const [signer, reader] of [
            [installed, noble],
            [noble, installed],
          ] as const) {
            const { signature, recovery } = signer.sign(hash, key)
            assert.isTrue(reader.verify(hash, signature, publicKey))
            assert.deepEqual(reader.recover(hash, signature, recovery), publicKey)
          }
        }),
        { numRuns: 100 },
      )
    })

    it("recover the same key, or none, and verify alike", () => {
      let recovered = 0
      let verified = 0
      fc.assert(
        fc.property(anySigned, ({ hash, signature, recovery, publicKey }) => {
          const key = noble.recover(hash, signature, recovery)
          const isValid = noble.verify(hash, signature, publicKey)
          assert.deepEqual(installed.recover(hash, signature, recovery), key)
          assert.strictEqual(installed.verify(hash, signature, publicKey), isValid)
          if (key !== undefined) recovered += 1
          if (isValid) verified += 1
        }),
        { numRuns: 300 },
      )
      assert.isAbove(recovered, 0)
      assert.isAbove(verified, 0)
    })

    it("agree on the secret, and on which keys are none", () => {
      fc.assert(
        fc.property(anyPublicKey, anyWord, (publicKey, key) => {
          assert.strictEqual(installed.isPrivateKey(key), noble.isPrivateKey(key))
          assert.strictEqual(installed.isPublicKey(publicKey), noble.isPublicKey(publicKey))
          assert.deepEqual(installed.ecdhX(publicKey, key), noble.ecdhX(publicKey, key))
        }),
        { numRuns: 200 },
      )
    })

    it("decompress alike", () => {
      fc.assert(
        fc.property(fc.nat(7), anyWord, (prefix, x) => {
          const compressed = join(Uint8Array.of(prefix), x)
          assert.deepEqual(installed.decompress(compressed), noble.decompress(compressed))
        }),
        { numRuns: 200 },
      )
    })
  })
})

/** Buffers and plain arrays of the same bytes compare as equal. */
const plain = ({ signature, recovery }: ReturnType<Curve["sign"]>) => ({
  signature: toHex(signature),
  recovery,
})
