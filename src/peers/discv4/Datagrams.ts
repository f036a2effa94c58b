/**
 * Datagrams over UDP, in a scope. The twin in memory is `MemoryDatagrams.ts`.
 *
 * Invariants: the socket is closed with its scope; sending never throws and never waits, what
 * cannot be sent is lost, as UDP allows; nothing is queued here beyond the system's own buffer.
 */
import dgram from "node:dgram"
import { Effect, type Scope } from "effect"
import { ListenError } from "../../wire/WireError.ts"

/** An IPv4 address as text, and a UDP port. */
export interface Endpoint {
  readonly ip: string
  readonly port: number
}

/** An open socket. */
export interface DatagramSocket {
  /** The port, the one chosen by the system when 0 was asked for. */
  readonly port: number
  /** Sends and forgets. */
  readonly send: (to: Endpoint, bytes: Uint8Array) => void
}

/** Opens a socket that lives as long as the scope; `receive` is run for each datagram. */
export type OpenDatagrams = (
  where: { readonly host: string; readonly port: number },
  receive: (from: Endpoint, bytes: Uint8Array) => void,
) => Effect.Effect<DatagramSocket, ListenError, Scope.Scope>

/** Over UDP, IPv4 only: nodes that can be reached by IPv6 alone are left to other sources. */
export const openUdp: OpenDatagrams = (where, receive) =>
  Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(bind(where), close)
    let open = true
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        open = false
      }),
    )
    // A send that fails later reports here when its callback does not take it; nobody is to blame.
    socket.on("error", () => {})
    socket.on("message", (bytes, from) => {
      if (open) receive({ ip: from.address, port: from.port }, bytes)
    })
    return {
      port: socket.address().port,
      send: (to, bytes) => {
        if (open && to.port > 0) socket.send(bytes, to.port, to.ip, () => {})
      },
    }
  })

const bind = ({
  host,
  port,
}: {
  readonly host: string
  readonly port: number
}): Effect.Effect<dgram.Socket, ListenError> =>
  Effect.async((resume) => {
    const socket = dgram.createSocket("udp4")
    socket.once("error", (error: NodeJS.ErrnoException) => {
      socket.close()
      resume(Effect.fail(new ListenError({ host, port, reason: error.code ?? error.message })))
    })
    socket.bind(port, host, () => {
      socket.removeAllListeners("error")
      resume(Effect.succeed(socket))
    })
  })

const close = (socket: dgram.Socket): Effect.Effect<void> =>
  Effect.async((resume) => {
    socket.close(() => resume(Effect.void))
  })
