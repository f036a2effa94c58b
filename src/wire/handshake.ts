/**
 * The RLPx handshake (devp2p `rlpx.md`, "Initial Handshake"; EIP-8) as a small machine without a
 * socket: bytes in, a message to send out, and in the end the secrets of the frames.
 *
 * The key agreement itself is in `eciesSession.ts`. Bytes that follow the peer's message in the same
 * segment are the start of its frames and are given back.
 */
import { publicKey } from "../domain/secp256k1.ts"
import { type EciesSession, loadEciesSession } from "./eciesSession.ts"
import type { FrameSecrets } from "./frames.ts"

/** The peer's handshake message is no good, or is not for us; the peer is to blame. */
export class HandshakeError extends Error {
  override readonly name = "HandshakeError"
}

/** A handshake that is through. */
export interface HandshakeResult {
  readonly secrets: FrameSecrets
  /** The peer's static public key, 64 bytes. */
  readonly remoteId: Uint8Array
  /** The answer to be sent, when we are the recipient. */
  readonly reply: Uint8Array | undefined
  /** What came after the peer's message. */
  readonly rest: Uint8Array
}

/** One side of a handshake. */
export interface Handshake {
  /** What to send first; nothing for the recipient. */
  readonly first: Uint8Array | undefined
  /**
   * Takes a chunk; gives the result once the peer's message is whole, undefined before. Throws
   * {@link HandshakeError}.
   */
  readonly push: (chunk: Uint8Array) => HandshakeResult | undefined
}

/** Larger auth and ack messages are refused; real ones have 300 to 500 bytes. */
const MAX_MESSAGE_BYTES = 2_048

/** Size of the auth message of before EIP-8, which starts with an uncompressed point. */
const PLAIN_AUTH_BYTES = 307
const UNCOMPRESSED_POINT = 0x04

/** Our name among peers: the public key of a private one, 64 bytes of 32. */
export const nodeIdOf = (privateKey: Uint8Array): Uint8Array => publicKey(privateKey)

/** The side that dials. `ownId` and `remoteId` are public keys of 64 bytes. */
export const initiate = async (
  privateKey: Uint8Array,
  ownId: Uint8Array,
  remoteId: Uint8Array,
): Promise<Handshake> => {
  const Session = await loadEciesSession()
  const ecies = blaming(() => new Session(privateKey, ownId, remoteId))
  // A node id that is no point of the curve fails here.
  const first = blaming(() => ecies.makeAuth())
  const inbox = new Inbox()
  const push = (chunk: Uint8Array): HandshakeResult | undefined => {
    inbox.add(chunk)
    const message = inbox.takePrefixed()
    if (message === undefined) return undefined
    blaming(() => ecies.readAck(message))
    return result(ecies, remoteId, undefined, inbox)
  }
  return { first, push }
}

/** The side that is dialled; it takes both forms of auth. */
export const respond = async (privateKey: Uint8Array, ownId: Uint8Array): Promise<Handshake> => {
  const Session = await loadEciesSession()
  const inbox = new Inbox()
  let plainTried = false
  const answer = (message: Uint8Array, plain: boolean): HandshakeResult => {
    const ecies = new Session(privateKey, ownId, undefined)
    const reply = blaming(() => ecies.answerAuth(message, plain))
    return result(ecies, ecies.remoteId, reply, inbox)
  }
  const push = (chunk: Uint8Array): HandshakeResult | undefined => {
    inbox.add(chunk)
    if (inbox.firstByte === UNCOMPRESSED_POINT && !plainTried) {
      // Either form may start with this byte; only decryption can tell.
      const message = inbox.peek(PLAIN_AUTH_BYTES)
      if (message === undefined) return undefined
      plainTried = true
      try {
        const plain = answer(message, true)
        return { ...plain, rest: inbox.rest(PLAIN_AUTH_BYTES) }
      } catch (error) {
        if (!(error instanceof HandshakeError)) throw error
      }
    }
    const message = inbox.takePrefixed()
    return message === undefined ? undefined : answer(message, false)
  }
  return { first: undefined, push }
}

/** Bytes of a message that is not whole yet. */
class Inbox {
  #bytes: Buffer = Buffer.alloc(0)

  /** Messages are small and few, so that joining is cheap; the bound is checked by the reader. */
  add(chunk: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
  }

  get firstByte(): number | undefined {
    return this.#bytes[0]
  }

  peek(length: number): Uint8Array | undefined {
    return this.#bytes.length < length ? undefined : this.#bytes.subarray(0, length)
  }

  rest(from: number): Uint8Array {
    return this.#bytes.subarray(from)
  }

  /** A message with its two bytes of size (EIP-8), once it is whole. */
  takePrefixed(): Uint8Array | undefined {
    if (this.#bytes.length < 2) return undefined
    const end = this.#bytes.readUInt16BE(0) + 2
    if (end > MAX_MESSAGE_BYTES) throw new HandshakeError(`a message of ${end} bytes`)
    const message = this.peek(end)
    if (message !== undefined) this.#bytes = this.#bytes.subarray(end)
    return message
  }
}

const result = (
  ecies: EciesSession,
  remoteId: Uint8Array | undefined,
  reply: Uint8Array | undefined,
  inbox: Inbox,
): HandshakeResult => {
  const { secrets } = ecies
  if (secrets === undefined || remoteId?.length !== 64) {
    throw new HandshakeError("incomplete key agreement")
  }
  return { secrets, remoteId, reply, rest: inbox.rest(0) }
}

/** Runs the library's code, which throws anything on bytes that it does not like. */
const blaming = <A>(run: () => A): A => {
  try {
    return run()
  } catch (error) {
    if (error instanceof HandshakeError) throw error
    throw new HandshakeError(error instanceof Error ? error.message : String(error))
  }
}
