/** What the flags of `annals devnet` come to: defaults, and what does not go together. */
import { assert, describe, it } from "vitest"
import {
  devnetFlags,
  devnetOptions,
  type DevnetOptions,
  type RawDevnetOptions,
} from "../../src/cli/devnetOptions.ts"
import { nothingGiven } from "../../src/cli/flags.ts"
import { faultKinds } from "../../src/devnet/faults.ts"

const devnet = (given: Partial<RawDevnetOptions>): DevnetOptions => {
  const options = devnetOptions({ ...nothingGiven(devnetFlags), ...given })
  assert(options.ok, JSON.stringify(options))
  return options.value
}

const refusal = (given: Partial<RawDevnetOptions>): string => {
  const options = devnetOptions({ ...nothingGiven(devnetFlags), ...given })
  assert(!options.ok, JSON.stringify(options))
  return options.reason
}

const faultsOf = (given: Partial<DevnetOptions["faults"]>) =>
  Object.fromEntries(faultKinds.map((kind) => [kind, given[kind] ?? 0]))

describe("devnetOptions", () => {
  it("has the documented defaults for a made chain", () => {
    const { faults, ...options } = devnet({ generate: 2000 })
    assert.deepEqual(faults, faultsOf({}))
    assert.deepEqual(options, {
      network: undefined,
      chainFiles: [],
      generate: { blocks: 2000, shape: "light", seed: 1, forkAt: undefined },
      forkFiles: [],
      head: undefined,
      blockTimeMs: undefined,
      control: false,
      peers: 10,
      ethVersions: [68, 69, 70],
      port: undefined,
      latencyMs: 0,
      bandwidthMbit: undefined,
      discovery: false,
      bootnodes: [],
    })
  })

  it("serves files as mainnet's unless told otherwise", () => {
    const options = devnet({ chain: ["a", "b"] })
    assert.deepEqual(options.chainFiles, ["a", "b"])
    assert.strictEqual(options.network, "mainnet")
    assert.isUndefined(options.generate)
    assert.strictEqual(devnet({ chain: ["a"], network: "g.json" }).network, "g.json")
  })

  it("hands every flag on", () => {
    const { faults, ...options } = devnet({
      network: "g.json",
      generate: 3,
      shape: "tiny",
      seed: 0,
      peers: 4,
      eth: "70, 68",
      port: 30_303,
      "latency-ms": 50,
      "bandwidth-mbit": 100,
      fault: ["slow=1,silent=2", "lie=1"],
    })
    assert.deepEqual(options, {
      network: "g.json",
      chainFiles: [],
      generate: { blocks: 3, shape: "tiny", seed: 0, forkAt: undefined },
      forkFiles: [],
      head: undefined,
      blockTimeMs: undefined,
      control: false,
      peers: 4,
      ethVersions: [68, 70],
      port: 30_303,
      latencyMs: 50,
      bandwidthMbit: 100,
      discovery: false,
      bootnodes: [],
    })
    assert.deepEqual(faults, faultsOf({ slow: 1, silent: 2, lie: 1 }))
  })

  it("needs exactly one of a file and a made chain", () => {
    assert.include(refusal({}), "--chain FILE or --generate BLOCKS")
    assert.include(refusal({ chain: ["a"], generate: 1 }), "exclude each other")
    assert.include(refusal({ chain: ["a"], seed: 1 }), "go with --generate")
  })

  it("refuses versions that it does not speak", () => {
    assert.include(refusal({ generate: 1, eth: "67" }), 'takes 68, 69 or 70, not "67"')
    assert.include(refusal({ generate: 1, eth: "68,,69" }), 'not ""')
  })

  it("refuses faults that it does not know, cannot read or has been told before", () => {
    assert.include(refusal({ generate: 1, fault: ["rude=1"] }), 'not "rude"')
    assert.include(refusal({ generate: 1, fault: ["slow"] }), "takes KIND=N")
    assert.include(refusal({ generate: 1, fault: ["slow=-1"] }), "takes KIND=N")
    assert.include(refusal({ generate: 1, fault: ["slow=1", "slow=1"] }), "given twice")
  })

  it("refuses more faults than peers, and allows as many", () => {
    assert.include(refusal({ generate: 1, peers: 2, fault: ["slow=2,lie=1"] }), "there are 2")
    assert.strictEqual(devnet({ generate: 1, peers: 2, fault: ["slow=1,lie=1"] }).faults.lie, 1)
  })

  it("refuses a port that leaves none for the last peer", () => {
    assert.include(refusal({ generate: 1, port: 65_527 }), "leaves no ports")
    assert.strictEqual(devnet({ generate: 1, port: 65_526 }).port, 65_526)
  })

  it("knows a second branch, a head that moves, and commands", () => {
    const made = devnet({ generate: 100, "fork-at": 60, head: 70, "block-time-ms": 200 })
    assert.strictEqual(made.generate?.forkAt, 60)
    assert.strictEqual(made.head, 70)
    assert.strictEqual(made.blockTimeMs, 200)
    assert.isTrue(devnet({ generate: 1, control: true }).control)
    assert.deepStrictEqual(devnet({ chain: ["a"], fork: ["b", "c"] }).forkFiles, ["b", "c"])
    assert.include(refusal({ generate: 100, "fork-at": 101 }), "above the last block")
    assert.include(refusal({ generate: 100, head: 101 }), "above the last block")
    assert.include(refusal({ generate: 100, fork: ["b"] }), "--fork-at")
    assert.include(refusal({ chain: ["a"], "fork-at": 3 }), "--fork")
  })
})
