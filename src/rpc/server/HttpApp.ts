/**
 * JSON-RPC and the status pages over HTTP, as an app of the platform package.
 *
 * In: requests. Out: responses. `POST /` is JSON-RPC, one call or a batch; `/health`, `/ready`,
 * `/status` and `/metrics` are pages. What is let in is in `httpRules.ts`.
 *
 * Invariants: a body above `requestBytes` is refused (413) and dropped; bodies and answers are
 * within the budget that all connections share; an answer that is not taken in
 * time ends its connection; a client that leaves stops his calls.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect } from "effect"
import { prometheusType } from "../../observe/prometheus.ts"
import { RpcError, rpcCodes } from "../rpcError.ts"
import { BodyBytes, type BodyRefusal } from "./bodyBytes.ts"
import type { ByteBudget } from "./byteBudget.ts"
import { errorText } from "./envelope.ts"
import { allowedOrigin, hostAllowed, isJsonType, mayCall } from "./httpRules.ts"
import { RpcCalls } from "./RpcCalls.ts"
import type { Deadlines, ServeSettings } from "./serveSettings.ts"
import { type Page, StatusPages } from "./StatusPages.ts"

type Response = HttpServerResponse.HttpServerResponse

/** The app. It may be interrupted, which the platform's handler by itself may not. */
export const httpApp = (
  settings: ServeSettings,
  budget: ByteBudget,
  deadlines: Deadlines,
): Effect.Effect<Response, never, HttpServerRequest.HttpServerRequest | RpcCalls | StatusPages> =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const source = NodeHttpServerRequest.toIncomingMessage(request)
    const target = NodeHttpServerRequest.toServerResponse(request)
    limitTaking(source, target, deadlines)
    if (!hostAllowed(source.headers.host, settings))
      return line(403, "this host is not served here")
    const path = (source.url ?? "/").split("?", 1)[0]!
    const origin = allowedOrigin(source.headers.origin, settings)
    const response = yield* route(path, source, target, settings, budget)
    return origin === undefined
      ? response
      : HttpServerResponse.setHeaders(response, {
          "access-control-allow-origin": origin,
          vary: "Origin",
        })
  }).pipe(Effect.interruptible)

const route = (
  path: string,
  source: IncomingMessage,
  target: ServerResponse,
  settings: ServeSettings,
  budget: ByteBudget,
): Effect.Effect<Response, never, RpcCalls | StatusPages> => {
  const { method } = source
  const read = method === "GET" || method === "HEAD"
  if (path === "/" && method === "POST") return rpc(source, target, settings, budget)
  if (path === "/" && method === "OPTIONS") return Effect.succeed(preflight(source, settings))
  if (path === "/") return Effect.succeed(notAllowed("POST, OPTIONS", "JSON-RPC is asked by POST"))
  if (path === "/ws") return Effect.succeed(line(426, "a WebSocket is opened here", UPGRADE))
  const page = pages.get(path)
  if (page === undefined) return Effect.succeed(line(404, "nothing is here"))
  if (!read) return Effect.succeed(notAllowed("GET, HEAD", "this is asked by GET"))
  return page
}

const UPGRADE = { upgrade: "websocket", connection: "Upgrade" }

const pages: ReadonlyMap<string, Effect.Effect<Response, never, StatusPages>> = new Map([
  ["/health", Effect.succeed(line(200, "alive"))],
  ["/ready", pageOf(({ ready }) => ready, "text/plain; charset=utf-8")],
  ["/status", pageOf(({ status }) => status, "application/json")],
  ["/metrics", pageOf(({ metrics }) => metrics, prometheusType)],
])

function pageOf(
  choose: (pages: StatusPages["Type"]) => Effect.Effect<Page>,
  contentType: string,
): Effect.Effect<Response, never, StatusPages> {
  return Effect.map(Effect.flatMap(StatusPages, choose), ({ status, text }) =>
    HttpServerResponse.text(text, { status, contentType }),
  )
}

function line(status: number, text: string, headers: Record<string, string> = {}): Response {
  return HttpServerResponse.text(`${text}\n`, { status, headers })
}

const notAllowed = (allow: string, text: string): Response => line(405, text, { allow })

const FOREIGN_PAGE = "pages of this origin may not call: see --cors-origin"

/** What a browser asks before a page of another origin may call (Fetch standard, CORS). */
const preflight = ({ headers }: IncomingMessage, settings: ServeSettings): Response =>
  allowedOrigin(headers.origin, settings) === undefined
    ? line(403, FOREIGN_PAGE)
    : HttpServerResponse.empty({
        status: 204,
        headers: {
          "access-control-allow-methods": "POST",
          "access-control-allow-headers": "content-type",
          "access-control-max-age": "600",
        },
      })

const rpc = Effect.fnUntraced(function* (
  source: IncomingMessage,
  target: ServerResponse,
  settings: ServeSettings,
  budget: ByteBudget,
) {
  const { limits } = settings
  const { origin, "content-type": contentType } = source.headers
  if (!mayCall(origin, settings)) return line(403, FOREIGN_PAGE)
  if (!isJsonType(contentType, origin)) {
    return line(415, "JSON-RPC is sent as application/json")
  }
  const body = yield* readBody(source, target, limits.requestBytes, budget)
  if (body === "large") {
    const says = `the request is larger than ${limits.requestBytes} bytes`
    return json(413, errorText(null, new RpcError(rpcCodes.invalidRequest, says)))
  }
  if (body === "busy") {
    const says = "too many requests at once: try again later"
    return json(503, errorText(null, new RpcError(rpcCodes.limitExceeded, says)))
  }
  const calls = yield* RpcCalls
  const { text, release } = yield* calls.answer(body.text)
  whenOver(source, target, release)
  return text === undefined ? HttpServerResponse.empty({ status: 204 }) : json(200, text)
})

const json = (status: number, text: string): Response =>
  HttpServerResponse.uint8Array(Buffer.from(text), { status, contentType: "application/json" })

/**
 * The text of the whole body; a refusal as soon as it is known to be one. The rest is then dropped as
 * it comes, within the time that a request may take: who still sends does not read.
 */
const readBody = (
  source: IncomingMessage,
  target: ServerResponse,
  most: number,
  budget: ByteBudget,
): Effect.Effect<{ readonly text: string } | BodyRefusal> =>
  Effect.async((resume) => {
    const declared = Number(source.headers["content-length"] ?? 0)
    const body = new BodyBytes(budget, most)
    let over = false
    const release = (): void => {
      over = true
      body.release()
    }
    whenOver(source, target, release)
    const end = (outcome: { readonly text: string } | BodyRefusal): void => {
      source.off("data", take).off("end", whole).resume()
      if (typeof outcome === "string") release()
      resume(Effect.succeed(outcome))
    }
    const take = (chunk: Buffer): void => {
      // Of a connection that is gone what had come before may still be told.
      if (over) return
      const refusal = body.add(chunk)
      if (refusal !== undefined) end(refusal)
    }
    const whole = (): void => end({ text: body.text })
    // A client that leaves interrupts this: his response is closed.
    source.on("error", () => undefined)
    if (declared > most) return end("large")
    source.on("data", take).on("end", whole)
  })

/** Calls `then` when the response was sent, or its connection is gone. */
const whenOver = (source: IncomingMessage, target: ServerResponse, then: () => void): void => {
  if (target.closed || source.socket.destroyed) then()
  else target.once("close", then)
}

/** A client that does not take his answer loses his connection. */
const limitTaking = (
  source: IncomingMessage,
  target: ServerResponse,
  { takeMs }: Deadlines,
): void => {
  let timer: NodeJS.Timeout | undefined
  target.once("prefinish", () => {
    timer = setTimeout(() => source.socket.destroy(), takeMs)
    timer.unref()
  })
  whenOver(source, target, () => clearTimeout(timer))
}
