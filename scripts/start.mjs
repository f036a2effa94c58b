/**
 * `npm start`: builds, then runs the main job on peers that annals starts itself: an ingest of 2,000
 * made blocks with all tables, into annals-devnet/. Ends as the program ends.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const run = async (script, ...args) =>
  new Promise((resolve) => {
    const file = fileURLToPath(new URL(script, import.meta.url))
    const child = spawn(process.execPath, [file, ...args], { stdio: "inherit" })
    // Ctrl-C reaches both of us; the program decides how it ends.
    process.on("SIGINT", () => {})
    child.on("close", (code) => resolve(code ?? 1))
  })

const built = await run("./build.mjs")
process.exitCode =
  built === 0
    ? await run(
        "../dist/main.js",
        "sync",
        "--network=devnet",
        "--min-peers=10",
        "--end-block=2000",
        "--tables=all",
        "--data-dir=annals-devnet",
      )
    : built
