/**
 * `npm run stress`: what takes too long for every run of the tests. Bounded by its own counts.
 *
 *     node scripts/stress.mjs [--kills N]
 *
 * kills: an ingest from faulty peers is killed (SIGKILL) at random instants and started again, N
 * times; at the end the store must be complete, verify clean, and no committed block have been
 * asked for again.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"

const program = new URL("../dist/main.js", import.meta.url).pathname
const argument = (name, fallback) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? fallback : Number(process.argv[at + 1])
}

const start = (args, stdio = ["ignore", "pipe", "pipe", "ipc"]) => {
  const child = spawn(process.execPath, [program, ...args], { stdio })
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
  const blocks = 12_000
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
      await Promise.race([sleep(400 + Math.random() * 1_200), ended])
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

console.log(JSON.stringify({ stress: "kills", ...(await kills(argument("kills", 30))) }))
