/**
 * A peer that means harm: real RLPx over a TCP socket, and a script that says where and how it breaks
 * the rules. It listens (to be dialled) and dials (who listens); what its script does not touch it
 * does as an honest peer would, and serves its chain.
 *
 * In: a {@link HostileScript}, a chain. Out: an address; counts of what it did. Without Effect: what
 * breaks rules has none to lean on.
 */
import net from "node:net"
import { type Enode } from "../../src/chain/enode.ts"
import { genesisHead, localStatus } from "../../src/chain/status.ts"
import { answerItems, encodeAnswer } from "../../src/devnet/answers.ts"
import { generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { toHex } from "../../src/domain/hex.ts"
import type { Breach } from "../../src/wire/breach.ts"
import {
  decodeGetBlockBodies,
  decodeGetBlockHeaders,
  decodeGetReceipts,
  encodeStatus,
  ETH,
  type EthRequest,
  type Status,
} from "../../src/wire/ethMessages.ts"
import { FrameReader, type FrameSecrets, FrameWriter } from "../../src/wire/frames.ts"
import { initiate, respond } from "../../src/wire/handshake.ts"
import {
  EMPTY_LIST,
  encodeHello,
  type EthVersion,
  FIRST_CAPABILITY_CODE,
  type Hello,
  P2P,
} from "../../src/wire/hello.ts"
import { compress, uncompress } from "../../src/wire/snappyMessage.ts"
import { makeKey } from "../wire/support.ts"

export type Key = ReturnType<typeof makeKey>

const HOST = "127.0.0.1"
const chainSpec = generatedChainSpec()
const MOST_BYTES = 2 ** 24 - 1

/** One connection, from the end of the handshake on. */
export class Line {
  readonly socket: net.Socket
  readonly key: Key
  readonly chain: ServedChain
  readonly version: EthVersion
  readonly #writer: FrameWriter
  readonly #timers = new Set<NodeJS.Timeout>()
  #compressed = false

  constructor(
    socket: net.Socket,
    secrets: FrameSecrets,
    { key, chain, version }: Pick<Line, "key" | "chain" | "version">,
  ) {
    this.socket = socket
    this.key = key
    this.chain = chain
    this.version = version
    this.#writer = new FrameWriter(secrets)
    socket.on("close", () => {
      for (const timer of this.#timers) clearInterval(timer)
    })
  }

  /** Everything from now on is compressed. */
  startCompression(): void {
    this.#compressed = true
  }

  /** A frame with this body, code byte included, as bytes to be sent. */
  frame(body: Uint8Array): Buffer {
    return this.#writer.frame(body)
  }

  /** The frame of a message of the base protocol or, with the offset, of eth. */
  message(code: number, payload: Uint8Array): Buffer {
    const packed = this.#compressed ? compress(payload) : payload
    return this.frame(Buffer.concat([Buffer.of(code === 0 ? 0x80 : code), packed]))
  }

  /** The frame of a message of eth whose payload is on the wire as it is given. */
  packed(code: number, packed: Uint8Array): Buffer {
    return this.frame(Buffer.concat([Buffer.of(FIRST_CAPABILITY_CODE + code), packed]))
  }

  /** The frame of a message of eth. */
  eth(code: number, payload: Uint8Array): Buffer {
    return this.packed(code, compress(payload))
  }

  send(bytes: Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  /** Runs `tick` every `ms` until the connection ends. */
  every(ms: number, tick: () => void): void {
    this.#timers.add(setInterval(tick, ms))
  }

  /** Sends bytes one by one, one in `ms`. */
  drip(bytes: Uint8Array, ms = 50): void {
    let at = 0
    this.every(ms, () => {
      this.send(bytes.subarray(at, at + 1))
      at += 1
    })
  }
}

/** What shows that annals noticed: the counter of the summary that rises. */
export type Expected =
  /** No session came about: `refused` where we were dialled, `inbound_refused` where we dialled. */
  | { readonly refused: string }
  /** The session was ended for a rule. */
  | { readonly breach: Breach }
  /** What it sent failed under this name. */
  | { readonly failure: string }
  /** The session ended otherwise, by whom and why. */
  | { readonly closed: string }
  /** So many of its requests are answered, at the pace that a session may have. */
  | { readonly served: number }
  /** Nothing is to be noticed: it is not against us. */
  | { readonly harmless: true }

/**
 * What is sent in place of the payload of an honest answer; undefined for nothing, or where it was
 * sent otherwise. `nth` counts the requests of the connection from 1.
 */
export type Answering = (
  line: Line,
  request: EthRequest,
  honest: Uint8Array,
  nth: number,
) => Uint8Array | undefined

/** Where and how a peer breaks the rules. What is not given it does honestly. */
export interface HostileScript {
  readonly name: string
  /** eth/70 when not given. */
  readonly version?: EthVersion
  readonly hello?: Partial<Hello>
  readonly status?: (honest: Status) => Status
  /** In place of the handshake. */
  readonly connected?: (socket: net.Socket) => void
  /** In place of hello. */
  readonly afterHandshake?: (line: Line, hello: Uint8Array) => void
  /** In place of Status. */
  readonly afterHello?: (line: Line, status: Uint8Array) => void
  /** Once Status is sent. */
  readonly opened?: (line: Line) => void
  /** In place of an honest answer. */
  readonly answer?: Answering
  readonly expected: Expected
}

/** See the module. */
export class HostilePeer {
  readonly script: HostileScript
  readonly chain: ServedChain
  readonly key: Key = makeKey()
  /** Connections that were open, ever, and sessions that came so far as to be asked something. */
  connections = 0
  asked = 0
  readonly #sockets = new Set<net.Socket>()
  readonly #server: net.Server
  #closed = false

  constructor(script: HostileScript, chain: ServedChain) {
    this.script = script
    this.chain = chain
    this.#server = net.createServer((socket) => {
      this.#take(socket)
      if (script.connected !== undefined) return script.connected(socket)
      respond(this.key.privateKey, this.key.nodeId).then(
        (handshake) => this.#shake(socket, handshake),
        () => socket.destroy(),
      )
    })
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size
  }

  /** Listens on a port of the system's choice. */
  async listen(): Promise<Enode> {
    await new Promise<void>((resolve) => this.#server.listen(0, HOST, resolve))
    const address = this.#server.address()
    const port = typeof address === "object" ? (address?.port ?? 0) : 0
    return { nodeId: toHex(this.key.nodeId), host: HOST, tcpPort: port, udpPort: port }
  }

  /** Dials who listens there, and again half a second after each end, until it is closed. */
  async dial(port: number, nodeId: Uint8Array): Promise<void> {
    if (this.#closed) return
    const socket = net.connect({ host: HOST, port })
    this.#take(socket)
    socket.on("close", () => {
      setTimeout(() => this.dial(port, nodeId).catch(() => {}), 500).unref()
    })
    await new Promise<void>((resolve) => {
      socket.once("connect", resolve)
      socket.once("close", () => resolve())
    })
    if (this.script.connected !== undefined) return this.script.connected(socket)
    this.#shake(socket, await initiate(this.key.privateKey, this.key.nodeId, nodeId))
  }

  /** Ends all. */
  async close(): Promise<void> {
    this.#closed = true
    for (const socket of this.#sockets) socket.destroy()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
  }

  #take(socket: net.Socket): void {
    this.connections += 1
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    socket.on("error", () => {})
    socket.on("close", () => this.#sockets.delete(socket))
    // Who never reads does not learn of the end either.
    if (this.script.connected !== undefined) socket.resume()
  }

  #shake(socket: net.Socket, handshake: Awaited<ReturnType<typeof respond>>): void {
    if (handshake.first !== undefined) socket.write(handshake.first)
    const read = (chunk: Uint8Array): void => {
      try {
        const result = handshake.push(chunk)
        if (result === undefined) return
        socket.off("data", read)
        if (result.reply !== undefined) socket.write(result.reply)
        this.#talk(socket, result.secrets, result.rest)
      } catch {
        socket.destroy()
      }
    }
    socket.on("data", read)
  }

  #talk(socket: net.Socket, secrets: FrameSecrets, rest: Uint8Array): void {
    const { script, key, chain } = this
    const line = new Line(socket, secrets, { key, chain, version: script.version ?? 70 })
    let stage: "hello" | "status" | "open" = "hello"
    let nth = 0
    const reader = new FrameReader(secrets, {
      header: () => {},
      frame: (body) => {
        const code = body[0] === 0x80 ? 0 : body[0]!
        if (stage === "hello") {
          if (code !== P2P.hello) return
          stage = "status"
          line.startCompression()
          return script.afterHandshake === undefined ? this.#sayStatus(line) : undefined
        }
        if (code === P2P.ping) return line.send(line.message(P2P.pong, EMPTY_LIST))
        if (code < FIRST_CAPABILITY_CODE) return
        if (stage === "status") {
          stage = "open"
          script.opened?.(line)
          return
        }
        const request = requestOf(line.version, code - FIRST_CAPABILITY_CODE, body.subarray(1))
        if (request === undefined) return
        this.asked += 1
        nth += 1
        this.#answer(line, code - FIRST_CAPABILITY_CODE, request, nth)
      },
    })
    const push = (chunk: Uint8Array): void => {
      try {
        reader.push(chunk)
      } catch {
        socket.destroy()
      }
    }
    const hello = encodeHello({
      p2pVersion: 5,
      clientId: `hostile/${script.name}`,
      capabilities: [{ name: "eth", version: line.version }],
      listenPort: 0,
      nodeId: key.nodeId,
      ...script.hello,
    })
    if (script.afterHandshake === undefined) line.send(line.message(P2P.hello, hello))
    else script.afterHandshake(line, hello)
    socket.on("data", push)
    push(rest)
  }

  #sayStatus(line: Line): void {
    const { chain, script } = this
    const head = { ...genesisHead(chainSpec), ...chain.head, earliest: 0 }
    const honest = localStatus(chainSpec, head, line.version)
    const status = encodeStatus(script.status?.(honest) ?? honest)
    if (script.afterHello === undefined) line.send(line.eth(ETH.status, status))
    else script.afterHello(line, status)
  }

  #answer(line: Line, code: number, request: EthRequest, nth: number): void {
    const { version } = line
    const honest = encodeAnswer(version, request, answerItems(this.chain, version, request))
    const { answer } = this.script
    const payload = answer === undefined ? honest : answer(line, request, honest, nth)
    if (payload !== undefined) line.send(line.eth(code + 1, payload))
  }
}

const requestOf = (
  version: EthVersion,
  code: number,
  packed: Uint8Array,
): EthRequest | undefined => {
  switch (code) {
    case ETH.getBlockHeaders:
      return decodeGetBlockHeaders(uncompress(packed, MOST_BYTES))
    case ETH.getBlockBodies:
      return decodeGetBlockBodies(uncompress(packed, MOST_BYTES))
    case ETH.getReceipts:
      return decodeGetReceipts(version, uncompress(packed, MOST_BYTES))
    default:
      return undefined
  }
}
