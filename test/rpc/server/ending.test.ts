/** A server that ends while its answers are on their way. */
import { connect, type Socket } from "node:net"
import { afterEach, assert, describe, it } from "vitest"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { memoryChain } from "../memoryReader.ts"
import { eventually, SocketClient, startServer, type TestServer } from "./support.ts"

const blocks = storedBlocks(generateChain({ blocks: 10, shape: "light", seed: 1 }))

/** More than the system's buffers hold. */
const call = { jsonrpc: "2.0", id: 1, method: "eth_getBlockByNumber", params: ["0x5", true] }
const body = JSON.stringify(Array.from({ length: 900 }, () => call))
const request = `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`

let server: TestServer
let client: SlowClient
afterEach(() => client.socket.destroy())

const pause = async (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Asks for much, and takes nothing until it is told to. */
class SlowClient {
  readonly socket: Socket
  /** All that came until the connection was closed. */
  readonly came: Promise<string>

  constructor(port: number) {
    const chunks: Array<Buffer> = []
    this.socket = connect(port, "127.0.0.1", () => this.socket.write(request))
    this.socket.on("error", () => undefined)
    this.socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    this.socket.pause()
    this.came = new Promise((resolve) => {
      this.socket.on("close", () => resolve(Buffer.concat(chunks).toString()))
    })
  }
}

const start = async (graceMs: number): Promise<void> => {
  server = await startServer(memoryChain(blocks).reader, { deadlines: { graceMs } })
  client = new SlowClient(server.port)
  await eventually(async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text()
    return Number(/^annals_rpc_held_bytes (\d+)$/m.exec(text)?.[1]) > 1_000_000
  })
  // It is written, and on its way.
  await pause(300)
}

/** Stops the server; how long that took. */
const stop = async (): Promise<number> => {
  const beganMs = Date.now()
  await server.stop()
  return Date.now() - beganMs
}

describe("a server that ends while an answer is taken slowly", () => {
  it("waits until it is taken, and no longer", async () => {
    await start(15_000)
    const stopped = stop()
    await pause(500)
    client.socket.resume()
    const came = await client.came
    const [head = "", content = ""] = came.split("\r\n\r\n")
    assert.strictEqual(content.length, Number(/content-length: (\d+)/i.exec(head)?.[1]))
    assert.lengthOf(JSON.parse(content), 900)
    assert.isBelow(await stopped, 10_000)
  })

  it("waits only so long for one that takes nothing", async () => {
    await start(400)
    const tookMs = await stop()
    assert.isAtLeast(tookMs, 400)
    assert.isBelow(tookMs, 5_000)
  })

  it("closes who waits for nothing at once, and tells WebSockets goodbye", async () => {
    await start(1_000)
    const listener = new SocketClient(server.url)
    await listener.opened
    const idle = connect(server.port, "127.0.0.1")
    idle.on("error", () => undefined)
    idle.write("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await new Promise((resolve) => idle.once("data", resolve))
    const beganMs = Date.now()
    const idleMs = new Promise<number>((resolve) => {
      idle.on("close", () => resolve(Date.now() - beganMs))
    })
    const stopped = stop()
    assert.isBelow(await idleMs, 900)
    assert.isUndefined(await fetch(`${server.url}/health`).catch(() => undefined))
    assert.strictEqual(await listener.closed, 1001)
    assert.isAtLeast(await stopped, 1_000)
  })
})
