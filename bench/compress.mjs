/**
 * `npm run bench:compress`: what payloads become by this and that way of compressing them, and what
 * it costs. Prints a table in Markdown; takes about two minutes. Real blocks are measured where the
 * fixtures are. Packages that annals does not use (`lz4-napi`) are tried where
 * `$ANNALS_BENCH_MODULES` names a folder in which they are installed.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const LIMIT_MS = 600_000

const root = fileURLToPath(new URL("..", import.meta.url))
const outdir = `${root}/node_modules/.cache/annals-bench`
await build({
  entryPoints: [`${root}/bench/compress.ts`],
  outfile: `${outdir}/compress.mjs`,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  keepNames: true,
  logLevel: "error",
})

const child = spawn(process.execPath, [`${outdir}/compress.mjs`], {
  stdio: "inherit",
  env: {
    ...process.env,
    ANNALS_FIXTURES: process.env.ANNALS_FIXTURES ?? `${root}/../shared/fixtures`,
  },
})
const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS)
child.on("exit", (code) => {
  clearTimeout(limit)
  process.exitCode = code ?? 1
})
