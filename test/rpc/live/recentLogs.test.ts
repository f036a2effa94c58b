import { assert, describe, it } from "vitest"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import { RecentLogs } from "../../../src/rpc/live/recentLogs.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { blockLogs } from "../memoryReader.ts"

const blocks = storedBlocks(generateChain({ blocks: 12, shape: "light", seed: 3 }))
const EVERYTHING = { addresses: [], topics: [] }

describe("RecentLogs", () => {
  it("gives the logs that match, the same ones again", () => {
    const recent = new RecentLogs()
    for (const block of blocks) {
      const all = recent.matching(block, EVERYTHING)
      assert.deepEqual([...all], [...blockLogs(block)])
      for (const log of all.slice(0, 3)) {
        const filter = { addresses: [log.address], topics: [] }
        const some = recent.matching(block, filter)
        assert.include(some, log)
        assert.isTrue(some.every((one) => Buffer.compare(one.address, log.address) === 0))
      }
    }
  })

  it("keeps within its bytes, but for the last block", () => {
    const one = new RecentLogs()
    one.matching(blocks[3]!, EVERYTHING)
    const recent = new RecentLogs(one.bytes * 3)
    for (const block of [...blocks, ...blocks]) {
      recent.matching(block, EVERYTHING)
      assert.isAtMost(recent.bytes, one.bytes * 3)
    }
    const small = new RecentLogs(1)
    small.matching(blocks[3]!, EVERYTHING)
    small.matching(blocks[4]!, EVERYTHING)
    small.clear()
    assert.strictEqual(small.bytes, 0)
  })
})
