/**
 * Who sent a transaction, and the address of the contract that it creates.
 *
 * In: a transaction that was read. Out: addresses of 20 bytes. Invariant: nothing throws; a
 * signature that belongs to no key gives undefined. Recovering a key takes about 0.05 ms, and a
 * millisecond where the native library of `secp256k1.ts` is not installed: never do it for every
 * transaction on the way from a peer to the store.
 *
 * Sources: yellow paper, appendix F; EIP-2; EIP-155; EIP-2718 and the EIP of each type for what is
 * signed; yellow paper 7 for contract addresses.
 */
import { fromHex } from "./hex.ts"
import { keccak256 } from "./keccak.ts"
import { type Quantity, quantityToBigInt } from "./quantity.ts"
import { encodeBytes, encodeList, encodeUint } from "./rlp.ts"
import { recover } from "./secp256k1.ts"
import { legacyChainId, type Transaction, withType } from "./transactions.ts"

/** Keccak-256 of what the sender signed, 32 bytes. */
export const signingHash = (transaction: Transaction): Uint8Array => {
  const { type, signedFields, v } = transaction
  const chainId = type === 0 ? legacyChainId(v) : undefined
  const items = chainId === undefined ? [] : [encodeUint(chainId), encodeUint(0), encodeUint(0)]
  return keccak256(withType(type, encodeList([signedFields, ...items])))
}

/**
 * The sender's address, 20 bytes; undefined when the signature recovers to no key, or is not allowed:
 * from Homestead on s must be the lower of the two that would do (EIP-2). Only a legacy transaction
 * without a chain id can be older than that.
 */
export const recoverSender = (transaction: Transaction): Uint8Array | undefined => {
  const parity = yParity(transaction)
  if (parity === undefined) return undefined
  const { r, s } = transaction
  const signature = new Uint8Array(64)
  signature.set(r, 32 - r.length)
  signature.set(s, 64 - s.length)
  if (!mayBeOfFrontier(transaction) && Buffer.compare(signature.subarray(32), HALF_ORDER) > 0) {
    return undefined
  }
  const publicKey = recover(signingHash(transaction), signature, parity)
  return publicKey && keccak256(publicKey).subarray(12)
}

/** Half of the curve's order, rounded down: the largest s that EIP-2 allows. */
const HALF_ORDER = fromHex("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")

const mayBeOfFrontier = ({ type, v }: Transaction): boolean =>
  type === 0 && legacyChainId(v) === undefined

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
