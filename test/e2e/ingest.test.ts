/** Ingest as a user runs it: processes, real connections on loopback, real chains, a real store. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { readChainFile } from "../../src/devnet/chainFiles.ts"
import { readHeader } from "../../src/domain/header.ts"
import type { IngestSummary } from "../../src/observe/ingestSummary.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import { type Devnet, run, start, withDevnet } from "../support/program.ts"

let scratch = ""
let stores = 0
beforeAll(() => {
  scratch = mkdtempSync(path.join(os.tmpdir(), "annals-ingest-"))
})
afterAll(() => rmSync(scratch, { recursive: true }))

/** A directory for a store that is not there yet. */
const newStore = (): string => {
  stores += 1
  return path.join(scratch, `store-${stores}`)
}

const summaryOf = (stdout: string): IngestSummary => {
  const summary: IngestSummary = JSON.parse(stdout)
  return summary
}

const sync = async (devnet: Devnet, directory: string, args: ReadonlyArray<string>) => {
  const outcome = await run([
    "sync",
    "--json",
    `--data-dir=${directory}`,
    ...devnet.peerFlags,
    ...args,
  ])
  assert.notStrictEqual(outcome.stdout, "", outcome.stderr)
  return { ...outcome, summary: summaryOf(outcome.stdout) }
}

const verify = async (directory: string): Promise<void> => {
  const { code, stdout, stderr } = await run(["verify", "--json", `--data-dir=${directory}`])
  assert.strictEqual(code, 0, `${stdout}\n${stderr}`)
  const report: { readonly damageCount?: number; readonly damage_count?: number } =
    JSON.parse(stdout)
  assert.strictEqual(report.damage_count ?? report.damageCount, 0)
}

/** The unbroken pieces of a chain file, from block 1 on. */
const piecesOf = (file: string): ReadonlyArray<readonly [number, number]> => [
  ...BlockRanges.fromRanges(
    readChainFile(file).map(({ header }) => {
      const { number } = readHeader(header)
      return [number, number] as const
    }),
  )
    .remove(0, 0)
    .ranges(),
]

const real = [
  { network: "mainnet", file: "era1/mainnet-00000-5ec1ffb8.era1" },
  { network: "sepolia", file: "era1/sepolia-00000-643a00f7.era1" },
  { network: "sepolia", file: "era1/sepolia-00001-f3ea493e.era1" },
  { network: "mainnet", file: "mainnet/prebyzantium-1000000-1000030.rlp" },
  { network: "mainnet", file: "mainnet/byzantium-1-100-7000000.rlp" },
  { network: "mainnet", file: "mainnet/london-15040641-15040710.rlp" },
  { network: "mainnet", file: "mainnet/forks-14764013-22869878.rlp" },
  { network: "mainnet", file: "mainnet/cancun-19433902-19433903.rlp" },
  { network: "chains/ethtest/genesis.json", file: "chains/ethtest/full.rlp.gz" },
  { network: "chains/nimb/genesis.json", file: "chains/nimb/full.rlp.gz" },
  { network: "chains/execapis/genesis.json", file: "chains/execapis/full.rlp.gz" },
  { network: "chains/rethcompat/genesis.json", file: "chains/rethcompat/full.rlp.gz" },
] as const

describe.skipIf(fixturesDir === undefined)("an ingest of real chains", () => {
  for (const { network: name, file } of real) {
    it(`stores ${file} whole, and its store verifies`, async () => {
      const network = `--network=${name.endsWith(".json") ? fixture(name) : name}`
      const directory = newStore()
      await withDevnet(3, [network, `--chain=${fixture(file)}`], async (devnet) => {
        for (const [from, to] of piecesOf(fixture(file))) {
          const { code, summary, stderr } = await sync(devnet, directory, [
            network,
            "--tables=all",
            `--start-block=${from}`,
            `--end-block=${to}`,
          ])
          assert.strictEqual(code, 0, stderr)
          assert.strictEqual(summary.totals.blocks_failed, 0)
          assert.strictEqual(summary.totals.blocks_succeeded, to - from + 1)
          assert.deepStrictEqual(summary.peers.banned, 0)
          if (name.includes("nimb")) assert.strictEqual(summary.stored.logs, 25_344)
        }
      })
      await verify(directory)
    })
  }
})

describe("an ingest of a generated chain", () => {
  it("fetches only what is missing the second time, and nothing the third", async () => {
    const directory = newStore()
    await withDevnet(3, ["--generate=300", "--shape=light"], async (devnet) => {
      const network = "--network=devnet"
      const first = await sync(devnet, directory, [network, "--start-block=100", "--end-block=150"])
      assert.strictEqual(first.code, 0)
      const second = await sync(devnet, directory, [network, "--end-block=300"])
      assert.strictEqual(second.code, 0)
      assert.strictEqual(second.summary.totals.blocks_requested, 250)
      assert.strictEqual(second.summary.stored.blocks, 301)
      const third = await sync(devnet, directory, [network, "--end-block=300"])
      assert.strictEqual(third.code, 0)
      assert.strictEqual(third.summary.totals.blocks_requested, 0)
      assert.strictEqual(third.summary.requests.headers, 0)
    })
    await verify(directory)
  })

  it("says so when what is stored has passed fewer checks than are asked for now", async () => {
    const directory = newStore()
    await withDevnet(1, ["--generate=20", "--shape=light"], async (devnet) => {
      const args = ["--network=devnet", "--end-block=20"]
      const some = await sync(devnet, directory, [...args, "--verify=links,receipts"])
      assert.notInclude(some.stderr, "fewer checks")
      const all = await sync(devnet, directory, args)
      assert.strictEqual(all.code, 0)
      assert.match(
        all.stderr,
        /21 stored blocks of the range have passed fewer checks .* annals verify/,
      )
      const fewer = await sync(devnet, directory, [...args, "--verify=links"])
      assert.notInclude(fewer.stderr, "fewer checks")
    })
  })

  it("anchors what links down from a trusted hash", async () => {
    const directory = newStore()
    await withDevnet(2, ["--generate=80", "--shape=tiny"], async (devnet) => {
      const args = ["--network=devnet", "--end-block=80"]
      const loose = await sync(devnet, directory, args)
      assert.strictEqual(loose.summary.verified.anchored, 1)
      assert.strictEqual(loose.summary.verified.linked, 80)
    })
    await verify(directory)
  })

  it("finishes what is fetched on SIGINT, ends with 130, and goes on where it stopped", async () => {
    const directory = newStore()
    const slow = ["--generate=3000", "--shape=light", "--latency-ms=150"]
    await withDevnet(2, slow, async (devnet) => {
      const args = ["--network=devnet", "--end-block=3000"]
      const { child, outcome } = start([
        "sync",
        "--json",
        `--data-dir=${directory}`,
        ...devnet.peerFlags,
        ...args,
      ])
      setTimeout(() => child.kill("SIGINT"), 5_000)
      const { code, stdout } = await outcome
      assert.strictEqual(code, 130)
      const stopped = summaryOf(stdout)
      assert.isFalse(stopped.complete)
      assert.isAbove(stopped.stored.blocks, 0)
      assert.strictEqual(stopped.stored.blocks, stopped.totals.blocks_succeeded)
      const { summary } = await sync(devnet, directory, ["--network=devnet", "--end-block=900"])
      const before = Math.min(stopped.stored.blocks, 901)
      assert.isAtMost(summary.totals.blocks_requested, 901)
      assert.isAtLeast(summary.stored.blocks, Math.max(901, before))
    })
    await verify(directory)
  })

  it("loses no committed block to kills at any instant", async () => {
    const directory = newStore()
    const faults = "--fault=short=1,leave=1,skip=1"
    const args = ["--generate=2500", "--shape=light", "--latency-ms=60", faults]
    await withDevnet(6, args, async (devnet) => {
      const network = ["--network=devnet", "--end-block=2500"]
      const stored: Array<number> = [0]
      for (const afterMs of [900, 1_700, 2_300]) {
        const { child, outcome } = start([
          "sync",
          `--data-dir=${directory}`,
          ...devnet.peerFlags,
          ...network,
        ])
        setTimeout(() => child.kill("SIGKILL"), afterMs)
        await outcome
        if (!existsSync(path.join(directory, "annals.db"))) continue
        const status = await run(["status", "--json", `--data-dir=${directory}`])
        if (status.code !== 0) continue
        const { blocks }: { readonly blocks: number } = JSON.parse(status.stdout)
        assert.isAtLeast(blocks, stored.at(-1)!)
        stored.push(blocks)
      }
      const { code, summary } = await sync(devnet, directory, network)
      assert.strictEqual(code, 0)
      assert.strictEqual(summary.totals.blocks_requested, 2_501 - stored.at(-1)!)
      assert.strictEqual(summary.stored.blocks, 2_501)
    })
    await verify(directory)
  })

  it("keeps no row and ends with 4 when all peers lie", async () => {
    const directory = newStore()
    await withDevnet(2, ["--generate=40", "--shape=light", "--fault=lie=2"], async (devnet) => {
      const { code, summary } = await sync(devnet, directory, [
        "--network=devnet",
        "--end-block=40",
        "--give-up-ms=2000",
      ])
      assert.strictEqual(code, 4)
      assert.strictEqual(summary.stored.blocks, 0)
      assert.strictEqual(summary.peers.banned, 2)
    })
  })

  it("keeps the honest peer's data and bans the liar", async () => {
    const directory = newStore()
    const args = ["--generate=600", "--shape=light", "--fault=lie=2", "--latency-ms=20"]
    await withDevnet(4, args, async (devnet) => {
      const { code, summary } = await sync(devnet, directory, [
        "--network=devnet",
        "--end-block=600",
        "--min-peers=4",
      ])
      assert.strictEqual(code, 0)
      const banned = summary.peers.top.filter((peer) => peer.banned).map((peer) => peer.client)
      assert.isNotEmpty(banned)
      assert.isTrue(banned.every((client) => client.includes("lie")))
    })
    await verify(directory)
  })

  it("ends with 7 and one line on a store of another chain", async () => {
    const directory = newStore()
    await withDevnet(1, ["--generate=20", "--shape=tiny"], async (devnet) => {
      await sync(devnet, directory, ["--network=devnet", "--end-block=20"])
    })
    const { code, stderr } = await run(["sync", "--network=sepolia", `--data-dir=${directory}`])
    assert.strictEqual(code, 7)
    assert.strictEqual(stderr.trim().split("\n").length, 1)
    assert.match(stderr, /another chain|chain id/u)
  })

  it("uses a temporary store for a profile, and says where the time went", async () => {
    const before = readdirSync(os.tmpdir()).filter((name) => name.startsWith("annals-profile-"))
    await withDevnet(2, ["--generate=120", "--shape=light"], async (devnet) => {
      const { code, stdout } = await run([
        "sync",
        "--json",
        "--benchmark=profile",
        "--network=devnet",
        "--end-block=120",
        ...devnet.peerFlags,
      ])
      assert.strictEqual(code, 0)
      const summary = summaryOf(stdout)
      assert.strictEqual(summary.mode, "profile")
      assert.isAbove(summary.stages?.check ?? 0, 0)
      assert.isAbove(summary.stages?.insert ?? 0, 0)
    })
    const after = readdirSync(os.tmpdir()).filter((name) => name.startsWith("annals-profile-"))
    assert.deepStrictEqual(after, before)
  })
})
