/**
 * `npm run bench:shares`: where the time of a probe and of an ingest goes, by thread and by kind of
 * work, from V8's own profiles of the built program. Prints one JSON; takes some two minutes.
 *
 * A sample belongs to the kind of the source file of the function that ran, or to what a native
 * function is known for. Shares are of all that was sampled on the program's own threads; V8's
 * helpers (collecting garbage beside the program, optimizing) run no JavaScript and are in no
 * profile, only in the process's CPU time.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { SourceMap } from "node:module"
import os from "node:os"
import path from "node:path"
import { runOnce, round, startPeers } from "./devnet.mjs"

const BLOCKS = 2_000
const PEERS = 10

/** By source file: the first that matches. */
const SOURCES = [
  [/domain\/keccak|domain\/native|hash-wasm/, "keccak"],
  [/wire\/frames|node:internal\/crypto/, "AES and frames"],
  [/wire\/snappyMessage/, "snappy"],
  [/domain\/bloom/, "bloom"],
  [/domain\/trieRoot/, "trie"],
  [/domain\//, "RLP"],
  [/write\/(zstd|payloadCodec)/, "zstd"],
  [/write\/(rows|rowValues|tableRows|headerRow|transactionRow|decodedBlock)/, "row building"],
  [/sql-sqlite-node|better-sqlite3|write\/StoreDatabase/, "SQLite"],
  [
    /process\/(packer|blockPack|checkMessages|CheckPool)|write\/(storeProtocol|StoreHost|Store\.ts)/,
    "transfer",
  ],
  [/node:internal\/(worker|per_context\/messageport)/, "transfer"],
  [/process\//, "checks"],
  [/write\//, "store"],
  [/wire\/|node:(net|internal\/stream|internal\/net|events|buffer)/, "sockets and messages"],
  [/scheduler\//, "scheduler"],
  [/fetch\/|peers\//, "fetch and peers"],
  [/node_modules\/(effect|@effect)\//, "Effect"],
  [/node:/, "Node"],
]
/** Functions without a source, by name. */
const NATIVE = {
  "(garbage collector)": "GC",
  postMessage: "transfer",
  hashMany: "keccak",
  hash: "keccak",
  digest: "keccak",
  uncompressSync: "snappy",
  compressSync: "snappy",
  writeBuffer: "sockets and messages",
  writev: "sockets and messages",
  "(program)": "other",
}

const maps = new Map()
/** Where a place in the bundle comes from. */
const sourceOf = (url, line, column) => {
  if (!url.startsWith("file:")) return url
  if (!maps.has(url)) {
    const file = `${new URL(url).pathname}.map`
    try {
      maps.set(url, new SourceMap(JSON.parse(readFileSync(file, "utf8"))))
    } catch {
      maps.set(url, undefined)
    }
  }
  return maps.get(url)?.findEntry(line, column)?.originalSource ?? url
}

const kindOf = ({ functionName, url, lineNumber, columnNumber }) => {
  if (url === "") return NATIVE[functionName] ?? "other"
  if (url.startsWith("wasm:")) return "keccak"
  const source = sourceOf(url, lineNumber, columnNumber)
  return SOURCES.find(([pattern]) => pattern.test(source))?.[1] ?? "other"
}

/** Milliseconds by kind of a profile; native calls without a kind count for who called them. */
const timesOf = (profile) => {
  const kinds = new Map()
  const walk = (node, parents) => {
    const { callFrame } = node
    const own = kindOf(callFrame)
    const kind = own === "other" && callFrame.url === "" ? (parents.at(-1) ?? own) : own
    kinds.set(node.id, callFrame.functionName === "(idle)" ? "idle" : kind)
    for (const id of node.children ?? []) walk(byId.get(id), [...parents, kind])
  }
  const byId = new Map(profile.nodes.map((node) => [node.id, node]))
  walk(profile.nodes[0], [])
  const times = {}
  profile.samples.forEach((id, at) => {
    const kind = kinds.get(id)
    times[kind] = (times[kind] ?? 0) + profile.timeDeltas[at] / 1000
  })
  delete times.idle
  return times
}

/** Which thread a profile is of: by what it spent its time on. */
const threadOf = (times) =>
  times["SQLite"] > 0 ? "store" : times["trie"] > 0 && !(times["scheduler"] > 0) ? "check" : "main"

const profiled = async (enodes, name, flags) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-shares-"))
  const profiles = path.join(directory, "profiles")
  try {
    const summary = await runOnce(
      [
        "sync",
        "--json",
        "--network=devnet",
        `--min-peers=${PEERS}`,
        "--log-level=warning",
        ...flags(path.join(directory, "data")),
        ...enodes.map((enode) => `--peer=${enode}`),
      ],
      ["--cpu-prof", `--cpu-prof-dir=${profiles}`],
    )
    const threads = readdirSync(profiles).map((file) => {
      const times = timesOf(JSON.parse(readFileSync(path.join(profiles, file), "utf8")))
      return { thread: threadOf(times), times }
    })
    const all = threads
      .flatMap(({ times }) => Object.values(times))
      .reduce((sum, ms) => sum + ms, 0)
    const total = summary.performance.cpu_ms_per_block
    console.error(`${name}: ${round(total)} CPU-ms a block`)
    const shares = {}
    for (const { thread, times } of threads) {
      const kinds = Object.entries(times)
        .map(([kind, ms]) => [kind, round((100 * ms) / all, 1)])
        .filter(([, percent]) => percent >= 0.1)
        .toSorted(([, a], [, b]) => b - a)
      shares[thread] = Object.fromEntries(kinds)
      console.error(`  ${thread}: ${kinds.map(([kind, share]) => `${kind} ${share} %`).join(", ")}`)
    }
    return { cpu_ms_per_block: round(total), percent: shares }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const ingestFlags = (directory) => [
  "--benchmark=profile",
  "--start-block=1",
  `--end-block=${BLOCKS}`,
  `--data-dir=${directory}`,
]

const { enodes, stop } = await startPeers({ blocks: BLOCKS, peers: PEERS })
try {
  const probe = await profiled(enodes, "probe", () => [
    "--benchmark=probe",
    "--start-block=1",
    `--end-block=${BLOCKS}`,
  ])
  const ingest = await profiled(enodes, "ingest", ingestFlags)
  const tables = await profiled(enodes, "ingest, all tables", (directory) => [
    ...ingestFlags(directory),
    "--tables=all",
  ])
  console.log(
    JSON.stringify({
      benchmark: "shares",
      blocks: BLOCKS,
      probe,
      ingest,
      ingest_all_tables: tables,
    }),
  )
} finally {
  stop()
}
