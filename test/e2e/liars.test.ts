/**
 * Liars, and peers that have less than it seems, as a user meets them: the built program ingests
 * from devnet peers over real connections. A liar is banned under the right name and leaves no
 * trace in the store; who merely lacks something is not blamed.
 */
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import Database from "better-sqlite3"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { type FaultKind, faultKinds } from "../../src/devnet/faults.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { type LieKind, lieKinds } from "../../src/devnet/lies.ts"
import { toHex0x } from "../../src/domain/hex.ts"
import type { IngestSummary } from "../../src/observe/ingestSummary.ts"
import { type Devnet, run, startDevnet } from "../support/program.ts"

/** Three batches: whoever is connected when work starts gets one of them. */
const BLOCKS = 96
/** 10 transactions, 20 logs and 2 withdrawals a block: something for every lie. */
const chainFlags = [`--generate=${BLOCKS}`, "--shape=light", "--seed=7"]

/** The name under which each lie is counted. */
const countedAs: Record<LieKind, string> = {
  "lie-header": "wrong_header",
  "lie-body": "wrong_body",
  "lie-withdrawal": "wrong_body",
  "lie-receipt": "wrong_receipts",
  "lie-log": "wrong_receipts",
  "lie-swap": "wrong_receipts",
  "lie-drop-log": "wrong_receipts",
  "lie-other": "wrong_body",
  "lie-other-receipts": "wrong_receipts",
}

const modest = ["skip", "bodies-only", "boast"] as const
const faulty: ReadonlyArray<FaultKind> = faultKinds.filter((kind) =>
  [...lieKinds, ...modest].some((each) => each === kind),
)

let scratch = ""
let stores = 0
const devnets: Array<Devnet> = []
/** What a peer is, by which the tests name it. */
type PeerName = FaultKind | "honest" | "forger"
let flags = new Map<PeerName, string>()

beforeAll(async () => {
  scratch = mkdtempSync(path.join(os.tmpdir(), "annals-liars-"))
  const faults = `--fault=${faulty.map((kind) => `${kind}=1`).join(",")}`
  const [bad, forger] = await Promise.all([
    startDevnet(faulty.length + 1, [...chainFlags, faults]),
    startDevnet(1, [...chainFlags.slice(0, 2), "--seed=8"]),
  ])
  devnets.push(bad, forger)
  // The faulty ones come first, in the order of the kinds.
  flags = new Map<PeerName, string>([
    ...faulty.map((kind, index) => [kind, bad.peerFlags[index]!] as const),
    ["honest", bad.peerFlags.at(-1)!],
    ["forger", forger.peerFlags[0]!],
  ])
})
afterAll(async () => {
  await Promise.all(devnets.map(async ({ stop }) => stop()))
  rmSync(scratch, { recursive: true })
})

/** Ingests the whole chain from these peers into a fresh store. */
const ingest = async (peers: ReadonlyArray<PeerName>, args: ReadonlyArray<string> = []) => {
  stores += 1
  const directory = path.join(scratch, `store-${stores}`)
  const { code, stdout, stderr } = await run([
    "sync",
    "--json",
    "--network=devnet",
    "--tables=all",
    "--workers=1",
    `--data-dir=${directory}`,
    "--start-block=1",
    `--end-block=${BLOCKS}`,
    `--min-peers=${peers.length}`,
    ...peers.map((peer) => flags.get(peer)!),
    ...args,
  ])
  assert.notStrictEqual(stdout, "", stderr)
  const summary: IngestSummary = JSON.parse(stdout)
  const banned = summary.peers.top
    .filter((peer) => peer.banned)
    .map((peer) => peers.find((name) => flags.get(name)!.includes(peer.peer_id)))
  return { code, stderr, summary, banned, directory }
}

/** How many rows each of the tables has that hold what peers sent. */
const rowsIn = (directory: string): ReadonlyArray<number> => {
  const database = new Database(path.join(directory, "annals.db"), { readonly: true })
  try {
    return ["payloads", "blocks", "transactions", "logs", "withdrawals", "coverage"].map((table) =>
      Number(database.prepare(`SELECT count(*) FROM ${table}`).pluck().get()),
    )
  } finally {
    database.close()
  }
}

/** The store is whole by its own account, and every hash, root and row of it is recomputed. */
const verifyClean = async (directory: string): Promise<void> => {
  const { code, stdout, stderr } = await run(["verify", "--json", `--data-dir=${directory}`])
  assert.strictEqual(code, 0, `${stdout}\n${stderr}`)
}

describe("a liar beside an honest peer, and alone", () => {
  for (const lie of lieKinds) {
    it(`${lie} is banned for ${countedAs[lie]}, and nothing of it is kept`, async () => {
      const counted = countedAs[lie]
      const beside = async (): Promise<void> => {
        const { code, stderr, summary, banned, directory } = await ingest([lie, "honest"])
        assert.strictEqual(code, 0, stderr)
        assert.isTrue(summary.complete)
        assert.strictEqual(summary.stored.blocks, BLOCKS)
        assert.deepEqual(banned, [lie])
        assert.isAtLeast(summary.failures[counted] ?? 0, 1, JSON.stringify(summary.failures))
        await verifyClean(directory)
      }
      const alone = async (): Promise<void> => {
        const { code, stderr, summary, banned, directory } = await ingest(
          [lie],
          ["--give-up-ms=300"],
        )
        assert.strictEqual(code, 4, stderr)
        assert.deepEqual(rowsIn(directory), [0, 0, 0, 0, 0, 0])
        assert.deepEqual(summary.failed_blocks, [[1, BLOCKS]])
        assert.deepEqual(banned, [lie])
        assert.isAtLeast(summary.failures[counted] ?? 0, 1)
      }
      await Promise.all([beside(), alone()])
    })
  }

  it("does no harm in the company of all others, against a single honest peer", async () => {
    // As many batches as peers: most liars get one.
    const { code, stderr, summary, banned, directory } = await ingest(
      [...lieKinds, "honest"],
      ["--blocks-per-assignment=8"],
    )
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(summary.stored.blocks, BLOCKS)
    assert.isAtLeast(banned.length, 3)
    assert.notInclude(banned, "honest")
    await verifyClean(directory)
  })

  it("is told from an honest peer by a trusted hash when it has a whole chain of its own", async () => {
    const head = generateChain({ blocks: BLOCKS, shape: "light", seed: 7 }).head
    const trusted = `--trusted-hash=${BLOCKS}:${toHex0x(head.hash)}`
    const { code, stderr, summary, banned, directory } = await ingest(
      ["forger", "honest"],
      [trusted],
    )
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(summary.stored.blocks, BLOCKS)
    assert.strictEqual(summary.verified.anchored, BLOCKS)
    assert.deepEqual(banned, ["forger"])
    await verifyClean(directory)
  })
})

describe("a peer that has less than it seems", () => {
  for (const fault of modest) {
    it(`${fault} is not banned beside an honest peer, and the store is whole`, async () => {
      const { code, stderr, summary, banned, directory } = await ingest([fault, "honest"])
      assert.strictEqual(code, 0, stderr)
      assert.strictEqual(summary.stored.blocks, BLOCKS)
      assert.deepEqual(banned, [])
      assert.strictEqual(summary.verified.refuted, 0)
      await verifyClean(directory)
    })
  }
})
