/**
 * secp256k1 where the native library is not installed: by @noble/curves, and the key agreement by
 * Node's own OpenSSL, which takes half as long. Out: a {@link Curve}.
 */
import { createECDH } from "node:crypto"
import { secp256k1 } from "@noble/curves/secp256k1.js"
import type { Curve } from "./secp256k1.ts"

/** See the module. */
export const nobleCurve: Curve = {
  isPrivateKey: (privateKey) => secp256k1.utils.isValidSecretKey(privateKey),
  publicKey: (privateKey) => secp256k1.getPublicKey(privateKey, false),
  ecdhX: (point, privateKey) => {
    const ecdh = createECDH("secp256k1")
    ecdh.setPrivateKey(privateKey)
    return new Uint8Array(ecdh.computeSecret(point))
  },
  sign: (hash, privateKey) => {
    const signed = secp256k1.sign(hash, privateKey, { prehash: false, format: "recovered" })
    return { signature: signed.subarray(1), recovery: signed[0]! }
  },
  recover: (hash, signature, recovery) =>
    secp256k1.Signature.fromBytes(signature, "compact")
      .addRecoveryBit(recovery)
      .recoverPublicKey(hash)
      .toBytes(false),
  verify: (hash, signature, point) => secp256k1.verify(signature, hash, point, { prehash: false }),
  decompress: (point) => secp256k1.Point.fromBytes(point).toBytes(false),
}
