/**
 * `npm run bench:verify`: what checking a block costs, part by part. Prints one JSON object. Takes
 * about half a minute. `--profile` leaves a CPU profile beside the bundle.
 */
import path from "node:path"
import { bundle, cacheFolder, profileFlags, runProgram } from "../scripts/bundle.mjs"

const outdir = cacheFolder("annals-bench")
await bundle({
  entryPoints: ["bench/verify.ts", "src/process/checkWorker.ts"],
  entryNames: "verify/[name]",
  outdir,
  outExtension: { ".js": ".mjs" },
  keepNames: true,
})
runProgram({
  file: path.join(outdir, "verify/verify.mjs"),
  flags: profileFlags(outdir),
  args: [path.join(outdir, "verify/checkWorker.mjs")],
  limitMs: 300_000,
})
