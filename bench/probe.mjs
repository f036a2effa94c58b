/**
 * `npm run bench:probe`: what a probe costs in the client. 10 devnet peers in a process of their own
 * serve a generated chain of mainnet's shape; the built program probes it several times; prints
 * one JSON with the medians. Bounded: less than a minute.
 */
import { median, runOnce, startPeers } from "./devnet.mjs"

const BLOCKS = 5_000
const PEERS = 10
const ROUNDS = 3

const { enodes, stop } = await startPeers({ blocks: BLOCKS, peers: PEERS })
try {
  const rounds = []
  for (let round = 0; round < ROUNDS; round++) {
    rounds.push(
      await runOnce([
        "sync",
        "--benchmark=probe",
        "--network=devnet",
        "--start-block=1",
        `--end-block=${BLOCKS}`,
        `--min-peers=${PEERS}`,
        "--no-discovery",
        "--log-level=warning",
        ...enodes.map((enode) => `--peer=${enode}`),
      ]),
    )
  }
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
  stop()
}
