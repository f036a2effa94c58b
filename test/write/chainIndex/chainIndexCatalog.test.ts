/** Which segments of the index are believed, in a store of many, held against what that means. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import { toHex } from "../../../src/domain/hex.ts"
import { strangersAmong, type Segment } from "../../../src/write/chainIndex/ChainIndexCatalog.ts"
import { payloadsDigest } from "../../../src/write/chainIndex/chainIndexSegment.ts"
import { rowsNow, runNow } from "../../../src/write/RowsNow.ts"
import { connect, makeDatabase, type StoreDatabase } from "../../../src/write/StoreDatabase.ts"
import { bytesAt, numberAt } from "../../../src/write/storedValues.ts"
import { storeOf } from "../chainReaderSupport.ts"
import { fileIn } from "../support.ts"

const LAST = 500
const chain = generateChain({ blocks: LAST, shape: "tiny", seed: 41 })

interface StoredRow {
  readonly hash: Uint8Array
  readonly packedBytes: number
}

const storedRows = (store: StoreDatabase): ReadonlyMap<number, StoredRow> =>
  new Map(
    rowsNow(
      store,
      `SELECT block_number, block_hash, length(body) + length(receipts)
       FROM blocks JOIN payloads USING (block_number)`,
    ).map((row) => [numberAt(row, 0), { hash: bytesAt(row, 1), packedBytes: numberAt(row, 2) }]),
  )

/** Numbers from 0 to the last block, cut into pieces of these sizes, again and again. */
const pieces = (sizes: ReadonlyArray<number>): ReadonlyArray<readonly [number, number]> => {
  const cut: Array<readonly [number, number]> = []
  for (let from = 0, at = 0; from <= LAST; at++) {
    const to = Math.min(LAST, from + sizes[at % sizes.length]! - 1)
    cut.push([from, to])
    from = to + 1
  }
  return cut
}

/** Segments as a builder would have made them of these rows. */
const segmentsOf = (
  rows: ReadonlyMap<number, StoredRow>,
  sizes: ReadonlyArray<number>,
  uncheckedEvery: number,
): ReadonlyArray<Segment> =>
  pieces(sizes).map(([from, to], segmentId) => {
    const blocks = Array.from({ length: to - from + 1 }, (_, at) => rows.get(from + at)!)
    return {
      segmentId,
      from,
      to,
      closed: true,
      bits: 0,
      firstHash: blocks[0]!.hash,
      lastHash: blocks.at(-1)!.hash,
      digest: payloadsDigest(blocks),
      checked: segmentId % uncheckedEvery !== 0,
    }
  })

/** What a range of the store was not checked in. */
const lacks = ["", "links", "receipts", "transactions"] as const
const checksWithout = (lack: string): string =>
  ["bloom", "links", "receipts", "transactions"].filter((check) => check !== lack).join(",")

const kinds = ["hash", "payload", "gone", "none"] as const

interface Change {
  readonly kind: (typeof kinds)[number]
  readonly at: number
}

const changeIn = (store: StoreDatabase, { kind, at }: Change): void => {
  const where = `WHERE block_number = ${at}`
  // SQLite has no function that makes another hash of a hash: its first half is its second.
  if (kind === "hash") {
    const other = "substr(block_hash, 17, 16) || substr(block_hash, 1, 16)"
    runNow(store, `UPDATE blocks SET block_hash = CAST(${other} AS BLOB) ${where}`)
  }
  if (kind === "payload") runNow(store, `UPDATE payloads SET body = zeroblob(3) ${where}`)
  if (kind === "gone") {
    runNow(store, `DELETE FROM blocks ${where}`)
    runNow(store, `DELETE FROM payloads ${where}`)
  }
}

const inputs = fc.record({
  sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 }),
  /** Ranges of coverage. */
  ranges: fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 6 }),
  lacking: fc.array(fc.constantFrom(...lacks), { minLength: 1, maxLength: 6 }),
  uncheckedEvery: fc.integer({ min: 2, max: 300 }),
  changes: fc.array(
    fc.record({
      kind: fc.constantFrom(...kinds),
      at: fc.integer({ min: 0, max: LAST }),
    }),
    { maxLength: 12 },
  ),
})

describe("a segment of the index", () => {
  it.scopedLive("is a stranger exactly when what it was made of may be another one", () =>
    Effect.gen(function* () {
      const directory = yield* storeOf(chain, 0, LAST)
      const sql = yield* connect(fileIn(directory), false)
      const store = makeDatabase(fileIn(directory), yield* sql.reserve)
      const before = storedRows(store)
      let strangers = 0
      fc.assert(
        fc.property(inputs, ({ sizes, ranges, lacking, uncheckedEvery, changes }) => {
          runNow(store, "BEGIN")
          try {
            const lackOf: Array<string> = []
            runNow(store, "DELETE FROM coverage")
            for (const [at, [from, to]] of pieces(ranges).entries()) {
              const lack = lacking[at % lacking.length]!
              lackOf.push(...Array<string>(to - from + 1).fill(lack))
              const values = `'payloads', ${from}, ${to}, 1, '${checksWithout(lack)}'`
              runNow(store, `INSERT INTO coverage VALUES (${values})`)
            }
            const segments = segmentsOf(before, sizes, uncheckedEvery)
            for (const change of changes) changeIn(store, change)
            const now = storedRows(store)
            const same = (block: number): boolean => {
              const [a, b] = [before.get(block)!, now.get(block)]
              return b !== undefined && toHex(a.hash) === toHex(b.hash)
            }
            const expected = segments.filter(({ from, to, checked }) => {
              const blocks = Array.from({ length: to - from + 1 }, (_, at) => from + at)
              if (!same(from) || !same(to)) return true
              const missing = (lack: string): boolean => lackOf.slice(from, to + 1).includes(lack)
              const allChecked = !missing("receipts") && !missing("transactions")
              if (allChecked && !checked) return true
              if (allChecked && !missing("links")) return false
              return !blocks.every(
                (block) =>
                  same(block) && before.get(block)!.packedBytes === now.get(block)!.packedBytes,
              )
            })
            strangers += expected.length
            assert.deepEqual(
              strangersAmong(store, segments).map(({ from }) => from),
              expected.map(({ from }) => from),
            )
          } finally {
            runNow(store, "ROLLBACK")
          }
        }),
        { numRuns: 60 },
      )
      assert.isAbove(strangers, 60)
    }),
  )
})
