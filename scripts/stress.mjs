/**
 * `npm run stress`: what takes too long for every run of the tests. Bounded by its own counts.
 *
 *     node scripts/stress.mjs [--only kills|memory|cycles|hostile|indexer] [--kills N]
 *         [--memory-blocks N] [--cycles N] [--hostile-blocks N] [--hostile-kinds A,B…]
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
 *
 * hostile: an ingest of N blocks from one honest peer with a slow line, alone and then beside ten
 * hostile peers of a kind that listen and dial, for every kind, and beside one of each at once: each
 * must be complete and verify clean, at half the rate of the honest peer alone or more, under 512 MiB.
 *
 * indexer: ponder, installed from the registry, indexes from a sync that follows and serves, through a
 * reorganisation; its rows must be the store's after every step (`indexer.mjs`).
 */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { bundle, cacheFolder } from "./bundle.mjs"
import { runIndexer } from "./indexer.mjs"

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

/** A TypeScript program of the tests, bundled. */
const bundled = async (name, entry) => {
  const main = path.join(cacheFolder("annals-stress"), `${name}.mjs`)
  await bundle({ entryPoints: [entry], outfile: main })
  return main
}

const cycles = async (count) => {
  const main = await bundled("cycles", "test/support/cyclesMain.ts")
  const { code, stdout, stderr } = await start([String(count)], { main }).ended
  check(code === 0, `the cycles ended with ${code}: ${stderr}`)
  const { leaks, rests, connections, opened, refused, endings } = JSON.parse(stdout)
  check(leaks.length === 0, leaks.join("\n"))
  const live_mib = rests.map(({ liveBytes }) => Math.round((liveBytes / 2 ** 20) * 100) / 100)
  return { cycles: connections, sessions: opened, refused, endings, live_mib, leaks: "none" }
}

/** Starts hostile peers of these kinds, gives their enodes and the way to have them dial. */
const startHostile = async (main, blocks, kinds) => {
  const child = spawn(process.execPath, [main, String(blocks), "7", ...kinds], {
    stdio: ["pipe", "pipe", "inherit", "ipc"],
  })
  const enodes = []
  for await (const line of createInterface({ input: child.stdout })) {
    enodes.push(line)
    if (enodes.length === kinds.length) break
  }
  check(enodes.length === kinds.length, `the hostile peers ${kinds.join()} did not come up`)
  return { child, enodes, dial: (enode) => child.stdin.write(`${enode}\n`) }
}

/** Ingests from the honest peer and those of these kinds; gives the run's figures. */
const besideHostile = async (main, honest, blocks, kinds) => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-hostile-"))
  const hostile = kinds.length === 0 ? undefined : await startHostile(main, blocks, kinds)
  const enodes = [...honest.enodes, ...(hostile?.enodes ?? [])]
  try {
    const { child, ended } = start([
      "sync",
      "--json",
      "--network=devnet",
      `--data-dir=${directory}`,
      "--start-block=1",
      `--end-block=${blocks}`,
      "--port=0",
      "--max-peers=200",
      ...enodes.map((enode) => `--peer=${enode}`),
    ])
    let text = ""
    child.stderr.on("data", (chunk) => {
      text += chunk
      const enode = /listening on \S+ (enode:\S+)/.exec(text)?.[1]
      if (enode === undefined) return
      text = ""
      hostile?.dial(enode)
    })
    const limit = setTimeout(() => child.kill("SIGKILL"), 600_000)
    const { code, stdout, stderr } = await ended
    clearTimeout(limit)
    check(code === 0, `beside ${kinds.join()} the ingest ended with ${code}: ${stderr}`)
    const { performance, peers, failures } = JSON.parse(stdout)
    const verified = await start(["verify", "--json", `--data-dir=${directory}`]).ended
    check(verified.code === 0, `beside ${kinds.join()} verify ended with ${verified.code}`)
    const { blocks_per_sec, max_rss_mib } = performance
    const { breaches, refused, inbound_refused } = peers.network
    return { blocks_per_sec, max_rss_mib, breaches, refused, inbound_refused, failures }
  } finally {
    hostile?.child.kill("SIGKILL")
    rmSync(directory, { recursive: true, force: true })
  }
}

const hostile = async (blocks, chosen) => {
  const main = await bundled("hostile", "test/hostile/hostileMain.ts")
  const named = await start([], { main }).ended
  const kinds = chosen ?? named.stdout.trim().split("\n")
  const honest = await startDevnet(1, [
    `--generate=${blocks}`,
    "--shape=light",
    "--seed=7",
    "--latency-ms=30",
    "--bandwidth-mbit=16",
  ])
  try {
    const alone = await besideHostile(main, honest, blocks, [])
    let slowest = { kind: "none", share: Infinity }
    let mostMib = 0
    const beside = async (kind, peers) => {
      const figures = await besideHostile(main, honest, blocks, peers)
      const share = figures.blocks_per_sec / alone.blocks_per_sec
      process.stderr.write(`${kind}: ${JSON.stringify({ share, ...figures })}\n`)
      check(share >= 0.5, `beside ${kind} the rate fell to ${share} of ${alone.blocks_per_sec}`)
      check(figures.max_rss_mib < 512, `beside ${kind} it grew to ${figures.max_rss_mib} MiB`)
      if (share < slowest.share) slowest = { kind, share }
      mostMib = Math.max(mostMib, figures.max_rss_mib)
    }
    for (const kind of kinds)
      await beside(
        kind,
        Array.from({ length: 10 }, () => kind),
      )
    await beside("one of each", kinds)
    const { blocks_per_sec } = alone
    return { blocks, kinds: kinds.length, alone: blocks_per_sec, slowest, max_rss_mib: mostMib }
  } finally {
    honest.child.kill("SIGTERM")
  }
}

const only = process.argv.includes("--only")
  ? process.argv[process.argv.indexOf("--only") + 1]
  : undefined
const tests = {
  kills: async () => kills(argument("kills", 30)),
  memory: async () => memory(argument("memory-blocks", 400)),
  cycles: async () => cycles(argument("cycles", 2_000)),
  hostile: async () =>
    hostile(
      argument("hostile-blocks", 6_000),
      process.argv.includes("--hostile-kinds")
        ? process.argv[process.argv.indexOf("--hostile-kinds") + 1].split(",")
        : undefined,
    ),
  indexer: runIndexer,
}
for (const [name, test] of Object.entries(tests)) {
  if (only === undefined || only === name) {
    console.log(JSON.stringify({ stress: name, ...(await test()) }))
  }
}
