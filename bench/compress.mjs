/**
 * `npm run bench:compress`: what payloads become by this and that way of compressing them, and what
 * it costs. Prints a table in Markdown; takes about two minutes. Real blocks are measured where the
 * fixtures are. Packages that annals does not use (`lz4-napi`) are tried where
 * `$ANNALS_BENCH_MODULES` names a folder in which they are installed.
 */
import path from "node:path"
import { bundle, cacheFolder, ROOT, runProgram } from "../scripts/bundle.mjs"

const outfile = path.join(cacheFolder("annals-bench"), "compress.mjs")
await bundle({ entryPoints: ["bench/compress.ts"], outfile, keepNames: true })
runProgram({
  file: outfile,
  env: { ANNALS_FIXTURES: process.env.ANNALS_FIXTURES ?? path.join(ROOT, "../shared/fixtures") },
  limitMs: 600_000,
})
