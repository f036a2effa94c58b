/**
 * What can go wrong between two nodes, as tagged errors with fields. Errors of opening say in which
 * phase it ended; errors of requests say which peer, so that the scheduler can tell the peer's
 * fault (`Malformed`) from bad luck (`Timeout`, `Disconnected`).
 */
import { Data } from "effect"
import type { DisconnectReason } from "./hello.ts"

/** No TCP connection came about. Nobody is to blame: addresses go stale. */
export class ConnectFailed extends Data.TaggedError("ConnectFailed")<{
  readonly host: string
  readonly port: number
  /** The system's code, such as ECONNREFUSED, or "timeout". */
  readonly reason: string
  readonly timedOut: boolean
}> {}

/** What is done in turn to open a session, after the connection. */
export type OpeningPhase = "handshake" | "hello" | "status"

/** The peer connected but did not get through a phase of opening. */
export class HandshakeFailed extends Data.TaggedError("HandshakeFailed")<{
  readonly phase: OpeningPhase
  /** "timeout", "unexpected_identity", "self_connection", a system's code, or what was malformed. */
  readonly reason: string
  readonly timedOut: boolean
}> {}

/** The peer is on another chain. */
export class WrongNetwork extends Data.TaggedError("WrongNetwork")<{
  readonly what: "network_id" | "genesis" | "fork_id"
  readonly expected: string
  readonly actual: string
}> {}

/** The peer speaks none of our versions of eth. */
export class NoCommonProtocol extends Data.TaggedError("NoCommonProtocol")<{
  /** Capabilities as `name/version`. */
  readonly offered: ReadonlyArray<string>
  readonly client: string
}> {}

/** The peer answered with a Disconnect while the session was being opened. */
export class RefusedByPeer extends Data.TaggedError("RefusedByPeer")<{
  readonly phase: OpeningPhase
  readonly reason: DisconnectReason
}> {}

/** Why no session came about. */
export type SessionOpenError =
  | ConnectFailed
  | HandshakeFailed
  | WrongNetwork
  | NoCommonProtocol
  | RefusedByPeer

/** The port to listen on cannot be had. */
export class ListenError extends Data.TaggedError("ListenError")<{
  readonly host: string
  readonly port: number
  /** The system's code, such as EADDRINUSE. */
  readonly reason: string
}> {}

/** What a request asks for. */
export type RequestKind = "headers" | "bodies" | "receipts"

/** The peer did not answer in time. */
export class Timeout extends Data.TaggedError("Timeout")<{
  readonly what: RequestKind
  readonly afterMs: number
  readonly peerId: string
}> {}

/** The session ended before the answer came, or had ended when the request was made. */
export class Disconnected extends Data.TaggedError("Disconnected")<{
  readonly peerId: string
  readonly reason: DisconnectReason
}> {}

/** The peer sent what the protocol does not allow; the peer is to blame, the session is over. */
export class Malformed extends Data.TaggedError("Malformed")<{
  readonly peerId: string
  /** The message, or "frame". */
  readonly what: RequestKind | "frame" | "message"
  readonly reason: string
}> {}

/** Why a request has no answer. */
export type RequestError = Timeout | Disconnected | Malformed
