/**
 * `npm run bench:logs`: what eth_getLogs costs over a store of 100,000 light blocks, with the index,
 * and what the index costs. Prints one JSON object. Takes about four minutes and 3 GB of memory,
 * most of it for making the chain; `$ANNALS_BENCH_STORE` names a directory that keeps the store for
 * the next time, `$ANNALS_BENCH_BLOCKS` another number of blocks.
 */
import path from "node:path"
import { bundle, cacheFolder, profileFlags, runProgram } from "../scripts/bundle.mjs"

const outdir = cacheFolder("annals-bench")
const outfile = path.join(outdir, "logs.mjs")
await bundle({ entryPoints: ["bench/logs.ts"], outfile })
runProgram({ file: outfile, flags: ["--expose-gc", ...profileFlags(outdir)], limitMs: 1_200_000 })
