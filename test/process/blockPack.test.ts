import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { receipts68To69 } from "../../src/domain/receipts.ts"
import { RlpError } from "../../src/domain/rlp.ts"
import {
  flattenPacked,
  type PackedBlock,
  packBlocks,
  packedBytes,
  readPack,
} from "../../src/process/blockPack.ts"
import { checkPack } from "../../src/process/checkPack.ts"
import { ALL_CHECKS, blockOf, flipped, goodBlock, lightChain } from "./goodBlock.ts"

const bytes = fc.uint8Array({ maxLength: 300 })
const arbitraryBlock: fc.Arbitrary<PackedBlock> = fc.record({
  blockNumber: fc.nat(Number.MAX_SAFE_INTEGER),
  hash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  header: bytes,
  body: bytes,
  receipts: bytes,
  receiptsForm: fc.constantFrom(68 as const, 69 as const),
})
const arbitraryBlocks = fc.array(arbitraryBlock, { maxLength: 20 })

describe("a pack", () => {
  it("gives back the blocks that were put into it", () => {
    fc.assert(
      fc.property(arbitraryBlocks, (blocks) => {
        const pack = packBlocks(blocks)
        assert.strictEqual(pack.byteLength, packedBytes(blocks))
        assert.deepEqual(readPack(pack), blocks)
      }),
    )
  })

  it("reuses a buffer that is large enough, whatever was in it, and no other", () => {
    fc.assert(
      fc.property(arbitraryBlocks, arbitraryBlocks, (before, blocks) => {
        const used = packBlocks(before)
        const size = used.byteLength
        const pack = packBlocks(blocks, used)
        assert.strictEqual(pack === used, size >= packedBytes(blocks))
        assert.deepEqual(readPack(pack), blocks)
      }),
    )
  })

  it("has views of its own memory, so that it can be given away whole", () => {
    const pack = packBlocks([goodBlock(69), goodBlock(68)])
    for (const { hash, header, body, receipts } of readPack(pack)) {
      for (const part of [hash, header, body, receipts]) assert.strictEqual(part.buffer, pack)
    }
  })

  it("has its receipts rewritten in form 69 in place, and its neighbours untouched", () => {
    const blocks = [goodBlock(68), goodBlock(69), blockOf(lightChain, 6, 68)!]
    const pack = packBlocks(blocks)
    for (const index of [0, 1, 2]) flattenPacked(pack, index)
    assert.deepEqual(readPack(pack), [
      goodBlock(69),
      goodBlock(69),
      { ...blocks[2]!, receipts: receipts68To69(blocks[2]!.receipts), receiptsForm: 69 },
    ])
  })

  it("stays as it is when its receipts are none", () => {
    const block = { ...goodBlock(68), receipts: goodBlock(69).receipts }
    const pack = packBlocks([block])
    assert.throws(() => flattenPacked(pack, 0), RlpError)
    assert.deepEqual(readPack(pack), [block])
  })
})

describe("checkPack", () => {
  it("gives an outcome for each block, and form 69 for those that pass", () => {
    const good = [goodBlock(68), blockOf(lightChain, 6, 69)!]
    const bad = { ...goodBlock(68), receipts: flipped(goodBlock(68).receipts, 500) }
    const pack = packBlocks([good[0]!, bad, good[1]!])
    const results = checkPack(pack, ALL_CHECKS)
    assert.deepEqual(
      results.map(({ _tag, blockNumber }) => [_tag, blockNumber]),
      [
        ["Passed", 5],
        ["Failed", 5],
        ["Passed", 6],
      ],
    )
    assert.deepEqual(readPack(pack), [goodBlock(69), bad, good[1]!])
  })

  it("of no blocks gives nothing", () => {
    assert.deepEqual(checkPack(packBlocks([]), ALL_CHECKS), [])
  })
})
