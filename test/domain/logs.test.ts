import { type Input, RLP } from "@ethereumjs/rlp"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { FlatReceiptCursor, LogCursor, TOPIC_STRIDE } from "../../src/domain/logs.ts"
import { RlpError } from "../../src/domain/rlp.ts"
import { fixed } from "../support/arbitraryBlocks.ts"

interface Log {
  readonly address: Uint8Array
  readonly topics: Array<Uint8Array>
  readonly data: Uint8Array
}

const arbitraryLog: fc.Arbitrary<Log> = fc.record({
  address: fixed(20),
  topics: fc.array(fixed(32), { maxLength: 4 }),
  // Around the lengths at which the form of a byte string changes.
  data: fc.oneof(
    fc.uint8Array({ maxLength: 2 }),
    fc.uint8Array({ minLength: 54, maxLength: 58 }),
    fc.uint8Array({ minLength: 250, maxLength: 260 }),
  ),
})

const encodeLogs = (logs: ReadonlyArray<Log>): Array<Input> =>
  logs.map(({ address, topics, data }) => [address, topics, data])

const readLogs = (receipts: FlatReceiptCursor): ReadonlyArray<Log> => {
  const { bytes } = receipts
  const cursor = new LogCursor(bytes, receipts.logsStart, receipts.logsEnd)
  const logs: Array<Log> = []
  while (cursor.next()) {
    logs.push({
      address: bytes.slice(cursor.addressStart, cursor.addressStart + 20),
      topics: Array.from({ length: cursor.topicCount }, (_, index) => {
        const at = cursor.topicsStart + index * TOPIC_STRIDE
        return bytes.slice(at, at + 32)
      }),
      data: bytes.slice(cursor.dataStart, cursor.dataEnd),
    })
  }
  return logs
}

/** Walks over every log of every receipt. */
const walk = (list: Uint8Array): number => {
  const receipts = new FlatReceiptCursor(list)
  let count = 0
  while (receipts.next()) count += readLogs(receipts).length
  return count
}

const topics = (count: number) => Array.from({ length: count }, () => new Uint8Array(32))

/** A list of one receipt with one log, whose data is the item of these bytes. */
const log = (...data: ReadonlyArray<number>): Uint8Array => {
  const payload = [0x94, ...new Uint8Array(20), 0xc0, ...data]
  const logs = [0xc0 + payload.length, ...payload]
  const receipt = [0x02, 0x01, 0x82, 0x52, 0x08, 0xc0 + logs.length, ...logs]
  return Uint8Array.of(0xc0 + receipt.length + 1, 0xc0 + receipt.length, ...receipt)
}

describe("receipts in form 69", () => {
  it("are walked with all their logs", () => {
    const receipt = fc.record({
      type: fc.constantFrom(0, 1, 2, 3, 4, 0x7f),
      outcome: fc.oneof(fc.constantFrom(new Uint8Array(0), Uint8Array.of(1)), fixed(32)),
      gas: fc.integer({ min: 0, max: 2 ** 32 }),
      logs: fc.array(arbitraryLog, { maxLength: 4 }),
    })
    fc.assert(
      fc.property(fc.array(receipt, { maxLength: 5 }), (receipts) => {
        const list = RLP.encode(
          receipts.map(({ type, outcome, gas, logs }) => [type, outcome, gas, encodeLogs(logs)]),
        )
        const cursor = new FlatReceiptCursor(list)
        for (const { type, outcome, gas, logs } of receipts) {
          assert.isTrue(cursor.next())
          assert.strictEqual(cursor.type, type)
          assert.deepEqual(list.slice(cursor.outcomeStart, cursor.outcomeEnd), outcome)
          const gasBytes = list.slice(cursor.gasStart, cursor.gasEnd)
          assert.deepEqual(RLP.encode(gasBytes), RLP.encode(gas))
          assert.strictEqual(cursor.countLogs(), logs.length)
          assert.deepEqual(readLogs(cursor), logs)
        }
        assert.isFalse(cursor.next())
      }),
      { numRuns: 300 },
    )
  })

  it("in another form are RlpErrors", () => {
    const address = new Uint8Array(20)
    const none = new Uint8Array(0)
    const receipts: Array<Array<Input>> = [
      [2, 1, 21_000],
      [2, 1, 21_000, [], []],
      [2, 2, 21_000, []],
      [2, new Uint8Array(31), 21_000, []],
      [2, 1, Uint8Array.of(0, 1), []],
      [2, 1, new Uint8Array(33).fill(1), []],
      [2, 1, 21_000, none],
      [300, 1, 21_000, []],
      [0x80, 1, 21_000, []],
      [Uint8Array.of(0), 1, 21_000, []],
      [2, 1, 21_000, [[]]],
      [2, 1, 21_000, [none]],
      [2, 1, 21_000, [[address.subarray(1), [], none]]],
      [2, 1, 21_000, [[address, topics(5), none]]],
      [2, 1, 21_000, [[address, [new Uint8Array(31)], none]]],
      [2, 1, 21_000, [[address, []]]],
      [2, 1, 21_000, [[address, topics(2)]]],
      [2, 1, 21_000, [[address, [], none, none]]],
      [2, 1, 21_000, [[address, [], []]]],
    ]
    for (const receipt of receipts) {
      const list = RLP.encode([receipt])
      assert.throws(() => walk(list), RlpError, undefined, Buffer.from(list).toString("hex"))
    }
  })

  it("with data in a form that is not the shortest are RlpErrors", () => {
    assert.strictEqual(walk(log(0x80)), 1)
    assert.strictEqual(walk(log(0x7f)), 1)
    assert.strictEqual(walk(log(0x81, 0x80)), 1)
    assert.throws(() => walk(log(0x81, 0x7f)), RlpError)
    assert.throws(() => walk(log(0xb8, 0x02, 0x80, 0x80)), RlpError)
    assert.throws(() => walk(log(0xb9, 0x00, 0x01, 0x80)), RlpError)
  })

  it("throw nothing but RlpErrors on bytes that were tampered with", () => {
    const tampered = fc
      .tuple(
        fc.array(arbitraryLog, { maxLength: 3 }),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      )
      .map(([logs, changes]) => {
        const list = RLP.encode([[2, 1, 21_000, encodeLogs(logs)]])
        for (const [at, byte] of changes) list[at % list.length] = byte
        return list
      })
    fc.assert(
      fc.property(fc.oneof(tampered, fc.uint8Array()), (list) => {
        try {
          walk(list)
        } catch (error) {
          assert.instanceOf(error, RlpError)
        }
      }),
      { numRuns: 2000 },
    )
  })
})
