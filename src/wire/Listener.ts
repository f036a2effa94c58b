/**
 * Sessions that peers open with us, over TCP.
 *
 * Invariants: the listening socket and all sessions end with the scope; at most `maxOpening`
 * connections, and of one address at most `maxOpeningPerAddress`, are in a phase of opening, further
 * ones are destroyed at once, so that a flood of silent connections costs little.
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
  /** The same of one address; without it there is no such limit. */
  readonly maxOpeningPerAddress?: number
  /** Asked for every connection; false destroys it without a word. */
  readonly admit?: (remote: RemoteAddress) => boolean
  /** Told of connections that were destroyed without a word, and why. */
  readonly onTurnedAway?: (remote: RemoteAddress, why: TurnedAway) => void
  /** Told of connections that became no session; logged at debug level by default. */
  readonly onFailed?: (remote: RemoteAddress, error: SessionOpenError) => Effect.Effect<void>
}

/**
 * Why a connection was not taken: too many are in a phase of opening, too many of its address are, or
 * it was not admitted.
 */
export type TurnedAway = "opening_full" | "opening_of_address" | "not_admitted"

/** A listening socket; it is closed with its scope. */
export interface Listener {
  readonly host: string
  /** The port, the one chosen by the system when 0 was asked for. */
  readonly port: number
}

const DEFAULT_MAX_OPENING = 32

/** What a connection gets when it is accepted. */
export interface Reception {
  readonly options: SessionOptions
  /** The session lives until this ends. */
  readonly onSession: (session: Session) => Effect.Effect<unknown, never, Scope.Scope>
}

/**
 * Listens, and runs `onSession` for every session that was opened. The session lives until that
 * effect ends: one that has nothing to do but serve returns `session.closed`.
 */
export const listen = (
  where: ListenOptions,
  options: SessionOptions,
  onSession: (session: Session) => Effect.Effect<unknown>,
): Effect.Effect<Listener, ListenError, Scope.Scope> =>
  listenEach(where, () => ({ options, onSession }))

/** As {@link listen}, with options and a way to go on for each connection. */
export const listenEach = (
  where: ListenOptions,
  receive: () => Reception,
): Effect.Effect<Listener, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const server = net.createServer({ pauseOnConnect: true })
    // Scopes close backwards: stop listening, end the sessions, then wait for the socket.
    yield* Effect.addFinalizer(() => whenClosed(server))
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    yield* Effect.acquireRelease(start(server, where), () => Effect.sync(() => server.close()))

    const opening = new OpeningCounts(where)
    server.on("connection", (socket) => {
      const transport = NodeTransport.accepted(socket)
      const { remote } = transport
      const refused = opening.refusal(remote) ?? notAdmitted(where, remote)
      if (refused !== undefined) {
        where.onTurnedAway?.(remote, refused)
        return transport.destroy()
      }
      opening.add(remote, 1)
      const { options, onSession } = receive()
      const accepted = acceptSession(transport, options).pipe(
        Effect.ensuring(Effect.sync(() => opening.add(remote, -1))),
        Effect.flatMap(onSession),
        Effect.asVoid,
        Effect.catchAll((error) => report(where, remote, error)),
        Effect.scoped,
      )
      run(accepted)
    })
    return addressOf(server, where)
  })

/** Connections in a phase of opening. */
class OpeningCounts {
  readonly #most: number
  readonly #mostPerAddress: number
  readonly #byAddress = new Map<string, number>()
  #count = 0

  constructor({ maxOpening, maxOpeningPerAddress }: ListenOptions) {
    this.#most = maxOpening ?? DEFAULT_MAX_OPENING
    this.#mostPerAddress = maxOpeningPerAddress ?? Infinity
  }

  refusal({ host }: RemoteAddress): TurnedAway | undefined {
    if (this.#count >= this.#most) return "opening_full"
    const ofAddress = this.#byAddress.get(host) ?? 0
    return ofAddress >= this.#mostPerAddress ? "opening_of_address" : undefined
  }

  add({ host }: RemoteAddress, more: 1 | -1): void {
    this.#count += more
    const ofAddress = (this.#byAddress.get(host) ?? 0) + more
    if (ofAddress > 0) this.#byAddress.set(host, ofAddress)
    else this.#byAddress.delete(host)
  }
}

const notAdmitted = (where: ListenOptions, remote: RemoteAddress): TurnedAway | undefined =>
  where.admit?.(remote) === false ? "not_admitted" : undefined

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
