import { assert, describe, it } from "vitest"
import {
  answerFrom,
  cutReceipts,
  headersFrom,
  type HistorySource,
  receiptsOf,
  servedLimits,
} from "../../src/serving/answers.ts"
import { encodeBytes, encodeList, encodeUint, RlpReader } from "../../src/domain/rlp.ts"
import { toHex } from "../../src/domain/hex.ts"

const KIB = 1024

/** The items of a list, in hex. */
const decodeList = (bytes: Uint8Array): ReadonlyArray<string> => {
  const reader = RlpReader.list(bytes)
  const items: Array<string> = []
  while (!reader.done) items.push(toHex(reader.next().item()))
  return items
}

const hash = (n: number): Uint8Array => {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(0, n)
  return bytes
}

/** Blocks 0 to `last`, whose parts have this size. */
const sourceOf = (last: number, sizeBytes: number): HistorySource & { lookups: number } => {
  const item = encodeList([encodeBytes(new Uint8Array(sizeBytes))])
  const there = (number: number) => (number <= last ? item : undefined)
  const source = {
    lookups: 0,
    numberOf: (bytes: Uint8Array) => {
      source.lookups += 1
      return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
    },
    headerAt: there,
    bodyAt: there,
    receiptsAt: there,
  }
  return source
}

const hashes = (count: number, from = 0) => Array.from({ length: count }, (_, i) => hash(from + i))

describe("the limits of an answer", () => {
  it("are 1024 items of each kind", () => {
    const source = sourceOf(5_000, 10)
    const requestId = 1n
    const ask = { start: 0, limit: 4_000, skip: 0, reverse: false }
    for (const request of [
      { _tag: "GetBlockHeaders", requestId, ...ask },
      { _tag: "GetBlockBodies", requestId, hashes: hashes(4_000) },
      { _tag: "GetReceipts", requestId, hashes: hashes(4_000), firstBlockReceiptIndex: 0 },
    ] as const) {
      assert.lengthOf(answerFrom(source, 69, request).items, 1024)
    }
  })

  it("are 2 MiB: the item that goes over is the last", () => {
    const source = sourceOf(5_000, 100 * KIB)
    const { items } = answerFrom(source, 69, {
      _tag: "GetBlockBodies",
      requestId: 1n,
      hashes: hashes(100),
    })
    assert.lengthOf(items, 21)
    const ask = { start: 0, limit: 100, skip: 0, reverse: false }
    assert.lengthOf(headersFrom(source, ask, servedLimits), 21)
  })

  it("are 2048 lookups, also of what is not there", () => {
    const source = sourceOf(0, 10)
    answerFrom(source, 69, { _tag: "GetBlockBodies", requestId: 1n, hashes: hashes(30_000, 10) })
    assert.strictEqual(source.lookups, 2048)
  })
})

describe("a part of a block's receipts, over eth/70", () => {
  const list = encodeList([1, 2, 3, 4, 5].map((n) => encodeList([encodeUint(n)])))
  const source: HistorySource = {
    numberOf: (bytes) => bytes[3],
    headerAt: () => undefined,
    bodyAt: () => undefined,
    receiptsAt: (number) => (number === 1 ? list : undefined),
  }

  it("begins where it was asked to", () => {
    const query = { hashes: [hash(1), hash(1)], form: 69, firstReceipt: 3 } as const
    const [first, second] = receiptsOf(source, query, servedLimits)
    assert.deepEqual([decodeList(first!), decodeList(second!).length], [["c104", "c105"], 5])
  })

  it("is not mistaken for the next block's where the first is not there", () => {
    const query = { hashes: [hash(9), hash(1)], form: 69, firstReceipt: 3 } as const
    assert.deepEqual(receiptsOf(source, query, servedLimits), [])
  })

  it("is cut where the answer would be too long, after one receipt at least", () => {
    const cut = (bytes: number) => {
      const { items, lastBlockIncomplete } = cutReceipts(70, [list, list], bytes)
      return [items.map((item) => decodeList(item).length), lastBlockIncomplete]
    }
    assert.deepEqual(cut(1_000), [[5, 5], false])
    assert.deepEqual(cut(list.length + 4), [[5, 2], true])
    assert.deepEqual(cut(0), [[1], true])
    assert.deepEqual(cutReceipts(69, [list], 0), { items: [list], lastBlockIncomplete: false })
    // Whoever is told that something is missing asks for it.
    const single = encodeList([Uint8Array.of(0xc1, 0x07)])
    const ends = { items: [single], lastBlockIncomplete: false }
    assert.deepEqual(cutReceipts(70, [single, list], 0), ends)
  })
})
