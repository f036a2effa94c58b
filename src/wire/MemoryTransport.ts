/**
 * Two transports joined in memory: what one writes, the other reads. For tests and for the
 * deterministic simulation of a whole network; when bytes arrive is decided by a `schedule` that
 * the caller may give, so that no clock and no socket is involved.
 */
import type { RemoteAddress, Transport, TransportHandlers } from "./Transport.ts"

/** How bytes travel between the two ends. */
export interface MemoryPairOptions {
  /**
   * Runs `deliver` later, in the order of the calls of one direction; a microtask by default.
   * `bytes` is the size of what is delivered, 0 for the end of the stream.
   */
  readonly schedule?: (deliver: () => void, bytes: number) => void
  /** Bytes not yet read by the other end above which `write` returns false; 64 KiB by default. */
  readonly highWaterBytes?: number
  /** Cuts what is written into chunks; whole by default. */
  readonly chunk?: (bytes: Uint8Array) => ReadonlyArray<Uint8Array>
}

/** The addresses that the two ends see; loopback with made-up ports by default. */
const ENDS: readonly [RemoteAddress, RemoteAddress] = [
  { host: "127.0.0.1", port: 40_001 },
  { host: "127.0.0.1", port: 40_002 },
]

/** Two ends of one stream. */
export const memoryPair = (options: MemoryPairOptions = {}): [MemoryTransport, MemoryTransport] => {
  const a = new MemoryTransport(ENDS[1], options)
  const b = new MemoryTransport(ENDS[0], options)
  a.join(b)
  b.join(a)
  return [a, b]
}

/** One end of a pair, made by {@link memoryPair}. */
export class MemoryTransport implements Transport {
  readonly remote: RemoteAddress
  readonly whenClosed: Promise<void>
  readonly #schedule: (deliver: () => void, bytes: number) => void
  readonly #highWaterBytes: number
  readonly #chunk: (bytes: Uint8Array) => ReadonlyArray<Uint8Array>
  #other: MemoryTransport | undefined
  #handlers: TransportHandlers | undefined
  #paused = true
  #inbox: Array<Uint8Array> = []
  /** Bytes that were written to this end and not yet read, in transit ones included. */
  #unread = 0
  #ended = false
  #closed: string | undefined
  #settle: () => void = () => {}
  #writerWaits = false

  constructor(remote: RemoteAddress, options: MemoryPairOptions) {
    this.remote = remote
    this.#schedule = options.schedule ?? ((deliver) => queueMicrotask(deliver))
    this.#highWaterBytes = options.highWaterBytes ?? 64 * 1024
    this.#chunk = options.chunk ?? ((bytes) => [bytes])
    this.whenClosed = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  /** For {@link memoryPair}: says where writes go. */
  join(other: MemoryTransport): void {
    this.#other = other
  }

  attach(handlers: TransportHandlers): void {
    this.#handlers = handlers
    if (this.#closed !== undefined) handlers.close(this.#closed)
    else this.resume()
  }

  write(bytes: Uint8Array): boolean {
    const other = this.#other
    if (other === undefined || this.#closed !== undefined) return true
    for (const chunk of this.#chunk(bytes)) {
      other.#unread += chunk.length
      this.#schedule(() => {
        other.#inbox.push(chunk)
        other.#flow()
      }, chunk.length)
    }
    const full = other.#unread > this.#highWaterBytes
    // Who was told to wait is told of the end of it, whatever it has written since.
    if (full) other.#writerWaits = true
    return !full
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#schedule(() => this.#flow(), 0)
  }

  end(): void {
    if (this.#closed !== undefined) return
    this.#hangUp()
    this.#close("end")
  }

  destroy(): void {
    this.end()
  }

  /** For the other end: all that was written here has been read. */
  drained(): void {
    this.#handlers?.drain()
  }

  #hangUp(): void {
    const other = this.#other
    if (other === undefined) return
    this.#schedule(() => {
      other.#ended = true
      other.#flow()
    }, 0)
  }

  #flow(): void {
    while (!this.#paused && this.#closed === undefined) {
      const chunk = this.#inbox.shift()
      if (chunk === undefined) break
      this.#unread -= chunk.length
      this.#handlers?.data(chunk)
    }
    if (this.#writerWaits && this.#unread === 0) {
      this.#writerWaits = false
      this.#other?.drained()
    }
    if (this.#ended && this.#inbox.length === 0 && !this.#paused) this.#close("end")
  }

  #close(reason: string): void {
    if (this.#closed !== undefined) return
    this.#closed = reason
    this.#inbox = []
    this.#handlers?.close(reason)
    this.#settle()
  }
}
