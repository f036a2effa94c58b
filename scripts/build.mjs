/**
 * Builds the program: bundles the entry points into dist/ as ES modules, so that a command starts
 * in a fraction of a second and loads only what it needs.
 *
 * What a command imports dynamically stays in chunks of its own. Native packages stay outside, and
 * so does @ethereumjs/*: it is loaded late, and its devp2p tells its classes apart by their names.
 * Files are replaced one by one and leftovers removed last: a program that starts meanwhile finds
 * whole files.
 */
import { build } from "esbuild"
import { chmod, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises"
import path from "node:path"
import { requireBanner, ROOT } from "./bundle.mjs"

const outdir = path.join(ROOT, "dist")

/** The program, and what its worker threads start from. */
const entryPoints = [
  "src/main.ts",
  "src/process/checkWorker.ts",
  "src/write/storeThread.ts",
  "src/write/readerThread.ts",
  "src/write/chainIndex/chainIndexThread.ts",
  "src/rpc/server/serverThread.ts",
]

const external = ["@ethereumjs/*", "better-sqlite3", "snappy"]

const { outputFiles } = await build({
  absWorkingDir: ROOT,
  entryPoints,
  outdir,
  outbase: "src",
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  write: false,
  platform: "node",
  target: "node20.19",
  format: "esm",
  splitting: true,
  // Nothing of ours goes by the name of a function or class, and devp2p, which does, stays outside;
  // to keep names would cost a call for every closure that is made.
  keepNames: false,
  minifySyntax: true,
  sourcemap: true,
  sourcesContent: false,
  external,
  banner: requireBanner,
  logLevel: "warning",
}).catch(() => process.exit(1))

for (const file of outputFiles) {
  await mkdir(path.dirname(file.path), { recursive: true })
  const unfinished = `${file.path}.${process.pid}.tmp`
  await writeFile(unfinished, file.contents)
  if (path.dirname(file.path) === outdir && file.path.endsWith(".js"))
    await chmod(unfinished, 0o755)
  await rename(unfinished, file.path)
}

const written = new Set(outputFiles.map((file) => file.path))
for (const entry of await readdir(outdir, { recursive: true, withFileTypes: true })) {
  const file = path.join(entry.parentPath, entry.name)
  if (entry.isFile() && !written.has(file) && !file.endsWith(".tmp"))
    await rm(file, { force: true })
}
