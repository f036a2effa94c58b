/**
 * Sessions that peers open with us, over TCP.
 *
 * Invariants: the listening socket and all sessions end with the scope; at most `maxOpening`
 * connections are in a phase of opening, further ones are destroyed at once, so that a flood of
 * silent connections costs little.
 */
import net from "node:net"
import { Effect, FiberSet, type Scope } from "effect"
import { acceptSession, type Session, type SessionOptions } from "./Session.ts"
import { NodeTransport, type RemoteAddress } from "./Transport.ts"
import { ListenError, type SessionOpenError } from "./WireError.ts"

/** Where to listen, and for whom. */
export interface ListenOptions {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** Connections that may be in a phase of opening at once; 32 by default. */
  readonly maxOpening?: number
  /** Asked for every connection; false destroys it without a word. */
  readonly admit?: (remote: RemoteAddress) => boolean
  /** Told of connections that became no session; logged at debug level by default. */
  readonly onFailed?: (remote: RemoteAddress, error: SessionOpenError) => Effect.Effect<void>
}

/** A listening socket; it is closed with its scope. */
export interface Listener {
  readonly host: string
  /** The port, the one chosen by the system when 0 was asked for. */
  readonly port: number
}

const DEFAULT_MAX_OPENING = 32

/**
 * Listens, and runs `onSession` for every session that was opened. The session lives until that
 * effect ends: one that has nothing to do but serve returns `session.closed`.
 */
export const listen = (
  where: ListenOptions,
  options: SessionOptions,
  onSession: (session: Session) => Effect.Effect<unknown>,
): Effect.Effect<Listener, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const server = net.createServer({ pauseOnConnect: true })
    // Scopes close backwards: stop listening, end the sessions, then wait for the socket.
    yield* Effect.addFinalizer(() => whenClosed(server))
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    yield* Effect.acquireRelease(start(server, where), () => Effect.sync(() => server.close()))

    let opening = 0
    const admitted = (transport: NodeTransport): boolean =>
      opening < (where.maxOpening ?? DEFAULT_MAX_OPENING) &&
      (where.admit === undefined || where.admit(transport.remote))
    server.on("connection", (socket) => {
      const transport = NodeTransport.accepted(socket)
      if (!admitted(transport)) return transport.destroy()
      opening += 1
      const accepted = acceptSession(transport, options).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            opening -= 1
          }),
        ),
        Effect.flatMap(onSession),
        Effect.asVoid,
        Effect.catchAll((error) => report(where, transport.remote, error)),
        Effect.scoped,
      )
      run(accepted)
    })
    return addressOf(server, where)
  })

const start = (
  server: net.Server,
  { host, port }: ListenOptions,
): Effect.Effect<void, ListenError> =>
  Effect.async((resume) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      resume(Effect.fail(new ListenError({ host, port, reason: error.code ?? error.message })))
    })
    server.listen({ host, port }, () => {
      server.removeAllListeners("error")
      // A connection that dies before it is accepted is no error of the listener's.
      server.on("error", () => {})
      resume(Effect.void)
    })
  })

const whenClosed = (server: net.Server): Effect.Effect<void> =>
  Effect.async((resume) => {
    server.close(() => resume(Effect.void))
  })

const addressOf = (server: net.Server, where: ListenOptions): Listener => {
  const address = server.address()
  const port = address === null || typeof address === "string" ? where.port : address.port
  return { host: where.host, port }
}

const report = (
  where: ListenOptions,
  remote: RemoteAddress,
  error: SessionOpenError,
): Effect.Effect<void> =>
  where.onFailed?.(remote, error) ?? Effect.logDebug("inbound connection failed", remote, error)
