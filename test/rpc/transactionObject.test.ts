import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { encodeList, uintBytes } from "../../src/domain/rlp.ts"
import {
  encodeTransaction,
  readTransaction,
  type TransactionFields,
} from "../../src/domain/transactions.ts"
import { effectiveGasPrice, transactionObject } from "../../src/rpc/transactionObject.ts"

const one = uintBytes(1)
const offer = (most: bigint, tip: bigint): TransactionFields => ({
  type: 2,
  chainId: one,
  nonce: one,
  gasPrice: undefined,
  maxPriorityFeePerGas: uintBytes(tip),
  maxFeePerGas: uintBytes(most),
  gasLimit: one,
  to: new Uint8Array(20),
  value: one,
  input: new Uint8Array(0),
  accessList: encodeList([]),
  maxFeePerBlobGas: undefined,
  blobVersionedHashes: undefined,
  authorizationList: undefined,
  v: one,
  r: one,
  s: one,
})
const read = (fields: TransactionFields) => readTransaction(encodeTransaction(fields))!

const place = {
  blockHash: `0x${"11".repeat(32)}`,
  blockNumber: "0x1",
  blockTimestamp: "0x2",
}

describe("effectiveGasPrice", () => {
  it("is the base fee and the tip, as far as the sender allows both", () => {
    assert.strictEqual(effectiveGasPrice(read(offer(100n, 7n)), 50n), 57n)
    assert.strictEqual(effectiveGasPrice(read(offer(55n, 7n)), 50n), 55n)
  })

  it("is never above what the sender allows, nor below the base fee of a block that took it", () => {
    const wei = fc.bigInt({ min: 0n, max: 2n ** 200n })
    fc.assert(
      fc.property(wei, wei, wei, (baseFee, spare, tip) => {
        const price = effectiveGasPrice(read(offer(baseFee + spare, tip)), baseFee)
        assert.isTrue(price >= baseFee && price <= baseFee + spare && price - baseFee <= tip)
        assert.isTrue(price === baseFee + spare || price === baseFee + tip)
      }),
    )
  })

  it("is the price that was offered before there were two", () => {
    const { maxFeePerGas: _most, maxPriorityFeePerGas: _tip, ...fields } = offer(0n, 0n)
    const none = { maxFeePerGas: undefined, maxPriorityFeePerGas: undefined }
    const old = { ...fields, ...none, type: 1 as const, gasPrice: uintBytes(9n) }
    assert.strictEqual(effectiveGasPrice(read(old), 50n), 9n)
    assert.strictEqual(effectiveGasPrice(read(old), undefined), 9n)
  })
})

describe("transactionObject", () => {
  it("tells null for the sender where the signature is nobody's", () => {
    const bytes = encodeTransaction({ ...offer(9n, 1n), s: new Uint8Array(0) })
    const object = transactionObject({ ...place, baseFee: 1n }, 0, bytes)
    assert.isNull(object["from"])
    assert.strictEqual(object["s"], "0x0")
    assert.strictEqual(object["gasPrice"], "0x2")
  })
})
