/** What is used here of the package `ws`, which comes without types. */
declare module "ws" {
  import type { EventEmitter } from "node:events"
  import type { IncomingMessage } from "node:http"
  import type { Duplex } from "node:stream"

  interface Events {
    open: []
    /** `data` is text in UTF-8 unless it is said to be binary. */
    message: [data: Buffer, isBinary: boolean]
    ping: [data: Buffer]
    pong: [data: Buffer]
    close: [code: number, reason: Buffer]
    error: [error: Error]
  }

  export class WebSocket extends EventEmitter<Events> {
    /** As a client. */
    constructor(address: string, options?: { readonly headers?: Record<string, string> })
    /** Bytes that were given to `send` and not yet to the system. */
    readonly bufferedAmount: number
    /** Whether it was told to {@link WebSocket.pause}. */
    readonly isPaused: boolean
    /** `done` is called when the text was given to the system, or could not be. */
    send(text: string, done?: (error?: Error) => void): void
    ping(): void
    pause(): void
    resume(): void
    /** Says goodbye; the other side has 30 s to answer. */
    close(code?: number, reason?: string): void
    /** Ends the connection at once. */
    terminate(): void
  }

  export class WebSocketServer {
    constructor(options: {
      readonly noServer: true
      readonly clientTracking: false
      readonly perMessageDeflate: false
      /** Bytes of a message; a longer one ends the connection with 1009. */
      readonly maxPayload: number
    })
    handleUpgrade(
      request: IncomingMessage,
      socket: Duplex,
      head: Buffer,
      upgraded: (client: WebSocket) => void,
    ): void
  }
}
