/**
 * secp256k1 by Bitcoin Core's library, through the optional package `secp256k1`.
 *
 * Out: a {@link Curve}, where the package is installed. Invariant: the package's own fallback in
 * JavaScript, which is slower than noble, is never loaded: it is the compiled part or nothing.
 */
import { createRequire } from "node:module"
import type { Curve } from "./secp256k1.ts"

/** The part of the package that is used. */
interface Addon {
  readonly privateKeyVerify: (privateKey: Uint8Array) => boolean
  readonly publicKeyCreate: (privateKey: Uint8Array, compressed: boolean) => Uint8Array
  readonly publicKeyConvert: (point: Uint8Array, compressed: boolean) => Uint8Array
  readonly ecdh: (
    point: Uint8Array,
    privateKey: Uint8Array,
    options: { readonly hashfn: (x: Uint8Array) => Uint8Array },
    output: Uint8Array,
  ) => Uint8Array
  readonly ecdsaSign: (
    hash: Uint8Array,
    privateKey: Uint8Array,
  ) => { readonly signature: Uint8Array; readonly recid: number }
  readonly ecdsaRecover: (
    signature: Uint8Array,
    recovery: number,
    hash: Uint8Array,
    compressed: boolean,
  ) => Uint8Array
  readonly ecdsaVerify: (signature: Uint8Array, hash: Uint8Array, point: Uint8Array) => boolean
}

/** The native curve; undefined where the package, or a compiled part for this machine, is missing. */
export const loadNativeCurve = (): Curve | undefined => {
  // Not by `import`: a bundler would take the package in, and lose its compiled part.
  const load = createRequire(import.meta.url)
  try {
    const addon: Addon = load("secp256k1/bindings.js")
    return curveOf(addon)
  } catch {
    return undefined
  }
}

/** By default the library gives a hash of the shared point. */
const xOnly = { hashfn: (x: Uint8Array): Uint8Array => x }

const curveOf = (addon: Addon): Curve => ({
  isPrivateKey: (privateKey) => addon.privateKeyVerify(privateKey),
  publicKey: (privateKey) => addon.publicKeyCreate(privateKey, false),
  ecdhX: (point, privateKey) => addon.ecdh(point, privateKey, xOnly, new Uint8Array(32)),
  sign: (hash, privateKey) => {
    const { signature, recid } = addon.ecdsaSign(hash, privateKey)
    return { signature, recovery: recid }
  },
  recover: (hash, signature, recovery) => addon.ecdsaRecover(signature, recovery, hash, false),
  verify: (hash, signature, point) => addon.ecdsaVerify(signature, hash, point),
  decompress: (point) => addon.publicKeyConvert(point, false),
})
