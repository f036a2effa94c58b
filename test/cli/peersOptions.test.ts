import { assert, describe, it } from "vitest"
import { prepareCommandLine } from "../../src/cli/commandLine.ts"
import { nothingGiven } from "../../src/cli/flags.ts"
import { peersFlags, peersOptions, type RawPeersOptions } from "../../src/cli/peersOptions.ts"

const raw = (given: Partial<RawPeersOptions> = {}): RawPeersOptions => ({
  ...nothingGiven(peersFlags),
  ...given,
})

const accepted = (given: Partial<RawPeersOptions> = {}) => {
  const checked = peersOptions(raw(given))
  return checked.ok ? checked.value : assert.fail(checked.reason)
}

const prepare = (...words: ReadonlyArray<string>) =>
  prepareCommandLine(["peers", ...words], {}, { peers: peersFlags })

const nodeId = "0c".repeat(64)

describe("peersOptions", () => {
  it("fills in the defaults", () => {
    assert.deepInclude(accepted(), {
      network: "mainnet",
      peers: [],
      discovery: { enabled: true, bootnodes: undefined, dnsTrees: undefined },
      maxPeers: 50,
      minPeers: 1,
      maxOutbound: 400,
      maxConcurrentDials: 200,
      port: undefined,
      maxInbound: 200,
      timeoutMs: 4000,
      forMs: 30_000,
      json: false,
    })
  })

  it("takes every flag", () => {
    const peer = { nodeId, host: "127.0.0.1", tcpPort: 1, udpPort: 1 }
    assert.deepInclude(
      accepted({
        json: true,
        for: 7,
        network: "sepolia",
        peer: [`enode://${nodeId}@127.0.0.1:1`],
        "no-discovery": true,
        bootnode: [`enode://${nodeId}@127.0.0.1:1`],
        "dns-tree": ["enrtree://A@b"],
        "max-peers": 3,
        "max-concurrent-dials": 4,
        "timeout-ms": 5,
      }),
      {
        network: "sepolia",
        peers: [peer],
        discovery: { enabled: false, bootnodes: [peer], dnsTrees: ["enrtree://A@b"] },
        maxPeers: 3,
        maxOutbound: 400,
        maxConcurrentDials: 4,
        port: undefined,
        maxInbound: 200,
        timeoutMs: 5,
        forMs: 7000,
        json: true,
      },
    )
  })

  it("has nothing of a probe in it", () => {
    assert.doesNotHaveAnyKeys(accepted(), ["kind", "receiptsPerRequest"])
  })

  it.each([
    { given: { peer: ["enode://zz@127.0.0.1:1"] }, says: "--peer" },
    { given: { peer: [`enode://${nodeId}@127.0.0.1:0`] }, says: "--peer" },
    { given: { bootnode: ["x"] }, says: "--bootnode" },
    { given: { "dns-tree": ["https://b"] }, says: "--dns-tree" },
  ])("refuses $given", ({ given, says }) => {
    const checked = peersOptions(raw(given))
    assert.isFalse(checked.ok)
    assert.include(checked.ok ? "" : checked.reason, says)
  })
})

describe("peersFlags", () => {
  it.each(["0", "-1", "1.5", "3000000", "x"])("refuse --for %s", (seconds) => {
    const prepared = prepare("--for", seconds)
    assert.match(prepared.ok ? "" : prepared.reason, /^--for must be a whole number from 1 to/)
  })

  it("do not offer what concerns a sync only", () => {
    for (const flag of ["--start-block=1", "--min-peers=1", "--give-up-ms=1", "--data-dir=x"]) {
      const prepared = prepare(flag)
      assert.include(prepared.ok ? "" : prepared.reason, "unknown flag", flag)
    }
  })
})
