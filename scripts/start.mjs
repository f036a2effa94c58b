/**
 * `npm start`: builds the program and runs its main job on the embedded devnet, ten local peers
 * that serve a made chain of 2,000 blocks.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

await import("./build.mjs")

const main = fileURLToPath(new URL("../dist/main.js", import.meta.url))
const range = ["--start-block", "1", "--end-block", "2000"]
const job = ["sync", "--benchmark", "probe", "--network", "devnet", "--min-peers", "10", ...range]
const child = spawn(process.execPath, [main, ...job], { stdio: "inherit" })
// Ctrl-C reaches the program by itself, and twice would end it at once; SIGTERM comes only here.
process.on("SIGINT", () => {})
process.on("SIGTERM", () => child.kill("SIGTERM"))
child.on("exit", (code) => process.exit(code ?? 1))
