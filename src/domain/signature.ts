/**
 * Who sent a transaction, and the address of the contract that it creates.
 *
 * In: a transaction that was read. Out: addresses of 20 bytes. Invariant: nothing throws; a
 * signature that belongs to no key gives undefined. Recovering a key takes about a millisecond:
 * never do it for every transaction on the way from a peer to the store.
 *
 * Sources: yellow paper, appendix F; EIP-155; EIP-2718 and the EIP of each type for what is
 * signed; yellow paper 7 for contract addresses.
 */
import { secp256k1 } from "@noble/curves/secp256k1.js"
import { keccak256 } from "./keccak.ts"
import { type Quantity, quantityToBigInt } from "./quantity.ts"
import { encodeBytes, encodeList, encodeUint } from "./rlp.ts"
import { legacyChainId, type Transaction, withType } from "./transactions.ts"

/** Keccak-256 of what the sender signed, 32 bytes. */
export const signingHash = (transaction: Transaction): Uint8Array => {
  const { type, signedFields, v } = transaction
  const chainId = type === 0 ? legacyChainId(v) : undefined
  const items = chainId === undefined ? [] : [encodeUint(chainId), encodeUint(0), encodeUint(0)]
  return keccak256(withType(type, encodeList([signedFields, ...items])))
}

/** The sender's address, 20 bytes; undefined when the signature recovers to no key. */
export const recoverSender = (transaction: Transaction): Uint8Array | undefined => {
  const parity = yParity(transaction)
  if (parity === undefined) return undefined
  const { r, s } = transaction
  const signature = new Uint8Array(65)
  signature[0] = parity
  signature.set(r, 33 - r.length)
  signature.set(s, 65 - s.length)
  const publicKey = recover(signature, signingHash(transaction))
  return publicKey && keccak256(publicKey.subarray(1)).subarray(12)
}

/** The address of the contract that `sender` creates with a transaction of this nonce. */
export const contractAddress = (sender: Uint8Array, nonce: Quantity): Uint8Array =>
  keccak256(encodeList([encodeBytes(sender), encodeBytes(nonce)])).subarray(12)

const yParity = ({ type, v }: Transaction): 0 | 1 | undefined => {
  const value = quantityToBigInt(v)
  if (type !== 0) return parityOf(value)
  return value >= 35n ? parityOf((value - 35n) % 2n) : parityOf(value - 27n)
}

const parityOf = (value: bigint): 0 | 1 | undefined => {
  if (value === 0n) return 0
  return value === 1n ? 1 : undefined
}

/** The uncompressed key of 65 bytes. The library throws for whatever recovers to none. */
const recover = (signature: Uint8Array, hash: Uint8Array): Uint8Array | undefined => {
  try {
    const recovered = secp256k1.Signature.fromBytes(signature, "recovered")
    return recovered.recoverPublicKey(hash).toBytes(false)
  } catch {
    return undefined
  }
}
