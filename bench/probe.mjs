/**
 * `npm run bench:probe`: what a probe costs in the client. 10 devnet peers in a process of their own
 * serve a generated chain of mainnet's shape; the built program probes it several times; prints
 * one JSON with the medians. Bounded: some 40 seconds.
 */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"

const BLOCKS = 2_000
const PEERS = 10
const ROUNDS = 5
const program = new URL("../dist/main.js", import.meta.url).pathname

/** Starts the peers; gives the process and their addresses. */
const startPeers = async () => {
  const child = spawn(
    process.execPath,
    [program, "devnet", `--generate=${BLOCKS}`, "--shape=mainnet", `--peers=${PEERS}`],
    { stdio: ["ignore", "pipe", "ignore", "ipc"] },
  )
  const enodes = []
  for await (const line of createInterface({ input: child.stdout })) {
    enodes.push(line)
    if (enodes.length === PEERS) return { child, enodes }
  }
  throw new Error("the devnet did not come up")
}

/** Probes the whole chain once; gives the summary. */
const probe = async (enodes) => {
  const child = spawn(
    process.execPath,
    [
      program,
      "sync",
      "--benchmark=probe",
      "--network=devnet",
      "--start-block=1",
      `--end-block=${BLOCKS}`,
      `--min-peers=${PEERS}`,
      "--no-discovery",
      ...enodes.map((enode) => `--peer=${enode}`),
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  )
  let text = ""
  for await (const chunk of child.stdout) text += chunk
  const summary = JSON.parse(text)
  if (!summary.complete) throw new Error(`a probe was not complete: ${text}`)
  return summary
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

const { child, enodes } = await startPeers()
try {
  const rounds = []
  for (let round = 0; round < ROUNDS; round++) rounds.push(await probe(enodes))
  const of = (pick) => median(rounds.map(pick))
  console.log(
    JSON.stringify({
      benchmark: "probe",
      blocks: BLOCKS,
      peers: PEERS,
      rounds: ROUNDS,
      cpu_ms_per_block: of((summary) => summary.performance.cpu_ms_per_block),
      blocks_per_sec: of((summary) => summary.performance.blocks_per_sec),
      mib_per_sec: of((summary) => summary.performance.mib_per_sec),
      max_rss_mib: Math.max(...rounds.map((summary) => summary.performance.max_rss_mib)),
      receipts_requests: of((summary) => summary.requests.receipts),
      truncated: of((summary) => summary.requests.truncated),
      peers_used: of((summary) => summary.peers.used),
    }),
  )
} finally {
  child.kill("SIGTERM")
}
