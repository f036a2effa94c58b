/**
 * Sixty peers in three processes that find each other over loopback, and annals, which knows one of
 * them: real UDP, real encrypted connections.
 */
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { PeersReport } from "../../src/modes/peers.ts"
import type { IngestSummary } from "../../src/observe/ingestSummary.ts"
import { run, withDevnet } from "../support/program.ts"

let dataDir = ""
beforeAll(() => {
  dataDir = mkdtempSync(path.join(os.tmpdir(), "annals-discovery-"))
})
afterAll(() => rmSync(dataDir, { recursive: true }))

const CHAIN = ["--generate=600", "--shape=tiny", "--discovery"]

/** How many peers are found, in the first of these times that is enough: on a busy machine it takes its time. */
const foundWithin = async (
  seconds: ReadonlyArray<number>,
  looking: ReadonlyArray<string>,
): Promise<number> => {
  const [first = 0, ...longer] = seconds
  const found = await run(["peers", "--json", ...looking, "--max-peers=60", `--for=${first}`])
  assert.strictEqual(found.code, 0, found.stderr)
  const report: PeersReport = JSON.parse(found.stdout)
  const enough = report.peers.length >= 55 || longer.length === 0
  return enough ? report.peers.length : foundWithin(longer, looking)
}

describe("sixty peers that find each other", () => {
  it("are found by annals from one bootnode, within its limits, and used", async () => {
    await withDevnet(20, CHAIN, async (first) => {
      const bootnode = `--bootnode=${first.peerFlags[0]!.replace("--peer=", "")}`
      await withDevnet(20, [...CHAIN, bootnode], async () => {
        await withDevnet(20, [...CHAIN, bootnode], async () => {
          const looking = ["--network=devnet", "--no-discovery=false", bootnode]
          assert.isAtLeast(await foundWithin([14, 45], looking), 55)

          const args = ["--max-peers=12", "--min-peers=12", `--data-dir=${dataDir}`, "--json"]
          const sync = await run(["sync", ...looking, "--end-block=600", ...args])
          assert.strictEqual(sync.code, 0, sync.stderr)
          const summary: IngestSummary = JSON.parse(sync.stdout)
          assert.isTrue(summary.complete)
          assert.isAtMost(summary.peers.connected, 12)
          assert.isAtLeast(summary.peers.used, 6)
          assert.strictEqual(summary.peers.network.limits.max_peers, 12)
          assert.isAtLeast(summary.peers.network.discovered, 12)
        })
      })
    })
  }, 180_000)
})
