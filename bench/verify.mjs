/**
 * `npm run bench:verify`: what checking a block costs, part by part. Prints one JSON object. Takes
 * about half a minute. `--profile` leaves a CPU profile beside the bundle.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const LIMIT_MS = 300_000

const root = fileURLToPath(new URL("..", import.meta.url))
const outdir = `${root}/node_modules/.cache/annals-bench`
await build({
  entryPoints: [`${root}/bench/verify.ts`, `${root}/src/process/checkWorker.ts`],
  entryNames: "verify/[name]",
  outdir,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  keepNames: true,
  logLevel: "error",
})

const profile = process.argv.includes("--profile") ? ["--cpu-prof", `--cpu-prof-dir=${outdir}`] : []
const child = spawn(
  process.execPath,
  [...profile, `${outdir}/verify/verify.mjs`, `${outdir}/verify/checkWorker.mjs`],
  { stdio: "inherit" },
)
const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS)
child.on("exit", (code) => {
  clearTimeout(limit)
  process.exitCode = code ?? 1
})
