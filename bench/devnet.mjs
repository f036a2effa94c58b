/** What the benchmarks of the whole program share: peers in a process of their own, and runs. */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"

const program = new URL("../dist/main.js", import.meta.url).pathname

/** Starts peers that serve a generated chain of mainnet's shape; gives them and how to end them. */
export const startPeers = async ({ blocks, peers, shape = "mainnet", flags = [] }) => {
  const child = spawn(
    process.execPath,
    [program, "devnet", `--generate=${blocks}`, `--shape=${shape}`, `--peers=${peers}`, ...flags],
    { stdio: ["ignore", "pipe", "ignore", "ipc"] },
  )
  const enodes = []
  for await (const line of createInterface({ input: child.stdout })) {
    enodes.push(line)
    if (enodes.length === peers) return { enodes, stop: () => child.kill("SIGTERM") }
  }
  throw new Error("the devnet did not come up")
}

/** Runs the program once; gives its summary. A run that is not complete is an error. */
export const runOnce = async (args, nodeFlags = []) => {
  const child = spawn(process.execPath, [...nodeFlags, program, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  let text = ""
  for await (const chunk of child.stdout) text += chunk
  const summary = JSON.parse(text)
  if (!summary.complete) throw new Error(`a run was not complete: ${text}`)
  return summary
}

/** Runs a benchmark of this folder; gives the JSON that it prints. */
export const runBenchmark = async (script) => {
  const file = new URL(script, import.meta.url).pathname
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] })
  let text = ""
  for await (const chunk of child.stdout) text += chunk
  return JSON.parse(text)
}

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

export const round = (value, digits = 3) => Math.round(value * 10 ** digits) / 10 ** digits
