/** The checks on real blocks of every fork: they pass, and nothing that is altered does. */
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { digestReceipts } from "../../src/domain/receiptsDigest.ts"
import { readChainFiles } from "../../src/devnet/chainFiles.ts"
import { checkBlock } from "../../src/process/checkBlock.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import { ALL_CHECKS, blockOf, flipped } from "./goodBlock.ts"

/** Each file with how many blocks with receipts, transactions and logs are checked in it. */
const FILES: ReadonlyArray<readonly [string, number, number, number]> = [
  ["mainnet/prebyzantium-1000000-1000030.rlp", 31, 64, 15],
  ["mainnet/byzantium-1-100-7000000.rlp", 3, 38, 130],
  ["mainnet/london-15040641-15040710.rlp", 4, 893, 2927],
  ["mainnet/forks-14764013-22869878.rlp", 13, 1686, 14_736],
  ["mainnet/cancun-19433902-19433903.rlp", 2, 343, 573],
  ["chains/ethtest/full.rlp.gz", 600, 603, 813],
  ["chains/nimb/full.rlp.gz", 1024, 11_264, 25_344],
  ["chains/execapis/full.rlp.gz", 54, 249, 383],
  ["chains/rethcompat/full.rlp.gz", 45, 160, 293],
  ["era1/mainnet-00000-5ec1ffb8.era1", 8192, 0, 0],
  ["era1/sepolia-00000-643a00f7.era1", 8192, 0, 0],
  ["era1/sepolia-00001-f3ea493e.era1", 8192, 0, 0],
]

const checkFile = (name: string, form: 68 | 69): readonly [number, number, number] => {
  const chain = readChainFiles([fixture(name)], { receipts69CacheBytes: 0 })
  let [blocks, transactions, logs] = [0, 0, 0]
  for (const number of chain.numbers) {
    const block = blockOf(chain, number, form)
    if (block === undefined) continue
    const outcome = checkBlock(block, ALL_CHECKS)
    if (outcome._tag === "Failed") assert.fail(JSON.stringify(outcome))
    blocks += 1
    transactions += outcome.transactionCount
    logs += outcome.logCount
  }
  return [blocks, transactions, logs]
}

describe.skipIf(fixturesDir === undefined)("every real block passes all checks", () => {
  for (const [name, ...counts] of FILES) {
    it(`in ${name}`, () => {
      assert.deepEqual(checkFile(name, 68), counts)
      assert.deepEqual(checkFile(name, 69), counts)
    })
  }
})

/** One block of each kind: the file, the number (0 for the first with uncles), the types in it. */
const KINDS: ReadonlyArray<readonly [string, string, number, ReadonlyArray<number>]> = [
  ["without transactions", "mainnet/byzantium-1-100-7000000.rlp", 1, []],
  ["of before Byzantium", "mainnet/prebyzantium-1000000-1000030.rlp", 1_000_000, [0]],
  ["of Byzantium", "mainnet/byzantium-1-100-7000000.rlp", 7_000_000, [0]],
  ["with uncles", "chains/rethcompat/full.rlp.gz", 0, [0]],
  ["of types 0 to 2", "mainnet/cancun-19433902-19433903.rlp", 19_433_902, [0, 1, 2]],
  ["of types 0 to 4", "mainnet/forks-14764013-22869878.rlp", 22_869_878, [0, 1, 2, 3, 4]],
]

describe.skipIf(fixturesDir === undefined)("no altered byte passes", () => {
  for (const [kind, name, wanted, types] of KINDS) {
    it(`in a block ${kind}`, () => {
      const chain = readChainFiles([fixture(name)])
      const number = wanted > 0 ? wanted : firstWithUncles(chain)
      const blocks = { 68: blockOf(chain, number, 68)!, 69: blockOf(chain, number, 69)! }
      const digest = digestReceipts(blocks[69].receipts, 69, { root: false, blooms: false })
      assert.deepEqual(
        [...new Set(digest.types)].sort((a, b) => a - b),
        types,
      )
      const alteration = fc.tuple(
        fc.constantFrom(68 as const, 69 as const),
        fc.constantFrom("header" as const, "body" as const, "receipts" as const),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.integer({ min: 1, max: 255 }),
      )
      fc.assert(
        fc.property(alteration, ([form, part, place, mask]) => {
          const block = blocks[form]
          const bytes = flipped(block[part], Math.floor(place * block[part].length), mask)
          const outcome = checkBlock({ ...block, [part]: bytes }, ALL_CHECKS)
          assert.strictEqual(outcome._tag === "Failed" ? outcome.part : "passed", part)
        }),
        { numRuns: 300 },
      )
    })
  }
})

const EMPTY_UNCLES = Buffer.from(
  "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
  "hex",
)

const firstWithUncles = (chain: ReturnType<typeof readChainFiles>): number =>
  chain.numbers.find((number) => Buffer.from(chain.headerAt(number)!).indexOf(EMPTY_UNCLES) === -1)!
