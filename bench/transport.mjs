/**
 * `npm run bench:transport`: what a client's CPU-second moves over one RLPx connection, by our
 * session and by the stock library's, against the same server on loopback and in one run. Prints
 * one JSON object. Takes about half a minute.
 */
import { spawn } from "node:child_process"
import path from "node:path"
import { bundle, cacheFolder, profileFlags, requireBanner } from "../scripts/bundle.mjs"

const ROUNDS = 3
/** Answers of about 2 MB: the stock client is given fewer, as each takes it ten times as long. */
const COUNTS = { ours: 400, stock: 40 }
const ROUND_LIMIT_MS = 60_000

const outdir = cacheFolder("annals-bench")
const outfile = path.join(outdir, "transport.mjs")
await bundle({
  entryPoints: ["bench/transport.ts"],
  outfile,
  // As the program is built, so that its heap is of the program's size.
  packages: "bundle",
  external: ["@ethereumjs/*", "snappy"],
  banner: requireBanner,
})

const children = new Set()
const profile = profileFlags(outdir)

/** Starts a role and gives the first line that it prints, as JSON. */
const start = (role, ...args) =>
  new Promise((resolve, reject) => {
    const flags = role === "ours" ? profile : []
    const child = spawn(process.execPath, [...flags, outfile, role, ...args.map(String)], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    children.add(child)
    const limit = setTimeout(
      () => child.kill("SIGKILL"),
      ROUND_LIMIT_MS * (role === "server" ? 10 : 1),
    )
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

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
const round = (value) => Math.round(value * 10) / 10

try {
  const { port, sizes } = await start("server")
  const rounds = []
  for (let i = 0; i < ROUNDS; i++) {
    const result = {}
    for (const role of i % 2 === 0 ? ["ours", "stock"] : ["stock", "ours"]) {
      const { bytes, blocks, cpuSeconds, seconds } = await start(
        role,
        port,
        JSON.stringify(sizes),
        COUNTS[role],
      )
      result[role] = {
        mb_per_cpu_second: round(bytes / 1e6 / cpuSeconds),
        blocks_per_cpu_second: round(blocks / cpuSeconds),
        mb_per_second: round(bytes / 1e6 / seconds),
      }
    }
    rounds.push(result)
  }
  const of = (role) => median(rounds.map((each) => each[role].mb_per_cpu_second))
  console.log(
    JSON.stringify(
      {
        answer_bytes: median(sizes),
        ours: { mb_per_cpu_second: of("ours") },
        stock: { mb_per_cpu_second: of("stock") },
        ratio: round(of("ours") / of("stock")),
        rounds,
      },
      null,
      2,
    ),
  )
} finally {
  for (const child of children) child.kill()
}
