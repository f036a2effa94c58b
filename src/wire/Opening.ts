/**
 * The phases that lead to a session: handshake, hello, Status; each with its own deadline by
 * Effect's clock. What fails says goodbye where that is possible, and leaves no socket behind.
 *
 * The messages of one phase may come in one segment with those of the next: a link is held from
 * the message that ends a phase until the next phase is ready to listen.
 */
import { Effect } from "effect"
import { equalBytes } from "../domain/hex.ts"
import { RlpError } from "../domain/rlp.ts"
import { decodeStatus, encodeStatus, ETH, type Status } from "./ethMessages.ts"
import {
  chooseEth,
  decodeHello,
  type DisconnectReason,
  encodeHello,
  type EthChannel,
  type Hello,
  P2P,
  P2P_VERSION,
} from "./hello.ts"
import {
  type Handshake,
  HandshakeError,
  type HandshakeResult,
  initiate,
  nodeIdOf,
  respond,
} from "./handshake.ts"
import { MessageLink } from "./MessageLink.ts"
import { defaultDeadlines, MAX_OPENING_FRAME_BYTES } from "./limits.ts"
import type { SessionOptions } from "./Session.ts"
import { SnappyError } from "./snappyMessage.ts"
import type { Transport } from "./Transport.ts"
import {
  HandshakeFailed,
  NoCommonProtocol,
  type OpeningPhase,
  RefusedByPeer,
  type SessionOpenError,
} from "./WireError.ts"

/** What the phases found out. */
export interface Opened {
  readonly link: MessageLink
  /** To be called when somebody listens to the link. */
  readonly release: () => void
  /** The peer's public key, 64 bytes. */
  readonly remoteId: Uint8Array
  readonly hello: Hello
  readonly eth: EthChannel
  readonly status: Status
}

const MAX_STATUS_BYTES = 1_024

/**
 * Goes through the phases over a transport, which is ended on failure and on interruption. A
 * `remoteId` makes us the side that dials.
 */
export const openOver = (
  transport: Transport,
  remoteId: Uint8Array | undefined,
  options: SessionOptions,
): Effect.Effect<Opened, SessionOpenError> =>
  Effect.gen(function* () {
    const deadlines = { ...defaultDeadlines, ...options.deadlines }
    const ownId = nodeIdOf(options.privateKey)
    const handshake = shakeHands(transport, remoteId, ownId, options)
    const result = yield* within("handshake", deadlines.handshakeMs, handshake)
    const clock = yield* Effect.clock
    const link = new MessageLink(transport, result.secrets, {
      now: () => clock.unsafeCurrentTimeMillis(),
      admitFrame: options.admitFrame,
      unfinished: options.unfinishedFrames,
    })
    const release = link.start(result.rest)
    return yield* talk(link, release, result.remoteId, ownId, options).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (exit._tag === "Success") return
          const failure = exit.cause._tag === "Fail" ? exit.cause.error : undefined
          link.close(goodbye(failure), "not opened")
        }),
      ),
    )
  }).pipe(
    Effect.onExit((exit) =>
      Effect.sync(() => {
        // A link that was there has ended the transport, with time to say why.
        if (exit._tag === "Failure") transport.end()
      }),
    ),
  )

/** Hello and Status, over a link that is held. */
const talk = (
  link: MessageLink,
  releaseHandshake: () => void,
  remoteId: Uint8Array,
  ownId: Uint8Array,
  options: SessionOptions,
): Effect.Effect<Opened, SessionOpenError> =>
  Effect.gen(function* () {
    const deadlines = { ...defaultDeadlines, ...options.deadlines }
    link.send(P2P.hello, encodeHello(ownHello(ownId, options)))
    const first = yield* within(
      "hello",
      deadlines.helloMs,
      nextMessage(link, "hello", releaseHandshake),
    )
    const hello = yield* readHello(link, first, remoteId, ownId)
    const eth = chooseEth(options.ethVersions, hello.capabilities)
    if (eth === undefined) {
      const offered = hello.capabilities.map(({ name, version }) => `${name}/${version}`)
      return yield* new NoCommonProtocol({ offered, client: hello.clientId })
    }
    if (hello.p2pVersion >= P2P_VERSION) link.startCompression()

    link.send(eth.offset + ETH.status, encodeStatus(options.localStatus(eth.version)))
    const second = yield* within(
      "status",
      deadlines.statusMs,
      nextMessage(link, "status", first.release),
    )
    const status = yield* readStatus(link, second, eth)
    const wrong = options.checkStatus(status)
    if (wrong !== undefined) return yield* wrong
    return { link, release: second.release, remoteId, hello, eth, status }
  })

const ownHello = (ownId: Uint8Array, options: SessionOptions): Hello => ({
  p2pVersion: P2P_VERSION,
  clientId: options.clientId,
  capabilities: options.ethVersions.map((version) => ({ name: "eth", version })),
  listenPort: options.listenPort,
  nodeId: ownId,
})

const within = <A, E>(
  phase: OpeningPhase,
  limitMs: number,
  effect: Effect.Effect<A, E>,
): Effect.Effect<A, E | HandshakeFailed> =>
  Effect.timeoutFail(effect, {
    duration: limitMs,
    onTimeout: () => new HandshakeFailed({ phase, reason: "timeout", timedOut: true }),
  })

const failed = (phase: OpeningPhase, reason: string): HandshakeFailed =>
  new HandshakeFailed({ phase, reason, timedOut: false })

const shakeHands = (
  transport: Transport,
  remoteId: Uint8Array | undefined,
  ownId: Uint8Array,
  options: SessionOptions,
): Effect.Effect<HandshakeResult, HandshakeFailed> =>
  Effect.gen(function* () {
    const handshake = yield* Effect.tryPromise({
      try: () =>
        remoteId === undefined
          ? respond(options.privateKey, ownId)
          : initiate(options.privateKey, ownId, remoteId),
      catch: (error) => failed("handshake", String(error)),
    })
    return yield* exchange(transport, handshake)
  })

const exchange = (
  transport: Transport,
  handshake: Handshake,
): Effect.Effect<HandshakeResult, HandshakeFailed> =>
  Effect.async((resume) => {
    transport.attach({
      data: (chunk) => {
        try {
          const result = handshake.push(chunk)
          if (result === undefined) return
          // What comes from now on belongs to the frames; it waits for their reader.
          transport.pause()
          if (result.reply !== undefined) transport.write(result.reply)
          resume(Effect.succeed(result))
        } catch (error) {
          if (!(error instanceof HandshakeError)) throw error
          resume(Effect.fail(failed("handshake", error.message)))
          transport.destroy()
        }
      },
      drain: () => {},
      close: (reason) => resume(Effect.fail(failed("handshake", reason))),
    })
    if (handshake.first !== undefined) transport.write(handshake.first)
  })

/** A message that ended a phase; the link is held until `release`. */
interface PhaseMessage {
  readonly code: number
  readonly payload: Uint8Array
  readonly release: () => void
}

/** Lets go of the link by `release` and holds it again at the next message. */
const nextMessage = (
  link: MessageLink,
  phase: OpeningPhase,
  release: () => void,
): Effect.Effect<PhaseMessage, HandshakeFailed | RefusedByPeer> =>
  Effect.async((resume) => {
    link.use({
      message: (code, payload) => {
        // It is looked at later than during the call, for which alone it is valid.
        const kept = payload.slice()
        resume(Effect.succeed({ code, payload: kept, release: link.hold() }))
      },
      end: ({ by, reason, detail }) => {
        const refused = by === "peer" && reason !== "tcp_error"
        resume(Effect.fail(refused ? new RefusedByPeer({ phase, reason }) : failed(phase, detail)))
      },
    })
    release()
  })

const readHello = (
  link: MessageLink,
  { code, payload }: PhaseMessage,
  remoteId: Uint8Array,
  ownId: Uint8Array,
): Effect.Effect<Hello, HandshakeFailed> =>
  Effect.gen(function* () {
    if (code !== P2P.hello) return yield* failed("hello", `message ${code} before hello`)
    const hello = yield* reading("hello", () =>
      decodeHello(link.open(payload, MAX_OPENING_FRAME_BYTES)),
    )
    if (!equalBytes(hello.nodeId, remoteId)) {
      return yield* failed("hello", "unexpected_identity")
    }
    if (equalBytes(hello.nodeId, ownId)) return yield* failed("hello", "self_connection")
    return hello
  })

const readStatus = (
  link: MessageLink,
  { code, payload }: PhaseMessage,
  eth: EthChannel,
): Effect.Effect<Status, HandshakeFailed> =>
  code === eth.offset + ETH.status
    ? reading("status", () => decodeStatus(eth.version, link.open(payload, MAX_STATUS_BYTES)))
    : Effect.fail(failed("status", `message ${code} before Status`))

const reading = <A>(phase: OpeningPhase, read: () => A): Effect.Effect<A, HandshakeFailed> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(read())
    } catch (error) {
      if (error instanceof RlpError || error instanceof SnappyError) {
        return Effect.fail(failed(phase, error.message))
      }
      throw error
    }
  })

/** What the peer is told when opening ends with an error; an interruption has none. */
const goodbye = (error: SessionOpenError | undefined): DisconnectReason => {
  switch (error?._tag) {
    case undefined:
      return "client_quitting"
    case "NoCommonProtocol":
      return "useless_peer"
    case "WrongNetwork":
      return "subprotocol_error"
    case "HandshakeFailed":
      if (error.timedOut) return "ping_timeout"
      if (error.reason === "self_connection") return "self_connection"
      return error.reason === "unexpected_identity" ? "unexpected_identity" : "protocol_error"
    case "ConnectFailed":
    case "RefusedByPeer":
      return "requested"
  }
}
