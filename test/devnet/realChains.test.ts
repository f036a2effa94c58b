/** Files of real blocks: every link, and the roots as their headers have them. */
import { assert, describe, it } from "vitest"
import { readChainFiles } from "../../src/devnet/chainFiles.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { readHeader } from "../../src/domain/header.ts"
import { toHex } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { countReceipts, lastCumulativeGas } from "../../src/domain/receiptList.ts"
import {
  carriedBloom,
  receipts69To68,
  receiptsBloom,
  receiptsRoot,
} from "../../src/domain/receipts.ts"
import { RlpReader } from "../../src/domain/rlp.ts"
import { orderedTrieRoot } from "../../src/domain/trieRoot.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"

const items = (list: RlpReader): ReadonlyArray<Uint8Array> => {
  const values: Array<Uint8Array> = []
  while (!list.done) values.push(list.next().isList ? list.item() : list.payload())
  return values
}

const assertBody = (chain: ServedChain, number: number): void => {
  const header = readHeader(chain.headerAt(number)!)
  const body = RlpReader.list(chain.bodyAt(number)!)
  assert.deepEqual(orderedTrieRoot(items(body.nextList())), header.transactionsRoot)
  assert.deepEqual(keccak256(body.next().item()), header.ommersHash)
  const withdrawalsRoot = body.done ? undefined : orderedTrieRoot(items(body.nextList()))
  assert.deepEqual(withdrawalsRoot, header.withdrawalsRoot)
}

/** Checks both forms; how many receipts the block has, undefined when the file has none for it. */
const assertReceipts = (chain: ServedChain, number: number): number | undefined => {
  const header = readHeader(chain.headerAt(number)!)
  const receipts68 = chain.receipts68At(number)
  const receipts69 = chain.receipts69At(number)
  if (receipts68 === undefined || receipts69 === undefined) return undefined
  assert.deepEqual(receiptsRoot(receipts68, 68), header.receiptsRoot)
  assert.deepEqual(receiptsRoot(receipts69, 69), header.receiptsRoot)
  assert.isTrue(Buffer.from(receipts69To68(receipts69)).equals(receipts68))
  assert.deepEqual(carriedBloom(receipts68), header.logsBloom)
  assert.deepEqual(receiptsBloom(receipts69, 69), header.logsBloom)
  assert.strictEqual(lastCumulativeGas(receipts68, 68), header.gasUsed)
  assert.strictEqual(lastCumulativeGas(receipts69, 69), header.gasUsed)
  assert.strictEqual(countReceipts(receipts69), countReceipts(receipts68))
  return countReceipts(receipts68)
}

const assertLinks = (chain: ServedChain): void => {
  for (const number of chain.numbers) {
    const parent = chain.headerAt(number - 1)
    if (parent === undefined) continue
    assert.deepEqual(readHeader(chain.headerAt(number)!).parentHash, keccak256(parent))
  }
}

describe.skipIf(fixturesDir === undefined)("era1 files", () => {
  it("mainnet's first holds blocks 0 to 8191, linked, with the known genesis", () => {
    const chain = readChainFiles([fixture("era1/mainnet-00000-5ec1ffb8.era1")])
    assert.deepEqual([chain.firstBlock, chain.lastBlock, chain.numbers.length], [0, 8191, 8192])
    assert.strictEqual(
      toHex(chain.hashAt(0)!),
      "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    )
    assert.strictEqual(chain.totalDifficultyAt(0), 17_179_869_184n)
    assertLinks(chain)
    for (const number of chain.numbers) {
      if (number % 64 === 0) assertBody(chain, number)
      assert.strictEqual(assertReceipts(chain, number), 0)
    }
  })

  it("Sepolia's first two join into one chain with right roots", () => {
    const chain = readChainFiles([
      fixture("era1/sepolia-00001-f3ea493e.era1"),
      fixture("era1/sepolia-00000-643a00f7.era1"),
    ])
    assert.deepEqual([chain.firstBlock, chain.lastBlock, chain.numbers.length], [0, 16383, 16384])
    assert.strictEqual(
      toHex(chain.hashAt(0)!),
      "25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9",
    )
    assertLinks(chain)
    for (const number of chain.numbers) {
      if (number % 64 !== 0) continue
      assertBody(chain, number)
      assertReceipts(chain, number)
    }
  })
})

/** Each file with how many blocks it holds and how many receipts its blocks have together. */
const RLP_FILES: ReadonlyArray<readonly [string, number, number]> = [
  ["mainnet/prebyzantium-1000000-1000030.rlp", 31, 64],
  ["mainnet/byzantium-1-100-7000000.rlp", 3, 38],
  ["mainnet/london-15040641-15040710.rlp", 4, 893],
  ["mainnet/forks-14764013-22869878.rlp", 13, 1686],
  ["mainnet/cancun-19433902-19433903.rlp", 2, 343],
  ["chains/ethtest/full.rlp.gz", 600, 603],
  ["chains/nimb/full.rlp.gz", 1024, 11_264],
  ["chains/execapis/full.rlp.gz", 54, 249],
  ["chains/rethcompat/full.rlp.gz", 45, 160],
]

describe.skipIf(fixturesDir === undefined)("files of [header, body, receipts]", () => {
  for (const [name, blocks, receipts] of RLP_FILES) {
    it(`${name} has the roots of its headers, in both forms`, () => {
      const chain = readChainFiles([fixture(name)])
      let seen = 0
      for (const number of chain.numbers) {
        assertBody(chain, number)
        seen += assertReceipts(chain, number) ?? 0
      }
      assertLinks(chain)
      assert.deepEqual([chain.numbers.length, seen], [blocks, receipts])
    })
  }
})
