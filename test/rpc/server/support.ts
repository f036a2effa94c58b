/** A server over a chain in memory, on a port of its own, and what asks it. */
import { Effect, Exit, Layer, Scope } from "effect"
import { WebSocket } from "ws"
import {
  ChainReader,
  type ChainReaderShape,
  type StoredBlock,
} from "../../../src/rpc/ChainReader.ts"
import { defaultRpcLimits, type RpcLimits } from "../../../src/rpc/rpcLimits.ts"
import { serveRpc, type SyncSource } from "../../../src/rpc/server/RpcServer.ts"
import {
  type Deadlines,
  defaultDeadlines,
  type ServeSettings,
} from "../../../src/rpc/server/serveSettings.ts"

/** How long is waited for what must come: the machine may be busy. */
const WAIT_MS = 20_000

/** A server that runs, and how to end it. */
export interface TestServer {
  readonly url: string
  readonly port: number
  readonly stop: () => Promise<void>
}

/** What a test may want other than by default. */
export interface TestServerOptions extends Partial<Omit<ServeSettings, "limits">> {
  readonly limits?: Partial<RpcLimits>
  readonly sync?: SyncSource
  readonly deadlines?: Partial<Deadlines>
}

/** Starts a server over what `reader` reads. */
export const startServer = async (
  reader: ChainReaderShape,
  options: TestServerOptions = {},
): Promise<TestServer> => startServerOver(Layer.succeed(ChainReader, reader), options)

/** Starts a server over a Layer that reads. */
export const startServerOver = async <E>(
  reader: Layer.Layer<ChainReader, E>,
  { limits, sync, deadlines, ...settings }: TestServerOptions = {},
): Promise<TestServer> => {
  const scope = Effect.runSync(Scope.make())
  const serving = serveRpc(
    {
      directory: "nowhere",
      host: "127.0.0.1",
      port: 0,
      hosts: [],
      origins: [],
      clientVersion: "annals/test",
      ...settings,
      limits: { ...defaultRpcLimits, ...limits },
    },
    sync,
    { ...defaultDeadlines, ...deadlines },
  )
  const { url, port } = await Layer.build(reader).pipe(
    Effect.flatMap((services) => Effect.provide(serving, services)),
    Scope.extend(scope),
    Effect.runPromise,
  )
  return { url, port, stop: async () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

/** An answer of JSON-RPC, as it came. */
export interface RpcAnswer {
  readonly id?: unknown
  readonly result?: unknown
  readonly error?: { readonly code: number; readonly message: string }
}

/** A response to {@link post}. */
export interface Posted {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The answer to one call. */
  readonly answer: RpcAnswer
  /** The answers to a batch. */
  readonly answers: ReadonlyArray<RpcAnswer>
}

/** Posts `body`, as it is when it is text. */
export const post = async (
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Posted> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    text,
    get answer() {
      return JSON.parse(text)
    },
    get answers() {
      return JSON.parse(text)
    },
  }
}

/** What `/status` says, as far as tests read it. */
export interface Status {
  readonly filters: number
  readonly websockets: number
  readonly store: { readonly unindexed_blocks: number }
}

/** Reads `/status`. */
export const statusOf = async (url: string): Promise<Status> => {
  const response = await fetch(`${url}/status`)
  return JSON.parse(await response.text())
}

/** Calls a method. */
export const call = async (
  url: string,
  method: string,
  ...params: ReadonlyArray<unknown>
): Promise<RpcAnswer> => (await post(url, { jsonrpc: "2.0", id: 1, method, params })).answer

/** The result of a call that goes well. */
export const result = async (
  url: string,
  method: string,
  ...params: ReadonlyArray<unknown>
): Promise<unknown> => {
  const answer = await call(url, method, ...params)
  if (answer.error !== undefined) throw new Error(`${method}: ${JSON.stringify(answer.error)}`)
  return answer.result
}

/** What a WebSocket was told without asking. */
export interface Notification {
  readonly subscription: string
  readonly result: Record<string, unknown>
}

/** A client over WebSocket that keeps what it is told. */
export class SocketClient {
  readonly socket: WebSocket
  readonly told: Array<Notification> = []
  /** The code that the connection was closed with. */
  readonly closed: Promise<number>
  readonly #answers = new Map<unknown, (answer: RpcAnswer) => void>()
  #nextId = 1

  constructor(url: string, headers: Record<string, string> = {}) {
    this.socket = new WebSocket(url.replace("http", "ws"), { headers })
    this.socket.on("message", (data) => this.#take(JSON.parse(data.toString())))
    this.socket.on("error", () => undefined)
    this.closed = new Promise((resolve) => this.socket.on("close", resolve))
  }

  get opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.on("open", () => resolve())
      this.socket.on("error", reject)
    })
  }

  async call(method: string, ...params: ReadonlyArray<unknown>): Promise<RpcAnswer> {
    const id = this.#nextId++
    const answer = new Promise<RpcAnswer>((resolve) => this.#answers.set(id, resolve))
    this.socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }))
    return answer
  }

  /** Waits until it was told `count` things; fails after a while. */
  async toldAtLeast(count: number): Promise<ReadonlyArray<Notification>> {
    const until = Date.now() + WAIT_MS
    while (this.told.length < count) {
      if (Date.now() > until) throw new Error(`told ${this.told.length} of ${count}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return this.told
  }

  #take(message: RpcAnswer & { method?: string; params?: Notification }): void {
    if (message.method === "eth_subscription") this.told.push(message.params!)
    else this.#answers.get(message.id)?.(message)
  }
}

/** Waits until `holds`; fails after a while. */
export const eventually = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  const until = Date.now() + WAIT_MS
  while (!(await holds())) {
    if (Date.now() > until) throw new Error("not in time")
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The blocks of a chain from `from` on. */
export const upFrom = (
  blocks: ReadonlyArray<StoredBlock>,
  from: number,
): [StoredBlock, ...Array<StoredBlock>] => {
  const [first, ...rest] = blocks.filter(({ blockNumber }) => blockNumber >= from)
  return [first!, ...rest]
}
