/**
 * `npm run bench:logs`: what eth_getLogs costs over a store of 100,000 light blocks, with the index,
 * and what the index costs. Prints one JSON object. Takes about four minutes and 3 GB of memory,
 * most of it for making the chain; `$ANNALS_BENCH_STORE` names a directory that keeps the store for
 * the next time, `$ANNALS_BENCH_BLOCKS` another number of blocks.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const LIMIT_MS = 1_200_000

const root = fileURLToPath(new URL("..", import.meta.url))
const outfile = `${root}/node_modules/.cache/annals-bench/logs.mjs`
await build({
  entryPoints: [`${root}/bench/logs.ts`],
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
