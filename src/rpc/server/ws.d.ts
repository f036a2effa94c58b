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
    /** {@link WebSocket.OPEN} until either side says goodbye. */
    readonly readyState: number
    readonly OPEN: number
    /** Whether it was told to {@link WebSocket.pause}. */
    readonly isPaused: boolean
    /** `done` is called when the text was given to the system, or could not be. */
    send(text: string, done?: (error?: Error) => void): void
    ping(): void
    pause(): void
    resume(): void
    /** Says goodbye; a server's client has `closeTimeout` to answer, a server 30 s. */
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
      /** Frames of a message; more end the connection with 1008. */
      readonly maxFragments: number
      /** Chunks that wait for the rest of a frame; more end the connection with 1008. */
      readonly maxBufferedChunks: number
      /** Milliseconds that the other side has to answer a goodbye. */
      readonly closeTimeout: number
    })
    handleUpgrade(
      request: IncomingMessage,
      socket: Duplex,
      head: Buffer,
      upgraded: (client: WebSocket) => void,
    ): void
  }
}
