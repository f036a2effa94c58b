/**
 * `npm run bench:scale`: how a probe's rate grows with the number of peers, each with a latency of
 * its own; how evenly equal peers are used; and what one slow peer among fast ones costs. Peers are
 * in another process. Prints one JSON; takes some five minutes.
 */
import { median, round, runOnce, startPeers } from "./devnet.mjs"

const LATENCY_MS = 100
const ROUNDS = 3
/** Blocks a peer: long enough that the start and the tail of a run do not count. */
const BLOCKS_A_PEER = 640
const MOST_BLOCKS = 12_000

const probe = (enodes, blocks) =>
  runOnce([
    "sync",
    "--benchmark=probe",
    "--network=devnet",
    "--start-block=1",
    `--end-block=${blocks}`,
    `--min-peers=${enodes.length}`,
    `--max-peers=${enodes.length}`,
    "--log-level=error",
    ...enodes.map((enode) => `--peer=${enode}`),
  ])

/** The least used peer's share of the most used one's. */
const fairness = ({ peers }) => {
  const blocks = peers.top.map((peer) => peer.blocks)
  return Math.min(...blocks) / Math.max(...blocks)
}

const measure = async (peers, flags) => {
  const blocks = Math.min(BLOCKS_A_PEER * peers, MOST_BLOCKS)
  const { enodes, stop } = await startPeers({ blocks: MOST_BLOCKS, peers, shape: "light", flags })
  try {
    const runs = []
    for (let each = 0; each < ROUNDS; each++) runs.push(await probe(enodes, blocks))
    const of = (pick) => round(median(runs.map(pick)), 2)
    return {
      peers,
      blocks,
      blocks_per_sec: of((run) => run.performance.blocks_per_sec),
      cpu_ms_per_block: of((run) => run.performance.cpu_ms_per_block),
      // The summary names twenty peers; of more, the most used.
      least_to_most_used: of(fairness),
      batch_p50_ms: of((run) => run.latency.batch_ms.p50),
    }
  } finally {
    stop()
  }
}

const growth = []
for (const peers of [1, 5, 10, 20, 50]) {
  growth.push(await measure(peers, [`--latency-ms=${LATENCY_MS}`]))
}
const near = await measure(10, ["--latency-ms=20"])
const far = await measure(10, ["--latency-ms=200"])
const fast = await measure(9, [`--latency-ms=${LATENCY_MS}`])
const withSlow = await measure(10, [`--latency-ms=${LATENCY_MS}`, "--fault=slow=1"])
console.log(
  JSON.stringify({
    benchmark: "scale",
    latency_ms: LATENCY_MS,
    rounds: ROUNDS,
    growth,
    near_20_ms: near,
    far_200_ms: far,
    nine_fast: fast,
    nine_fast_and_one_slow: withSlow,
    rate_with_a_slow_peer_to_without: round(withSlow.blocks_per_sec / fast.blocks_per_sec, 2),
  }),
)
