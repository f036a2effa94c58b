/** The probe as a user runs it: processes, real encrypted connections on loopback, real chains. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import net from "node:net"
import os from "node:os"
import path from "node:path"
import { assert, describe, it } from "vitest"
import type { Summary } from "../../src/observe/summary.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import { type Devnet, run, start, startDevnet, withDevnet } from "../support/program.ts"

/** Probes with these peers and gives the exit code with the summary. */
const probe = async (devnet: Devnet, args: ReadonlyArray<string>, cwd?: string) => {
  const outcome = await run(
    ["sync", "--benchmark=probe", ...devnet.peerFlags, ...args],
    cwd === undefined ? {} : { cwd },
  )
  return { ...outcome, summary: summaryOf(outcome.stdout) }
}

const summaryOf = (stdout: string): Summary => {
  const lines = stdout.trim().split("\n")
  assert.strictEqual(lines.length, 1, `one JSON object on stdout, got: ${stdout}`)
  const summary: Summary = JSON.parse(lines[0]!)
  return summary
}

describe.skipIf(fixturesDir === undefined)("a probe of real chains", () => {
  it("gets era 0 of mainnet from ten peers, all of them used", async () => {
    const network = "--network=mainnet"
    const chain = `--chain=${fixture("era1/mainnet-00000-5ec1ffb8.era1")}`
    await withDevnet(10, [network, chain], async (devnet) => {
      const { code, summary } = await probe(devnet, [
        network,
        "--min-peers=10",
        "--start-block=0",
        "--end-block=8191",
      ])
      assert.strictEqual(code, 0)
      assert.isTrue(summary.complete)
      assert.strictEqual(summary.totals.blocks_requested, 8192)
      assert.strictEqual(summary.totals.blocks_succeeded, 8192)
      assert.strictEqual(summary.totals.blocks_failed, 0)
      assert.strictEqual(summary.peers.used, 10)
      assert.deepStrictEqual(summary.range, { start_block: 0, end_block: 8191 })
    })
  })

  for (const version of [68, 69, 70]) {
    it(`gets block 11 of ethtest with its 10.66 MB whole over eth/${version}`, async () => {
      const network = `--network=${fixture("chains/ethtest/genesis.json")}`
      const chain = `--chain=${fixture("chains/ethtest/full.rlp.gz")}`
      await withDevnet(2, [network, chain, `--eth=${version}`], async (devnet) => {
        const { code, summary } = await probe(devnet, [
          network,
          "--start-block=1",
          "--end-block=600",
        ])
        assert.strictEqual(code, 0)
        assert.strictEqual(summary.totals.blocks_succeeded, 600)
        assert.strictEqual(summary.totals.receipts, 603)
        assert.isAbove(summary.totals.bytes_received, 10_660_000)
        assert.isTrue(summary.peers.top.every((peer) => peer.eth === version))
      })
    })
  }

  it("counts the receipts of nimb", async () => {
    const network = `--network=${fixture("chains/nimb/genesis.json")}`
    const chain = `--chain=${fixture("chains/nimb/full.rlp.gz")}`
    await withDevnet(3, [network, chain], async (devnet) => {
      const { code, summary } = await probe(devnet, [
        network,
        "--start-block=1",
        "--end-block=1024",
      ])
      assert.strictEqual(code, 0)
      assert.strictEqual(summary.totals.receipts, 11_264)
      assert.strictEqual(summary.retries.requeued, 0)
    })
  })
})

describe("a probe of a generated chain", () => {
  it("writes nothing, not even the data directory", async () => {
    const cwd = mkdtempSync(path.join(os.tmpdir(), "annals-probe-"))
    try {
      await withDevnet(2, ["--generate=64", "--shape=tiny"], async (devnet) => {
        const args = ["--network=devnet", "--end-block=64", "--data-dir=annals-data"]
        assert.strictEqual((await probe(devnet, args, cwd)).code, 0)
      })
      assert.deepStrictEqual(readdirSync(cwd), [])
    } finally {
      rmSync(cwd, { recursive: true })
    }
  })

  it("probes up to the measured head less the rollback window when no end is given", async () => {
    await withDevnet(2, ["--generate=200", "--shape=tiny"], async (devnet) => {
      const { summary } = await probe(devnet, ["--network=devnet", "--rollback-window=50"])
      assert.deepStrictEqual(summary.range, { start_block: 0, end_block: 150 })
      assert.isTrue(summary.complete)
    })
  })

  it("asks a peer at block 500 for nothing above it", async () => {
    const low = await startDevnet(1, ["--generate=500", "--shape=tiny", "--eth=69"])
    const high = await startDevnet(1, ["--generate=1000", "--shape=tiny", "--latency-ms=40"])
    try {
      const both = { ...high, peerFlags: [...low.peerFlags, ...high.peerFlags] }
      const { code, summary } = await probe(both, [
        "--network=devnet",
        "--min-peers=2",
        "--end-block=1000",
      ])
      assert.strictEqual(code, 0)
      assert.deepStrictEqual(summary.failures, {})
      const ofLow = summary.peers.top.find((peer) => peer.eth === 69)
      assert.isAtMost(ofLow?.blocks ?? 0, 501)
      assert.isAtLeast(ofLow?.blocks ?? 0, 32)
    } finally {
      await low.stop()
      await high.stop()
    }
  })

  it("ends with 3 and the missing ranges when the range lies above every head", async () => {
    await withDevnet(2, ["--generate=40", "--shape=tiny"], async (devnet) => {
      const { code, summary, stderr } = await probe(devnet, [
        "--network=devnet",
        "--start-block=30",
        "--end-block=60",
        "--give-up-ms=1500",
      ])
      assert.strictEqual(code, 3)
      assert.isFalse(summary.complete)
      assert.deepStrictEqual(summary.failed_blocks, [[41, 60]])
      assert.include(stderr, "20 blocks are missing")
      assert.include(stderr, "41-60")
    })
  })

  it("ends with 3 when every peer is banned", async () => {
    await withDevnet(1, ["--generate=40", "--shape=tiny", "--fault=lie=1"], async (devnet) => {
      const { code, summary } = await probe(devnet, [
        "--network=devnet",
        "--end-block=40",
        "--give-up-ms=3000",
      ])
      assert.strictEqual(code, 3)
      assert.strictEqual(summary.peers.banned, 1)
      assert.deepStrictEqual(summary.failed_blocks, [[0, 40]])
    })
  })

  it("prints its summary on Ctrl-C and ends with 130", async () => {
    const slow = ["--generate=2000", "--shape=tiny", "--latency-ms=400"]
    await withDevnet(2, slow, async (devnet) => {
      const { child, outcome } = start([
        "sync",
        "--benchmark=probe",
        "--network=devnet",
        "--end-block=2000",
        ...devnet.peerFlags,
      ])
      setTimeout(() => child.kill("SIGINT"), 4_000)
      const { code, stdout } = await outcome
      assert.strictEqual(code, 130)
      const summary = summaryOf(stdout)
      assert.isFalse(summary.complete)
      assert.isAbove(summary.totals.blocks_succeeded, 0)
      assert.isBelow(summary.totals.blocks_succeeded, 2001)
      assert.deepStrictEqual(summary.failed_blocks, [])
    })
  })

  it("survives a crowd of bad peers beside two honest ones, and names each failure", async () => {
    const faults = "--fault=silent=2,leave=1,short=2,skip=1,empty=1,garbage=1,slow=1"
    const args = ["--generate=6000", "--shape=light", "--latency-ms=80", faults]
    await withDevnet(11, args, async (devnet) => {
      const { code, summary } = await probe(devnet, [
        "--network=devnet",
        "--timeout-ms=200",
        "--end-block=6000",
      ])
      assert.strictEqual(code, 0)
      assert.isTrue(summary.complete)
      assert.strictEqual(summary.totals.blocks_succeeded, 6001)
      const banned = summary.peers.top.filter((peer) => peer.banned).map((peer) => peer.client)
      for (const kind of ["silent", "garbage"]) assert.include(banned.join(" "), kind)
      for (const kind of ["honest", "short", "skip", "empty", "leave"]) {
        assert.notInclude(banned.join(" "), kind)
      }
      for (const name of [
        "timeout",
        "truncated",
        "empty_answer",
        "malformed",
        "skipped",
        "disconnected",
      ]) {
        assert.isAbove(summary.failures[name] ?? 0, 0, name)
      }
    })
  })
})

const oneLine = (stderr: string): string => {
  assert.strictEqual(stderr.trim().split("\n").length, 1, stderr)
  assert.notMatch(stderr, /\n\s+at /u)
  return stderr
}

describe("a probe that cannot start", () => {
  it("ends with 6 and says what was tried when no peer is usable", async () => {
    const nobody = `enode://${"ab".repeat(64)}@127.0.0.1:1`
    const { code, stderr, stdout } = await run([
      "sync",
      "--benchmark=probe",
      `--peer=${nobody}`,
      "--give-up-ms=1500",
      "--end-block=9",
    ])
    assert.strictEqual(code, 6)
    assert.include(stderr, "no peer was usable")
    assert.include(stderr, `${nobody}: not reachable (ECONNREFUSED)`)
    assert.isFalse(summaryOf(stdout).complete)
  })

  it("ends with 6 at once when there is nobody to dial", async () => {
    const { code, stderr } = await run(["sync", "--benchmark=probe"])
    assert.strictEqual(code, 6)
    assert.include(stderr, "no --peer was given")
  })

  it("ends with 6 when the only peer is on another chain, and says so", async () => {
    await withDevnet(1, ["--generate=10", "--shape=tiny"], async (devnet) => {
      const { code, stderr } = await run([
        "sync",
        "--benchmark=probe",
        "--network=mainnet",
        ...devnet.peerFlags,
      ])
      assert.strictEqual(code, 6)
      assert.include(stderr, "on another chain: network_id is 1337, ours is 1")
    })
  })

  it("refuses a network that is none, in one line", async () => {
    const { code, stderr, stdout } = await run(["sync", "--benchmark=probe", "--network=nowhere"])
    assert.strictEqual(code, 2)
    assert.strictEqual(stdout, "")
    assert.include(oneLine(stderr), "--network nowhere")
  })

  it("refuses a devnet without a readable chain, in one line", async () => {
    for (const [file, reason] of [
      ["/nonexistent/chain.era1", "no such file"],
      [fileURLToThisTest, "neither era1 nor RLP"],
    ] as const) {
      const { code, stderr, stdout } = await run(["devnet", "--network=mainnet", `--chain=${file}`])
      assert.strictEqual(code, 2)
      assert.strictEqual(stdout, "")
      assert.include(oneLine(stderr), reason)
    }
  })

  it("refuses a devnet on a busy port, in one line", async () => {
    const server = net.createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    try {
      const { code, stderr } = await run(["devnet", "--generate=5", "--peers=1", `--port=${port}`])
      assert.strictEqual(code, 2)
      assert.include(oneLine(stderr), `127.0.0.1:${port} is in use`)
    } finally {
      server.close()
    }
  })
})

const fileURLToThisTest = new URL(import.meta.url).pathname
