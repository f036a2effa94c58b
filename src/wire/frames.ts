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
 * - a byte of a body is copied once, into memory that the readers of a thread use in turn, and
 *   decrypted there; chunks are never altered;
 * - while the reader is held, nothing is handed out, and what comes in is kept.
 */
import {
  FRAME_BLOCK_BYTES,
  frameCiphers,
  type FrameOpener,
  type FrameSealer,
} from "./frameCiphers.ts"

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

/** A header and its MAC. */
const HEADER_BYTES = 2 * FRAME_BLOCK_BYTES
const MAC_BYTES = FRAME_BLOCK_BYTES

/** RLP of `[0, 0]`, the capability and context ids that nobody uses. */
const HEADER_DATA = [0xc2, 0x80, 0x80]

/** What a {@link FrameReader} tells. Either may call {@link FrameReader.hold}. */
export interface FrameSink {
  /** A header was checked; a body of `sizeBytes` follows. May refuse it by throwing. */
  readonly header: (sizeBytes: number) => void
  /** A body, whole and checked; the bytes are valid only during the call. */
  readonly frame: (body: Uint8Array) => void
}

/** Makes bodies of chunks. */
export class FrameReader {
  readonly #sink: FrameSink
  readonly #opener: FrameOpener
  /** The part of a header, or of a body and its MAC, that came so far. */
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #body: Uint8Array | undefined
  #filled = 0
  /** Size of the body that is being read; undefined while a header is. */
  #bodySize: number | undefined
  #frameCount = 0
  #held = false
  #reading = false
  #waiting: Array<Uint8Array> = []

  constructor(secrets: FrameSecrets, sink: FrameSink) {
    this.#sink = sink
    this.#opener = frameCiphers.opener({ ...secrets, macSeed: secrets.ingressMacSeed })
  }

  /**
   * Takes a chunk, which is not referred to after the call. Throws {@link FrameError}, and whatever
   * the sink throws; the reader is of no use afterwards.
   */
  push(chunk: Uint8Array): void {
    if (this.#held || this.#reading) this.#waiting.push(copyOf(chunk))
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
    if (at < chunk.length) this.#waiting.unshift(copyOf(chunk.subarray(at)))
  }

  #readHeader(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + HEADER_BYTES - this.#filled)
    this.#header.set(chunk.subarray(at, end), this.#filled)
    this.#filled += end - at
    if (this.#filled < HEADER_BYTES) return end

    const header = this.#opener.header(this.#header)
    if (header === undefined) throw new FrameError("bad_header_mac")
    const size = (header[0]! << 16) | (header[1]! << 8) | header[2]!
    this.#filled = 0
    this.#bodySize = size
    this.#sink.header(size)
    return end
  }

  #readBody(chunk: Uint8Array, at: number): number {
    const bodySize = this.#bodySize!
    const length = padded(bodySize) + MAC_BYTES
    const end = Math.min(chunk.length, at + length - this.#filled)
    this.#body ??= spares.take(length)
    this.#body.set(chunk.subarray(at, end), this.#filled)
    this.#filled += end - at
    if (this.#filled === length) this.#open(this.#body, length, bodySize)
    return end
  }

  /** Checks, decrypts and hands out a body with its padding and MAC, the first bytes of `memory`. */
  #open(memory: Uint8Array, length: number, bodySize: number): void {
    this.#body = undefined
    this.#filled = 0
    this.#bodySize = undefined
    const body = this.#opener.body(memory.subarray(0, length))
    if (body === undefined) throw new FrameError("bad_body_mac")
    this.#frameCount += 1
    this.#sink.frame(body.subarray(0, bodySize))
    spares.give(memory)
  }
}

/** Makes frames of bodies. */
export class FrameWriter {
  readonly #seal: FrameSealer

  constructor(secrets: FrameSecrets) {
    this.#seal = frameCiphers.sealer({ ...secrets, macSeed: secrets.egressMacSeed })
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
    const frame = Buffer.alloc(HEADER_BYTES + padded(size) + MAC_BYTES)
    frame.writeUIntBE(size, 0, 3)
    frame.set(HEADER_DATA, 3)
    let at = HEADER_BYTES
    for (const part of parts) {
      frame.set(part, at)
      at += part.length
    }
    this.#seal(frame)
    return frame
  }
}

/**
 * Memory for bodies, from their first byte until they were handed out, shared by all readers of the
 * thread: a fresh page costs more than what is done with it.
 */
class Spares {
  /** From the smallest to the largest. */
  readonly #buffers: Array<Uint8Array> = []

  /** A buffer of at least `length` bytes. */
  take(length: number): Uint8Array {
    // A short frame that does not come to its end shall not keep what a large one has use for.
    const most = Math.max(MIN_SPARE_BYTES, MOST_TIMES * length)
    const at = this.#buffers.findIndex((each) => each.length >= length && each.length <= most)
    if (at >= 0) return this.#buffers.splice(at, 1)[0]!
    // Memory that is not written to costs nothing: a large size is not yet a large frame.
    return new Uint8Array(Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(length))).buffer)
  }

  /** Takes a buffer back; the largest are kept, as they cost most to get. */
  give(buffer: Uint8Array): void {
    if (buffer.length < MIN_SPARE_BYTES || buffer.length > MAX_SPARE_BYTES) return
    this.#buffers.push(buffer)
    this.#buffers.sort((a, b) => a.length - b.length)
    if (this.#buffers.length > MAX_SPARES) this.#buffers.shift()
  }
}

/** With these, at most 16 MiB rest unused. */
const MAX_SPARES = 4
const MIN_SPARE_BYTES = 64 * 1024
/** A buffer may be so many times as long as what it is taken for. */
const MOST_TIMES = 8
const MAX_SPARE_BYTES = 4 * 1024 * 1024

const spares = new Spares()

/** A Buffer's own `slice` copies nothing. */
const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)

const padded = (size: number): number => Math.ceil(size / FRAME_BLOCK_BYTES) * FRAME_BLOCK_BYTES
