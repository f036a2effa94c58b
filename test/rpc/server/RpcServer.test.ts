/** The server over a chain in memory: envelope, limits, rules, pages, and clients that misbehave. */
import { request } from "node:http"
import { connect, type Socket } from "node:net"
import { Effect } from "effect"
import { afterEach, assert, beforeAll, describe, it } from "vitest"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import type { SyncReport } from "../../../src/observe/syncReport.ts"
import type { StoredBlock } from "../../../src/rpc/ChainReader.ts"
import { defaultRpcLimits } from "../../../src/rpc/rpcLimits.ts"
import { heldBytes } from "../../../src/rpc/server/serveSettings.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { blockLogs, memoryChain } from "../memoryReader.ts"
import {
  call,
  eventually,
  post,
  type Posted,
  result,
  SocketClient,
  startServer,
  statusOf,
  type TestServer,
  type TestServerOptions,
} from "./support.ts"

let blocks: ReadonlyArray<StoredBlock> = []
let server: TestServer | undefined

beforeAll(() => {
  blocks = storedBlocks(generateChain({ blocks: 40, shape: "light", seed: 1 }))
})

const start = async (options: TestServerOptions = {}): Promise<TestServer> => {
  server = await startServer(memoryChain(blocks).reader, options)
  return server
}

afterEach(async () => {
  await server?.stop()
  server = undefined
})

const errorOf = ({ answer }: Posted): number | undefined => answer.error?.code

/** The first line of what a request by hand is answered with. */
const raw = async (port: number, text: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text))
    let answer = ""
    socket.on("data", (chunk) => {
      answer += chunk.toString()
    })
    socket.on("error", () => undefined)
    socket.on("close", () => resolve(answer))
  })

describe("calls over HTTP", () => {
  it("answers one, a batch, and no notification", async () => {
    const { url } = await start()
    assert.strictEqual(await result(url, "eth_blockNumber"), "0x28")
    const batch = await post(url, [
      { jsonrpc: "2.0", id: "a", method: "eth_chainId" },
      { jsonrpc: "2.0", method: "eth_chainId" },
      { jsonrpc: "2.0", id: "b", method: "eth_nothing" },
      7,
    ])
    assert.deepEqual(
      batch.answers.map(({ id, error, result }) => [id, error?.code ?? result]),
      [
        ["a", "0x539"],
        ["b", -32601],
        [null, -32600],
      ],
    )
    const none = await post(url, { jsonrpc: "2.0", method: "eth_chainId" })
    assert.deepEqual([none.status, none.text], [204, ""])
  })

  it.each([
    ["{", -32700],
    ["[]", -32600],
    [`[${"1,".repeat(1000)}1]`, -32600],
    ['{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":[1,2,3]}', -32602],
    ['{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":{"a":1}}', -32602],
    ['{"jsonrpc":"2.0","id":1,"method":"eth_getFilterChanges","params":[{}]}', -32602],
    ['{"jsonrpc":"2.0","id":1,"method":"eth_newFilter","params":["0x"]}', -32602],
    ['{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}', -32601],
    ['{"jsonrpc":"2.0","id":1,"method":"eth_newPendingTransactionFilter"}', -32601],
    ['{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x00"]}', -32601],
  ])("refuses %s with %d", async (body, code) => {
    const { url } = await start()
    const answer = await post(url, body)
    assert.strictEqual(answer.status, 200)
    assert.strictEqual(errorOf(answer), code)
  })

  it("refuses ranges that are too wide, and results that are too many, in words that clients read", async () => {
    const { url } = await start({ limits: { logBlocks: 20, logResults: 100 } })
    const wide = await call(url, "eth_getLogs", { fromBlock: "0x0", toBlock: "0x20" })
    assert.strictEqual(wide.error?.code, -32602)
    const many = await call(url, "eth_getLogs", { fromBlock: "0x1", toBlock: "0x10" })
    assert.strictEqual(many.error?.code, -32005)
    assert.match(
      many.error?.message ?? "",
      /^query returned more than 100 results\. Try with this block range \[0x1, 0x5\]\.$/,
    )
  })

  it("drops a body that is too large, declared or not, and serves the connection's next request", async () => {
    const { url, port } = await start({ limits: { requestBytes: 1000 } })
    const declared = await post(url, " ".repeat(1001))
    assert.deepEqual([declared.status, errorOf(declared)], [413, -32600])
    const chunk = `3e8\r\n${" ".repeat(1000)}\r\n`
    const answers = await raw(
      port,
      `POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n` +
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    assert.match(answers, /^HTTP\/1\.1 413 /)
    assert.match(answers, /HTTP\/1\.1 200 OK[^]*alive/)
    assert.strictEqual((await post(url, " ".repeat(1000))).status, 200)
  })

  it("shares an answer's bytes among the calls of a batch", async () => {
    const { url } = await start({ limits: { responseBytes: 30_000 } })
    const one = { jsonrpc: "2.0", method: "eth_getBlockByNumber", params: ["0x5", true] }
    const { answers } = await post(
      url,
      Array.from({ length: 20 }, (_, id) => ({ ...one, id })),
    )
    assert.deepEqual(
      answers.map(({ id }) => id),
      Array.from({ length: 20 }, (_, id) => id),
    )
    const codes = answers.map(({ error }) => error?.code)
    assert.include(codes, undefined)
    assert.include(codes, -32005)
    assert.isAtMost(
      JSON.stringify(answers.filter(({ error }) => error === undefined)).length,
      30_500,
    )
  })

  it("ends a call that takes too long, and says so", async () => {
    const { reader } = memoryChain(blocks)
    server = await startServer({ ...reader, extent: Effect.never }, { limits: { callMs: 50 } })
    const began = Date.now()
    const answer = await call(server.url, "eth_blockNumber")
    assert.strictEqual(answer.error?.code, -32005)
    assert.isBelow(Date.now() - began, 2_000)
    assert.strictEqual(await result(server.url, "eth_chainId"), "0x539")
  })

  it("does not count the wait for a turn as work, and lets queries of logs hold up no others", async () => {
    const { reader } = memoryChain(blocks)
    let begun = 0
    const logs: typeof reader.logs = (...asked) => {
      begun += 1
      return Effect.delay(reader.logs(...asked), "100 millis")
    }
    server = await startServer({ ...reader, logs }, { limits: { callMs: 600 } })
    const { url } = server
    const range = { fromBlock: "0x1", toBlock: "0x2" }
    const began = Date.now()
    const many = Array.from({ length: 40 }, async () => call(url, "eth_getLogs", range))
    assert.strictEqual(await result(url, "eth_blockNumber"), "0x28")
    assert.isBelow(begun, 40)
    for (const { error } of await Promise.all(many)) assert.isUndefined(error)
    assert.isAbove(Date.now() - began, 900)
  })

  it("lets nobody wait for a turn for ever", async () => {
    const { reader } = memoryChain(blocks)
    server = await startServer(
      { ...reader, logs: () => Effect.never },
      { limits: { callMs: 300 }, deadlines: { waitMs: 200 } },
    )
    const { url } = server
    const range = { fromBlock: "0x1", toBlock: "0x2" }
    const many = Array.from({ length: 30 }, async () => call(url, "eth_getLogs", range))
    const answers = await Promise.all(many)
    for (const { error } of answers) assert.strictEqual(error?.code, -32005)
    const told = new Set(answers.map(({ error }) => error?.message))
    const says = ["the call took longer than 300 ms", "the server is busy: try again later"]
    assert.sameMembers([...told], says)
  })

  it("lets the calls of a batch work only so long together", async () => {
    const { reader } = memoryChain(blocks)
    const logs: typeof reader.logs = (...asked) => Effect.delay(reader.logs(...asked), "150 millis")
    server = await startServer({ ...reader, logs }, { limits: { callMs: 1_000 } })
    const params = [{ fromBlock: "0x1", toBlock: "0x2" }]
    const { answers } = await post(
      server.url,
      Array.from({ length: 12 }, (_, id) => ({
        jsonrpc: "2.0",
        id,
        method: "eth_getLogs",
        params,
      })),
    )
    assert.isUndefined(answers[0]?.error)
    assert.strictEqual(answers.at(-1)?.error?.message, "the call took longer than 1000 ms")
  })

  it("keeps what failed inside to itself", async () => {
    const { reader } = memoryChain(blocks)
    server = await startServer({ ...reader, extent: Effect.dieMessage("secret") })
    const { error } = await call(server.url, "eth_blockNumber")
    assert.deepEqual(error, { code: -32603, message: "internal error" })
  })

  it("stops the calls of a client that leaves", async () => {
    const { reader } = memoryChain(blocks)
    let begun = 0
    let stopped = 0
    const extent = Effect.zipRight(
      Effect.sync(() => {
        begun += 1
      }),
      Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          stopped += 1
        }),
      ),
    )
    server = await startServer({ ...reader, extent })
    const asking = request(server.url, { method: "POST" })
    asking.on("error", () => undefined)
    asking.end('{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}')
    await eventually(() => begun === 1)
    asking.destroy()
    await eventually(() => stopped === 1)
    assert.deepEqual([begun, stopped], [1, 1])
  })
})

/** What a client makes of a connection that was refused (RFC 6455, 7.1.5). */
const NEVER_OPENED = 1006

describe("who is let in", () => {
  it("refuses names that are not ours, and takes addresses and localhost", async () => {
    const { url, port } = await start({ hosts: ["annals.example"] })
    const status = async (host: string): Promise<string> =>
      (await raw(port, `GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).slice(
        9,
        12,
      )
    assert.strictEqual(await status("evil.example"), "403")
    assert.strictEqual(await status("evil.example:80"), "403")
    assert.strictEqual(await status("localhost:1"), "200")
    assert.strictEqual(await status("[::1]:1"), "200")
    assert.strictEqual(await status("ANNALS.example:1"), "200")
    assert.strictEqual((await fetch(`${url}/health`)).status, 200)
  })

  it("allows no page of another origin, unless it was named", async () => {
    const { url } = await start({ origins: ["https://mine.example"] })
    const preflight = async (origin: string): Promise<Response> =>
      fetch(url, { method: "OPTIONS", headers: { origin } })
    assert.strictEqual((await preflight("https://evil.example")).status, 403)
    const allowed = await preflight("https://mine.example")
    assert.strictEqual(allowed.status, 204)
    assert.strictEqual(allowed.headers.get("access-control-allow-origin"), "https://mine.example")
    const body = { jsonrpc: "2.0", id: 1, method: "eth_chainId" }
    const evil = await post(url, body, { origin: "https://evil.example" })
    assert.isNull(evil.headers.get("access-control-allow-origin"))
    assert.strictEqual(evil.status, 403)
    assert.strictEqual((await post(url, body, { origin: "null" })).status, 403)
    assert.strictEqual((await post(url, body, { origin: "https://mine.example" })).status, 200)
    const form = await post(url, body, { "content-type": "text/plain" })
    assert.strictEqual(form.status, 415)
  })

  it("takes a body without a type from what is no page only", async () => {
    const { port } = await start({ origins: ["*"] })
    const body = '{"jsonrpc":"2.0","id":1,"method":"eth_newFilter","params":[{}]}'
    const head = `POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${body.length}\r\n`
    assert.match(await raw(port, `${head}\r\n${body}`), /^HTTP\/1\.1 200 /)
    const page = await raw(port, `${head}Origin: https://any.example\r\n\r\n${body}`)
    assert.match(page, /^HTTP\/1\.1 415 /)
  })

  it("answers as ever where an upgrade is offered that there is not", async () => {
    const { port } = await start()
    const body = '{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
    const offer =
      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAA\r\n"
    const head = `POST / HTTP/1.1\r\nHost: localhost\r\n${offer}Content-Type: application/json\r\n`
    const declared = `${head}Content-Length: ${body.length}\r\n\r\n${body}`
    const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
    const last = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for (const asked of [declared, chunked]) {
      const answer = await raw(port, asked + last)
      assert.match(answer, /^HTTP\/1\.1 200 [^]*"result":"0x539"[^]*HTTP\/1\.1 200 [^]*alive/)
    }
    // The body comes later than the head.
    const slow = connect(port, "127.0.0.1", () => slow.write(declared.slice(0, -body.length)))
    let answer = ""
    slow.on("data", (chunk) => {
      answer += chunk.toString()
    })
    await new Promise((resolve) => setTimeout(resolve, 50))
    slow.write(body)
    await eventually(() => answer.includes('"result":"0x539"'))
    slow.destroy()
    const page = `GET /health HTTP/1.1\r\nHost: localhost\r\n${offer}\r\n${last}`
    assert.match(await raw(port, page), /alive[^]*alive/)
  })

  it("upgrades no page of another origin", async () => {
    const { url } = await start({ origins: ["https://mine.example"] })
    const evil = new SocketClient(url, { origin: "https://evil.example" })
    assert.strictEqual(await evil.closed, NEVER_OPENED)
    const mine = new SocketClient(url, { origin: "https://mine.example" })
    await mine.opened
    mine.socket.terminate()
    const elsewhere = new SocketClient(`${url}/status`)
    assert.strictEqual(await elsewhere.closed, NEVER_OPENED)
  })

  it("closes connections beyond the limit", async () => {
    const { port } = await start({ limits: { connections: 2 } })
    const held = [1, 2].map(() => connect(port, "127.0.0.1"))
    await Promise.all(held.map((socket) => new Promise((resolve) => socket.on("connect", resolve))))
    const third = connect(port, "127.0.0.1")
    third.on("error", () => undefined)
    await new Promise((resolve) => third.on("close", resolve))
    assert.isTrue(held.every((socket) => !socket.destroyed))
    held.forEach((socket) => socket.destroy())
  })

  it("closes a connection that sends many requests without waiting for answers", async () => {
    const { reader } = memoryChain(blocks)
    server = await startServer({ ...reader, extent: Effect.never })
    const body = '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}'
    const one = `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    assert.strictEqual(await raw(server.port, one.repeat(20)), "")
  })
})

const get = async (url: string, path: string): Promise<[number, string, string | null]> => {
  const response = await fetch(`${url}${path}`)
  return [response.status, await response.text(), response.headers.get("content-type")]
}

describe("a server that ends", () => {
  const GRACE_MS = 200

  it("waits only a while for a body that does not come", async () => {
    const { port, stop } = await start({ deadlines: { graceMs: GRACE_MS } })
    const head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    const slow = connect(port, "127.0.0.1", () => slow.write(`${head}Content-Length: 100\r\n\r\n{`))
    slow.on("error", () => undefined)
    await new Promise((resolve) => setTimeout(resolve, 200))
    const beganMs = Date.now()
    await stop()
    assert.isBelow(Date.now() - beganMs, 5_000)
    slow.destroy()
  })

  it("interrupts calls that take longer, and is not over before they are", async () => {
    const { reader } = memoryChain(blocks)
    let atWork = 0
    const logs: typeof reader.logs = () =>
      Effect.acquireUseRelease(
        Effect.sync(() => void (atWork += 1)),
        () => Effect.never,
        () =>
          Effect.zipRight(
            Effect.sleep("50 millis"),
            Effect.sync(() => void (atWork -= 1)),
          ),
      )
    const deadlines = { graceMs: GRACE_MS }
    const { url, stop } = (server = await startServer({ ...reader, logs }, { deadlines }))
    const range = { fromBlock: "0x1", toBlock: "0x5" }
    const asked = Promise.allSettled([1, 2, 3, 4].map(async () => call(url, "eth_getLogs", range)))
    await eventually(() => atWork === 4)
    const beganMs = Date.now()
    await stop()
    assert.isBelow(Date.now() - beganMs, 5_000)
    assert.strictEqual(atWork, 0)
    await asked
  })
})

describe("pages", () => {
  it("answers what is asked wrongly in one line", async () => {
    const { url } = await start()
    for (const [path, status] of [
      ["/", 405],
      ["/ws", 426],
      ["/nothing", 404],
    ] as const) {
      const [got, text] = await get(url, path)
      assert.strictEqual(got, status)
      assert.match(text, /^[^\n]+\n$/)
    }
    assert.strictEqual((await fetch(`${url}/health`, { method: "POST" })).status, 405)
    assert.strictEqual((await fetch(`${url}/health`, { method: "HEAD" })).status, 200)
  })

  it("is alive always, and ready once a block is stored", async () => {
    const chain = memoryChain([])
    server = await startServer(chain.reader)
    assert.strictEqual((await get(server.url, "/health"))[0], 200)
    assert.strictEqual((await get(server.url, "/ready"))[0], 503)
    chain.add(blocks)
    assert.strictEqual((await get(server.url, "/ready"))[0], 200)
  })

  it("is ready with a sync once that is at the head", async () => {
    const behind: SyncReport = {
      phase: "following",
      startBlock: 0,
      targetBlock: 40,
      headBlock: 50,
      blocksBehind: 10,
      behindSinceMs: 0,
      reorgs: 0,
    }
    let report: SyncReport | undefined
    const { url } = await start({
      sync: {
        report: () => report,
        metricsText: Effect.succeed("annals_blocks_fetched_total 7\n"),
      },
    })
    assert.strictEqual((await get(url, "/ready"))[0], 503)
    report = behind
    assert.deepEqual((await get(url, "/ready")).slice(0, 2), [
      503,
      "not ready: 10 blocks behind the head\n",
    ])
    report = { ...behind, blocksBehind: 2 }
    assert.strictEqual((await get(url, "/ready"))[0], 200)
    const [, text] = await get(url, "/status")
    assert.deepInclude(JSON.parse(text), { sync: { ...behind, blocksBehind: 2 }, ready: true })
    assert.include((await get(url, "/metrics"))[1], "annals_blocks_fetched_total 7\n")
  })

  it("tells what the store holds, and counts calls without names that clients make up", async () => {
    const { url } = await start()
    await result(url, "eth_chainId")
    await call(url, "eth_madeUpByAClient")
    const [status, text, type] = await get(url, "/metrics")
    assert.strictEqual(status, 200)
    assert.match(type ?? "", /^text\/plain; version=0\.0\.4/)
    for (const line of text.trimEnd().split("\n")) {
      assert.match(line, /^(# (HELP|TYPE) annals_\w+ .+|annals_\w+(\{(\w+="[^"]*",?)+\})? \S+)$/)
    }
    assert.match(text, /annals_rpc_calls_total\{[^}]*method="eth_chainId"[^}]*\} [1-9]/)
    assert.match(text, /annals_rpc_calls_total\{[^}]*method="unknown"[^}]*\} [1-9]/)
    assert.notInclude(text, "madeUp")
    assert.match(text, /annals_rpc_call_seconds_bucket\{[^}]*le="\+Inf"\} [1-9]/)
    assert.include(text, "annals_store_latest_block 40\n")
    const [, json] = await get(url, "/status")
    assert.deepInclude(JSON.parse(json), { chain_id: 1337, ready: true, sync: null })
    assert.deepInclude(JSON.parse(json).store, {
      blocks: 41,
      earliest: 0,
      latest: 40,
      unindexed_blocks: 0,
    })
  })
})

describe("calls over WebSocket", () => {
  it("answers as over HTTP, batches too", async () => {
    const { url } = await start()
    const client = new SocketClient(`${url}/ws`)
    await client.opened
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, at) =>
        client.call("eth_getBlockByNumber", `0x${(at % 40).toString(16)}`, true),
      ),
    )
    for (const { error } of answers) assert.isUndefined(error)
    client.socket.send("{")
    client.socket.terminate()
    await client.closed
  })

  it("closes a connection that sends too much at once", async () => {
    const { url } = await start({ limits: { requestBytes: 1000 } })
    const client = new SocketClient(url)
    await client.opened
    client.socket.send(" ".repeat(1001))
    assert.strictEqual(await client.closed, 1009)
  })

  it("holds no more than the budget for a client that does not read, and serves others meanwhile", async () => {
    const { url, port } = await start({ limits: { responseBytes: 100_000 } })
    const deaf = connect(port, "127.0.0.1")
    const one = { jsonrpc: "2.0", id: 1, method: "eth_getBlockByNumber", params: ["0x5", true] }
    const body = JSON.stringify(one)
    await new Promise((resolve) => deaf.on("connect", resolve))
    deaf.pause()
    deaf.write(
      `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`.repeat(
        8,
      ),
    )
    assert.strictEqual(await result(url, "eth_chainId"), "0x539")
    deaf.destroy()
    await eventually(async () =>
      (await (await fetch(`${url}/metrics`)).text()).includes("annals_rpc_held_bytes 0\n"),
    )
  })

  it("gives back what was held for requests behind others when their connection is gone", async () => {
    const { reader } = memoryChain(blocks)
    let interrupted = 0
    let begun = 0
    const numberOf = () =>
      Effect.suspend(() => {
        begun += 1
        return Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      })
    server = await startServer({ ...reader, numberOf })
    const { url, port } = server
    const never = requestText("eth_getBlockByHash", [`0x${"11".repeat(32)}`, false])
    const leaver = connect(port, "127.0.0.1")
    leaver.on("error", () => undefined)
    leaver.write(never.repeat(3))
    await eventually(() => begun === 3)
    assert.isAbove(await held(url), 300)
    leaver.destroy()
    await eventually(async () => (await held(url)) === 0)
    await eventually(() => interrupted === 3)
    // More than may be under way: the connection ends.
    const greedy = connect(port, "127.0.0.1")
    greedy.on("error", () => undefined)
    greedy.write(requestText("eth_chainId", []).repeat(50))
    await new Promise((resolve) => greedy.once("close", resolve))
    await eventually(async () => (await held(url)) === 0)
  })

  it("is closed to who ignores the goodbye", async () => {
    const { port, stop } = await start()
    const key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    const head = `GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`
    const mute = connect(port, "127.0.0.1", () => mute.write(head))
    await new Promise((resolve) => mute.once("data", resolve))
    const closed = new Promise((resolve) => mute.once("close", resolve))
    const beganMs = Date.now()
    await stop()
    assert.isBelow(Date.now() - beganMs, 5_000)
    await closed
  })

  it("stays open while its client is alive, but asks so much that it is not read from", async () => {
    const { reader } = memoryChain(blocks)
    const logs: typeof reader.logs = (...asked) => Effect.delay(reader.logs(...asked), 100)
    server = await startServer({ ...reader, logs }, { deadlines: { pingMs: 300 } })
    const client = new SocketClient(server.url)
    await client.opened
    let answers = 0
    client.socket.on("message", () => {
      answers += 1
    })
    const params = [{ fromBlock: "0x1", toBlock: "0x5" }]
    const padding = " ".repeat(2_000)
    for (let id = 0; id < 120; id++) {
      const call = JSON.stringify({ jsonrpc: "2.0", id, method: "eth_getLogs", params })
      client.socket.send(call + padding)
    }
    await eventually(() => answers === 120)
    assert.isTrue(await Promise.race([client.closed.then(() => false), Promise.resolve(true)]))
    client.socket.terminate()
  })

  it("says goodbye when the server ends", async () => {
    const { url, stop } = await start()
    const client = new SocketClient(url)
    await client.opened
    await stop()
    server = undefined
    assert.strictEqual(await client.closed, 1001)
  })
})

/** A request by hand. */
const requestText = (method: string, params: ReadonlyArray<unknown>): string => {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params })
  return `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

const held = async (url: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^annals_rpc_held_bytes (\d+)$/m.exec(text)?.[1])
}

/** Opens a WebSocket by hand and sends the first `sent` bytes of a message of `length`. */
const unfinished = async (port: number, length: number, sent: number): Promise<Socket> => {
  const socket = connect(port, "127.0.0.1")
  socket.on("error", () => undefined)
  socket.write(
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${"A".repeat(22)}==\r\n\r\n`,
  )
  await new Promise((resolve) => socket.once("data", resolve))
  socket.resume()
  const head = Buffer.alloc(14)
  head.writeUInt16BE(0x81ff)
  head.writeBigUInt64BE(BigInt(length), 2)
  socket.write(Buffer.concat([head, Buffer.alloc(sent, " ")]))
  return socket
}

describe("messages over WebSocket that are not whole", () => {
  it("are within the budget of all connections; beyond it the connection ends", async () => {
    const limits = { requestBytes: 100_000, responseBytes: 10_000 }
    const { url, port } = await start({ limits })
    const mostBytes = heldBytes({ ...defaultRpcLimits, ...limits })
    const most = Math.floor(mostBytes / 99_914)
    const sockets: Array<Socket> = []
    for (let at = 0; at < most; at++) sockets.push(await unfinished(port, 100_000, 99_900))
    await eventually(async () => (await held(url)) === most * 99_914)
    const more = await unfinished(port, 100_000, 99_900)
    await new Promise((resolve) => more.once("close", resolve))
    assert.isAtMost(await held(url), mostBytes)
    // Small requests go on.
    assert.strictEqual(await result(url, "eth_chainId"), "0x539")
    for (const socket of sockets) socket.destroy()
    await eventually(async () => (await held(url)) === 0)
  })

  it("have the time of a request to come, when they are large", async () => {
    const { url, port } = await start({ deadlines: { headersMs: 200, requestMs: 200 } })
    const large = await unfinished(port, 200_000, 150_000)
    const small = await unfinished(port, 200_000, 1_000)
    await new Promise((resolve) => large.once("close", resolve))
    await eventually(async () => (await held(url)) === 1_014)
    assert.strictEqual((await statusOf(url)).websockets, 1)
    small.destroy()
    await eventually(async () => (await held(url)) === 0)
  })

  it("leave nothing behind when they are whole, however they came", async () => {
    const { url } = await start()
    const client = new SocketClient(url)
    await client.opened
    for (const length of [10, 200, 70_000, 300_000]) {
      assert.isUndefined((await client.call("eth_chainId")).error)
      const answer = await client.call("web3_clientVersion", " ".repeat(length))
      assert.strictEqual(answer.error?.code, -32602)
    }
    await eventually(async () => (await held(url)) === 0)
    client.socket.terminate()
  })
})

describe("queries of logs", () => {
  it("are refused before their answer is too large, with a range that does", async () => {
    const { url } = await start({ limits: { responseBytes: 40_000 } })
    const told: Array<unknown> = []
    let refused = 0
    for (let from = 1, to = 40; from <= 40;) {
      const asked = { fromBlock: `0x${from.toString(16)}`, toBlock: `0x${to.toString(16)}` }
      const { text, answer } = await post(url, {
        jsonrpc: "2.0",
        id: "some name",
        method: "eth_getLogs",
        params: [asked],
      })
      assert.isAtMost(text.length, 40_000)
      if (answer.error === undefined) {
        if (Array.isArray(answer.result)) told.push(...answer.result)
        from = to + 1
        to = 40
        continue
      }
      refused += 1
      assert.strictEqual(answer.error.code, -32005)
      const range =
        /^query returned more than \d+ results\. Try with this block range \[(0x\w+), (0x\w+)\]\.$/
      const [, first, last] = range.exec(answer.error.message) ?? []
      assert.strictEqual(Number(first), from)
      assert.isBelow(Number(last), to)
      to = Number(last)
    }
    assert.isAbove(refused, 2)
    assert.lengthOf(told, blocks.slice(1, 41).flatMap(blockLogs).length)
  })
})

describe("clients that are slow", () => {
  it("with their headers or their request are disconnected", async () => {
    const { port } = await start({ deadlines: { headersMs: 100, requestMs: 200, checkMs: 50 } })
    assert.match(await raw(port, "POST / HTTP/1.1\r\nHost: localhost\r\n"), /^(HTTP\/1\.1 408 |$)/)
    const unfinished = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    assert.match(await raw(port, unfinished), /^(HTTP\/1\.1 408 |$)/)
    assert.match(await raw(port, ""), /^(HTTP\/1\.1 408 |$)/)
  })

  it("in taking an answer lose their connection, and what was held for them is free", async () => {
    const { url, port } = await start({ deadlines: { takeMs: 300 } })
    const one = { jsonrpc: "2.0", id: 1, method: "eth_getBlockByNumber", params: ["0x5", true] }
    // More than the system's buffers hold.
    const body = JSON.stringify(Array.from({ length: 900 }, () => one))
    const deaf = connect(port, "127.0.0.1")
    deaf.on("error", () => undefined)
    await new Promise((resolve) => deaf.on("connect", resolve))
    deaf.pause()
    deaf.write(
      `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await eventually(async () => (await held(url)) > 1_000_000)
    await eventually(async () => (await held(url)) === 0)
    assert.strictEqual(await result(url, "eth_chainId"), "0x539")
    deaf.destroy()
  })

  it("in taking what they subscribed to hold a bounded amount, and are told all of it in the end", async () => {
    const long = storedBlocks(generateChain({ blocks: 900, shape: "light", seed: 3 }))
    const chain = memoryChain(long.slice(0, 10))
    server = await startServer(chain.reader)
    const client = new SocketClient(server.url)
    await client.opened
    await client.call("eth_subscribe", "logs", {})
    client.socket.pause()
    chain.add(long.slice(10))
    let most = 0
    await eventually(async () => {
      most = Math.max(most, await held(server!.url))
      return most > 1_000_000
    })
    for (let look = 0; look < 20; look++) most = Math.max(most, await held(server.url))
    assert.isBelow(most, 1_100_000)
    client.socket.resume()
    const logs = long.slice(10).flatMap(blockLogs)
    const told = await client.toldAtLeast(logs.length)
    assert.deepEqual(
      told.map(({ result }) => [result["blockNumber"], result["logIndex"]]),
      logs.map(({ blockNumber, logIndex }) => [
        `0x${blockNumber.toString(16)}`,
        `0x${logIndex.toString(16)}`,
      ]),
    )
    await eventually(async () => (await held(server!.url)) === 0)
    client.socket.terminate()
  })

  it("in answering pings are disconnected", async () => {
    const { url } = await start({ deadlines: { pingMs: 1_000 } })
    const lively = new SocketClient(url)
    const deaf = new SocketClient(url)
    await Promise.all([lively.opened, deaf.opened])
    deaf.socket.pause()
    await eventually(async () => (await statusOf(url)).websockets === 1)
    assert.isUndefined((await lively.call("eth_chainId")).error)
    lively.socket.terminate()
    deaf.socket.terminate()
  })
})
