import { assert, describe, it } from "vitest"
import { generateChain, generatedGenesisHeader } from "../../src/devnet/generatedChain.ts"
import {
  ChainFileInvalid,
  makeServedChain,
  type ServedChain,
  type SourceBlock,
} from "../../src/devnet/servedChain.ts"
import { EMPTY_TRIE_ROOT, readHeader } from "../../src/domain/header.ts"
import { toHex } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { receipts68To69 } from "../../src/domain/receipts.ts"

const chain = generateChain({ blocks: 30, shape: "tiny", seed: 11 })
const other = generateChain({ blocks: 30, shape: "tiny", seed: 12 })

const source = (from: ServedChain, number: number): SourceBlock => ({
  header: from.headerAt(number)!,
  body: from.bodyAt(number)!,
  receipts: from.receipts68At(number),
  path: "made",
  offset: number,
})

const blocks = (from: ServedChain, first: number, last: number): ReadonlyArray<SourceBlock> =>
  Array.from({ length: last - first + 1 }, (_, i) => source(from, first + i))

const failureOf = (run: () => unknown): ChainFileInvalid => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, ChainFileInvalid)
    return error
  }
  return assert.fail("nothing was thrown")
}

/** The first block with, or without, receipts. */
const blockWith = (receipts: boolean): number => {
  const has = (number: number) => toHex(chain.receipts68At(number)!) !== "c0"
  return chain.numbers.find((number) => number > 0 && has(number) === receipts)!
}

describe("makeServedChain", () => {
  it("gives every block by number and by hash, in whatever order they came", () => {
    const made = makeServedChain(blocks(chain, 1, 30).toReversed())
    assert.deepEqual([made.firstBlock, made.lastBlock, made.numbers.length], [1, 30, 30])
    for (const number of made.numbers) {
      const header = chain.headerAt(number)!
      assert.deepEqual(made.hashAt(number), keccak256(header))
      assert.strictEqual(made.numberOf(toHex(keccak256(header))), number)
      assert.deepEqual(made.receipts69At(number), receipts68To69(chain.receipts68At(number)!))
    }
    const { timestamp } = readHeader(chain.headerAt(30)!)
    assert.deepEqual(made.head, { number: 30, hash: chain.hashAt(30)!, time: timestamp })
    assert.strictEqual(made.totalDifficultyAt(30), 0n)
  })

  it("has nothing to give outside its pieces", () => {
    const made = makeServedChain([...blocks(chain, 3, 5), ...blocks(chain, 20, 22)])
    assert.deepEqual(made.numbers, [3, 4, 5, 20, 21, 22])
    for (const number of [2, 6, 19, 23, -1, 0.5]) {
      assert.isFalse(made.has(number))
      assert.isUndefined(made.headerAt(number))
      assert.isUndefined(made.hashAt(number))
      assert.isUndefined(made.bodyAt(number))
      assert.isUndefined(made.receipts68At(number))
      assert.isUndefined(made.receipts69At(number))
    }
    assert.isUndefined(made.numberOf(toHex(chain.hashAt(6)!)))
  })

  it("puts genesis in front, with an empty body and no receipts", () => {
    const genesisHeader = generatedGenesisHeader()
    const made = makeServedChain(blocks(chain, 1, 2), { genesisHeader })
    assert.strictEqual(made.firstBlock, 0)
    assert.deepEqual(made.headerAt(0), genesisHeader)
    assert.deepEqual(made.bodyAt(0), Uint8Array.of(0xc3, 0xc0, 0xc0, 0xc0))
    assert.deepEqual(made.receipts68At(0), Uint8Array.of(0xc0))
    assert.deepEqual(made.receipts69At(0), Uint8Array.of(0xc0))
  })

  it("knows that a block with the empty receipts root has no receipts, and only that", () => {
    const lacking = (number: number) =>
      makeServedChain([{ ...source(chain, number), receipts: undefined }])
    const empty = blockWith(false)
    assert.deepEqual(readHeader(chain.headerAt(empty)!).receiptsRoot, EMPTY_TRIE_ROOT)
    assert.deepEqual(lacking(empty).receipts69At(empty), Uint8Array.of(0xc0))
    const full = blockWith(true)
    assert.isUndefined(lacking(full).receipts68At(full))
    assert.isUndefined(lacking(full).receipts69At(full))
  })

  it("takes the receipts of a block from whichever source has them", () => {
    const full = blockWith(true)
    const lacking = { ...source(chain, full), receipts: undefined }
    for (const both of [
      [lacking, source(chain, full)],
      [source(chain, full), lacking],
    ]) {
      assert.deepEqual(makeServedChain(both).receipts68At(full), chain.receipts68At(full))
    }
  })

  it("keeps no more bytes of converted receipts than allowed, and gives the same bytes", () => {
    const made = makeServedChain(blocks(chain, 1, 30), { receipts69CacheBytes: 2_000 })
    const none = makeServedChain(blocks(chain, 1, 30), { receipts69CacheBytes: 0 })
    const full = blockWith(true)
    assert.strictEqual(made.receipts69At(full), made.receipts69At(full))
    assert.notStrictEqual(none.receipts69At(full), none.receipts69At(full))
    const before = made.receipts69At(full)
    for (const number of made.numbers) {
      const expected = receipts68To69(chain.receipts68At(number)!)
      assert.deepEqual(made.receipts69At(number), expected)
      assert.deepEqual(none.receipts69At(number), expected)
    }
    assert.notStrictEqual(made.receipts69At(full), before)
  })

  it("refuses two blocks of one height", () => {
    const failure = failureOf(() => makeServedChain([source(chain, 7), source(other, 7)]))
    assert.match(failure.reason, /^block 7 is 0x[0-9a-f]{64}, but made has 0x/)
  })

  it("refuses a block that does not link to the one below", () => {
    const run = () => makeServedChain([source(chain, 7), source(other, 8)])
    assert.match(failureOf(run).reason, /^block 8 has the parent/)
    const genesisHeader = chain.headerAt(1)!
    const foreign = failureOf(() => makeServedChain(blocks(chain, 2, 3), { genesisHeader }))
    assert.match(foreign.reason, /block 1 given as genesis/)
  })

  it("refuses a block with more or fewer receipts than transactions", () => {
    const full = blockWith(true)
    const run = () => makeServedChain([{ ...source(chain, full), receipts: Uint8Array.of(0xc0) }])
    assert.match(failureOf(run).reason, /transactions? and 0 receipts/)
  })
})
