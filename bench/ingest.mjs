/**
 * `npm run bench:ingest`: what an ingest of mainnet's shape costs, in all and by thread, with and
 * without checks and tables, beside the sum of its parts measured in the same run. Peers are in
 * another process. Prints one JSON; takes some five minutes.
 */
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { median, round, runBenchmark, runOnce, startPeers } from "./devnet.mjs"

const BLOCKS = 5_000
const PEERS = 10
const ROUNDS = 3

const variants = {
  all_checks: [],
  no_checks: ["--verify=none"],
  all_checks_all_tables: ["--tables=all"],
}

const ingest = async (enodes, flags) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-bench-"))
  try {
    return await runOnce([
      "sync",
      "--benchmark=profile",
      "--json",
      "--network=devnet",
      "--start-block=1",
      `--end-block=${BLOCKS}`,
      `--min-peers=${PEERS}`,
      "--log-level=warning",
      `--data-dir=${directory}`,
      ...flags,
      ...enodes.map((enode) => `--peer=${enode}`),
    ])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The medians of a variant's runs, a block at a time. */
const figures = (runs) => {
  const of = (pick) => median(runs.map(pick))
  const total = of((run) => run.performance.cpu_ms_per_block)
  const stage = (name) => of((run) => run.stages[name] / BLOCKS)
  const check = stage("check")
  const store = stage("rows") + stage("insert") + stage("commit")
  return {
    cpu_ms_per_block: round(total),
    by_thread: {
      check: round(check),
      store: round(store),
      main_and_runtime: round(total - check - store),
    },
    store_ms: {
      rows: round(stage("rows")),
      insert: round(stage("insert")),
      commit: round(stage("commit")),
    },
    blocks_per_sec: of((run) => run.performance.blocks_per_sec),
    mib_per_sec: of((run) => run.performance.mib_per_sec),
    payload_bytes_per_block: Math.round(of((run) => run.totals.bytes_received) / BLOCKS),
    stored_bytes_per_block: Math.round(of((run) => run.stored.db_bytes) / BLOCKS),
    max_rss_mib: Math.max(...runs.map((run) => run.performance.max_rss_mib)),
  }
}

const { enodes, stop } = await startPeers({ blocks: BLOCKS, peers: PEERS })
const runs = Object.fromEntries(Object.keys(variants).map((name) => [name, []]))
try {
  for (let each = 0; each < ROUNDS; each++) {
    for (const [name, flags] of Object.entries(variants)) {
      runs[name].push(await ingest(enodes, flags))
    }
  }
} finally {
  stop()
}
const results = Object.fromEntries(Object.entries(runs).map(([name, all]) => [name, figures(all)]))
const verify = (await runBenchmark("verify.mjs")).cpu_ms_per_block
const transport = await runBenchmark("transport.mjs")
const parts = {
  transport: results.all_checks.payload_bytes_per_block / 1e3 / transport.ours.mb_per_cpu_second,
  pack: verify.pack,
  thread_transfer: verify.thread_transfer,
  check: verify.check_all_69,
  store: results.no_checks.by_thread.store,
}
const sum = Object.values(parts).reduce((total, part) => total + part, 0)
console.log(
  JSON.stringify({
    benchmark: "ingest",
    blocks: BLOCKS,
    peers: PEERS,
    rounds: ROUNDS,
    ...results,
    parts: Object.fromEntries(Object.entries(parts).map(([name, ms]) => [name, round(ms)])),
    sum_of_parts: round(sum),
    times_the_parts: round(results.all_checks.cpu_ms_per_block / sum, 2),
    rate_with_checks_to_without: round(
      results.all_checks.blocks_per_sec / results.no_checks.blocks_per_sec,
      2,
    ),
  }),
)
