/**
 * Messages over a transport: frames, compression, and the part of the base protocol that every
 * phase of a session needs (ping, pong, disconnect).
 *
 * In: a transport and the secrets of a handshake. Out: messages of all other codes, one at a time,
 * their payload still as it was on the wire, so that nobody pays for decompressing what is dropped.
 *
 * Invariants:
 * - a link ends once; after that no message is told and none is sent;
 * - while anybody holds the link no message is told, and the transport is paused;
 * - what breaks a rule ends the link with "protocol_error", and has its name ({@link Breach});
 * - before anybody says otherwise no frame may be larger than what opens a session.
 */
import { RlpError } from "../domain/rlp.ts"
import { Allowance } from "./allowance.ts"
import { type Breach, BreachError } from "./breach.ts"
import { FrameError, FrameReader, type FrameSecrets, FrameWriter } from "./frames.ts"
import {
  decodeDisconnect,
  type DisconnectReason,
  EMPTY_LIST,
  encodeDisconnect,
  P2P,
} from "./hello.ts"
import { MAX_OPENING_FRAME_BYTES, PING_RATE, SLOWEST_BYTES_PER_SECOND } from "./limits.ts"
import type { SessionClosed } from "./Session.ts"
import { compress, SnappyError, uncompress } from "./snappyMessage.ts"
import type { Transport } from "./Transport.ts"
import type { FrameHolder, UnfinishedFrames } from "./unfinishedFrames.ts"

/** What a link tells whoever uses it at the moment. */
export interface LinkHandlers {
  /**
   * A message; `payload` is valid only during the call, and to be opened with
   * {@link MessageLink.open}. A thrown RlpError, SnappyError or BreachError ends the link.
   */
  readonly message: (code: number, payload: Uint8Array) => void
  /** The outgoing buffer is empty again. */
  readonly drain?: () => void
  /** The link is over. */
  readonly end: (closed: SessionClosed, fault: LinkFault | undefined) => void
}

/** What the peer did wrong, where that was the end of the link. */
export interface LinkFault {
  readonly breach: Breach
  readonly reason: string
  /** The code of the message that was bad; undefined for a frame. */
  readonly code: number | undefined
}

/** What a link needs to know beside its transport. */
export interface LinkOptions {
  /** Milliseconds on any clock. */
  readonly now: () => number
  readonly admitFrame: ((sizeBytes: number) => PromiseLike<void> | undefined) | undefined
  /** Where frames under way are booked; nowhere by default. */
  readonly unfinished?: UnfinishedFrames | undefined
}

/** Frames up to this size are read without asking for admission. */
const FREE_FRAME_BYTES = 64 * 1024

/** Nothing that the base protocol says after hello is longer. */
const MAX_P2P_BYTES = 1_024

/** Messages over a transport. It starts held: {@link MessageLink.start} gives the release. */
export class MessageLink implements FrameHolder {
  readonly transport: Transport
  readonly #options: LinkOptions
  readonly #reader: FrameReader
  readonly #writer: FrameWriter
  readonly #pings: Allowance
  #fits: (sizeBytes: number) => boolean = (sizeBytes) => sizeBytes <= MAX_OPENING_FRAME_BYTES
  #handlers: LinkHandlers | undefined
  #holds = 0
  /** Of these, how many are for what is ours to answer for. */
  #ourHolds = 0
  /** Since when there are such, if there are, and for how long there were before. */
  #heldSinceMs = 0
  #heldBeforeMs = 0
  #compressed = false
  #ended: SessionClosed | undefined
  /** The code of the message that is being worked on. */
  #code: number | undefined
  #fault: LinkFault | undefined
  #bytesReceived = 0
  #heardAt: number
  #congestedSince: number | undefined
  /** Since when the frame under way is; undefined between two frames. */
  #frameSinceMs: number | undefined
  /** Frames that had come when {@link MessageLink.#frameSinceMs} was set. */
  #frameCount = 0

  constructor(transport: Transport, secrets: FrameSecrets, options: LinkOptions) {
    this.transport = transport
    this.#options = options
    this.#heardAt = options.now()
    this.#pings = new Allowance(PING_RATE, this.#heardAt)
    this.#reader = new FrameReader(secrets, {
      header: (sizeBytes) => this.#onHeader(sizeBytes),
      frame: (body) => this.#onFrame(body),
    })
    this.#writer = new FrameWriter(secrets)
  }

  /** Takes over the transport; `rest` is what came right after the handshake. */
  start(rest: Uint8Array): () => void {
    const release = this.hold()
    this.transport.attach({
      data: (chunk) => this.#onData(chunk),
      drain: () => {
        this.#congestedSince = undefined
        this.#handlers?.drain?.()
      },
      close: (detail) => this.#finish({ by: "peer", reason: "tcp_error", detail }),
    })
    if (this.#holds > 0) this.transport.pause()
    this.#onData(rest)
    return release
  }

  /** Sets who is told from now on, in place of whoever was; one who comes late learns of the end. */
  use(handlers: LinkHandlers): void {
    this.#handlers = handlers
    if (this.#ended !== undefined) handlers.end(this.#ended, this.#fault)
  }

  /** From now on messages are compressed: hello was exchanged, with version 5 or later. */
  startCompression(): void {
    this.#compressed = true
  }

  /** Says how large a frame may be from now on; asked when the header of each has come. */
  admitFrames(fits: (sizeBytes: number) => boolean): void {
    this.#fits = fits
  }

  /** Bytes that came since the handshake. */
  get bytesReceived(): number {
    return this.#bytesReceived
  }

  /** When the peer was last heard, or was last kept from being heard by us. */
  get heardAt(): number {
    return this.#holds > 0 ? this.#options.now() : this.#heardAt
  }

  /**
   * Milliseconds since the handshake in which we did not read, for a reason of ours: what was late
   * then was not the peer's.
   */
  get heldMs(): number {
    return this.#heldBeforeMs + (this.#ourHolds > 0 ? this.#sinceHeld() : 0)
  }

  /** Since when the outgoing buffer has been full; undefined when it is not. */
  get congestedSince(): number | undefined {
    return this.#congestedSince
  }

  get frameBytes(): number {
    return this.#ended === undefined ? this.#reader.unfinishedBytes : 0
  }

  get frameSinceMs(): number {
    return this.#frameSinceMs ?? this.#options.now()
  }

  giveUpFrame(): void {
    this.fail(undefined, "slow_frame", `${this.frameBytes} bytes of a frame, held back`)
  }

  /**
   * When the frame under way must have come to its end: after `patienceMs` and the time that it takes
   * at the slowest rate. Undefined between two frames, and while we do not read.
   */
  frameDueMs(patienceMs: number): number | undefined {
    if (this.#frameSinceMs === undefined || this.#holds > 0) return undefined
    const ownMs = (this.#reader.declaredBytes / SLOWEST_BYTES_PER_SECOND) * 1000
    return this.#frameSinceMs + patienceMs + ownMs
  }

  /** How the link ended; undefined while it has not. */
  get ended(): SessionClosed | undefined {
    return this.#ended
  }

  /**
   * Stops telling messages and reading, until the returned function is called. `whose`: who brought
   * it about; what the peer did ("theirs") prolongs no deadline of its own.
   */
  hold(whose: "ours" | "theirs" = "ours"): () => void {
    this.#holds += 1
    if (whose === "ours" && ++this.#ourHolds === 1) this.#heldSinceMs = this.#options.now()
    if (this.#holds === 1) {
      this.#reader.hold()
      this.transport.pause()
    }
    let released = false
    return () => {
      if (released) return
      released = true
      if (whose === "ours" && --this.#ourHolds === 0) this.#heldBeforeMs += this.#sinceHeld()
      this.#release()
    }
  }

  /** Sends a message, compressed if that has started. After the end it does nothing. */
  send(code: number, payload: Uint8Array): void {
    if (this.#ended === undefined) this.#write(code, payload)
  }

  /** The payload of a message as RLP, in fresh memory. Throws SnappyError, above `maxBytes` too. */
  open(payload: Uint8Array, maxBytes: number): Uint8Array {
    if (this.#compressed) return uncompress(payload, maxBytes)
    if (payload.length > maxBytes) throw new SnappyError("too_large")
    return payload.slice()
  }

  /** Says goodbye and ends. */
  close(reason: DisconnectReason, detail: string): void {
    if (this.#ended !== undefined) return
    this.#write(P2P.disconnect, encodeDisconnect(reason))
    this.#finish({ by: "us", reason, detail })
  }

  /** Ends because of what the peer sent. */
  fail(code: number | undefined, breach: Breach, reason: string): void {
    if (this.#ended !== undefined) return
    this.#fault = { code, breach, reason }
    this.close("protocol_error", reason)
  }

  #write(code: number, payload: Uint8Array): void {
    const frame = this.#writer.frame(
      code === 0 ? RLP_ZERO : Uint8Array.of(code),
      this.#compressed ? compress(payload) : payload,
    )
    if (!this.transport.write(frame)) this.#congestedSince ??= this.#options.now()
  }

  #sinceHeld(): number {
    return Math.max(0, this.#options.now() - this.#heldSinceMs)
  }

  #release(): void {
    this.#holds -= 1
    if (this.#holds > 0) return
    const nowMs = this.#options.now()
    this.#heardAt = nowMs
    // While we did not read, nobody could send the rest.
    if (this.#frameSinceMs !== undefined) this.#frameSinceMs = nowMs
    this.#guard(() => this.#reader.release())
    this.#watchFrame(nowMs)
    // What was kept may have brought a new hold.
    if (this.#holds === 0 && this.#ended === undefined) this.transport.resume()
  }

  #onData(chunk: Uint8Array): void {
    if (this.#ended !== undefined) return
    this.#bytesReceived += chunk.length
    const nowMs = this.#options.now()
    this.#heardAt = nowMs
    this.#guard(() => this.#reader.push(chunk))
    this.#watchFrame(nowMs)
  }

  /** Takes down since when a frame is under way, and what it weighs. */
  #watchFrame(nowMs: number): void {
    const { unfinishedBytes, frameCount } = this.#reader
    if (unfinishedBytes === 0) this.#frameSinceMs = undefined
    else if (this.#frameSinceMs === undefined || frameCount !== this.#frameCount) {
      this.#frameSinceMs = nowMs
    }
    this.#frameCount = frameCount
    this.#options.unfinished?.book(this, nowMs)
  }

  /** Runs what reads the peer's bytes; the peer is to blame for what these errors say. */
  #guard(read: () => void): void {
    try {
      read()
    } catch (error) {
      if (error instanceof FrameError) {
        const breach = error.reason === "too_large" ? "frame_too_large" : "bad_frame"
        return this.fail(undefined, breach, error.reason)
      }
      if (error instanceof BreachError) return this.fail(this.#code, error.breach, error.reason)
      if (error instanceof RlpError) return this.fail(this.#code, "bad_message", error.message)
      if (!(error instanceof SnappyError)) throw error
      const breach = error.reason === "too_large" ? "message_too_large" : "bad_compression"
      this.fail(this.#code, breach, error.message)
    }
  }

  #onHeader(sizeBytes: number): void {
    if (!this.#fits(sizeBytes)) throw new FrameError("too_large")
    if (sizeBytes <= FREE_FRAME_BYTES) return
    const admitted = this.#options.admitFrame?.(sizeBytes)
    if (admitted === undefined) return
    const release = this.hold()
    // A gate that breaks must not stop the peer for ever.
    admitted.then(release, release)
  }

  #onFrame(body: Uint8Array): void {
    // What else a chunk held when it ended the link is of no interest.
    if (this.#ended !== undefined) return
    const first = body[0]
    if (first === undefined || first > 0x80) {
      return this.fail(undefined, "bad_frame", "no message code")
    }
    const code = first === 0x80 ? 0 : first
    this.#code = code
    const payload = body.subarray(1)
    if (code === P2P.disconnect) return this.#onDisconnect(payload)
    if (code === P2P.ping || code === P2P.pong) return this.#onPing(code, payload)
    this.#handlers?.message(code, payload)
  }

  #onPing(code: number, payload: Uint8Array): void {
    if (payload.length > MAX_P2P_BYTES) throw new BreachError("message_too_large", "a ping")
    if (!this.#pings.take(1, this.#options.now())) {
      throw new BreachError("flood", "pings")
    }
    if (code === P2P.pong) return
    // One who pings without reading would otherwise fill our memory with pongs.
    if (this.#congestedSince === undefined) this.send(P2P.pong, EMPTY_LIST)
  }

  #onDisconnect(payload: Uint8Array): void {
    const reason = decodeDisconnect(this.#openDisconnect(payload))
    this.#finish({ by: "peer", reason, detail: "disconnect" })
  }

  /** Around hello the two sides may not agree yet on whether this is compressed. */
  #openDisconnect(payload: Uint8Array): Uint8Array {
    try {
      return this.open(payload, MAX_P2P_BYTES)
    } catch {
      return payload
    }
  }

  #finish(closed: SessionClosed): void {
    if (this.#ended !== undefined) return
    const breach = this.#fault?.breach
    this.#ended = breach === undefined ? closed : { ...closed, breach }
    this.#reader.hold()
    this.#options.unfinished?.book(this, this.#options.now())
    this.transport.end()
    this.#handlers?.end(this.#ended, this.#fault)
  }
}

const RLP_ZERO = Uint8Array.of(0x80)
