/**
 * `npm run bench:serve`: the server under load, and what that costs a sync beside it.
 *
 * Peers whose bandwidth is bound serve a made chain. It is ingested twice: alone, and while clients
 * ask `annals serve` on the same store for blocks, receipts and logs. Prints one JSON: errors, times
 * of answers, the rate of the sync both times. With `--url URL` only the clients run, against a
 * server that is there. `--clients N` (200), `--seconds N` (60).
 */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import http from "node:http"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { round, runOnce, startPeers } from "./devnet.mjs"

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    clients: { type: "string", default: "200" },
    seconds: { type: "string", default: "60" },
  },
})
const CLIENTS = Number(values.clients)
const SECONDS = Number(values.seconds)
const PEERS = 10
/** Of each peer: what keeps the sync waiting for them and not for the processor. */
const BANDWIDTH_MBIT = 3
/** What is there before anybody asks. */
const BASE_BLOCKS = 200
/** About what the peers can send in the time, less than half of a shape's 273 kB being packed away. */
const BLOCKS = BASE_BLOCKS + Math.round((SECONDS * PEERS * BANDWIDTH_MBIT) / 8 / 0.273)

const program = new URL("../dist/main.js", import.meta.url).pathname
const agent = new http.Agent({ keepAlive: true, maxSockets: CLIENTS })

const post = async (url, body) =>
  new Promise((resolve, reject) => {
    const asking = http.request(
      url,
      { method: "POST", agent, headers: { "content-type": "application/json" }, timeout: 30_000 },
      (response) => {
        const chunks = []
        response.on("data", (chunk) => chunks.push(chunk))
        response.on("end", () => resolve(Buffer.concat(chunks)))
        response.on("error", reject)
      },
    )
    asking.on("timeout", () => asking.destroy(new Error("no answer in 30 s")))
    asking.on("error", reject)
    asking.end(JSON.stringify(body))
  })

const call = (method, ...params) => ({ jsonrpc: "2.0", id: 1, method, params })
const hex = (value) => `0x${value.toString(16)}`

/** What a client asks next, of blocks up to `head`. */
const nextRequest = (head) => {
  const block = 1 + Math.floor(Math.random() * head)
  const dice = Math.random()
  if (dice < 0.5) return call("eth_getBlockByNumber", hex(block), dice < 0.25)
  if (dice < 0.65) return call("eth_getBlockReceipts", hex(block))
  const from = Math.max(1, block - 20)
  const topics = [`0x${"dd".repeat(32)}`]
  if (dice < 0.95) return call("eth_getLogs", { fromBlock: hex(from), toBlock: hex(block), topics })
  return [0, 1, 2, 3, 4].map((ahead) =>
    call("eth_getBlockByNumber", hex(Math.min(head, block + ahead)), false),
  )
}

/** Asks with all clients until `until` is over; gives what came of it. */
const load = async (url, until) => {
  const times = []
  const errors = new Map()
  let bytes = 0
  const failed = (why) => errors.set(why, (errors.get(why) ?? 0) + 1)
  let head = Number(JSON.parse(await post(url, call("eth_blockNumber"))).result)
  const watch = setInterval(async () => {
    const answer = await post(url, call("eth_blockNumber")).catch(() => undefined)
    if (answer !== undefined) head = Number(JSON.parse(answer).result)
  }, 1_000)
  const client = async () => {
    while (!until.over) {
      const began = performance.now()
      try {
        const answer = await post(url, nextRequest(head))
        times.push(performance.now() - began)
        bytes += answer.length
        for (const { error } of [JSON.parse(answer)].flat()) if (error) failed(error.message)
      } catch (error) {
        failed(String(error.message))
      }
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  clearInterval(watch)
  const sorted = times.toSorted((a, b) => a - b)
  const quantile = (q) =>
    round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0)
  return {
    clients: CLIENTS,
    answers: times.length,
    mib: round(bytes / 2 ** 20, 1),
    errors: Object.fromEntries(errors),
    ms: { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max: quantile(1) },
  }
}

const sync = async (enodes, directory, endBlock) =>
  runOnce([
    "sync",
    "--json",
    "--network=devnet",
    "--no-discovery",
    `--end-block=${endBlock}`,
    `--min-peers=${PEERS}`,
    "--log-level=warning",
    `--data-dir=${directory}`,
    ...enodes.map((enode) => `--peer=${enode}`),
  ])

const startServer = async (directory) => {
  const child = spawn(
    process.execPath,
    [program, "serve", "--http-port=0", `--data-dir=${directory}`],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  )
  for await (const line of createInterface({ input: child.stderr })) {
    const [url] = /http:\/\/\S+/.exec(line) ?? []
    if (url !== undefined) {
      child.stderr.resume()
      return { url, pid: child.pid, stop: () => child.kill("SIGTERM") }
    }
  }
  throw new Error("the server did not come up")
}

const withDirectory = async (use) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-bench-"))
  try {
    return await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const whole = async () => {
  const { enodes, stop } = await startPeers({
    blocks: BLOCKS,
    peers: PEERS,
    flags: [`--bandwidth-mbit=${BANDWIDTH_MBIT}`],
  })
  try {
    const alone = await withDirectory(async (directory) => {
      await sync(enodes, directory, BASE_BLOCKS)
      return sync(enodes, directory, BLOCKS)
    })
    return await withDirectory(async (directory) => {
      await sync(enodes, directory, BASE_BLOCKS)
      const server = await startServer(directory)
      try {
        const until = { over: false }
        const asked = load(server.url, until)
        const beside = await sync(enodes, directory, BLOCKS)
        until.over = true
        const clients = await asked
        const metrics = await (await fetch(`${server.url}/status`)).json()
        const [before, after] = [alone, beside].map((run) => run.performance.blocks_per_sec)
        return {
          ...clients,
          sync: {
            blocks: BLOCKS - BASE_BLOCKS,
            blocks_per_sec_alone: before,
            blocks_per_sec_beside: after,
            lost: round(1 - after / before),
          },
          stored: metrics.store.blocks,
        }
      } finally {
        server.stop()
      }
    })
  } finally {
    stop()
  }
}

const againstUrl = async (url) => {
  const until = { over: false }
  setTimeout(() => (until.over = true), SECONDS * 1_000)
  return load(url, until)
}

console.log(
  JSON.stringify(await (values.url === undefined ? whole() : againstUrl(values.url)), null, 2),
)
agent.destroy()
