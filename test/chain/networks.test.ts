import { assert, describe, it } from "vitest"
import { isEnodeInvalid, parseEnode } from "../../src/chain/enode.ts"
import { knownNetworks } from "../../src/chain/networks.ts"
import { toHex0x } from "../../src/domain/hex.ts"

const rises = (numbers: ReadonlyArray<number>): boolean =>
  numbers.every((number, i) => i === 0 || number > numbers[i - 1]!)

describe("knownNetworks", () => {
  it("knows mainnet, sepolia and hoodi, and nothing by accident", () => {
    assert.deepStrictEqual([...knownNetworks.keys()], ["mainnet", "sepolia", "hoodi"])
    assert.strictEqual(knownNetworks.get("constructor"), undefined)
  })

  it("pins chain ids and genesis hashes", () => {
    const pinned = [...knownNetworks.values()].map((chain) => [
      chain.chainId,
      chain.networkId,
      toHex0x(chain.genesisHash),
    ])
    assert.deepStrictEqual(pinned, [
      [1n, 1n, "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"],
      [
        11_155_111n,
        11_155_111n,
        "0x25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9",
      ],
      [560_048n, 560_048n, "0xbbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b"],
    ])
  })

  it.each([...knownNetworks])("%s: forks, blob parameters and anchors rise", (_name, chain) => {
    assert.isTrue(rises(chain.forkBlocks))
    assert.isTrue(rises([chain.genesisTime, ...chain.forkTimes]))
    assert.isTrue(rises(chain.blobSchedule.map((blob) => blob.fromTime)))
    assert.isTrue(rises(chain.anchors.map((anchor) => anchor.blockNumber)))
    for (const anchor of chain.anchors) assert.strictEqual(anchor.hash.length, 32)
  })

  it.each([...knownNetworks])("%s: blob parameters change at forks", (_name, chain) => {
    const times = [...chain.forkTimes, 0]
    for (const blob of chain.blobSchedule) assert.include(times, blob.fromTime)
  })

  it.each([...knownNetworks])("%s: bootnodes parse, DNS trees are its own", (name, chain) => {
    assert.isNotEmpty(chain.bootnodes)
    for (const url of chain.bootnodes) assert.isFalse(isEnodeInvalid(parseEnode(url)), url)
    assert.lengthOf(chain.dnsTrees, 1)
    assert.match(chain.dnsTrees[0]!, new RegExp(`^enrtree://[A-Z2-7]{53}@all\\.${name}\\.`))
  })
})
