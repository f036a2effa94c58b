/**
 * What `simulate.mjs` and `simulationMutants.mjs` share: the simulation as one program, and processes
 * that work through seeds.
 */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import { bundle } from "./bundle.mjs"

/** A seed takes a tenth of a second; a process that is silent for so long is in a loop. */
const SILENCE_MS = 120_000
/** Short-lived objects by the million: a larger nursery halves the work of the collector. */
const NODE_FLAGS = ["--enable-source-maps", "--max-semi-space-size=64"]

/** Where memory is a folder; elsewhere the system's folder for temporary files. */
const FAST_FOLDER = existsSync("/dev/shm") ? "/dev/shm" : tmpdir()

/** What is taken away however this process ends, short of a kill. */
const leftovers = new Set()
const dispose = (folder) => {
  rmSync(folder, { recursive: true, force: true })
  leftovers.delete(folder)
}
process.on("exit", () => {
  for (const folder of leftovers) dispose(folder)
})
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130))

/** A new folder whose name begins like that; gone with {@link dispose}, or with this process. */
export const temporaryFolder = (prefix) => {
  const folder = mkdtempSync(prefix)
  leftovers.add(folder)
  return { folder, dispose: () => dispose(folder) }
}

/** Bundles the simulation of the tree at `root` into the folder `out`; gives the program's file. */
export const bundleSimulation = async (root, out) => {
  await bundle({
    absWorkingDir: root,
    entryPoints: ["test/simulation/worker.ts"],
    outdir: out,
    outExtension: { ".js": ".mjs" },
    splitting: true,
    preserveSymlinks: true,
    sourcemap: true,
  })
  return path.join(out, "worker.mjs")
}

/**
 * Starts a process over `count` seeds from `first` on, `stride` apart. `onLine` is given each line of
 * JSON that it writes, and may end it by returning true. Gives why it ended otherwise than well.
 */
export const runWorker = ({ program, first, count, stride, mode = "", onLine }) => {
  // A process that is killed leaves its stores behind.
  const stores = temporaryFolder(path.join(FAST_FOLDER, "annals-simulation-"))
  const child = spawn(
    process.execPath,
    [...NODE_FLAGS, program, first, count, stride, mode].map(String),
    {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ANNALS_SIMULATION_FOLDER: stores.folder },
    },
  )
  let stderr = ""
  let wrong
  let over = false
  const watch = () =>
    setTimeout(() => {
      wrong = `silent for ${SILENCE_MS / 1000} s`
      child.kill("SIGKILL")
    }, SILENCE_MS)
  let watchdog = watch()
  child.stderr.on("data", (chunk) => {
    stderr = (stderr + chunk).slice(-4_000)
  })
  createInterface({ input: child.stdout }).on("line", (line) => {
    clearTimeout(watchdog)
    watchdog = watch()
    if (over || onLine(line) !== true) return
    over = true
    child.kill("SIGKILL")
  })
  const ended = new Promise((resolve) => {
    child.on("close", (code) => {
      clearTimeout(watchdog)
      stores.dispose()
      if (!over && code !== 0) wrong ??= `it ended with code ${code}: ${stderr}`
      resolve(over ? undefined : wrong)
    })
  })
  const end = () => {
    over = true
    child.kill("SIGKILL")
  }
  return { ended, end }
}
