/**
 * A network for datagrams in memory, for tests: sockets at made-up addresses, delivery by microtask,
 * and a hook that loses or changes what the test wants. No clock and no socket is involved.
 */
import { Effect } from "effect"
import { ListenError } from "../../wire/WireError.ts"
import type { DatagramSocket, Endpoint, OpenDatagrams } from "./Datagrams.ts"

/** A datagram under way. */
export interface Datagram {
  readonly from: Endpoint
  readonly to: Endpoint
  readonly bytes: Uint8Array
}

/** See the module. */
export class MemoryDatagrams {
  readonly #sockets = new Map<string, (from: Endpoint, bytes: Uint8Array) => void>()
  #nextPort = 40_000
  /** Everything that was sent so far, lost or not. */
  readonly sent: Array<Datagram> = []
  /** What arrives of a datagram; nothing when it gets lost. */
  onTheWay: (datagram: Datagram) => Uint8Array | undefined = ({ bytes }) => bytes

  /** Sockets that are open. */
  get openSockets(): number {
    return this.#sockets.size
  }

  /** As `openUdp`; the host is the address that others see. */
  readonly open: OpenDatagrams = ({ host, port }, receive) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        const at = { ip: host, port: port === 0 ? this.#nextPort++ : port }
        const key = `${at.ip}:${at.port}`
        if (this.#sockets.has(key)) {
          return Effect.fail(new ListenError({ host, port, reason: "EADDRINUSE" }))
        }
        this.#sockets.set(key, receive)
        return Effect.succeed({ key, socket: this.#socketAt(at) })
      }),
      ({ key }) => Effect.sync(() => this.#sockets.delete(key)),
    ).pipe(Effect.map(({ socket }) => socket))

  #socketAt(from: Endpoint): DatagramSocket {
    return {
      port: from.port,
      send: (to, bytes) => {
        const datagram = { from, to, bytes }
        this.sent.push(datagram)
        const arriving = this.onTheWay(datagram)
        if (arriving === undefined) return
        queueMicrotask(() => this.#sockets.get(`${to.ip}:${to.port}`)?.(from, arriving))
      },
    }
  }
}
