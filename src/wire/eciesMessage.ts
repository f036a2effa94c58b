/**
 * Messages that only the owner of a key can read: the asymmetric encryption of the RLPx handshake
 * (devp2p `rlpx.md`, "ECIES Encryption").
 *
 *     65 bytes  the sender's public key for this message alone, with its prefix
 *     16 bytes  the initial vector
 *      n bytes  the content, by AES-128-CTR
 *     32 bytes  HMAC-SHA-256 of vector, content and `shared`
 *
 * In and out: bytes. `shared` is what both sides know and is authenticated without being sent: the
 * size before the message (EIP-8), or nothing. Invariant: bytes that were not made for this key, or
 * were altered, are an {@link EciesError}.
 */
import crypto from "node:crypto"
import { concatBytes } from "../domain/rlp.ts"
import { ecdhX, isPrivateKey, publicKey } from "../domain/secp256k1.ts"

/** Cryptography of the handshake that does not work out; who sent the bytes is to blame. */
export class EciesError extends Error {
  override readonly name = "EciesError"
}

/** How much longer a message is than its content. */
export const ECIES_OVERHEAD_BYTES = 113

const POINT_BYTES = 65
const VECTOR_BYTES = 16
const TAG_BYTES = 32
const UNCOMPRESSED = 0x04

/** Encrypts for the owner of a public key of 64 bytes. */
export const seal = (
  recipient: Uint8Array,
  content: Uint8Array,
  shared: Uint8Array,
): Uint8Array => {
  const privateKey = makePrivateKey()
  const keys = deriveKeys(agree(recipient, privateKey))
  const vector = crypto.randomBytes(VECTOR_BYTES)
  const cipher = crypto.createCipheriv("aes-128-ctr", keys.encryption, vector)
  const encrypted = concatBytes([vector, cipher.update(content)])
  const point = [Uint8Array.of(UNCOMPRESSED), publicKey(privateKey)]
  return concatBytes([...point, encrypted, tagOf(keys.authentication, encrypted, shared)])
}

/** Decrypts with a private key of 32 bytes. Throws {@link EciesError}. */
export const open = (
  privateKey: Uint8Array,
  message: Uint8Array,
  shared: Uint8Array,
): Uint8Array => {
  if (message.length < ECIES_OVERHEAD_BYTES || message[0] !== UNCOMPRESSED) {
    throw new EciesError("no encrypted message")
  }
  const keys = deriveKeys(agree(message.subarray(1, POINT_BYTES), privateKey))
  const encrypted = message.subarray(POINT_BYTES, -TAG_BYTES)
  const tag = tagOf(keys.authentication, encrypted, shared)
  if (!crypto.timingSafeEqual(tag, message.subarray(-TAG_BYTES))) {
    throw new EciesError("altered, or for another key")
  }
  const vector = encrypted.subarray(0, VECTOR_BYTES)
  const decipher = crypto.createDecipheriv("aes-128-ctr", keys.encryption, vector)
  return new Uint8Array(decipher.update(encrypted.subarray(VECTOR_BYTES)))
}

/** The shared secret of 32 bytes; throws {@link EciesError} for a public key that is none. */
export const agree = (publicKey: Uint8Array, privateKey: Uint8Array): Uint8Array => {
  const secret = ecdhX(publicKey, privateKey)
  if (secret === undefined) throw new EciesError("no point of the curve")
  return secret
}

const makePrivateKey = (): Uint8Array => {
  for (;;) {
    const privateKey = crypto.randomBytes(32)
    // One number in 2^128 is none.
    if (isPrivateKey(privateKey)) return privateKey
  }
}

interface MessageKeys {
  readonly encryption: Uint8Array
  readonly authentication: Uint8Array
}

/** NIST SP 800-56A, 5.8.1, for 32 bytes: a single round of SHA-256, whose counter is 1. */
const deriveKeys = (secret: Uint8Array): MessageKeys => {
  const derived = crypto.createHash("sha256").update(FIRST_ROUND).update(secret).digest()
  return {
    encryption: derived.subarray(0, 16),
    authentication: crypto.createHash("sha256").update(derived.subarray(16)).digest(),
  }
}

const FIRST_ROUND = Uint8Array.of(0, 0, 0, 1)

const tagOf = (key: Uint8Array, encrypted: Uint8Array, shared: Uint8Array): Uint8Array =>
  crypto.createHmac("sha256", key).update(encrypted).update(shared).digest()
