/**
 * Requests that offer an upgrade that is not taken: to HTTP/2, as some clients do on every new
 * connection. They are answered as if nothing had been offered (RFC 9110, 7.8).
 *
 * Node takes the parser off a connection as soon as any upgrade is offered, before the body was read.
 * So the request is put back in front of what else came, without the offer, and read once more.
 */
import type { IncomingMessage } from "node:http"

/** Whether a request asks for a WebSocket (RFC 6455, 4.2.1). */
export const asksForWebSocket = ({ headers }: Pick<IncomingMessage, "headers">): boolean =>
  tokensOf(headers.upgrade).includes("websocket")

/** The head of a request as it would have been without the offer. */
export const headWithoutUpgrade = ({
  method = "GET",
  url = "/",
  httpVersion,
  rawHeaders,
}: Pick<IncomingMessage, "method" | "url" | "httpVersion" | "rawHeaders">): Buffer => {
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    const value = kept(name.toLowerCase(), rawHeaders[at + 1]!)
    if (value !== undefined) lines.push(`${name}: ${value}`)
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1")
}

/** What is left of a header; undefined: nothing. */
const kept = (name: string, value: string): string | undefined => {
  if (OFFER.has(name)) return undefined
  if (name !== "connection") return value
  const rest = tokensOf(value).filter((token) => !OFFER.has(token))
  return rest.length === 0 ? undefined : rest.join(", ")
}

const OFFER: ReadonlySet<string> = new Set(["upgrade", "http2-settings"])

const tokensOf = (list = ""): ReadonlyArray<string> =>
  list.split(",").map((token) => token.trim().toLowerCase())
