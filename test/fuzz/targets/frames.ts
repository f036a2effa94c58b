/**
 * Frames and the messages in them, from a peer that has the secrets and makes of them what it likes.
 *
 * Inputs are a script: an operation, its length in two bytes, that many bytes; and so on.
 */
import { RlpError } from "../../../src/domain/rlp.ts"
import {
  decodeBlockRangeUpdate,
  decodeGetBlockHeaders,
  decodeItems,
  decodeReceipts,
} from "../../../src/wire/ethMessages.ts"
import {
  FrameError,
  FrameReader,
  type FrameSecrets,
  FrameWriter,
} from "../../../src/wire/frames.ts"
import { decodeHello, encodeDisconnect, encodeHello } from "../../../src/wire/hello.ts"
import { MessageLink } from "../../../src/wire/MessageLink.ts"
import { compress } from "../../../src/wire/snappyMessage.ts"
import type { Transport, TransportHandlers } from "../../../src/wire/Transport.ts"
import { concatBytes } from "../../../src/domain/rlp.ts"
import { agree, agreeBytes, type FuzzTarget } from "../target.ts"

const seed = (fill: number, length: number): Uint8Array => new Uint8Array(length).fill(fill)

const common = { aesSecret: seed(1, 32), macSecret: seed(2, 32) }
const ours: FrameSecrets = { ...common, ingressMacSeed: seed(3, 99), egressMacSeed: seed(4, 99) }
const theirs: FrameSecrets = { ...common, ingressMacSeed: seed(4, 99), egressMacSeed: seed(3, 99) }

interface Step {
  readonly operation: number
  readonly data: Uint8Array
}

const scriptOf = (...steps: ReadonlyArray<Step>): Uint8Array =>
  concatBytes(
    steps.flatMap(({ operation, data }) => [
      Uint8Array.of(operation, data.length >> 8, data.length & 255),
      data,
    ]),
  )

/** So many steps are enough to leave nothing untried, and bound the work. */
const MAX_STEPS = 40

const stepsOf = (input: Uint8Array): ReadonlyArray<Step> => {
  const steps: Array<Step> = []
  for (let at = 0; at + 3 <= input.length && steps.length < MAX_STEPS;) {
    const length = input[at + 1]! * 256 + input[at + 2]!
    const data = input.subarray(at + 3, at + 3 + length)
    steps.push({ operation: input[at]!, data })
    at += 3 + data.length
  }
  return steps
}

const FRAME = 0
/** A frame with a byte altered. */
const ALTERED = 1
/** Bytes that are no frame. */
const NOISE = 2
/** The start of a frame that says to be large. */
const UNFINISHED = 3
/** From here on, until the next of these, chunks are that small. */
const CUT = 4
const HOLD = 5
const RELEASE = 6
/** A whole frame of up to 128 KiB. */
const LARGE = 7
/** The reader is held by whoever is told of the next body. */
const HOLD_INSIDE = 8
const OPERATIONS = 9

export const frames: FuzzTarget = {
  name: "frames",
  kind: "bytes",
  // A step of three bytes may be a frame of 128 KiB.
  cpuMs: 250,
  seeds: () => [
    scriptOf({ operation: FRAME, data: seed(9, 40) }, { operation: FRAME, data: seed(8, 0) }),
    scriptOf(
      { operation: CUT, data: seed(7, 5) },
      { operation: FRAME, data: seed(9, 100) },
      { operation: HOLD, data: seed(0, 0) },
      { operation: FRAME, data: seed(9, 100) },
      { operation: FRAME, data: seed(6, 300) },
      { operation: RELEASE, data: seed(0, 0) },
    ),
    scriptOf({ operation: FRAME, data: seed(1, 33) }, { operation: ALTERED, data: seed(1, 33) }),
    scriptOf({ operation: UNFINISHED, data: Uint8Array.of(0xff, 0xff, 0x50) }),
    scriptOf({ operation: NOISE, data: seed(1, 64) }),
    scriptOf(
      { operation: CUT, data: seed(0, 20_000) },
      { operation: LARGE, data: Uint8Array.of(1, 1, 1) },
      { operation: HOLD_INSIDE, data: seed(0, 0) },
      { operation: LARGE, data: Uint8Array.of(3, 1, 1) },
      { operation: FRAME, data: seed(6, 30) },
      { operation: RELEASE, data: seed(0, 0) },
    ),
  ],
  run: (input) => {
    const sent: Array<Uint8Array> = []
    const told: Array<Uint8Array> = []
    const writer = new FrameWriter(theirs)
    let holdsNext = false
    const reader = new FrameReader(ours, {
      header: () => {},
      frame: (body) => {
        told.push(body.slice())
        if (holdsNext) reader.hold()
        holdsNext = false
      },
    })
    let chunkBytes = Infinity
    const push = (bytes: Uint8Array): void => {
      // Not too many chunks of a large frame.
      const step = Math.max(chunkBytes, bytes.length >> 8)
      for (let at = 0; at < bytes.length; at += step) {
        reader.push(bytes.slice(at, Math.min(bytes.length, at + step)))
      }
    }
    try {
      for (const { operation, data } of stepsOf(input)) {
        switch (operation % OPERATIONS) {
          case FRAME:
            sent.push(data)
            push(writer.frame(data))
            break
          case ALTERED: {
            const frame = writer.frame(data)
            frame[(data[0] ?? 0) % frame.length]! ^= 1 << ((data[1] ?? 0) & 7)
            push(frame)
            break
          }
          case NOISE:
            push(data)
            break
          case UNFINISHED:
          case LARGE: {
            const size = (data[0] ?? 0) * 65_536 + (data[1] ?? 0) * 256 + (data[2] ?? 0)
            const body = seed(0, size & 0x1_ffff)
            const frame = writer.frame(body)
            sent.push(body)
            push(operation % OPERATIONS === LARGE ? frame : frame.subarray(0, 32 + (data[3] ?? 0)))
            break
          }
          case HOLD_INSIDE:
            holdsNext = true
            break
          case CUT:
            chunkBytes = 1 + data.length
            break
          case HOLD:
            reader.hold()
            break
          default:
            reader.release()
        }
      }
      reader.release()
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
    }
    agree(told.length <= sent.length, "nothing is told that was not sent")
    for (const [index, body] of told.entries()) agreeBytes(body, sent[index]!, "bodies in order")
  },
}

/** Keeps what the link does; bytes for it are handed over by {@link RecordingTransport.receive}. */
class RecordingTransport implements Transport {
  readonly remote = { host: "10.0.0.1", port: 30_303 }
  readonly whenClosed = Promise.resolve()
  writes = 0
  ended = false
  #handlers: TransportHandlers | undefined
  attach(handlers: TransportHandlers): void {
    this.#handlers = handlers
  }
  write(): boolean {
    this.writes += 1
    return this.writes % 5 > 0
  }
  pause(): void {}
  resume(): void {}
  end(): void {
    this.ended = true
  }
  destroy(): void {
    this.ended = true
  }
  receive(bytes: Uint8Array): void {
    this.#handlers?.data(bytes)
  }
  drained(): void {
    this.#handlers?.drain()
  }
}

const MAX_PLAIN_BYTES = 256 * 1024

/** The payload in snappy's form, as honest peers send it. */
const COMPRESSED = 1
const DRAINED = 2
const START_COMPRESSION = 3

export const link: FuzzTarget = {
  name: "message-link",
  kind: "bytes",
  seeds: ({ messages }) => [
    scriptOf(
      { operation: FRAME, data: concatBytes([Uint8Array.of(0x80), encodeHello(someHello)]) },
      { operation: START_COMPRESSION, data: seed(0, 0) },
      { operation: COMPRESSED, data: concatBytes([Uint8Array.of(2), Uint8Array.of(0xc0)]) },
      {
        operation: COMPRESSED,
        data: concatBytes([Uint8Array.of(1), encodeDisconnect("useless_peer")]),
      },
    ),
    ...messages
      .filter(({ payload }) => payload.length < 2_048)
      .slice(0, 40)
      .map(({ code, payload }) =>
        scriptOf(
          { operation: START_COMPRESSION, data: seed(0, 0) },
          { operation: COMPRESSED, data: concatBytes([Uint8Array.of(0x10 + code), payload]) },
          { operation: DRAINED, data: seed(0, 0) },
          { operation: FRAME, data: concatBytes([Uint8Array.of(0x10 + code), compress(payload)]) },
        ),
      ),
  ],
  run: (input) => {
    const transport = new RecordingTransport()
    const writer = new FrameWriter(theirs)
    const link = new MessageLink(transport, ours, { now: () => 0, admitFrame: undefined })
    let pings = 0
    link.use({
      message: (code, payload) => {
        agree(link.ended === undefined, "after the end nothing is told")
        read(code, link.open(payload, MAX_PLAIN_BYTES))
      },
      end: () => {},
    })
    link.start(new Uint8Array(0))()
    for (const { operation, data } of stepsOf(input)) {
      switch (operation % 4) {
        case FRAME:
          pings += 1
          transport.receive(writer.frame(data))
          break
        case COMPRESSED:
          pings += 1
          transport.receive(writer.frame(data.subarray(0, 1), compress(data.subarray(1))))
          break
        case DRAINED:
          transport.drained()
          break
        default:
          link.startCompression()
      }
    }
    agree(transport.ended === (link.ended !== undefined), "a link that ended ends its transport")
    agree(transport.writes <= pings + 1, "no more is sent than a pong a message and a goodbye")
  },
}

const someHello = {
  p2pVersion: 5,
  clientId: "besu/v26.1.0",
  capabilities: [{ name: "eth", version: 69 }],
  listenPort: 0,
  nodeId: seed(5, 64),
}

/** As a session does: what throws an RlpError ends the link, whatever else is a bug. */
const read = (code: number, plain: Uint8Array): void => {
  switch (code) {
    case 0x00:
      decodeHello(plain)
      return
    case 0x13:
      decodeGetBlockHeaders(plain)
      return
    case 0x14:
    case 0x16:
      decodeItems(plain)
      return
    case 0x20:
      decodeReceipts(70, plain)
      return
    case 0x21:
      decodeBlockRangeUpdate(plain)
      return
    default:
      if (code > 0x21) throw new RlpError("unknown message code", 0)
  }
}
