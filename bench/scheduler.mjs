/**
 * `npm run bench:scheduler`: what a decision of the scheduler costs, with little and with much work
 * pending. Prints one JSON object. Takes about a minute.
 */
import path from "node:path"
import { bundle, cacheFolder, profileFlags, runProgram } from "../scripts/bundle.mjs"

const outdir = cacheFolder("annals-bench")
const outfile = path.join(outdir, "scheduler.mjs")
await bundle({ entryPoints: ["bench/scheduler.ts"], outfile })
runProgram({ file: outfile, flags: ["--expose-gc", ...profileFlags(outdir)], limitMs: 300_000 })
