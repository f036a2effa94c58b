import { RLP } from "@ethereumjs/rlp"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { addToBloom, BLOOM_BYTES, orBloom } from "../../src/domain/bloom.ts"
import { EMPTY_TRIE_ROOT } from "../../src/domain/header.ts"
import { countReceipts, lastCumulativeGas } from "../../src/domain/receiptList.ts"
import {
  carriedBloom,
  consensusReceipts,
  receipts68To69,
  receipts69To68,
  receiptsBloom,
  receiptsRoot,
} from "../../src/domain/receipts.ts"
import { concatBytes, RlpError } from "../../src/domain/rlp.ts"
import { orderedTrieRoot } from "../../src/domain/trieRoot.ts"

interface Log {
  readonly address: Uint8Array
  readonly topics: Array<Uint8Array>
  readonly data: Uint8Array
}
interface Receipt {
  readonly type: number
  readonly first: Uint8Array
  readonly gas: number
  readonly logs: Array<Log>
}

const fixed = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const arbitraryLog: fc.Arbitrary<Log> = fc.record({
  address: fixed(20),
  topics: fc.array(fixed(32), { maxLength: 4 }),
  data: fc.uint8Array({ maxLength: 300 }),
})
const arbitraryReceipt: fc.Arbitrary<Receipt> = fc.record({
  type: fc.constantFrom(0, 0, 1, 2, 3, 4, 0x7f),
  first: fc.oneof(fc.constantFrom(new Uint8Array(0), Uint8Array.of(1)), fixed(32)),
  gas: fc.integer({ min: 0, max: 2 ** 40 }),
  logs: fc.array(arbitraryLog, { maxLength: 5 }),
})
const arbitraryReceipts = fc.array(arbitraryReceipt, { maxLength: 12 })

const rawLogs = (logs: ReadonlyArray<Log>) => logs.map((log) => [log.address, log.topics, log.data])

const bloomOf = (logs: ReadonlyArray<Log>): Uint8Array => {
  const bloom = new Uint8Array(BLOOM_BYTES)
  for (const log of logs) for (const item of [log.address, ...log.topics]) addToBloom(bloom, item)
  return bloom
}

/** As the trie has it, written with another library from the same fields. */
const consensus = (receipt: Receipt): Uint8Array => {
  const { type, first, gas, logs } = receipt
  const payload = RLP.encode([first, gas, bloomOf(logs), rawLogs(logs)])
  return type === 0 ? payload : concatBytes([Uint8Array.of(type), payload])
}

const form68 = (receipts: ReadonlyArray<Receipt>): Uint8Array =>
  RLP.encode(
    receipts.map((receipt) => {
      const { type, first, gas, logs } = receipt
      return type === 0 ? [first, gas, bloomOf(logs), rawLogs(logs)] : consensus(receipt)
    }),
  )

const form69 = (receipts: ReadonlyArray<Receipt>): Uint8Array =>
  RLP.encode(receipts.map(({ type, first, gas, logs }) => [type, first, gas, rawLogs(logs)]))

/** A receipt with one log of `size` bytes of data. */
const receiptOf = (size: number): Receipt => ({
  type: 2,
  first: Uint8Array.of(1),
  gas: 1,
  logs: [{ address: new Uint8Array(20), topics: [], data: new Uint8Array(size) }],
})

/** A list in form 69 of one receipt with these logs. */
const withLogs = (...logs: Parameters<typeof RLP.encode>): Uint8Array =>
  RLP.encode([[2, 1, 21_000, logs]])

const failure = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

describe("receipts", () => {
  it("turn from either form into the other, byte for byte", () => {
    fc.assert(
      fc.property(arbitraryReceipts, (receipts) => {
        assert.deepEqual(receipts68To69(form68(receipts)), form69(receipts))
        assert.deepEqual(receipts69To68(form69(receipts)), form68(receipts))
      }),
      { numRuns: 300 },
    )
  })

  it("have the same root, trie values and bloom in both forms", () => {
    fc.assert(
      fc.property(arbitraryReceipts, (receipts) => {
        const values = receipts.map(consensus)
        const bloom = new Uint8Array(BLOOM_BYTES)
        for (const receipt of receipts) orBloom(bloom, bloomOf(receipt.logs))
        for (const [form, list] of [
          [68, form68(receipts)],
          [69, form69(receipts)],
        ] as const) {
          assert.deepEqual(consensusReceipts(list, form), values)
          assert.deepEqual(receiptsRoot(list, form), orderedTrieRoot(values))
          assert.deepEqual(receiptsBloom(list, form), bloom)
        }
        assert.deepEqual(carriedBloom(form68(receipts)), bloom)
      }),
      { numRuns: 200 },
    )
  })

  it("are counted, and the last one's cumulative gas is found", () => {
    fc.assert(
      fc.property(arbitraryReceipts, (receipts) => {
        const gas = receipts.at(-1)?.gas ?? 0
        assert.strictEqual(countReceipts(form68(receipts)), receipts.length)
        assert.strictEqual(countReceipts(form69(receipts)), receipts.length)
        assert.strictEqual(lastCumulativeGas(form68(receipts), 68), gas)
        assert.strictEqual(lastCumulativeGas(form69(receipts), 69), gas)
      }),
    )
  })

  it("of a block without any have the empty root", () => {
    assert.deepEqual(receiptsRoot(Uint8Array.of(0xc0), 68), EMPTY_TRIE_ROOT)
    assert.deepEqual(receiptsRoot(Uint8Array.of(0xc0), 69), EMPTY_TRIE_ROOT)
  })

  it("of 64 KiB and more are rebuilt too", () => {
    // Around the lengths at which a prefix grows by a byte.
    for (const size of [0xffff - 300, 0xffff, 0xffffff - 300, 0xffffff + 1]) {
      assert.deepEqual(consensusReceipts(form69([receiptOf(size)]), 69), [
        consensus(receiptOf(size)),
      ])
    }
  })

  it("in the wrong form or with a wrong shape are RlpErrors", () => {
    const good: Receipt = {
      type: 2,
      first: Uint8Array.of(1),
      gas: 21_000,
      logs: [
        { address: new Uint8Array(20), topics: [new Uint8Array(32)], data: new Uint8Array(0) },
      ],
    }
    const empty = new Uint8Array(0)
    const address = new Uint8Array(20)
    const broken: Array<() => unknown> = [
      () => receipts68To69(form69([good])),
      () => receipts69To68(form68([good])),
      () => lastCumulativeGas(form69([good]), 68),
      () => lastCumulativeGas(form68([good]), 69),
      // A gas sum above 2^53 - 1, a status of two bytes, a type of zero or of two bytes.
      () => lastCumulativeGas(RLP.encode([[2, 1, 2n ** 53n, []]]), 69),
      () => receipts69To68(RLP.encode([[2, 258, 21_000, []]])),
      () => receipts69To68(RLP.encode([[Uint8Array.of(0), 1, 21_000, []]])),
      () => receipts69To68(RLP.encode([[300, 1, 21_000, []]])),
      () => receipts68To69(RLP.encode([empty])),
      // A field too many, a bloom that is too short.
      () => receipts69To68(RLP.encode([[2, 1, 21_000, [], []]])),
      () => receipts68To69(RLP.encode([[1, 21_000, new Uint8Array(255), []]])),
      // Logs: no address, a short address, a short topic, five topics, no data.
      () => receipts69To68(withLogs([])),
      () => receipts69To68(withLogs([new Uint8Array(19), [], empty])),
      () => receipts69To68(withLogs([address, [new Uint8Array(31)], empty])),
      () =>
        receipts69To68(
          withLogs([address, Array.from({ length: 5 }, () => new Uint8Array(32)), empty]),
        ),
      () => receipts69To68(withLogs([address, []])),
      () => receipts69To68(withLogs([address, [new Uint8Array(32)]])),
      () => countReceipts(Uint8Array.of(0x80)),
      () => countReceipts(Uint8Array.of(0xc0, 0xc0)),
    ]
    for (const run of broken) assert.instanceOf(failure(run), RlpError, String(run))
  })

  it("throw nothing but RlpError on bytes that were tampered with", () => {
    const tampered = fc
      .tuple(arbitraryReceipts, fc.boolean(), fc.array(fc.tuple(fc.nat(), fc.nat(255))))
      .map(([receipts, old, changes]) => {
        const list = old ? form68(receipts) : form69(receipts)
        for (const [at, byte] of changes) list[at % list.length] = byte
        return list
      })
    fc.assert(
      fc.property(tampered, (list) => {
        const runs = [
          () => countReceipts(list),
          () => lastCumulativeGas(list, 68),
          () => lastCumulativeGas(list, 69),
          () => receipts68To69(list),
          () => receipts69To68(list),
          () => receiptsBloom(list, 68),
          () => receiptsRoot(list, 68),
        ]
        for (const error of runs.map(failure)) {
          assert.isTrue(error === undefined || error instanceof RlpError, String(error))
        }
      }),
      { numRuns: 1000 },
    )
  })
})
