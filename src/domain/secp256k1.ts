/**
 * The curve secp256k1: keys, key agreement, signatures and who made them.
 *
 * In and out: bytes. Private keys, hashes and x coordinates have 32 bytes, big-endian; public keys
 * have 64, the point's x and y without a prefix, as node ids are written; signatures have 64, r and
 * s. The native library does the work where the optional package `secp256k1` is installed, about
 * thirty times as fast as @noble/curves, which does it elsewhere; which of them is chosen once, when
 * this module is loaded.
 *
 * Invariants: bytes from others (no point of the curve, r or s of zero or too large, a wrong length)
 * give undefined or false, never a throw; a private key or hash of ours that is none is a bug, and a
 * RangeError. Both libraries give the same answer to the same bytes. Signatures follow RFC 6979 and
 * are the same too, but for the one hash in 2^128 that is not below the curve's order: there both
 * are valid and differ. What depends on a private key takes constant time in the native library.
 *
 * Sources: SEC 1 2.3.3 and 2.3.4 (points), 3.3.1 (key agreement), 4.1 (signatures; recovery in
 * 4.1.6); EIP-2 (the lower of the two s); RFC 6979.
 */
import { loadNativeCurve } from "./secp256k1Native.ts"

/** A signature that tells the key that made it. */
export interface RecoverableSignature {
  /** r and s, 64 bytes; s is the lower of the two that would do. */
  readonly signature: Uint8Array
  /** Which of the keys that r allows it was, 0 to 3: bit 0 is the parity of y. */
  readonly recovery: number
}

/**
 * What a library has to offer. It is called with arrays of the right length, points of 65 bytes (a
 * 4, x, y), and may throw on what they hold.
 */
export interface Curve {
  readonly isPrivateKey: (privateKey: Uint8Array) => boolean
  readonly publicKey: (privateKey: Uint8Array) => Uint8Array
  readonly ecdhX: (point: Uint8Array, privateKey: Uint8Array) => Uint8Array
  readonly sign: (hash: Uint8Array, privateKey: Uint8Array) => RecoverableSignature
  readonly recover: (hash: Uint8Array, signature: Uint8Array, recovery: number) => Uint8Array
  readonly verify: (hash: Uint8Array, signature: Uint8Array, point: Uint8Array) => boolean
  /** Takes 33 bytes or 65. */
  readonly decompress: (point: Uint8Array) => Uint8Array
}

const native = loadNativeCurve()
// The other library is not even loaded where the native one is there.
const curve: Curve = native ?? (await import("./secp256k1Noble.ts")).nobleCurve

/** Whether the native library does the work. */
export const isNative: boolean = native !== undefined

/** Whether these bytes are a private key: 32 of them, neither zero nor the curve's order or above. */
export const isPrivateKey = (privateKey: Uint8Array): boolean =>
  privateKey.length === 32 && curve.isPrivateKey(privateKey)

/** The public key of a private one, 64 bytes. Throws a RangeError when it is none. */
export const publicKey = (privateKey: Uint8Array): Uint8Array => {
  demand(isPrivateKey(privateKey), "no private key")
  return curve.publicKey(privateKey).subarray(1)
}

/**
 * The x coordinate of `privateKey · publicKey`, which the owners of both keys can work out (what
 * RLPx calls the shared secret); undefined when either is no key.
 */
export const ecdhX = (publicKey: Uint8Array, privateKey: Uint8Array): Uint8Array | undefined =>
  publicKey.length === 64 && privateKey.length === 32
    ? orUndefined(() => curve.ecdhX(pointOf(publicKey), privateKey))
    : undefined

/** Signs a hash of 32 bytes. Throws a RangeError when the private key is none. */
export const sign = (hash: Uint8Array, privateKey: Uint8Array): RecoverableSignature => {
  demand(hash.length === 32, "no hash of 32 bytes")
  demand(isPrivateKey(privateKey), "no private key")
  return curve.sign(hash, privateKey)
}

/**
 * The public key whose owner signed the hash; undefined when no key can have. Either s will do:
 * where the lower one is demanded, the caller has to.
 */
export const recover = (
  hash: Uint8Array,
  signature: Uint8Array,
  recovery: number,
): Uint8Array | undefined =>
  hash.length === 32 && signature.length === 64 && (recovery & 3) === recovery
    ? keyOf(() => curve.recover(hash, signature, recovery))
    : undefined

/** Whether the owner of the key signed the hash, with the lower s. */
export const verify = (hash: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean =>
  hash.length === 32 &&
  signature.length === 64 &&
  publicKey.length === 64 &&
  (orUndefined(() => curve.verify(hash, signature, pointOf(publicKey))) ?? false)

/** The public key of its short form, 33 bytes (2 or 3, then x), as node records hold it (EIP-778). */
export const decompress = (compressed: Uint8Array): Uint8Array | undefined =>
  compressed.length === 33 ? keyOf(() => curve.decompress(compressed)) : undefined

/** Whether these bytes are a public key: 64 of them, and a point of the curve. */
export const isPublicKey = (publicKey: Uint8Array): boolean =>
  publicKey.length === 64 && keyOf(() => curve.decompress(pointOf(publicKey))) !== undefined

/** A public key with the prefix of SEC 1. */
const pointOf = (publicKey: Uint8Array): Uint8Array => {
  const point = new Uint8Array(65)
  point[0] = 0x04
  point.set(publicKey, 1)
  return point
}

/** The public key that is the point which `run` gives. */
const keyOf = (run: () => Uint8Array): Uint8Array | undefined => orUndefined(run)?.subarray(1)

const demand = (holds: boolean, otherwise: string): void => {
  if (!holds) throw new RangeError(`secp256k1: ${otherwise}`)
}

const orUndefined = <A>(run: () => A): A | undefined => {
  try {
    return run()
  } catch {
    return undefined
  }
}
