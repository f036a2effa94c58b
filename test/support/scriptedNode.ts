/**
 * A node on loopback that does as it is told: a TCP listener with a key of its own, and a script for
 * every connection. For peers that no devnet peer could be: deaf, rude, on another chain.
 */
import net from "node:net"
import { Effect, type Scope } from "effect"
import type { Enode } from "../../src/chain/enode.ts"
import { toHex } from "../../src/domain/hex.ts"
import { respond } from "../../src/wire/handshake.ts"
import { encodeHello, type Hello, P2P } from "../../src/wire/hello.ts"
import { MessageLink } from "../../src/wire/MessageLink.ts"
import { NodeTransport } from "../../src/wire/Transport.ts"
import { makeKey } from "../wire/support.ts"

export type Key = ReturnType<typeof makeKey>

/** What a node does with its `nth` connection (from 1). */
export type Script = (socket: net.Socket, key: Key, nth: number) => void

export interface ScriptedNode {
  readonly enode: Enode
  /** When each connection came, by `performance.now()`. */
  readonly connectedAtMs: ReadonlyArray<number>
  /** Connections whose socket is not closed. */
  readonly open: () => number
}

const HOST = "127.0.0.1"

/** Starts a node; its listener and all of its sockets are gone with the scope. */
export const scriptedNode = (script: Script): Effect.Effect<ScriptedNode, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ node: ScriptedNode; close: () => Promise<void> }>((resume) => {
      const key = makeKey()
      const sockets = new Set<net.Socket>()
      const connectedAtMs: Array<number> = []
      const server = net.createServer((socket) => {
        sockets.add(socket)
        connectedAtMs.push(performance.now())
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
        script(socket, key, connectedAtMs.length)
      })
      const close = async (): Promise<void> =>
        new Promise((resolve) => {
          server.close(() => resolve())
          for (const socket of sockets) socket.destroy()
        })
      server.listen(0, HOST, () => {
        const address = server.address()
        const port = typeof address === "object" ? (address?.port ?? 0) : 0
        const enode = { nodeId: toHex(key.nodeId), host: HOST, tcpPort: port, udpPort: 0 }
        const node = { enode, connectedAtMs, open: () => sockets.size }
        resume(Effect.succeed({ node, close }))
      })
    }),
    ({ close }) => Effect.promise(close),
  ).pipe(Effect.map(({ node }) => node))

/** Does the handshake as the side that is dialled, and then what `script` says. */
export const afterHandshake =
  (script: (link: MessageLink, key: Key, nth: number) => void): Script =>
  (socket, key, nth) => {
    const transport = NodeTransport.accepted(socket)
    const begin = async (): Promise<void> => {
      const handshake = await respond(key.privateKey, key.nodeId)
      transport.attach({
        data: (chunk) => {
          const result = handshake.push(chunk)
          if (result?.reply === undefined) return
          transport.pause()
          transport.write(result.reply)
          const options = { now: () => performance.now(), admitFrame: undefined }
          const link = new MessageLink(transport, result.secrets, options)
          link.start(result.rest)()
          script(link, key, nth)
        },
        drain: () => {},
        close: () => {},
      })
    }
    begin().catch(() => socket.destroy())
  }

/** A good hello of a node with this key. */
export const helloOf = (key: Key, more: Partial<Hello> = {}): Hello => ({
  p2pVersion: 5,
  clientId: "script",
  capabilities: [{ name: "eth", version: 69 }],
  listenPort: 0,
  nodeId: key.nodeId,
  ...more,
})

/** Does handshake and hello, and then what `script` says. */
export const afterHello = (
  script: (link: MessageLink, key: Key, nth: number) => void,
  more: Partial<Hello> = {},
): Script =>
  afterHandshake((link, key, nth) => {
    link.send(P2P.hello, encodeHello(helloOf(key, more)))
    link.startCompression()
    script(link, key, nth)
  })
