/** A devnet whose chains move at a word, and a program that follows it. */
import { createInterface } from "node:readline"
import { Effect } from "effect"
import { toHex } from "../../src/domain/hex.ts"
import { query } from "../write/support.ts"
import { type Outcome, start } from "./program.ts"

/** Peers that are up and take commands. */
export interface LiveDevnet {
  /** The enode of each. */
  readonly enodes: ReadonlyArray<string>
  /** `--peer=…` for each. */
  readonly peerFlags: ReadonlyArray<string>
  /** Gives a command; ends when it is acknowledged. */
  readonly tell: (command: string) => Promise<string>
  readonly stop: () => Promise<Outcome>
}

/** Starts `annals devnet --control` and waits until all of its `peers` listen. */
export const startLiveDevnet = async (
  peers: number,
  args: ReadonlyArray<string>,
): Promise<LiveDevnet> => {
  const { child, outcome } = start(["devnet", `--peers=${peers}`, "--control", ...args], {
    input: true,
  })
  const enodes: Array<string> = []
  const waiting: Array<(line: string) => void> = []
  const up = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout! }).on("line", (line) => {
      enodes.push(line)
      if (enodes.length === peers) resolve()
    })
  })
  createInterface({ input: child.stderr! }).on("line", (line) => {
    if (line.startsWith("control: ")) waiting.shift()?.(line)
  })
  const early = await Promise.race([up, outcome])
  if (early !== undefined) throw new Error(`the devnet ended: ${early.stderr}`)
  const stop = async (): Promise<Outcome> => {
    child.kill("SIGTERM")
    return outcome
  }
  const tell = async (command: string): Promise<string> => {
    const told = new Promise<string>((resolve) => waiting.push(resolve))
    child.stdin!.write(`${command}\n`)
    return told
  }
  return { enodes, peerFlags: enodes.map((one) => `--peer=${one}`), tell, stop }
}

/** Starts `annals devnet --control`, hands it to `use`, and stops it whatever comes. */
export const withLiveDevnet = async <A>(
  peers: number,
  args: ReadonlyArray<string>,
  use: (devnet: LiveDevnet) => Promise<A>,
): Promise<A> => {
  const devnet = await startLiveDevnet(peers, args)
  try {
    return await use(devnet)
  } finally {
    await devnet.stop()
  }
}

/** A program that follows. */
export interface Follower {
  readonly directory: string
  /** What it has said on stderr so far. */
  readonly said: () => string
  readonly kill: (signal: NodeJS.Signals) => void
  readonly outcome: Promise<Outcome>
}

/** Starts `annals sync --follow` into a directory. */
export const startFollower = (directory: string, args: ReadonlyArray<string>): Follower => {
  const { child, outcome } = start([
    "sync",
    "--follow",
    "--network=devnet",
    `--data-dir=${directory}`,
    ...args,
  ])
  let said = ""
  child.stderr!.on("data", (chunk: Buffer) => {
    said += chunk.toString()
  })
  return { directory, said: () => said, kill: (signal) => void child.kill(signal), outcome }
}

/** Rows of a store that somebody else writes to. */
export const rowsOf = (
  directory: string,
  statement: string,
): Promise<ReadonlyArray<ReadonlyArray<unknown>>> => Effect.runPromise(query(directory, statement))

/** All that a store says of its chain, row by row. */
export const digestOf = async (directory: string): Promise<string> => {
  const tables = ["payloads", "blocks", "transactions", "logs", "withdrawals", "coverage", "reorgs"]
  const digests = await Promise.all(
    tables.map(async (table) => {
      const rows = await rowsOf(directory, `SELECT * FROM ${table} ORDER BY 1, 2, 3`)
      return `${table} ${JSON.stringify(rows, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value instanceof Uint8Array ? toHex(value) : value))}`
    }),
  )
  return digests.join("\n")
}

/** Number and hash (hex) of the highest stored block; undefined while there is none. */
export const tipOf = async (
  directory: string,
): Promise<{ readonly number: number; readonly hash: string } | undefined> => {
  const rows = await rowsOf(
    directory,
    "SELECT block_number, lower(hex(block_hash)) FROM blocks ORDER BY block_number DESC LIMIT 1",
  ).catch(() => [])
  const [row] = rows
  return row === undefined ? undefined : { number: Number(row[0]), hash: String(row[1]) }
}

/** Waits until something holds; fails when it does not within the time. */
export const until = async (
  what: string,
  holds: () => Promise<boolean>,
  withinMs = 30_000,
): Promise<void> => {
  for (const endMs = Date.now() + withinMs; Date.now() < endMs;) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`not within ${withinMs} ms: ${what}`)
}

/** Waits until the highest stored block is this one. */
export const untilTip = (
  follower: Follower,
  wanted: { readonly number: number; readonly hash: string },
  withinMs?: number,
): Promise<void> =>
  until(
    `block ${wanted.number} ${wanted.hash}; it said:\n${follower.said()}`,
    async () => {
      const tip = await tipOf(follower.directory)
      return tip?.number === wanted.number && tip.hash === wanted.hash
    },
    withinMs,
  )
