/**
 * The key agreement of one RLPx handshake: the library's ECIES, with its elliptic-curve work done by
 * `secp256k1.ts`, as the library's own takes most of the time of a handshake, and with the secrets
 * in the shape that our frames need.
 *
 * In: messages of the peer. Out: ours, and the secrets. Whatever is thrown is the peer's fault.
 * The library makes our keys and nonce, and the ack; which field comes when is that of devp2p
 * `rlpx.md`, "Initial Handshake", and EIP-8.
 */
import crypto from "node:crypto"
import { equalBytes } from "../domain/hex.ts"
import { keccak256, keccak256Parts } from "../domain/keccak.ts"
import { concatBytes, encodeBytes, encodeList, encodeUint, RlpReader } from "../domain/rlp.ts"
import { recover, sign } from "../domain/secp256k1.ts"
import { agree, ECIES_OVERHEAD_BYTES, EciesError, open, seal } from "./eciesMessage.ts"
import type { FrameSecrets } from "./frames.ts"

/** The version of the handshake that EIP-8 has us announce. */
const AUTH_VERSION = 4

/** EIP-8: at least 100 random bytes, of varying number, tell the new form from the old. */
const MIN_PADDING_BYTES = 100
const MAX_PADDING_BYTES = 250

const NOTHING = new Uint8Array(0)

/** The library is slow to load: only programs that talk to peers pay for it, once. */
const load = async () => {
  const { ECIES } = await import("@ethereumjs/devp2p")
  return class EciesSession extends ECIES {
    /** The secrets, once both messages are known. */
    secrets: FrameSecrets | undefined

    constructor(privateKey: Uint8Array, ownId: Uint8Array, remoteId: Uint8Array | undefined) {
      // The library knows a recipient by its null, which its types do not take.
      super(privateKey, ownId, remoteId ?? ownId)
      if (remoteId === undefined) this._remotePublicKey = null
    }

    /** The peer's static public key, 64 bytes; known to the recipient after the auth. */
    get remoteId(): Uint8Array | undefined {
      return this._remotePublicKey?.slice(1)
    }

    /** The auth for the peer that we dial. */
    makeAuth(): Uint8Array {
      const recipient = present(this.remoteId)
      const secret = agree(recipient, this._privateKey)
      const signed = sign(xor(secret, this._nonce), this._ephemeralPrivateKey)
      const content = encodeList([
        encodeBytes(concatBytes([signed.signature, Uint8Array.of(signed.recovery)])),
        encodeBytes(this._publicKey.subarray(1)),
        encodeBytes(this._nonce),
        encodeUint(AUTH_VERSION),
      ])
      const padding = crypto.randomBytes(crypto.randomInt(MIN_PADDING_BYTES, MAX_PADDING_BYTES))
      const padded = concatBytes([content, padding])
      const length = padded.length + ECIES_OVERHEAD_BYTES
      const size = Uint8Array.of(length >> 8, length & 0xff)
      this._initMsg = concatBytes([size, seal(recipient, padded, size)])
      return this._initMsg
    }

    /** Takes the ack of the peer we dialled. */
    readAck(message: Uint8Array): void {
      this._gotEIP8Ack = true
      this.parseAckEIP8(message)
    }

    /** Takes the auth of a peer that dialled us and gives the ack, in the same form. */
    answerAuth(message: Uint8Array, plain: boolean): Uint8Array | undefined {
      this._gotEIP8Auth = !plain
      if (plain) {
        this.parseAuthPlain(message)
        return this.createAckOld()
      }
      this.parseAuthEIP8(message)
      return this.createAckEIP8()
    }

    /** The library's encryption of an ack. */
    override _encryptMessage(content: Uint8Array, shared?: Uint8Array | null): Uint8Array {
      return seal(present(this.remoteId), content, shared ?? NOTHING)
    }

    /** The library's way in of an auth of either form. */
    override parseAuthPlain(message: Uint8Array, shared?: Uint8Array | null): undefined {
      this._remoteInitMsg = concatBytes([shared ?? NOTHING, message])
      const content = open(this._privateKey, message, shared ?? NOTHING)
      const auth = this._gotEIP8Auth ? readAuth(content) : readPlainAuth(content)
      const secret = agree(auth.publicKey, this._privateKey)
      const ephemeral = present(recover(xor(secret, auth.nonce), auth.signature, auth.recovery))
      if (auth.ephemeralHash !== undefined) {
        present(equalBytes(keccak256(ephemeral), auth.ephemeralHash) || undefined)
      }
      this._remotePublicKey = pointOf(auth.publicKey)
      this._remoteNonce = auth.nonce
      this._remoteEphemeralPublicKey = pointOf(ephemeral)
      this._ephemeralSharedSecret = agree(ephemeral, this._ephemeralPrivateKey)
    }

    /** The library's way in of an ack; only that of EIP-8 answers our auth. */
    override parseAckPlain(message: Uint8Array, shared?: Uint8Array | null): void {
      const content = open(this._privateKey, message, shared ?? NOTHING)
      const fields = new RlpReader(content).nextList()
      const ephemeral = fields.nextFixed(64)
      this._remoteNonce = fields.nextFixed(32)
      this._remoteEphemeralPublicKey = pointOf(ephemeral)
      this._ephemeralSharedSecret = agree(ephemeral, this._ephemeralPrivateKey)
      this._setupFrame(concatBytes([shared ?? NOTHING, message]), false)
    }

    /** The library's hook at the end of the key agreement. */
    override _setupFrame(remoteMessage: Uint8Array, incoming: boolean): void {
      const remoteNonce = present(this._remoteNonce)
      const shared = present(this._ephemeralSharedSecret)
      const ownMessage = present(this._initMsg)
      const nonces = incoming ? [this._nonce, remoteNonce] : [remoteNonce, this._nonce]
      const sharedSecret = keccak256Parts([shared, keccak256Parts(nonces)])
      const aesSecret = keccak256Parts([shared, sharedSecret])
      const macSecret = keccak256Parts([shared, aesSecret])
      this.secrets = {
        aesSecret,
        macSecret,
        ingressMacSeed: concatBytes([xor(macSecret, this._nonce), remoteMessage]),
        egressMacSeed: concatBytes([xor(macSecret, remoteNonce), ownMessage]),
      }
    }
  }
}

type EciesSessionClass = Awaited<ReturnType<typeof load>>

/** One side of one key agreement. */
export type EciesSession = InstanceType<EciesSessionClass>

let loaded: Promise<EciesSessionClass> | undefined

/** Loads the library, if it is not there yet, and gives the class. */
export const loadEciesSession = (): Promise<EciesSessionClass> => (loaded ??= load())

interface Auth {
  /** The sender's static public key, 64 bytes. */
  readonly publicKey: Uint8Array
  readonly nonce: Uint8Array
  /** By the sender's ephemeral key, over the nonce and the static secret. */
  readonly signature: Uint8Array
  readonly recovery: number
  /** Keccak-256 of the ephemeral key; in the old form only. */
  readonly ephemeralHash: Uint8Array | undefined
}

/** EIP-8: whatever follows the known fields, in the list or behind it, is not looked at. */
const readAuth = (content: Uint8Array): Auth => {
  const fields = new RlpReader(content).nextList()
  const signature = fields.nextFixed(65)
  return {
    signature: signature.subarray(0, 64),
    recovery: signature[64]!,
    publicKey: fields.nextFixed(64),
    nonce: fields.nextFixed(32),
    ephemeralHash: undefined,
  }
}

const PLAIN_AUTH_CONTENT_BYTES = 194

/** The form of before EIP-8: fields of fixed size. */
const readPlainAuth = (content: Uint8Array): Auth => {
  if (content.length !== PLAIN_AUTH_CONTENT_BYTES) throw new EciesError("no auth")
  return {
    signature: content.subarray(0, 64),
    recovery: content[64]!,
    ephemeralHash: content.subarray(65, 97),
    publicKey: content.subarray(97, 161),
    nonce: content.subarray(161, 193),
  }
}

/** Prefix of an uncompressed point (SEC 1, 2.3.3), which the library keeps. */
const POINT_PREFIX = Uint8Array.of(0x04)

const pointOf = (publicKey: Uint8Array): Uint8Array => concatBytes([POINT_PREFIX, publicKey])

const present = <A>(value: A | null | undefined): A => {
  if (value === null || value === undefined) throw new EciesError("incomplete key agreement")
  return value
}

const xor = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((byte, i) => byte ^ b[i]!)
