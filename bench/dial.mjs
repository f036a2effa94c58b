/**
 * `npm run bench:dial`: handshakes a second, and the longest stall of the main thread while 100 dials
 * a second go out and a probe runs; with the native secp256k1, and with noble in its place. Peers and
 * listeners are in processes of their own. Prints one JSON object, whose numbers are milliseconds
 * where their names say so. Bounded: some 30 seconds.
 */
import { spawn } from "node:child_process"
import path from "node:path"
import { bundle, cacheFolder } from "../scripts/bundle.mjs"
import { round, startPeers } from "./devnet.mjs"

const BLOCKS = 1_000
const PEERS = 4
const PLAN = { dialsPerSecond: 100, countMs: 600, aloneMs: 2_500, dialMs: 4_500, mostMs: 1_000 }
const LIMIT_MS = 60_000

/** Where the native package finds nothing. */
const WITHOUT_NATIVE = { SECP256K1_PREBUILD: "/nonexistent" }

const outfile = path.join(cacheFolder("annals-bench"), "dial.mjs")
await bundle({ entryPoints: ["bench/dial.ts"], outfile, keepNames: true })

const children = new Set()

/** Starts a role and gives the first line that it prints, as JSON. */
const start = (role, plan, env) =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [outfile, role, JSON.stringify(plan)], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...env },
    })
    children.add(child)
    const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS)
    let text = ""
    child.stdout.on("data", (chunk) => {
      text += chunk
      if (text.includes("\n")) resolve(JSON.parse(text.split("\n")[0]))
    })
    child.on("exit", (code) => {
      clearTimeout(limit)
      children.delete(child)
      reject(new Error(`${role} ended with ${code} and said nothing`))
    })
  })

const rounded = (value) => {
  if (typeof value === "number") return round(value)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, rounded(each)]))
}

const peers = await startPeers({ blocks: BLOCKS, peers: PEERS })
try {
  const listeners = await start("listeners", {}, {})
  const plan = { ...PLAN, enodes: peers.enodes, blocks: BLOCKS, listeners }
  const installed = await start("client", plan, {})
  const fallback = await start("client", plan, WITHOUT_NATIVE)
  console.log(
    JSON.stringify(
      {
        benchmark: "dial",
        dials_per_sec: PLAN.dialsPerSecond,
        installed: rounded(installed),
        fallback: rounded(fallback),
      },
      null,
      2,
    ),
  )
} finally {
  for (const child of children) child.kill()
  peers.stop()
}
