/**
 * RLPx frames (devp2p `rlpx.md`, "Framing"): encryption, authentication, and where a message starts
 * and ends. Multi-frame messages do not exist any more; the header's second part is not looked at.
 *
 * In: chunks of bytes, cut anywhere. Out: the bodies of whole frames, in order. The other way
 * round: bodies in, one piece of bytes a frame out.
 *
 * Invariants:
 * - a header's size is believed only after the header's MAC was checked, a body is handed out only
 *   after its own was: whoever alters a byte ends the session and reaches nothing else;
 * - a byte of a body is copied at most once before it is decrypted, whatever the chunks;
 * - while the reader is held, nothing is handed out, and what comes in is kept.
 */
import crypto from "node:crypto"
import { KeccakState } from "../domain/keccak.ts"

/** Why frames cannot be read on; the sender, or someone on the way, is to blame. */
export type FrameFault = "bad_header_mac" | "bad_body_mac" | "too_large"

/** A frame that is not to be believed. There is no reading on after it. */
export class FrameError extends Error {
  override readonly name = "FrameError"
  readonly reason: FrameFault

  constructor(reason: FrameFault) {
    super(`RLPx frame: ${reason}`)
    this.reason = reason
  }
}

/** What a handshake leaves behind for frames (devp2p `rlpx.md`, "Initial Handshake"). */
export interface FrameSecrets {
  /** AES-256 key of the frames, 32 bytes, the same in both directions. */
  readonly aesSecret: Uint8Array
  /** AES-256 key of the MAC seeds, 32 bytes, the same in both directions. */
  readonly macSecret: Uint8Array
  /** What the MAC of the frames we read starts with. */
  readonly ingressMacSeed: Uint8Array
  /** What the MAC of the frames we write starts with. */
  readonly egressMacSeed: Uint8Array
}

/** The largest body that three bytes of size can say. */
export const MAX_FRAME_BYTES = 2 ** 24 - 1

const HEADER_BYTES = 32
const MAC_BYTES = 16
const ZERO_IV = new Uint8Array(16)

/** RLP of `[0, 0]`, the capability and context ids that nobody uses. */
const HEADER_DATA = [0xc2, 0x80, 0x80]

/** What a {@link FrameReader} tells. Either may call {@link FrameReader.hold}. */
export interface FrameSink {
  /** A header was checked; a body of `sizeBytes` follows. May refuse it by throwing. */
  readonly header: (sizeBytes: number) => void
  /** A body, whole and checked; the bytes are the sink's own. */
  readonly frame: (body: Uint8Array) => void
}

/** Makes bodies of chunks. */
export class FrameReader {
  readonly #sink: FrameSink
  readonly #mac: FrameMac
  readonly #decipher: crypto.Decipher
  /** The part of a header, or of a body and its MAC, that came so far. */
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #body: Buffer | undefined
  #filled = 0
  /** Size of the body that is being read; undefined while a header is. */
  #bodySize: number | undefined
  #frameCount = 0
  #held = false
  #reading = false
  #waiting: Array<Uint8Array> = []

  constructor(secrets: FrameSecrets, sink: FrameSink) {
    this.#sink = sink
    this.#mac = new FrameMac(secrets.macSecret, secrets.ingressMacSeed)
    this.#decipher = crypto.createDecipheriv("aes-256-ctr", secrets.aesSecret, ZERO_IV)
  }

  /**
   * Takes a chunk, which is not referred to after the call. Throws {@link FrameError}, and whatever
   * the sink throws; the reader is of no use afterwards.
   */
  push(chunk: Uint8Array): void {
    if (this.#held || this.#reading) this.#waiting.push(chunk.slice())
    else this.#readAll(chunk)
  }

  /** Stops handing out, until {@link FrameReader.release}. */
  hold(): void {
    this.#held = true
  }

  /** Bytes of the frame that is under way; 0 between two frames. */
  get unfinishedBytes(): number {
    return this.#bodySize === undefined ? this.#filled : HEADER_BYTES + this.#filled
  }

  /** What the body of the frame under way is to have; 0 while its header is not whole. */
  get declaredBytes(): number {
    return this.#bodySize ?? 0
  }

  /** How many frames were handed out. */
  get frameCount(): number {
    return this.#frameCount
  }

  /** Goes on with what was kept; throws as {@link FrameReader.push} does. */
  release(): void {
    this.#held = false
    if (this.#reading) return
    while (!this.#held) {
      const chunk = this.#waiting.shift()
      if (chunk === undefined) return
      this.#readAll(chunk)
    }
  }

  #readAll(chunk: Uint8Array): void {
    this.#reading = true
    let at = 0
    while (at < chunk.length && !this.#held) {
      at = this.#bodySize === undefined ? this.#readHeader(chunk, at) : this.#readBody(chunk, at)
    }
    this.#reading = false
    if (at < chunk.length) this.#waiting.unshift(chunk.slice(at))
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + HEADER_BYTES - this.#filled)
    this.#header.set(chunk.subarray(at, end), this.#filled)
    this.#filled += end - at
    if (this.#filled < HEADER_BYTES) return end

    const sealed = this.#header.subarray(0, 16)
    if (!sameMac(this.#mac.header(sealed), this.#header.subarray(16))) {
      throw new FrameError("bad_header_mac")
    }
    const size = this.#decipher.update(sealed).readUIntBE(0, 3)
    this.#filled = 0
    this.#bodySize = size
    this.#sink.header(size)
    return end
  }

  #readBody(chunk: Uint8Array, at: number): number {
    const bodySize = this.#bodySize!
    const length = padded(bodySize) + MAC_BYTES
    const end = Math.min(chunk.length, at + length - this.#filled)
    if (this.#filled === 0 && end - at === length) {
      this.#open(chunk.subarray(at, end), bodySize)
      return end
    }
    this.#body ??= spares.take(length)
    this.#body.set(chunk.subarray(at, end), this.#filled)
    this.#filled += end - at
    if (this.#filled === length) this.#open(this.#body.subarray(0, length), bodySize)
    return end
  }

  /** Checks and decrypts a sealed body with its padding and MAC. */
  #open(sealed: Uint8Array, bodySize: number): void {
    const body = sealed.subarray(0, sealed.length - MAC_BYTES)
    if (!sameMac(this.#mac.body(body), sealed.subarray(sealed.length - MAC_BYTES))) {
      throw new FrameError("bad_body_mac")
    }
    const open = this.#decipher.update(body)
    if (this.#body !== undefined) spares.give(this.#body)
    this.#body = undefined
    this.#filled = 0
    this.#bodySize = undefined
    this.#frameCount += 1
    this.#sink.frame(open.subarray(0, bodySize))
  }
}

/** Makes frames of bodies. */
export class FrameWriter {
  readonly #mac: FrameMac
  readonly #cipher: crypto.Cipher

  constructor(secrets: FrameSecrets) {
    this.#mac = new FrameMac(secrets.macSecret, secrets.egressMacSeed)
    this.#cipher = crypto.createCipheriv("aes-256-ctr", secrets.aesSecret, ZERO_IV)
  }

  /**
   * One frame, to be written as one piece and in the order of the calls. The body is the
   * concatenation of `parts`. Throws a {@link FrameError} "too_large" above
   * {@link MAX_FRAME_BYTES}: our fault.
   */
  frame(...parts: ReadonlyArray<Uint8Array>): Buffer {
    let size = 0
    for (const part of parts) size += part.length
    if (size > MAX_FRAME_BYTES) throw new FrameError("too_large")
    const plain = Buffer.alloc(16 + padded(size))
    plain.writeUIntBE(size, 0, 3)
    plain.set(HEADER_DATA, 3)
    let at = 16
    for (const part of parts) {
      plain.set(part, at)
      at += part.length
    }
    const sealed = this.#cipher.update(plain)
    const header = sealed.subarray(0, 16)
    const body = sealed.subarray(16)
    const headerMac = this.#mac.header(header)
    return Buffer.concat([header, headerMac, body, this.#mac.body(body)])
  }
}

/** The chained MAC of one direction (devp2p `rlpx.md`, "MAC"). */
class FrameMac {
  readonly #state = new KeccakState()
  readonly #seedCipher: crypto.Cipher
  /** The digest of the state as it is. */
  #digest: Uint8Array

  constructor(macSecret: Uint8Array, seed: Uint8Array) {
    // ECB has no state: one cipher serves all seeds.
    this.#seedCipher = crypto.createCipheriv("aes-256-ecb", macSecret, null)
    this.#seedCipher.setAutoPadding(false)
    this.#digest = this.#state.update(seed).digest()
  }

  /** The MAC of the 16 encrypted bytes of a header. */
  header(sealed: Uint8Array): Uint8Array {
    return this.#absorbSeed(sealed)
  }

  /** The MAC of an encrypted body. */
  body(sealed: Uint8Array): Uint8Array {
    this.#digest = this.#state.update(sealed).digest()
    return this.#absorbSeed(this.#digest)
  }

  #absorbSeed(other: Uint8Array): Uint8Array {
    const seed = this.#seedCipher.update(this.#digest.subarray(0, 16))
    for (let i = 0; i < seed.length; i++) seed[i]! ^= other[i]!
    this.#digest = this.#state.update(seed).digest()
    return this.#digest.subarray(0, MAC_BYTES)
  }
}

/**
 * Memory for encrypted bodies, shared by all readers of the thread: a fresh page costs more than
 * what is done with it. Nothing but a reader's own copy of encrypted bytes ever lies in it.
 */
class Spares {
  /** From the smallest to the largest. */
  readonly #buffers: Array<Buffer> = []

  /** A buffer of at least `length` bytes. */
  take(length: number): Buffer {
    const at = this.#buffers.findIndex((each) => each.length >= length)
    if (at >= 0) return this.#buffers.splice(at, 1)[0]!
    // Memory that is not written to costs nothing: a large size is not yet a large frame.
    return Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(length)))
  }

  /** Takes a buffer back; the largest are kept, as they cost most to get. */
  give(buffer: Buffer): void {
    if (buffer.length < MIN_SPARE_BYTES || buffer.length > MAX_SPARE_BYTES) return
    this.#buffers.push(buffer)
    this.#buffers.sort((a, b) => a.length - b.length)
    if (this.#buffers.length > MAX_SPARES) this.#buffers.shift()
  }
}

/** With these, at most 16 MiB rest unused. */
const MAX_SPARES = 4
const MIN_SPARE_BYTES = 64 * 1024
const MAX_SPARE_BYTES = 4 * 1024 * 1024

const spares = new Spares()

const padded = (size: number): number => Math.ceil(size / 16) * 16

const sameMac = (a: Uint8Array, b: Uint8Array): boolean => crypto.timingSafeEqual(a, b)
