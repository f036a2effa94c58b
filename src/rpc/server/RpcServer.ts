/**
 * The server: JSON-RPC over HTTP and WebSocket on one port, with its status pages.
 *
 * In: settings, a store that can be read, and how the sync stands that fills it. Out: the address
 * that it listens at. It ends with the scope: nothing more is taken, what is under way has
 * a few seconds to end, and then every connection is closed.
 *
 * Invariants: `connections` bounds the sockets, of HTTP and WebSocket together, and one beyond it is
 * closed at once; headers, requests, answers and pauses have deadlines; a connection has at most
 * {@link pipelinedAtOnce} requests under way; the store is not closed before the last call has ended.
 */
import * as http from "node:http"
import { type AddressInfo, Server as SocketServer, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import { Duration, Effect, Layer, type Scope } from "effect"
import type { SyncReport } from "../../observe/syncReport.ts"
import { endWithin } from "../../threads/EndWithin.ts"
import { ChainReader } from "../ChainReader.ts"
import { ChainWatcher } from "../live/ChainWatcher.ts"
import { Filters } from "../live/Filters.ts"
import { Slots } from "../live/Slots.ts"
import { ByteBudget } from "./byteBudget.ts"
import { httpApp } from "./HttpApp.ts"
import { hostAllowed, mayCall } from "./httpRules.ts"
import { asksForWebSocket, headWithoutUpgrade } from "./ignoredUpgrade.ts"
import { RpcCalls } from "./RpcCalls.ts"
import { ServeError } from "./ServeError.ts"
import {
  type Deadlines,
  defaultDeadlines,
  heldBytes,
  pipelinedAtOnce,
  type ServeSettings,
} from "./serveSettings.ts"
import { StatusPages } from "./StatusPages.ts"
import { makeWebSockets, type WebSockets } from "./WebSockets.ts"

/** The sync that fills the store, as the server knows it. */
export interface SyncSource {
  /** How it stands; undefined when it has not said it lately. */
  readonly report: () => SyncReport | undefined
  /** Its metrics as Prometheus' text. */
  readonly metricsText: Effect.Effect<string>
}

/** A server that listens. */
export interface Listening {
  /** `http://127.0.0.1:8545` */
  readonly url: string
  readonly port: number
}

const MOST_HEADER_BYTES = 16 * 1024
/** Between two looks at whether the last connection has ended. */
const ENDING_EVERY_MS = 20

/** Listens and serves until the scope ends; `sync`: who fills the store, where that is known. */
export const serveRpc = Effect.fn("RpcServer.serve")(function* (
  settings: ServeSettings,
  sync?: SyncSource,
  deadlines: Deadlines = defaultDeadlines,
): Effect.fn.Return<Listening, ServeError, ChainReader | Scope.Scope> {
  const { limits, clientVersion } = settings
  const budget = new ByteBudget(heldBytes(limits))
  const report = sync?.report ?? (() => undefined)
  const server = http.createServer({
    headersTimeout: deadlines.headersMs,
    requestTimeout: deadlines.requestMs,
    keepAliveTimeout: deadlines.idleMs,
    connectionsCheckingInterval: deadlines.checkMs,
    maxHeaderSize: MOST_HEADER_BYTES,
  })
  server.maxConnections = limits.connections
  let sockets: WebSockets | undefined
  const opened = new OpenSockets(server)
  const services = yield* Layer.build(
    Layer.mergeAll(
      RpcCalls.layer({ limits, clientVersion, report, budget, waitMs: deadlines.waitMs }),
      StatusPages.layer({
        clientVersion,
        syncs: sync !== undefined,
        report,
        syncMetrics: sync?.metricsText ?? Effect.succeed(""),
        connections: () => opened.count,
        webSockets: () => sockets?.open() ?? 0,
        heldBytes: () => heldBytes(limits) - budget.free,
      }),
    ).pipe(
      Layer.provideMerge(Filters.layer(limits)),
      Layer.provideMerge(Layer.mergeAll(ChainWatcher.layer, Slots.layer(limits.filters))),
    ),
  )
  // Released in turn: first nothing new is taken, then WebSockets are told goodbye.
  const webSockets = yield* Effect.provide(makeWebSockets(limits, budget, deadlines), services)
  sockets = webSockets
  let working = 0
  const app = Effect.suspend(() => {
    working += 1
    return Effect.ensuring(
      httpApp(settings, budget, deadlines),
      Effect.sync(() => {
        working -= 1
      }),
    )
  })
  const handler = yield* NodeHttpServer.makeHandler(app).pipe(
    HttpMiddleware.withTracerDisabledWhenEffect(() => true),
    Effect.provide(services),
  )
  server.on("request", (request, response) => {
    if (opened.mayAsk(request.socket, response)) {
      response.once("close", () => opened.answered(request.socket, response))
      handler(request, response)
    } else request.socket.destroy()
  })
  server.on("upgrade", (request, socket, head) => {
    if (!asksForWebSocket(request)) return readAgain(server, opened, request, head)
    const refusal = refusalOf(request, settings)
    if (refusal !== undefined) return refuseUpgrade(socket, refusal)
    opened.upgraded(request.socket)
    webSockets.upgrade(request, socket, head)
  })
  yield* listen(server, settings)
  yield* Effect.addFinalizer(() => endServer(server, opened, () => working, deadlines))
  return listeningAt(server, settings)
})

/** The sockets of a server, and the answers that each waits for. */
class OpenSockets {
  readonly #requests = new Map<Socket, Set<http.ServerResponse>>()
  /** Sockets of WebSockets, which have an end of their own. */
  readonly #upgraded = new WeakSet<Socket>()

  constructor(server: http.Server) {
    server.on("connection", (socket: Socket) => {
      // Some come twice: see `readAgain`.
      if (this.#requests.has(socket)) return
      const waiting = new Set<http.ServerResponse>()
      this.#requests.set(socket, waiting)
      socket.once("close", () => {
        this.#requests.delete(socket)
        // An answer behind another one is not told by Node that its connection is gone.
        setImmediate(() => {
          for (const response of waiting) if (!response.closed) response.emit("close")
        })
      })
    })
  }

  get count(): number {
    return this.#requests.size
  }

  get idle(): boolean {
    return [...this.#requests.values()].every(({ size }) => size === 0)
  }

  upgraded(socket: Socket): void {
    this.#upgraded.add(socket)
  }

  /**
   * Closes those that wait for no answer, and have taken the last one. One in the middle of a request's
   * headers is among them: nothing was asked yet.
   */
  closeIdle(): void {
    for (const [socket, waiting] of this.#requests) {
      if (waiting.size === 0 && !this.#upgraded.has(socket)) socket.destroy()
    }
  }

  /** Whether a request of a socket is not answered yet. */
  asksNow(socket: Socket): boolean {
    return (this.#requests.get(socket)?.size ?? 0) > 0
  }

  /** Takes a place among the requests of a socket. */
  mayAsk(socket: Socket, response: http.ServerResponse): boolean {
    const waiting = this.#requests.get(socket)
    if (waiting === undefined || waiting.size >= pipelinedAtOnce) return false
    waiting.add(response)
    return true
  }

  answered(socket: Socket, response: http.ServerResponse): void {
    this.#requests.get(socket)?.delete(response)
  }
}

const listen = (
  server: http.Server,
  { host, port }: ServeSettings,
): Effect.Effect<void, ServeError> =>
  Effect.async((resume) => {
    const failed = ({ code = "unknown" }: NodeJS.ErrnoException): void =>
      resume(Effect.fail(new ServeError({ failure: { kind: "listen", host, port, code } })))
    server.once("error", failed)
    server.listen({ host, port }, () => {
      server.off("error", failed)
      // What fails later fails a single connection.
      server.on("error", () => undefined)
      resume(Effect.void)
    })
  })

const listeningAt = (server: http.Server, { host, port }: ServeSettings): Listening => {
  const address = server.address()
  const bound = isInternet(address) ? address.port : port
  return { port: bound, url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}` }
}

const isInternet = (address: ReturnType<http.Server["address"]>): address is AddressInfo =>
  typeof address === "object" && address !== null

/**
 * Takes nothing more, waits a little for what is under way, closes all that is left, and waits a little
 * for the calls of those who are gone: they are interrupted.
 */
const endServer = (
  server: http.Server,
  opened: OpenSockets,
  working: () => number,
  { graceMs }: Deadlines,
): Effect.Effect<void> => {
  const until = (over: () => boolean): Effect.Effect<void> =>
    endWithin(
      Effect.repeat(Effect.delay(Effect.sync(over), Duration.millis(ENDING_EVERY_MS)), {
        until: (isOver) => isOver,
      }),
      graceMs,
    )
  // An HTTP server's own `close` takes an answer that was written for one that was taken.
  return Effect.sync(() => void SocketServer.prototype.close.call(server)).pipe(
    Effect.zipRight(
      until(() => {
        opened.closeIdle()
        return opened.idle
      }),
    ),
    Effect.zipRight(
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      }),
    ),
    Effect.zipRight(until(() => working() === 0)),
  )
}

/** Reads a request once more, without the offer of an upgrade. */
const readAgain = (
  server: http.Server,
  opened: OpenSockets,
  request: http.IncomingMessage,
  head: Buffer,
): void => {
  const { socket } = request
  // Answers to earlier requests would come among those to this one and to later ones.
  if (opened.asksNow(socket)) return void socket.destroy()
  socket.unshift(Buffer.concat([headWithoutUpgrade(request), head]))
  server.emit("connection", socket)
}

/** Why a connection is not upgraded, as a status line of HTTP; undefined when it is. */
const refusalOf = (
  { url = "/", headers }: http.IncomingMessage,
  settings: ServeSettings,
): string | undefined => {
  const path = url.split("?", 1)[0]
  if (!hostAllowed(headers.host, settings)) return "403 Forbidden"
  if (path !== "/" && path !== "/ws") return "404 Not Found"
  return mayCall(headers.origin, settings) ? undefined : "403 Forbidden"
}

const refuseUpgrade = (socket: Duplex, statusLine: string): void => {
  socket.on("error", () => undefined)
  socket.end(`HTTP/1.1 ${statusLine}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
