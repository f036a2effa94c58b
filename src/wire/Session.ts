/**
 * A session: an encrypted connection with a peer that has agreed on a version of eth and is on our
 * chain. Requests go out and answers come back by id, several at a time; what the peer asks is
 * answered; pings keep it alive.
 *
 * In: an address and a key ({@link openSession}), or a transport. Out: a {@link Session}, whose
 * life is that of the scope: when the scope closes, so does the session, with "client_quitting".
 * Between the socket and an answer there is plain synchronous code; Effect is met per request.
 *
 * Invariants:
 * - a request ends exactly once: by its answer, by its deadline (`Deadline.ts`), or by the end of the session;
 * - an answer that came late is dropped and counted; one that was never asked for ends the session,
 *   as does all that breaks the protocol ({@link Breach}): that blames one request with `Malformed`,
 *   the others fail with `Disconnected`;
 * - what is read of a frame, opened of a message and unpacked of an answer is bounded by what was
 *   asked for, before it is in memory;
 * - bytes of an answer are never written again: they may be kept or transferred to a thread. They are
 *   there until who was given them says that nobody looks any more (`domain/answerMemory.ts`).
 */
import { Effect, type Scope } from "effect"
import type { Breach } from "./breach.ts"
import type { BlockRange, EthRequest, HeadersQuery, Status } from "./ethMessages.ts"
import type { DisconnectReason, EthVersion } from "./hello.ts"
import { defaultDeadlines, type OpeningDeadlines, type SessionLimits } from "./limits.ts"
import { openOver } from "./Opening.ts"
import type { UnsentAnswers } from "./Serving.ts"
import { makeSession } from "./SessionCore.ts"
import { NodeTransport, type RemoteAddress, type Transport } from "./Transport.ts"
import type { UnfinishedFrames } from "./unfinishedFrames.ts"
import type { RequestError, SessionOpenError, WrongNetwork } from "./WireError.ts"

/** How a node behaves in its sessions. */
export interface SessionOptions {
  /** Our secp256k1 key, 32 bytes. */
  readonly privateKey: Uint8Array
  /** What we call ourselves in hello. */
  readonly clientId: string
  /** The TCP port we listen on, 0 for none. */
  readonly listenPort: number
  readonly ethVersions: ReadonlyArray<EthVersion>
  /** What we say of our chain; asked once a session, its `version` must be the one asked for. */
  readonly localStatus: (version: EthVersion) => Status
  /** Judges the peer's Status; an error refuses the peer. */
  readonly checkStatus: (status: Status) => WrongNetwork | undefined
  /**
   * Answers a request with a whole payload (`encodeItems`, `encodeReceipts`, with the request's
   * id), or null for no answer. Absent: empty lists are answered. At most
   * `limits.maxServedAtOnce` run at a time.
   */
  readonly onRequest?: (session: Session, request: EthRequest) => Effect.Effect<Uint8Array | null>
  /** Where answers are booked that the peer has not taken yet; shared by all that are to be bounded. */
  readonly unsentAnswers?: UnsentAnswers
  /**
   * Asked before a frame of more than 64 KiB is read, with its size in bytes; while a promise is
   * pending, nothing is read from the peer. A gate, not a reservation: the session gives nothing
   * back.
   */
  readonly admitFrame?: (sizeBytes: number) => PromiseLike<void> | undefined
  /** Where frames under way are booked; shared by all sessions that are to be bounded together. */
  readonly unfinishedFrames?: UnfinishedFrames
  readonly deadlines?: Partial<OpeningDeadlines>
  /** Milliseconds between our pings; 15,000 by default. */
  readonly pingEveryMs?: number
  /** A peer that sends nothing, or takes nothing, for so long is dropped; 30,000 by default. */
  readonly dropSilentAfterMs?: number
  readonly limits?: Partial<SessionLimits>
}

/** Headers in the order of the peer's answer. */
export interface HeadersAnswer {
  /** Encoded headers; at most as many as asked for. */
  readonly headers: Array<Uint8Array>
  /** Decompressed size of the answer. */
  readonly bytes: number
  /** From the request to the last byte of its answer. */
  readonly elapsedMs: number
}

/** Bodies in the order of the peer's answer; some of those asked for may be left out. */
export interface BodiesAnswer {
  /** Encoded bodies, `[transactions, uncles, withdrawals?]`. */
  readonly bodies: Array<Uint8Array>
  readonly bytes: number
  readonly elapsedMs: number
}

/** Receipts in the order of the peer's answer; some of the blocks may be left out. */
export interface ReceiptsAnswer {
  /** One encoded list of receipts a block, in the form of the session's version of eth. */
  readonly lists: Array<Uint8Array>
  /** Whether the last list stops inside its block (eth/70). */
  readonly lastBlockIncomplete: boolean
  readonly bytes: number
  readonly elapsedMs: number
}

/** Who ended a session, and why. */
export interface SessionClosed {
  readonly by: "us" | "peer"
  /** "tcp_error" when the connection went without a word. */
  readonly reason: DisconnectReason
  /** What was behind it, for logs: a system's code, what was malformed, "silent". */
  readonly detail: string
  /** Which rule the peer broke, where that was the end. */
  readonly breach?: Breach
}

/** An open session with a peer. */
export interface Session {
  /** The peer's public key, 128 hex digits. */
  readonly peerId: string
  readonly remote: RemoteAddress
  /** Whether the peer dialled us. */
  readonly inbound: boolean
  /** What the peer calls itself: at most 256 characters, none of them control characters. */
  readonly client: string
  /** The TCP port the peer says it listens on; 0 for none. */
  readonly listenPort: number
  readonly ethVersion: EthVersion
  /** The peer's Status. */
  readonly status: Status
  /** What the peer last announced to serve, by Status or BlockRangeUpdate; nothing on eth/68. */
  readonly announcedRange: () => BlockRange | undefined
  /** Bytes read from the socket since the handshake. */
  readonly bytesReceived: () => number
  /** Answers that were dropped because nobody waited for them any more. */
  readonly lateAnswers: () => number
  /** Requests that wait for their answer. */
  readonly openRequests: () => number
  /** Milliseconds for which it was not read, for a reason of ours: what was late then is not the peer's. */
  readonly heldMs: () => number
  readonly getBlockHeaders: (
    query: HeadersQuery,
    timeoutMs: number,
  ) => Effect.Effect<HeadersAnswer, RequestError>
  /** `hashes` are block hashes of 32 bytes. */
  readonly getBlockBodies: (
    hashes: ReadonlyArray<Uint8Array>,
    timeoutMs: number,
  ) => Effect.Effect<BodiesAnswer, RequestError>
  /** `firstBlockReceiptIndex` other than 0 needs eth/70; otherwise it is a defect. */
  readonly getReceipts: (
    hashes: ReadonlyArray<Uint8Array>,
    firstBlockReceiptIndex: number,
    timeoutMs: number,
  ) => Effect.Effect<ReceiptsAnswer, RequestError>
  /** Sends any eth message: BlockRangeUpdate, or what a faulty devnet peer sends. */
  readonly sendRaw: (code: number, payload: Uint8Array) => Effect.Effect<void>
  /** Says goodbye and ends; does not wait for the peer. Has no effect after the end. */
  readonly disconnect: (reason: DisconnectReason) => Effect.Effect<void>
  /** Waits for the end of the session. */
  readonly closed: Effect.Effect<SessionClosed>
}

/** A node to dial. */
export interface PeerAddress extends RemoteAddress {
  /** The public key, 64 bytes. */
  readonly nodeId: Uint8Array
}

/** Dials a peer over TCP and opens a session with it. */
export const openSession = (
  peer: PeerAddress,
  options: SessionOptions,
): Effect.Effect<Session, SessionOpenError, Scope.Scope> =>
  Effect.gen(function* () {
    const { connectMs } = { ...defaultDeadlines, ...options.deadlines }
    const { host, port } = peer
    const transport = yield* closedWithScope(() => NodeTransport.dial({ host, port }))
    yield* transport.connected(connectMs)
    return yield* opened(transport, peer.nodeId, options)
  })

/** Opens a session as the side that dials, over a transport that is connected; it is ours now. */
export const dialSession = (
  transport: Transport,
  nodeId: Uint8Array,
  options: SessionOptions,
): Effect.Effect<Session, SessionOpenError, Scope.Scope> =>
  Effect.flatMap(
    closedWithScope(() => transport),
    () => opened(transport, nodeId, options),
  )

/** Opens a session as the side that was dialled; the transport is ours from now on. */
export const acceptSession = (
  transport: Transport,
  options: SessionOptions,
): Effect.Effect<Session, SessionOpenError, Scope.Scope> =>
  Effect.flatMap(
    closedWithScope(() => transport),
    () => opened(transport, undefined, options),
  )

const opened = (
  transport: Transport,
  nodeId: Uint8Array | undefined,
  options: SessionOptions,
): Effect.Effect<Session, SessionOpenError, Scope.Scope> =>
  Effect.flatMap(openOver(transport, nodeId, options), (result) =>
    makeSession(result, nodeId === undefined, options),
  )

/** When the scope closes, the transport is gone: after its last words, in a second at most. */
const closedWithScope = <T extends Transport>(
  make: () => T,
): Effect.Effect<T, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (transport) =>
    Effect.suspend(() => {
      transport.end()
      return Effect.promise(() => transport.whenClosed)
    }),
  )
