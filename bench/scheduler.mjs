/**
 * `npm run bench:scheduler`: what a decision of the scheduler costs, with little and with much work
 * pending. Prints one JSON object. Takes about a minute.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const LIMIT_MS = 300_000

const root = fileURLToPath(new URL("..", import.meta.url))
const outfile = `${root}/node_modules/.cache/annals-bench/scheduler.mjs`
await build({
  entryPoints: [`${root}/bench/scheduler.ts`],
  outfile,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  logLevel: "error",
})

const flags = ["--expose-gc"]
if (process.argv.includes("--profile"))
  flags.push("--cpu-prof", `--cpu-prof-dir=${root}/node_modules/.cache/annals-bench`)
const child = spawn(process.execPath, [...flags, outfile], { stdio: "inherit" })
const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS)
child.on("exit", (code) => {
  clearTimeout(limit)
  process.exitCode = code ?? 1
})
