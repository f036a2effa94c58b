/** Peers that hold less than they say, or parts only: used for what they have, and not blamed. */
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import type { IngestSummary } from "../../src/observe/ingestSummary.ts"
import { run, withDevnet } from "../support/program.ts"

let scratch = ""
beforeAll(() => {
  scratch = mkdtempSync(path.join(os.tmpdir(), "annals-pruned-"))
})
afterAll(() => rmSync(scratch, { recursive: true }))

/** Ingests 3,000 blocks from an honest peer and one with a fault; gives the summary. */
const ingestBeside = async (fault: string): Promise<IngestSummary> => {
  let summary: IngestSummary | undefined
  const chain = ["--generate=3000", "--shape=tiny", "--latency-ms=20", `--fault=${fault}=1`]
  await withDevnet(2, chain, async (devnet) => {
    const place = ["--network=devnet", `--data-dir=${path.join(scratch, fault)}`]
    const range = ["--end-block=3000", "--min-peers=2", "--blocks-per-assignment=16"]
    const outcome = await run(["sync", "--json", ...place, ...range, ...devnet.peerFlags])
    assert.strictEqual(outcome.code, 0, outcome.stderr)
    summary = JSON.parse(outcome.stdout)
  })
  assert.isDefined(summary)
  return summary
}

const peerNamed = ({ peers }: IngestSummary, fault: string) =>
  peers.top.find(({ client }) => client.endsWith(fault))

describe("a pruned peer", () => {
  it("that announces more than it has is asked only for what it has after the first miss", async () => {
    const summary = await ingestBeside("boast")
    assert.isTrue(summary.complete)
    const boaster = peerNamed(summary, "boast")
    assert.isFalse(boaster?.banned)
    assert.isAbove(boaster?.blocks ?? 0, 0)
    // What was under way at the first miss: two batches, of which bodies and receipts are missed.
    assert.isAtMost(summary.failures["empty_answer"] ?? 0, 4)
  })

  it("that has bodies and no receipts still serves bodies", async () => {
    const summary = await ingestBeside("bodies-only")
    assert.isTrue(summary.complete)
    const pruned = peerNamed(summary, "bodies-only")
    assert.isFalse(pruned?.banned)
    assert.isAbove(pruned?.blocks ?? 0, 0)
    assert.isAtMost(summary.failures["empty_answer"] ?? 0, 2)
  })
})
