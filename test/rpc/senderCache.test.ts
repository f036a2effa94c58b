import { assert, describe, it } from "vitest"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { readBody } from "../../src/domain/body.ts"
import { recoverSender } from "../../src/domain/signature.ts"
import { readTransaction } from "../../src/domain/transactions.ts"
import { BlockSenders, SenderCache } from "../../src/rpc/senderCache.ts"
import type { StoredBlock } from "../../src/rpc/ChainReader.ts"
import { storedBlocks } from "./fixtureChains.ts"

const blocks = storedBlocks(generateChain({ blocks: 12, shape: "light", seed: 3 })).slice(1)

const transactionsOf = ({ body }: StoredBlock) =>
  readBody(body).transactions.map((bytes) => readTransaction(bytes)!)

describe("senderCache", () => {
  it("tells the senders that the signatures tell, and the same ones again", () => {
    const cache = new SenderCache()
    for (const block of blocks) {
      const senders = transactionsOf(block).map((transaction) => recoverSender(transaction))
      assert.isNotEmpty(senders)
      for (let look = 0; look < 2; look++) {
        const { of } = cache.ofBlock(block)
        assert.deepEqual(
          transactionsOf(block).map((each, index) => of(index, each)),
          senders,
        )
      }
    }
  })

  it("recovers a signature once", () => {
    const [block, other] = [blocks[0]!, blocks[1]!]
    const cache = new SenderCache()
    const [first] = transactionsOf(block)
    const sender = cache.ofBlock(block).of(0, first!)
    // Another transaction at the same place: it would have another sender, were it looked at.
    const [wrong] = transactionsOf(other)
    assert.notDeepEqual(recoverSender(wrong!), sender)
    assert.deepEqual(cache.ofBlock(block).of(0, wrong!), sender)
    assert.deepEqual(cache.ofBlock(other).of(0, wrong!), recoverSender(wrong!))
  })

  it("remembers that a signature is of nobody", () => {
    const [transaction] = transactionsOf(blocks[0]!)
    const senders = new BlockSenders(1)
    const none = { ...transaction!, s: new Uint8Array(32).fill(0xff) }
    assert.isUndefined(senders.of(0, none))
    assert.isUndefined(senders.of(0, transaction!))
  })

  it("recovers a block a piece at a time, and nothing twice", () => {
    const block = blocks[0]!
    const count = transactionsOf(block).length
    const senders = new BlockSenders(count)
    senders.of(1, transactionsOf(block)[1]!)
    assert.lengthOf([...senders.recoverAll(block.body)], count - 1)
    assert.isEmpty([...senders.recoverAll(block.body)])
  })

  it("keeps within its bytes, and forgets what was not asked for the longest", () => {
    const room = blocks
      .slice(0, 3)
      .map(({ body }) => new BlockSenders(readBody(body).transactions.length).bytes)
    const cache = new SenderCache(room.reduce((sum, bytes) => sum + bytes, 0))
    const [a, b, c, d] = [blocks[0]!, blocks[1]!, blocks[2]!, blocks[3]!]
    const kept = [a, b, c].map((block) => cache.ofBlock(block))
    assert.strictEqual(cache.ofBlock(a), kept[0])
    cache.ofBlock(d)
    assert.strictEqual(cache.ofBlock(a), kept[0])
    assert.strictEqual(cache.ofBlock(c), kept[2])
    assert.notStrictEqual(cache.ofBlock(b), kept[1])
    for (let round = 0; round < 3; round++) {
      for (const block of blocks) {
        cache.ofBlock(block)
        assert.isAtMost(
          cache.bytes,
          room.reduce((sum, bytes) => sum + bytes, 0),
        )
      }
    }
  })
})
