import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { logObject, logTextBytes } from "../../src/rpc/logObject.ts"

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const number = fc.oneof(fc.nat(20), fc.nat(2 ** 31 - 1))

const log = fc.record({
  blockNumber: number,
  blockHash: bytes(32),
  blockTimestamp: number,
  transactionHash: bytes(32),
  transactionIndex: number,
  logIndex: number,
  address: bytes(20),
  topics: fc.array(bytes(32), { maxLength: 4 }),
  data: fc.uint8Array({ maxLength: 200 }),
})

describe("logTextBytes", () => {
  it("is the length of the texts of any logs in a list, and one more", () =>
    fc.assert(
      fc.property(fc.array(log, { minLength: 1, maxLength: 20 }), (logs) => {
        const text = JSON.stringify(logs.map((one) => logObject(one, false)))
        const sum = logs.reduce((total, one) => total + logTextBytes(one), 0)
        assert.strictEqual(sum + 1, text.length)
      }),
    ))
})
