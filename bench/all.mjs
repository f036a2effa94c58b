/**
 * `npm run bench`: all benchmarks, one after the other, as a table on stderr and one JSON object on
 * stdout. Takes some twenty minutes; nothing else should run meanwhile.
 */
import { runBenchmark } from "./devnet.mjs"

/** The figures of each that are looked at first: what it is, where in the JSON, what was asked for. */
const benchmarks = {
  transport: [
    { what: "MB per CPU-second", pick: (run) => run.ours.mb_per_cpu_second, asked: "400" },
    { what: "times the stock library", pick: (run) => run.ratio, asked: "12" },
  ],
  probe: [
    { what: "CPU-ms a block", pick: (run) => run.cpu_ms_per_block, asked: "0.45" },
    { what: "blocks/s", pick: (run) => run.blocks_per_sec, asked: "" },
    { what: "most memory, MiB", pick: (run) => run.max_rss_mib, asked: "512" },
  ],
  verify: [
    {
      what: "all checks, CPU-ms a block",
      pick: (run) => run.cpu_ms_per_block.check_all_69,
      asked: "",
    },
  ],
  ingest: [
    {
      what: "all checks, CPU-ms a block",
      pick: (run) => run.all_checks.cpu_ms_per_block,
      asked: "3.0",
    },
    { what: "times the sum of the parts", pick: (run) => run.times_the_parts, asked: "1.3" },
    {
      what: "all tables, CPU-ms a block",
      pick: (run) => run.all_checks_all_tables.cpu_ms_per_block,
      asked: "5.5",
    },
    {
      what: "rate with checks to without",
      pick: (run) => run.rate_with_checks_to_without,
      asked: "0.67",
    },
    {
      what: "bytes stored a block",
      pick: (run) => run.all_checks.stored_bytes_per_block,
      asked: "110000",
    },
    {
      what: "most memory, MiB",
      pick: (run) => run.all_checks_all_tables.max_rss_mib,
      asked: "512",
    },
  ],
  shares: [],
  dial: [],
  scheduler: [],
  scale: [
    {
      what: "rate with a slow peer",
      pick: (run) => run.rate_with_a_slow_peer_to_without,
      asked: "",
    },
  ],
}

const results = {}
for (const [name, figures] of Object.entries(benchmarks)) {
  const startedMs = Date.now()
  results[name] = await runBenchmark(`${name}.mjs`)
  const seconds = Math.round((Date.now() - startedMs) / 1000)
  console.error(`${name} (${seconds} s)`)
  for (const { what, pick, asked } of figures) {
    const aim = asked === "" ? "" : `  (asked for: ${asked})`
    console.error(`  ${what.padEnd(32)} ${String(pick(results[name])).padStart(10)}${aim}`)
  }
}
console.log(JSON.stringify(results))
