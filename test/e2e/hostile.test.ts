/**
 * Hostile peers as a user meets them: the built program, one honest peer whose line is slow, and
 * beside it peers of every bad kind, which listen and dial. The long form, with every kind ten times,
 * is `npm run stress -- --only hostile`.
 */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { isEnodeInvalid, parseEnode } from "../../src/chain/enode.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import type { IngestSummary } from "../../src/observe/ingestSummary.ts"
import { NODE_KEY_FILE } from "../../src/peers/NodeKey.ts"
import { type Crowd, startCrowd } from "../hostile/crowd.ts"
import { hostileScript } from "../hostile/scripts.ts"
import { type Devnet, run, type Running, start, startDevnet } from "../support/program.ts"

const BLOCKS = 800
const chainFlags = [`--generate=${BLOCKS}`, "--shape=light", "--seed=7"]
/** A line that takes some seconds for the chain. */
const lineFlags = ["--latency-ms=30", "--bandwidth-mbit=12"]

/** One of each sort: before the session, in frames, in messages, in conduct, in content. */
const mixture = [
  "hello-drip",
  "hello-16-mib",
  "wrong-mac",
  "millions-of-items",
  "flood-of-transactions",
  "flood-of-requests",
  "silent-parts",
  "leaves-when-asked",
  "receipts-never-end",
  "withdrawals-10000",
]

let scratch = ""
let honest: Devnet | undefined
const crowds: Array<Crowd> = []
const crowd = async (names: ReadonlyArray<string>): Promise<Crowd> => {
  const started = await startCrowd(names.map(hostileScript), chain)
  crowds.push(started)
  return started
}
const chain = generateChain({ blocks: BLOCKS, shape: "light", seed: 7 })

beforeAll(async () => {
  scratch = mkdtempSync(path.join(os.tmpdir(), "annals-hostile-"))
  honest = await startDevnet(1, [...chainFlags, ...lineFlags])
})
afterAll(async () => {
  await Promise.all(crowds.map(async ({ close }) => close()))
  await honest?.stop()
  rmSync(scratch, { recursive: true })
})

const directoryOf = (name: string): string => path.join(scratch, name)

/** An ingest of the whole chain from the honest peer and these. */
const sync = (name: string, args: ReadonlyArray<string>): Running =>
  start([
    "sync",
    "--json",
    "--network=devnet",
    "--workers=1",
    "--timeout-ms=1000",
    `--data-dir=${directoryOf(name)}`,
    "--start-block=1",
    `--end-block=${BLOCKS}`,
    ...honest!.peerFlags,
    ...args,
  ])

const summaryOf = async ({ outcome }: Running): Promise<IngestSummary & { stderr: string }> => {
  const { code, stdout, stderr } = await outcome
  assert.strictEqual(code, 0, stderr)
  return { ...JSON.parse(stdout), stderr }
}

/** Waits until the program tells where it listens. */
const listening = async ({ child }: Running) =>
  new Promise<string>((resolve) => {
    let text = ""
    child.stderr?.on("data", (chunk: Buffer) => {
      text += chunk.toString()
      const enode = /listening on \S+ (enode:\S+)/.exec(text)?.[1]
      if (enode !== undefined) resolve(enode)
    })
  })

const LISTENS = "0A"

/** TCP sockets of a process that listen (proc(5)). */
const listenersOf = (pid: number): number => {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
      } catch {
        // It was closed meanwhile.
        return []
      }
    }),
  )
  return ["tcp", "tcp6"]
    .flatMap((table) => readFileSync(`/proc/${pid}/net/${table}`, "utf8").split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === LISTENS && inodes.has(fields[9] ?? "")).length
}

describe("ten hostile peers beside an honest one", () => {
  it("cost it less than half its rate, no block and no memory", async () => {
    const alone = await summaryOf(sync("alone", []))
    const hostile = await crowd(mixture)
    const running = sync("beside", [...hostile.peerFlags, "--port=0"])
    // They dial as well: annals has each of them twice.
    const enode = parseEnode(await listening(running))
    if (isEnodeInvalid(enode)) return assert.fail("no enode")
    await hostile.dial(enode)
    const beside = await summaryOf(running)
    assert.isTrue(beside.complete)
    assert.strictEqual(beside.stored.blocks, BLOCKS)
    const { network } = beside.peers
    const told = JSON.stringify({ network, failures: beside.failures, alone: alone.performance })
    assert.isAtLeast(beside.performance.blocks_per_sec, alone.performance.blocks_per_sec / 2, told)
    assert.isBelow(beside.performance.max_rss_mib, 512)
    for (const breach of ["bad_frame", "flood", "wrong_answer"]) {
      assert.isAtLeast(network.breaches[breach] ?? 0, 1, told)
    }
    const verified = await run(["verify", "--json", `--data-dir=${directoryOf("beside")}`])
    assert.strictEqual(verified.code, 0, verified.stdout)
  })
})

describe("what a peer has no hold of", () => {
  it("are the lines of the log, files, and ports", async () => {
    const hostile = await crowd(["control-characters", "control-characters-and-a-lie"])
    const running = sync("quiet", hostile.peerFlags)
    let most = 0
    const watch = setInterval(() => {
      try {
        most = Math.max(most, listenersOf(running.child.pid!))
      } catch {
        clearInterval(watch)
      }
    }, 50)
    const { stderr, peers } = await summaryOf(running)
    clearInterval(watch)
    assert.strictEqual(most, 0, "a port is open that nobody asked for")
    assert.match(stderr, /banned [0-9a-f]{16} \(.*liar.*\)/)
    assert.notMatch(stderr.replaceAll("\n", ""), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    for (const { client } of peers.top) assert.notMatch(client, /[\p{Cc}\p{Cf}]/u)
    // A line that pretends to be ours is none.
    assert.notMatch(stderr, /^annals: all is well/m)
    const files = readdirSync(directoryOf("quiet")).toSorted()
    assert.deepEqual(
      files.filter((file) => !/^annals\.(lock|db(-wal|-shm)?)$/.test(file)),
      [NODE_KEY_FILE],
    )
    assert.strictEqual(statSync(path.join(directoryOf("quiet"), NODE_KEY_FILE)).mode & 0o777, 0o600)
  })

  it("shows that it looks for open ports where there is one", async () => {
    const running = sync("listening", ["--port=0"])
    await listening(running)
    assert.strictEqual(listenersOf(running.child.pid!), 1)
    running.child.kill("SIGTERM")
    await running.outcome
  })
})
