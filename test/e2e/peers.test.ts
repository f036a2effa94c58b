/** `annals peers` as a user runs it: processes, real encrypted connections on loopback. */
import { once } from "node:events"
import net from "node:net"
import { assert, describe, it } from "vitest"
import type { PeersReport } from "../../src/modes/peers.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import { type Devnet, type Outcome, run, start, withDevnet } from "../support/program.ts"

const reportOf = ({ stdout }: Outcome): PeersReport => {
  const lines = stdout.trim().split("\n")
  assert.strictEqual(lines.length, 1, `one JSON object on stdout, got: ${stdout}`)
  const report: PeersReport = JSON.parse(lines[0]!)
  return report
}

/** The peers' report, from these peers. */
const peers = async (devnet: Devnet, ...args: ReadonlyArray<string>) => {
  const outcome = await run(["peers", "--json", ...devnet.peerFlags, ...args])
  return { ...outcome, report: reportOf(outcome) }
}

const keyOf = (peerFlag: string): string => /enode:\/\/([0-9a-f]{128})@/.exec(peerFlag)![1]!

/** What a chain of a few blocks, all served, comes to. */
const shallow = (served: boolean) => ({
  "0": served,
  "1000": null,
  "10000": null,
  "100000": null,
  "1000000": null,
  "5000000": null,
})

/** A port of this machine on which nothing listens. */
const deadPort = async (): Promise<number> => {
  const server = net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : assert.fail("no port")
}

/** Flags with which peers are looked for without end: nobody answers at the only bootnode. */
const discovering = async (): Promise<ReadonlyArray<string>> => [
  "--no-discovery=false",
  `--bootnode=enode://${"0c".repeat(64)}@127.0.0.1:${await deadPort()}`,
]

describe("annals peers", () => {
  it("reports what every peer serves, and ends when all are asked", async () => {
    await withDevnet(3, ["--generate=40", "--shape=light"], async (devnet) => {
      const startedMs = performance.now()
      const { code, report } = await peers(devnet, "--network=devnet", "--for=60")
      assert.strictEqual(code, 0)
      assert.isBelow(performance.now() - startedMs, 30_000)
      assert.sameMembers(
        report.peers.map((peer) => peer.peer_id),
        devnet.peerFlags.map(keyOf),
      )
      for (const { peer_id: _id, client, round_trip_ms, ...facts } of report.peers) {
        assert.match(client, /^annals/)
        assert.isAbove(round_trip_ms!, 0)
        assert.deepStrictEqual(facts, {
          eth: 70,
          inbound: false,
          announced: { earliest: 0, latest: 40 },
          head: 40,
          serves: { headers: shallow(true), bodies: shallow(true), receipts: shallow(true) },
        })
      }
      assert.strictEqual(report.tried.length, 3)
      for (const { outcome } of report.tried) assert.match(outcome, /^connected: annals/)
      assert.deepInclude(report.network_counters, {
        dialled: 3,
        sessions_opened: 3,
        eth: { "eth/70": 3 },
      })
    })
  })

  it("tells a peer without bodies and receipts, over eth/68, from one that is no peer", async () => {
    const args = ["--generate=40", "--shape=light", "--eth=68", "--fault=empty=1"]
    await withDevnet(1, args, async (devnet) => {
      const dead = `enode://${"0c".repeat(64)}@127.0.0.1:${await deadPort()}`
      const { code, report } = await peers(devnet, "--network=devnet", `--peer=${dead}`)
      assert.strictEqual(code, 0)
      const [only, ...others] = report.peers
      assert.isEmpty(others)
      assert.isNull(only?.announced)
      assert.deepStrictEqual(only?.serves, {
        headers: shallow(true),
        bodies: shallow(false),
        receipts: shallow(false),
      })
      const tried = report.tried.find(({ enode }) => enode.startsWith(dead.slice(0, 60)))
      assert.match(tried?.outcome ?? "", /not reachable \(ECONNREFUSED\)/)
    })
  })

  it("shows people a table, and nothing else on stdout", async () => {
    await withDevnet(2, ["--generate=20", "--shape=tiny"], async (devnet) => {
      const { code, stdout } = await run(["peers", "--network=devnet", ...devnet.peerFlags])
      assert.strictEqual(code, 0)
      const lines = stdout.trimEnd().split("\n")
      assert.strictEqual(lines.length, 8)
      assert.match(lines[0]!, /^peer +client +eth +dialled +announced +head +ms +serves +0 +1k/)
      assert.match(
        lines[1]!,
        /^[0-9a-f]{16} +annals.* 70 +by us +0-20 +20 +[\d.]+ +headers +yes +—/,
      )
      assert.match(lines[7]!, /: 2 peers surveyed, 2 nodes tried$/)
    })
  })

  it("ends with 6 and says what was tried when no peer is one", async () => {
    const dead = `enode://${"0c".repeat(64)}@127.0.0.1:${await deadPort()}`
    const args = ["peers", "--network=devnet", `--peer=${dead}`, "--json"]
    const outcome = await run(args)
    assert.strictEqual(outcome.code, 6)
    const { network_counters: counters, peers, tried } = reportOf(outcome)
    assert.deepStrictEqual(peers, [])
    assert.strictEqual(tried.length, 1)
    assert.strictEqual(counters.refused["unreachable"], counters.dialled)
    assert.match(outcome.stderr, /no peer was usable: .*\n {2}enode:\/\/0c.*not reachable/)
  })

  it("ends when its time is up, where there is always somebody to look for", async () => {
    await withDevnet(1, ["--generate=20", "--shape=tiny", "--latency-ms=150"], async (devnet) => {
      const startedMs = performance.now()
      const args = ["--network=devnet", "--for=6", ...(await discovering())]
      const { code, report } = await peers(devnet, ...args)
      assert.strictEqual(code, 0)
      assert.isAtLeast(performance.now() - startedMs, 6_000)
      assert.deepStrictEqual(report.peers[0]?.serves.bodies, shallow(true))
      assert.isAtLeast(report.peers[0]?.round_trip_ms ?? 0, 145)
    })
  })

  it.each([
    { signal: "SIGINT", expected: 130 },
    { signal: "SIGTERM", expected: 143 },
  ] as const)("prints its report on $signal and ends with $expected", async (each) => {
    await withDevnet(1, ["--generate=20", "--shape=tiny"], async (devnet) => {
      const args = ["peers", "--network=devnet", "--json", "--for=60", ...devnet.peerFlags]
      const { child, outcome } = start([...args, ...(await discovering())])
      setTimeout(() => child.kill(each.signal), 5_000)
      const ended = await outcome
      assert.strictEqual(ended.code, each.expected)
      assert.strictEqual(reportOf(ended).peers.length, 1)
    })
  })

  it("starts peers of its own for --network devnet", async () => {
    const outcome = await run(["peers", "--network=devnet", "--json", "--no-discovery"])
    assert.strictEqual(outcome.code, 0)
    const { peers } = reportOf(outcome)
    assert.strictEqual(peers.length, 10)
    for (const { head, serves } of peers) {
      assert.strictEqual(head, 2_000)
      const deep = { ...shallow(true), "1000": true }
      assert.deepStrictEqual(serves, { headers: deep, bodies: deep, receipts: deep })
    }
  })
})

describe.skipIf(fixturesDir === undefined)("annals peers of a real chain", () => {
  it("finds era 0 of mainnet served, where nothing but uncles is in the blocks", async () => {
    const chain = `--chain=${fixture("era1/mainnet-00000-5ec1ffb8.era1")}`
    await withDevnet(1, ["--network=mainnet", chain], async (devnet) => {
      const { code, report } = await peers(devnet, "--network=mainnet", "--no-discovery")
      assert.strictEqual(code, 0)
      const [peer] = report.peers
      assert.strictEqual(peer?.head, 8_191)
      assert.deepInclude(peer?.serves.headers, { "0": true, "1000": true, "10000": null })
      assert.deepInclude(peer?.serves.bodies, { "0": true, "1000": null, "10000": null })
      assert.deepInclude(peer?.serves.receipts, { "0": null, "1000": null, "10000": null })
    })
  })

  it("takes a genesis.json for a network, over eth/69 and 70", async () => {
    const network = `--network=${fixture("chains/ethtest/genesis.json")}`
    const chain = `--chain=${fixture("chains/ethtest/full.rlp.gz")}`
    for (const version of [69, 70]) {
      await withDevnet(1, [network, chain, `--eth=${version}`], async (devnet) => {
        const { report } = await peers(devnet, network)
        assert.deepStrictEqual(report.peers[0]?.serves.headers, shallow(true))
        assert.strictEqual(report.peers[0]?.eth, version)
      })
    }
  })
})
