/**
 * `npm run stress`: what takes too long for every run of the tests. Bounded by its own counts.
 *
 *     node scripts/stress.mjs [--only kills|memory|cycles] [--kills N] [--memory-blocks N]
 *         [--cycles N]
 *
 * kills: an ingest from faulty peers is killed (SIGKILL) at random instants and started again, N
 * times; at the end the store must be complete, verify clean, and no committed block have been
 * asked for again.
 *
 * memory: a chain twenty times as long must leave as much alive (within 25 %), and stay under 512
 * MiB.
 *
 * cycles: peers connect and leave, refuse, hang and break off, N times over loopback; at rest and at
 * the end no socket, timer, fiber or entry may be left of them, and live bytes must stay flat.
 */
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const program = new URL("../dist/main.js", import.meta.url).pathname
const argument = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? fallback : Number(process.argv[at + 1])
}

const start = (args, { flags = [], env = {}, main = program } = {}) => {
  const child = spawn(process.execPath, [...flags, main, ...args], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, ...env },
  })
  const ended = new Promise((resolve) => {
    let stdout = ""
    let stderr = ""
    child.stdout?.on("data", (chunk) => (stdout += chunk))
    child.stderr?.on("data", (chunk) => (stderr += chunk))
    child.on("close", (code) => resolve({ code, stdout, stderr }))
  })
  return { child, ended }
}

const startDevnet = async (peers, args) => {
  const { child, ended } = start(["devnet", `--peers=${peers}`, ...args])
  const enodes = []
  for await (const line of createInterface({ input: child.stdout })) {
    enodes.push(line)
    if (enodes.length === peers) return { child, enodes }
  }
  throw new Error(`the devnet did not come up: ${(await ended).stderr}`)
}

const check = (condition, message) => {
  if (!condition) throw new Error(message)
}

const kills = async (count) => {
  const blocks = 40_000
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-kills-"))
  const devnet = await startDevnet(8, [
    `--generate=${blocks}`,
    "--shape=light",
    "--latency-ms=40",
    "--fault=short=1,leave=1,skip=1,slow=1",
  ])
  const sync = [
    "sync",
    "--json",
    "--network=devnet",
    `--data-dir=${directory}`,
    "--tables=all",
    `--end-block=${blocks}`,
    "--blocks-per-assignment=8",
    ...devnet.enodes.map((enode) => `--peer=${enode}`),
  ]
  const stored = async () => {
    const { code, stdout } = await start(["status", "--json", `--data-dir=${directory}`]).ended
    return code === 0 ? JSON.parse(stdout).blocks : 0
  }
  try {
    let before = 0
    let early = 0
    for (let kill = 1; kill <= count; kill++) {
      const { child, ended } = start(sync)
      await Promise.race([sleep(1_200 + Math.random() * 2_500), ended])
      child.kill("SIGKILL")
      const { code } = await ended
      if (code !== null) early += 1
      const now = await stored()
      check(now >= before, `after kill ${kill} the store had ${now} blocks, before it ${before}`)
      before = now
      process.stderr.write(`kill ${kill}: ${now} blocks stored\n`)
    }
    const { code, stdout, stderr } = await start(sync).ended
    check(code === 0, `the last run ended with ${code}: ${stderr}`)
    const summary = JSON.parse(stdout)
    check(summary.stored.blocks === blocks + 1, `${summary.stored.blocks} blocks are stored`)
    const asked = summary.totals.blocks_requested
    check(asked === blocks + 1 - before, `${asked} blocks were asked for again, not the missing`)
    const verified = await start(["verify", "--json", `--data-dir=${directory}`]).ended
    check(verified.code === 0, `verify ended with ${verified.code}: ${verified.stdout}`)
    return { kills: count - early, blocks: blocks + 1, last_run_fetched: asked, verify: "clean" }
  } finally {
    devnet.child.kill("SIGTERM")
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Ingests blocks 1 to `blocks` of mainnet's shape once; gives the figures of the run's memory. */
const memoryOf = async (devnet, blocks) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-memory-"))
  const file = path.join(directory, "memory.json")
  try {
    const { code, stderr } = await start(
      [
        "sync",
        "--network=devnet",
        `--data-dir=${path.join(directory, "store")}`,
        "--start-block=1",
        `--end-block=${blocks}`,
        ...devnet.enodes.map((enode) => `--peer=${enode}`),
      ],
      {
        flags: ["--expose-gc", `--import=${new URL("sampleMemory.mjs", import.meta.url)}`],
        env: { ANNALS_MEMORY_FILE: file },
      },
    ).ended
    check(code === 0, `the ingest of ${blocks} blocks ended with ${code}: ${stderr}`)
    return JSON.parse(readFileSync(file, "utf8"))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const memory = async (blocks) => {
  const devnet = await startDevnet(6, [
    `--generate=${blocks * 20}`,
    "--shape=mainnet",
    "--bandwidth-mbit=40",
  ])
  try {
    const short = await memoryOf(devnet, blocks)
    const long = await memoryOf(devnet, blocks * 20)
    const ratio = long.live_mib / short.live_mib
    check(ratio < 1.25, `live bytes grew: ${JSON.stringify({ short, long })}`)
    check(long.peak_rss_mib < 512, `the process grew to ${long.peak_rss_mib} MiB`)
    return { blocks: [blocks, blocks * 20], short, long, ratio }
  } finally {
    devnet.child.kill("SIGTERM")
  }
}

const cycles = async (count) => {
  const root = fileURLToPath(new URL("..", import.meta.url))
  const outdir = path.join(root, "node_modules/.cache/annals-stress")
  mkdirSync(outdir, { recursive: true })
  const main = path.join(outdir, "cycles.mjs")
  await build({
    entryPoints: [path.join(root, "test/support/cyclesMain.ts")],
    outfile: main,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    logLevel: "error",
  })
  const { code, stdout, stderr } = await start([String(count)], { main }).ended
  check(code === 0, `the cycles ended with ${code}: ${stderr}`)
  const { leaks, rests, connections, opened, refused, endings } = JSON.parse(stdout)
  check(leaks.length === 0, leaks.join("\n"))
  const live_mib = rests.map(({ liveBytes }) => Math.round((liveBytes / 2 ** 20) * 100) / 100)
  return { cycles: connections, sessions: opened, refused, endings, live_mib, leaks: "none" }
}

const only = process.argv.includes("--only")
  ? process.argv[process.argv.indexOf("--only") + 1]
  : undefined
const tests = {
  kills: async () => kills(argument("kills", 30)),
  memory: async () => memory(argument("memory-blocks", 400)),
  cycles: async () => cycles(argument("cycles", 2_000)),
}
for (const [name, test] of Object.entries(tests)) {
  if (only === undefined || only === name) {
    console.log(JSON.stringify({ stress: name, ...(await test()) }))
  }
}
