/**
 * A stream of bytes to a peer, and its form over TCP. The only place of the program with a socket.
 *
 * A transport starts paused: nothing is lost between its making and the first
 * {@link Transport.attach}. A chunk belongs to the transport and is valid only during the call that
 * hands it over: the TCP form reads into one buffer again and again.
 */
import net from "node:net"
import { Effect } from "effect"
import { ConnectFailed } from "./WireError.ts"

/** Where the other end is. */
export interface RemoteAddress {
  readonly host: string
  readonly port: number
}

/** What a transport tells its user, always synchronously. */
export interface TransportHandlers {
  /** Bytes came; the chunk is valid only during the call. */
  readonly data: (chunk: Uint8Array) => void
  /** After a write that returned false: the outgoing buffer is empty again. */
  readonly drain: () => void
  /** The stream is over, once and for all; `reason` is the system's code or "end". */
  readonly close: (reason: string) => void
}

/** A stream of bytes in both directions. */
export interface Transport {
  readonly remote: RemoteAddress
  /** Sets the handlers, in place of earlier ones, and starts reading. */
  attach(handlers: TransportHandlers): void
  /** Sends bytes; false asks for a pause until `drain`. After the end it does nothing. */
  write(bytes: Uint8Array): boolean
  pause(): void
  resume(): void
  /** Sends what is buffered, then ends; destroyed after {@link LINGER_MS} at the latest. */
  end(): void
  /** Ends at once, whatever is buffered. */
  destroy(): void
  /** Settles when everything of the transport is gone. Never fails. */
  readonly whenClosed: Promise<void>
}

/** How long the peer is given to take our last words before the socket is destroyed. */
export const LINGER_MS = 1_000

/** Read at once from a dialled socket: fewer, larger reads cost less. */
const READ_BUFFER_BYTES = 128 * 1024

const ignore: TransportHandlers = { data: () => {}, drain: () => {}, close: () => {} }

/** A transport over a connected TCP socket. */
export class NodeTransport implements Transport {
  readonly remote: RemoteAddress
  readonly whenClosed: Promise<void>
  readonly #socket: net.Socket
  #handlers: TransportHandlers = ignore
  #lingering: NodeJS.Timeout | undefined
  #reason = "end"

  constructor(socket: net.Socket, remote: RemoteAddress) {
    this.remote = remote
    this.#socket = socket
    socket.pause()
    socket.setNoDelay(true)
    socket.on("drain", () => this.#handlers.drain())
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#reason = error.code ?? error.message
    })
    this.whenClosed = new Promise((resolve) => {
      socket.on("close", () => {
        clearTimeout(this.#lingering)
        this.#handlers.close(this.#reason)
        resolve()
      })
    })
  }

  /** A transport over a socket that a server accepted. */
  static accepted(socket: net.Socket): NodeTransport {
    // One address has one name, whether the socket that listens takes IPv4 or both.
    const host = (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "")
    const remote = { host, port: socket.remotePort ?? 0 }
    const transport = new NodeTransport(socket, remote)
    // Listening for data would set the socket flowing; it stays paused until `attach`.
    socket.on("data", (chunk: Buffer) => transport.#handlers.data(chunk))
    socket.pause()
    return transport
  }

  /** Starts to connect; {@link NodeTransport.connected} tells what comes of it. */
  static dial(remote: RemoteAddress): NodeTransport {
    let transport: NodeTransport | undefined
    const socket = net.connect({
      ...remote,
      autoSelectFamily: false,
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
        callback: (length, buffer) => {
          if (transport !== undefined) transport.#handlers.data(buffer.subarray(0, length))
          return true
        },
      },
    })
    transport = new NodeTransport(socket, remote)
    return transport
  }

  /** Waits for a dialled connection; a failure, the deadline and an interruption destroy it. */
  connected(connectMs: number): Effect.Effect<void, ConnectFailed> {
    const { host, port } = this.remote
    const fail = (reason: string, timedOut: boolean): ConnectFailed =>
      new ConnectFailed({ host, port, reason, timedOut })
    return Effect.async<void, ConnectFailed>((resume) => {
      this.#socket.once("connect", () => resume(Effect.void))
      this.#socket.once("close", () => resume(Effect.fail(fail(this.#reason, false))))
    }).pipe(
      Effect.timeoutFail({ duration: connectMs, onTimeout: () => fail("timeout", true) }),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (exit._tag === "Failure") this.destroy()
        }),
      ),
    )
  }

  attach(handlers: TransportHandlers): void {
    this.#handlers = handlers
    if (this.#socket.closed) handlers.close(this.#reason)
    else this.#socket.resume()
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.writable ? this.#socket.write(bytes) : true
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    if (this.#socket.destroyed || this.#lingering !== undefined) return
    this.#lingering = setTimeout(() => this.#socket.destroy(), LINGER_MS)
    this.#socket.end()
    // The peer's end is only seen by one who reads on.
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
