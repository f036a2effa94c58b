/** WebSockets that send their messages in very many frames, or very many pings. */
import { EventEmitter, once } from "node:events"
import { connect, type Socket } from "node:net"
import { Effect } from "effect"
import { afterEach, assert, beforeEach, describe, it } from "vitest"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import { defaultRpcLimits } from "../../../src/rpc/rpcLimits.ts"
import { controlFrames, mostChunks, mostFrames } from "../../../src/rpc/server/serveSettings.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { memoryChain } from "../memoryReader.ts"
import { eventually, result, SocketClient, startServer, type TestServer } from "./support.ts"

const blocks = storedBlocks(generateChain({ blocks: 3, shape: "tiny", seed: 1 }))
let server: TestServer

beforeEach(async () => {
  server = await startServer(memoryChain(blocks).reader)
})

afterEach(async () => server.stop())

const TEXT = 1
const CONTINUATION = 0
const PING = 9
const PONG = 10

/** A client's frame of less than 64 KiB, masked with zeros (RFC 6455, 5.2). */
const frame = (opcode: number, payload: string, last = true): Buffer => {
  const { length } = payload
  const size = length > 125 ? [0x80 | 126, length >> 8, length & 0xff] : [0x80 | length]
  return Buffer.concat([
    Buffer.of((last ? 0x80 : 0) | opcode, ...size, 0, 0, 0, 0),
    Buffer.from(payload),
  ])
}

/** A message in `count` frames of a byte each, or of `size`. */
const inFrames = (text: string, count: number, size = 1): Buffer => {
  const all = text.padEnd(count * size, " ")
  const pieces = Array.from({ length: count }, (_, at) => all.slice(at * size, (at + 1) * size))
  return Buffer.concat(
    pieces.map((piece, at) =>
      frame(at === 0 ? TEXT : CONTINUATION, piece, at === pieces.length - 1),
    ),
  )
}

/** A client that writes frames by hand. */
class RawClient {
  readonly socket: Socket
  /** What came after the upgrade. */
  came = Buffer.alloc(0)
  readonly closed: Promise<void>

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1")
    this.socket.on("error", () => undefined)
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()))
  }

  async upgrade(): Promise<void> {
    this.socket.write(
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${"A".repeat(22)}==\r\n\r\n`,
    )
    await new Promise((resolve) => this.socket.once("data", resolve))
    this.socket.on("data", (chunk: Buffer) => {
      this.came = Buffer.concat([this.came, chunk])
    })
  }

  /** The code of the goodbye that came as the last frame. */
  get goodbye(): readonly [code: number, reason: string] | undefined {
    const at = this.came.lastIndexOf(0x88)
    if (at < 0) return undefined
    return [this.came.readUInt16BE(at + 2), this.came.subarray(at + 4).toString()]
  }
}

const open = async (): Promise<RawClient> => {
  const client = new RawClient(server.port)
  await client.upgrade()
  return client
}

const CALL = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] })
const most = mostFrames(defaultRpcLimits)

describe("a message in very many frames", () => {
  it("is answered while they are not more than a message may have", async () => {
    const client = await open()
    client.socket.write(inFrames(CALL, most))
    await eventually(() => client.came.includes("0x539"))
    client.socket.write(inFrames(CALL, most))
    await eventually(() => client.came.toString("latin1").split("0x539").length === 3)
    assert.isFalse(client.socket.destroyed)
    client.socket.destroy()
  })

  it("is answered when it is as large as it may be, in frames of 1,000 bytes", async () => {
    const client = await open()
    client.socket.write(inFrames(CALL, Math.floor(defaultRpcLimits.requestBytes / 1_000), 1_000))
    await eventually(() => client.came.includes("0x539") || client.socket.destroyed)
    assert.isFalse(client.socket.destroyed)
    assert.include(client.came.toString("latin1"), "0x539")
    client.socket.destroy()
  })

  it("ends the connection with 1008 when they are more, though they are few bytes", async () => {
    const client = await open()
    client.socket.write(inFrames(CALL, most + 1))
    await client.closed
    assert.strictEqual(client.goodbye?.[0], 1008)
    assert.notInclude(client.came.toString("latin1"), "0x539")
    assert.strictEqual(await result(server.url, "eth_chainId"), "0x539")
  })

  it("keeps little else in memory: pongs in between end the connection with 1008", async () => {
    const client = await open()
    const pongs = Buffer.concat(Array.from({ length: 400 }, () => frame(PONG, "x".repeat(125))))
    client.socket.write(frame(TEXT, " ", false))
    let sent = 0
    const send = (): void => {
      for (; sent < most - 2 && !client.socket.destroyed; sent++) {
        const more = Buffer.concat([frame(CONTINUATION, " ", false), pongs])
        if (!client.socket.write(more)) return void client.socket.once("drain", send)
      }
    }
    send()
    await client.closed
    assert.deepEqual(client.goodbye, [1008, "too many pings"])
    assert.isBelow(sent, most - 2)
  })
})

describe("a message in very many small chunks", () => {
  it("ends the connection with 1008 when more of them wait than may", async () => {
    const client = await open()
    client.socket.setNoDelay()
    const head = Buffer.alloc(14)
    head.writeUInt16BE(0x81ff)
    head.writeBigUInt64BE(BigInt(defaultRpcLimits.requestBytes), 2)
    client.socket.write(head)
    let sent = 0
    // A byte, and time to read it: then each is a chunk of its own.
    for (; client.goodbye === undefined && sent < 20 * mostChunks(defaultRpcLimits); sent++) {
      client.socket.write(" ")
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.strictEqual(client.goodbye?.[0], 1008)
    assert.isAtLeast(sent, mostChunks(defaultRpcLimits))
    await client.closed
  })
})

/** Pings, as fast as they are answered; how many there were. */
const pingUntilGoodbye = async (client: RawClient): Promise<number> => {
  const some = Buffer.concat(Array.from({ length: 40 }, () => frame(PING, "")))
  let sent = 0
  for (; client.goodbye === undefined && sent < 100 * controlFrames.burst; sent += 40) {
    const before = client.came.length
    client.socket.write(some)
    await eventually(() => client.came.length >= before + 2 * 40 || client.goodbye !== undefined)
  }
  return sent
}

describe("pings", () => {
  it("are answered, a burst of them, too", async () => {
    const client = await open()
    const burst = Array.from({ length: 50 }, (_, at) => frame(PING, `ping ${at}.`))
    client.socket.write(Buffer.concat(burst))
    await eventually(() => client.came.includes("ping 49."))
    client.socket.write(frame(TEXT, CALL))
    await eventually(() => client.came.includes("0x539"))
    assert.isFalse(client.socket.destroyed)
    client.socket.destroy()
  })

  it("without end are answered no more, and the connection ends with 1008", async () => {
    const client = await open()
    const sent = await pingUntilGoodbye(client)
    await client.closed
    assert.deepEqual(client.goodbye, [1008, "too many pings"])
    assert.isAtLeast(sent, controlFrames.burst)
    assert.isBelow(sent, 20 * controlFrames.burst)
  })

  it("many at once end the connection, before all are answered", async () => {
    const client = await open()
    const count = 10 * controlFrames.burst
    client.socket.write(Buffer.concat(Array.from({ length: count }, () => frame(PING, ""))))
    await client.closed
    assert.isBelow(client.came.length, 2 * (controlFrames.burst + 100))
  })

  it("of a client that does not read are not kept, and others are served meanwhile", async () => {
    const client = await open()
    client.socket.pause()
    const flood = Buffer.concat(Array.from({ length: 500 }, () => frame(PING, "x".repeat(125))))
    const send = (): void => {
      while (!client.socket.destroyed) {
        if (!client.socket.write(flood)) return void client.socket.once("drain", send)
      }
    }
    send()
    const other = new SocketClient(server.url)
    await other.opened
    for (let calls = 0; calls < 20; calls++) {
      assert.strictEqual((await other.call("eth_chainId")).result, "0x539")
    }
    client.socket.resume()
    await client.closed
    other.socket.terminate()
  })
})

describe("a client that is refused while a call is at work", () => {
  it("is read no more, though the call ends", async () => {
    const { reader } = memoryChain(blocks)
    const release = new EventEmitter()
    const released = once(release, "now")
    let asked = 0
    const slow = await startServer({
      ...reader,
      extent: Effect.zipRight(
        Effect.promise(async () => {
          asked += 1
          return released
        }),
        reader.extent,
      ),
    })
    const client = new RawClient(slow.port)
    await client.upgrade()
    client.socket.write(frame(TEXT, CALL.replace("eth_chainId", "eth_blockNumber")))
    await eventually(() => asked > 0)
    await pingUntilGoodbye(client)
    release.emit("now")
    const flood = Buffer.concat(Array.from({ length: 500 }, () => frame(PONG, "x".repeat(125))))
    const send = (): void => {
      while (!client.socket.destroyed) {
        if (!client.socket.write(flood)) return void client.socket.once("drain", send)
      }
    }
    send()
    // What the system takes for those who do not read; it was hundreds of megabytes.
    let taken = 0
    const look = setInterval(() => {
      taken = client.socket.bytesWritten - client.socket.writableLength
    }, 10)
    await client.closed
    clearInterval(look)
    await slow.stop()
    assert.isBelow(taken, 32 * 1024 * 1024)
  })
})
