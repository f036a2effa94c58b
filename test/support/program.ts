/**
 * The built program as a user runs it: a process with its arguments, its output and its exit code.
 * `npm test` builds first.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("../../dist/main.js", import.meta.url))

/** How a run of the program ended. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A run that is under way. */
export interface Running {
  readonly child: ChildProcess
  readonly outcome: Promise<Outcome>
}

/** Longest run of any test; what is not over by then is killed, and its exit code is null. */
const LIMIT_MS = 100_000

/** Starts the program. */
export const start = (
  args: ReadonlyArray<string>,
  options: {
    readonly cwd?: string
    readonly env?: Record<string, string>
    /** Whether its standard input is a pipe; otherwise there is none. */
    readonly input?: boolean
  } = {},
): Running => {
  if (!existsSync(main)) throw new Error("dist/main.js is missing: run `npm run build` first")
  const child = spawn(process.execPath, [main, ...args], {
    stdio: [options.input === true ? "pipe" : "ignore", "pipe", "pipe", "ipc"],
    cwd: options.cwd,
    // Tests talk to this machine only: nobody is looked for unless a test asks for it.
    env: { ...process.env, ANNALS_NO_DISCOVERY: "true", ...options.env },
  })
  const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS)
  const outcome = new Promise<Outcome>((resolve) => {
    let stdout = ""
    let stderr = ""
    child.stdout?.on("data", (chunk: Buffer) => {
      stdout += chunk.toString()
    })
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString()
    })
    child.on("close", (code) => {
      clearTimeout(limit)
      resolve({ code, stdout, stderr })
    })
  })
  return { child, outcome }
}

/** Runs the program to its end. */
export const run = async (...parameters: Parameters<typeof start>): Promise<Outcome> =>
  start(...parameters).outcome

/** Peers that are up, in a process of their own. */
export interface Devnet {
  /** `--peer=…` for each of them. */
  readonly peerFlags: ReadonlyArray<string>
  readonly stop: () => Promise<Outcome>
}

/** Starts `annals devnet` and waits until all of its `peers` listen. */
export const startDevnet = async (peers: number, args: ReadonlyArray<string>): Promise<Devnet> => {
  const { child, outcome } = start(["devnet", `--peers=${peers}`, ...args])
  const enodes: Array<string> = []
  const up = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout! }).on("line", (line) => {
      enodes.push(line)
      if (enodes.length === peers) resolve()
    })
  })
  const early = await Promise.race([up, outcome])
  if (early !== undefined) throw new Error(`the devnet ended: ${early.stderr}`)
  const stop = async (): Promise<Outcome> => {
    child.kill("SIGTERM")
    return outcome
  }
  return { peerFlags: enodes.map((enode) => `--peer=${enode}`), stop }
}

/** Starts peers, hands them to `use`, and stops them whatever comes. */
export const withDevnet = async <A>(
  peers: number,
  args: ReadonlyArray<string>,
  use: (devnet: Devnet) => Promise<A>,
): Promise<A> => {
  const devnet = await startDevnet(peers, args)
  try {
    return await use(devnet)
  } finally {
    await devnet.stop()
  }
}
