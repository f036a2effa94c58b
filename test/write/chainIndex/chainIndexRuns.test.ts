/** Sorted runs of transactions: found by hash, kept whole when they are merged. */
import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { keccak256 } from "../../../src/domain/keccak.ts"
import {
  ENTRY_BYTES,
  findInBucket,
  mergeRuns,
  placesOf,
  prefixOf,
  RunBuilder,
  runBits,
  runBucket,
} from "../../../src/write/chainIndex/chainIndexRuns.ts"

const hashOf = (name: number): Uint8Array => keccak256(Uint8Array.of(name >>> 16, name >>> 8, name))

const runOf = (names: ReadonlyArray<number>) => {
  const builder = new RunBuilder()
  names.forEach((name, index) => builder.add(hashOf(name), 0, 7_000_000 + name, index))
  return { entries: builder.size, buckets: builder.build() }
}

/** Blocks that a run has for a hash. */
const blocksFor = (buckets: ReadonlyArray<Uint8Array>, entries: number, hash: Uint8Array) => {
  const prefix = prefixOf(hash)
  const bucket = buckets[runBucket(prefix, runBits(entries))]!
  return findInBucket(bucket, prefix).map(({ blockNumber }) => blockNumber)
}

const names = fc.uniqueArray(fc.integer({ min: 0, max: 20_000 }), { maxLength: 1_500 })

describe("a run of transactions", () => {
  it("has the place of every hash, and no other", () => {
    fc.assert(
      fc.property(names, (names) => {
        const { entries, buckets } = runOf(names)
        assert.strictEqual(buckets.length, 2 ** runBits(entries))
        for (const name of names) {
          assert.deepEqual(blocksFor(buckets, entries, hashOf(name)), [7_000_000 + name])
        }
        assert.deepEqual(blocksFor(buckets, entries, hashOf(30_000)), [])
      }),
      { numRuns: 30 },
    )
  })

  it("merged of any runs has what they had, duplicates too", () => {
    fc.assert(
      fc.property(fc.array(names, { maxLength: 6 }), (many) => {
        const runs = many.map(runOf)
        const sources = runs.map(({ entries, buckets }) => ({
          entries,
          buckets: buckets[Symbol.iterator](),
        }))
        const merged = [...mergeRuns(sources)]
        const all = many.flat()
        assert.strictEqual(merged.length, 2 ** runBits(all.length))
        const bytes = merged.reduce((sum, bucket) => sum + bucket.length, 0)
        assert.strictEqual(bytes, all.length * ENTRY_BYTES)
        for (const name of new Set(all)) {
          const times = all.filter((other) => other === name).length
          const found = blocksFor(merged, all.length, hashOf(name))
          assert.deepEqual(found, Array(times).fill(7_000_000 + name))
        }
      }),
      { numRuns: 15 },
    )
  })

  it("keeps the index of a transaction modulo 65,536, and tells which ones it may be", () => {
    const builder = new RunBuilder()
    builder.add(hashOf(1), 0, 12, 70_000)
    const [bucket] = builder.build()
    assert.deepEqual(findInBucket(bucket!, prefixOf(hashOf(1))), [
      { blockNumber: 12, index: 4_464 },
    ])
    assert.deepEqual(placesOf(4_464, 80_000), [4_464, 70_000])
    assert.deepEqual(placesOf(5, 5), [])
  })
})
