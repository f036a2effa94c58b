/**
 * `npm run bench:serve`: the server under load, and what that costs a sync beside it.
 *
 * Peers whose bandwidth is bound serve a made chain. It is ingested three times: alone; while clients
 * ask `annals serve` on the same store, a process of its own, for blocks, receipts and logs; and
 * while they ask the sync itself (`sync --serve`). A client asks again as soon as it is answered,
 * until the sync is nearly done. Prints one JSON: errors, times of answers, the rates of the sync.
 * With `--url URL` only the clients run, against a server that is there. `--clients N` (200),
 * `--seconds N` (60).
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
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

/** Asks with all clients until `until` is over, or so many blocks are stored; gives what came of it. */
const load = async (url, until, mostStored = Infinity) => {
  const times = []
  const errors = new Map()
  let bytes = 0
  const failed = (why) => errors.set(why, (errors.get(why) ?? 0) + 1)
  let head = Number(JSON.parse(await post(url, call("eth_blockNumber"))).result)
  const watch = setInterval(async () => {
    const answer = await post(url, call("eth_blockNumber")).catch(() => undefined)
    const { result } = answer === undefined ? {} : JSON.parse(answer)
    if (result !== undefined) head = Number(result)
    const status = await fetch(`${url}/status`).then(
      async (answer) => answer.json(),
      () => undefined,
    )
    if (status?.store?.blocks >= mostStored) until.over = true
  }, 1_000)
  const began = performance.now()
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
    seconds: round((performance.now() - began) / 1_000, 1),
    answers: times.length,
    mib: round(bytes / 2 ** 20, 1),
    errors: Object.fromEntries(errors),
    ms: { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max: quantile(1) },
  }
}

const syncArgs = (enodes, directory, endBlock) => [
  "sync",
  "--json",
  "--network=devnet",
  "--no-discovery",
  `--end-block=${endBlock}`,
  `--min-peers=${PEERS}`,
  "--log-level=warning",
  `--data-dir=${directory}`,
  ...enodes.map((enode) => `--peer=${enode}`),
]

/** Starts the program; gives it with the address that it serves at. */
const startServing = async (args) => {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  })
  let text = ""
  child.stdout.on("data", (chunk) => (text += chunk))
  const ended = once(child, "close").then(() => text)
  for await (const line of createInterface({ input: child.stderr })) {
    const [url] = /http:\/\/\S+/.exec(line) ?? []
    if (url !== undefined) {
      child.stderr.resume()
      return { url, ended, stop: () => child.kill("SIGTERM") }
    }
  }
  throw new Error("the server did not come up")
}

/** A new store with the first blocks, for as long as it is used. */
const withStore = async (enodes, use) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-bench-"))
  try {
    await runOnce(syncArgs(enodes, directory, BASE_BLOCKS))
    return await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** While clients are let go: what they have asked for is answered before the server ends. */
const MOST_STORED = BASE_BLOCKS + Math.floor((BLOCKS - BASE_BLOCKS) * 0.9)

const besideServer = async (enodes, directory) => {
  const server = await startServing(["serve", "--http-port=0", `--data-dir=${directory}`])
  try {
    const until = { over: false }
    const asked = load(server.url, until, MOST_STORED)
    const summary = await runOnce(syncArgs(enodes, directory, BLOCKS))
    until.over = true
    return { clients: await asked, summary }
  } finally {
    server.stop()
  }
}

const besideItself = async (enodes, directory) => {
  const args = [...syncArgs(enodes, directory, BLOCKS), "--serve", "--http-port=0"]
  const server = await startServing(args)
  try {
    const until = { over: false }
    void server.ended.then(() => (until.over = true))
    const clients = await load(server.url, until, MOST_STORED)
    return { clients, summary: JSON.parse(await server.ended) }
  } finally {
    server.stop()
  }
}

const rateOf = ({ performance }) => performance.blocks_per_sec

const whole = async () => {
  const { enodes, stop } = await startPeers({
    blocks: BLOCKS,
    peers: PEERS,
    flags: [`--bandwidth-mbit=${BANDWIDTH_MBIT}`],
  })
  try {
    const alone = rateOf(
      await withStore(enodes, async (directory) => runOnce(syncArgs(enodes, directory, BLOCKS))),
    )
    const outcome = async (beside) => {
      const { clients, summary } = await withStore(enodes, async (directory) =>
        beside(enodes, directory),
      )
      const rate = rateOf(summary)
      return { ...clients, sync_blocks_per_sec: rate, sync_lost: round(1 - rate / alone) }
    }
    return {
      clients: CLIENTS,
      blocks: BLOCKS - BASE_BLOCKS,
      alone: { sync_blocks_per_sec: alone },
      serve: await outcome(besideServer),
      sync_serve: await outcome(besideItself),
    }
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
