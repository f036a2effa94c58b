import { Hardfork } from "@ethereumjs/common"
import { type Input, RLP } from "@ethereumjs/rlp"
import { createTx, type TypedTransaction, type TypedTxData } from "@ethereumjs/tx"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { toHex, toHex0x } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { quantityToBigInt } from "../../src/domain/quantity.ts"
import { concatBytes } from "../../src/domain/rlp.ts"
import { recoverSender, signingHash } from "../../src/domain/signature.ts"
import {
  encodeTransaction,
  legacyChainId,
  readAccessList,
  readAuthorizations,
  readTransaction,
  readVersionedHashes,
  type Transaction,
  type TransactionType,
  transactionType,
} from "../../src/domain/transactions.ts"
import { anyTransaction, fixed } from "../support/arbitraryBlocks.ts"
import { commonOf } from "../support/otherLibrary.ts"

const CHAIN_ID = 1337
const common = commonOf(CHAIN_ID)
const before155 = commonOf(CHAIN_ID, Hardfork.Homestead)

const uint = (bits: number) => fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n })
const hex = (length: number) => fixed(length).map((bytes): `0x${string}` => `0x${toHex(bytes)}`)
const optionalTo = fc.oneof(hex(20), fc.constant("" as const))
const base = {
  nonce: uint(63),
  gasLimit: uint(60),
  value: uint(200),
  data: fc.uint8Array({ maxLength: 200 }),
}
const accessList = fc.array(
  fc.record({ address: hex(20), storageKeys: fc.array(hex(32), { maxLength: 3 }) }),
  { maxLength: 3 },
)
const chainId = BigInt(CHAIN_ID)
const chain = fc.constant(chainId)
const authorization = fc.record({
  chainId: uint(64).map((value) => `0x${value.toString(16)}` as const),
  address: hex(20),
  nonce: uint(60).map((value) => `0x${value.toString(16)}` as const),
  yParity: fc.constantFrom("0x0" as const, "0x1" as const),
  r: fc.constant(`0x${"7".repeat(64)}` as const),
  s: fc.constant(`0x${"5".repeat(64)}` as const),
})

const fees = {
  maxPriorityFeePerGas: uint(40),
  maxFeePerGas: fc.bigInt({ min: 2n ** 40n, max: 2n ** 90n }),
}
const versionedHash = hex(31).map((tail): `0x${string}` => `0x01${tail.slice(2)}`)

/** What the other library makes a transaction of, for each type. */
const arbitraryData: Readonly<Record<TransactionType, fc.Arbitrary<TypedTxData>>> = {
  0: fc.record({ type: fc.constant(0 as const), ...base, gasPrice: uint(90), to: optionalTo }),
  1: fc.record({
    type: fc.constant(1 as const),
    chainId: chain,
    ...base,
    gasPrice: uint(90),
    to: optionalTo,
    accessList,
  }),
  2: fc.record({
    type: fc.constant(2 as const),
    chainId: chain,
    ...base,
    ...fees,
    to: optionalTo,
    accessList,
  }),
  3: fc.record({
    type: fc.constant(3 as const),
    chainId: chain,
    ...base,
    ...fees,
    to: hex(20),
    accessList,
    maxFeePerBlobGas: uint(90),
    blobVersionedHashes: fc.array(versionedHash, { minLength: 1, maxLength: 6 }),
  }),
  4: fc.record({
    type: fc.constant(4 as const),
    chainId: chain,
    ...base,
    ...fees,
    to: hex(20),
    accessList,
    authorizationList: fc.array(authorization, { minLength: 1, maxLength: 3 }),
  }),
}

const signed = (data: TypedTxData, key: Uint8Array, forks = common): TypedTransaction =>
  createTx(data, { common: forks, allowUnlimitedInitCodeSize: true }).sign(key)

const big = (quantity: Uint8Array | undefined): bigint | undefined =>
  quantity && quantityToBigInt(quantity)

/** Both libraries' fields in one shape; the other's optional ones are read by name. */
const fieldsOf = (transaction: Transaction) => ({
  type: transaction.type,
  nonce: big(transaction.nonce),
  gasPrice: big(transaction.gasPrice),
  maxPriorityFeePerGas: big(transaction.maxPriorityFeePerGas),
  maxFeePerGas: big(transaction.maxFeePerGas),
  gasLimit: big(transaction.gasLimit),
  to: transaction.to.length === 0 ? undefined : toHex0x(transaction.to),
  value: big(transaction.value),
  input: toHex0x(transaction.input),
  v: big(transaction.v),
  r: big(transaction.r),
  s: big(transaction.s),
})
const otherFieldsOf = (other: TypedTransaction): ReturnType<typeof fieldsOf> => ({
  type: other.type,
  nonce: other.nonce,
  gasPrice: "gasPrice" in other ? other.gasPrice : undefined,
  maxPriorityFeePerGas: "maxFeePerGas" in other ? other.maxPriorityFeePerGas : undefined,
  maxFeePerGas: "maxFeePerGas" in other ? other.maxFeePerGas : undefined,
  gasLimit: other.gasLimit,
  to: other.to?.toString(),
  value: other.value,
  input: toHex0x(other.data),
  v: other.v,
  r: other.r,
  s: other.s,
})

const assertListsAgree = (transaction: Transaction, other: TypedTransaction): void => {
  const access = transaction.accessList && readAccessList(transaction.accessList)
  const otherAccess = "accessList" in other ? other.accessList : undefined
  assert.deepEqual(
    access?.map(({ address, storageKeys }) => [address, storageKeys]),
    otherAccess?.map(([address, keys]) => [address, keys]),
  )
  const blobs = transaction.blobVersionedHashes
  assert.deepEqual(
    blobs && readVersionedHashes(blobs).map(toHex0x),
    "blobVersionedHashes" in other ? other.blobVersionedHashes : undefined,
  )
  const authorizations = transaction.authorizationList
  assert.deepEqual(
    authorizations &&
      readAuthorizations(authorizations).map((entry) => [
        entry.chainId,
        entry.address,
        entry.nonce,
        entry.yParity,
        entry.r,
        entry.s,
      ]),
    "authorizationList" in other ? other.authorizationList : undefined,
  )
}

const assertAgrees = (other: TypedTransaction): void => {
  const bytes = other.serialize()
  const transaction = readTransaction(bytes)
  assert.isDefined(transaction)
  assert.deepEqual(fieldsOf(transaction), otherFieldsOf(other))
  assertListsAgree(transaction, other)
  if ("maxFeePerBlobGas" in other) {
    assert.strictEqual(big(transaction.maxFeePerBlobGas), other.maxFeePerBlobGas)
  }
  assert.deepEqual(keccak256(bytes), other.hash())
  assert.deepEqual(signingHash(transaction), other.getHashedMessageToSign())
  assert.deepEqual(recoverSender(transaction), other.getSenderAddress().bytes)
  assert.deepEqual(encodeTransaction(transaction), bytes)
}

const key = fixed(32).map((bytes) => bytes.fill(1, 0, 1))

describe("transactions", () => {
  for (const type of [0, 1, 2, 3, 4] as const) {
    it(`of type ${type} agree with @ethereumjs/tx in every field, hash and sender`, () => {
      fc.assert(
        fc.property(arbitraryData[type], key, (data, key) => {
          const other = signed(data, key)
          assert.strictEqual(other.type, type)
          assertAgrees(other)
          const read = readTransaction(other.serialize())!
          assert.strictEqual(big(read.chainId) ?? legacyChainId(read.v), chainId)
        }),
        { numRuns: 60 },
      )
    })
  }

  it("of before EIP-155 agree too, and name no chain", () => {
    fc.assert(
      fc.property(arbitraryData[0], key, (data, key) => {
        const other = signed(data, key, before155)
        assertAgrees(other)
        assert.isUndefined(legacyChainId(readTransaction(other.serialize())!.v))
      }),
      { numRuns: 40 },
    )
  })

  it("of every type are read and written again without loss, however large their integers", () => {
    fc.assert(
      fc.property(anyTransaction, (fields) => {
        const bytes = encodeTransaction(fields)
        const transaction = readTransaction(bytes)
        assert.isDefined(transaction)
        const { signedFields, ...read } = transaction
        assert.deepEqual(read, fields)
        assert.isAbove(signedFields.length, 0)
        assert.strictEqual(transactionType(bytes), fields.type)
      }),
      { numRuns: 500 },
    )
  })

  it("of unknown types are not read, and their type is told", () => {
    for (const type of [5, 0x7e, 0x7f]) {
      const bytes = concatBytes([Uint8Array.of(type), RLP.encode([1, 2, 3])])
      assert.isUndefined(readTransaction(bytes))
      assert.strictEqual(transactionType(bytes), type)
    }
  })

  it("with fields that their type does not have are not read", () => {
    const to = new Uint8Array(20)
    const none = new Uint8Array(0)
    const legacy = [1, 2, 3, to, 4, none, 27, 5, 6]
    const blob: Array<Input> = [1, 2, 3, 4, 5, to, 6, none, [], 7, [], 0, 8, 9]
    assert.isDefined(readTransaction(RLP.encode(legacy)))
    assert.isDefined(readTransaction(concatBytes([Uint8Array.of(3), RLP.encode(blob)])))
    const broken: Array<Uint8Array> = [
      RLP.encode(legacy.slice(1)),
      RLP.encode([...legacy, 1]),
      // A leading zero, 33 bytes, a recipient of 19 bytes, a list for a string.
      RLP.encode(legacy.with(0, Uint8Array.of(0, 1))),
      RLP.encode(legacy.with(4, new Uint8Array(33).fill(1))),
      RLP.encode(legacy.with(3, new Uint8Array(19))),
      RLP.encode([[], ...legacy.slice(1)]),
      // Blob transactions cannot create; their lists have a form.
      concatBytes([Uint8Array.of(3), RLP.encode(blob.with(5, none))]),
      concatBytes([Uint8Array.of(3), RLP.encode(blob.with(8, [[to]]))]),
      concatBytes([Uint8Array.of(3), RLP.encode(blob.with(10, [to]))]),
      concatBytes([Uint8Array.of(3), RLP.encode(blob.with(10, 0))]),
      concatBytes([Uint8Array.of(2), RLP.encode(blob)]),
      Uint8Array.of(1),
      new Uint8Array(0),
    ]
    for (const bytes of broken) assert.isUndefined(readTransaction(bytes), toHex0x(bytes))
  })

  it("never throw, whatever the bytes, and are what was read when they were read", () => {
    const tampered = fc
      .tuple(anyTransaction, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
      .map(([fields, changes]) => {
        const bytes = encodeTransaction(fields)
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte
        return bytes
      })
    fc.assert(
      fc.property(fc.oneof(tampered, fc.uint8Array()), (bytes) => {
        const transaction = readTransaction(bytes)
        assert.deepEqual(transaction && encodeTransaction(transaction), transaction && bytes)
      }),
      { numRuns: 1000 },
    )
  })
})
