/**
 * Arbitrary transactions, receipts, headers and whole payloads: right in form, and hostile in
 * value. Integers lean towards the borders of doubles, of SQLite and of 256 bits.
 */
import { RLP } from "@ethereumjs/rlp"
import { FastCheck as fc } from "effect"
import { keccak256 } from "../../src/domain/keccak.ts"
import {
  concatBytes,
  encodeBytes,
  encodeList,
  encodeUint,
  uintBytes,
} from "../../src/domain/rlp.ts"
import {
  encodeTransaction,
  type TransactionFields,
  type TransactionType,
} from "../../src/domain/transactions.ts"
import type { BlockPayload } from "../../src/write/rows.ts"

export const fixed = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })

const BORDERS = [0n, 1n, 0x7fn, 0x80n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n]
const LARGE_BORDERS = [2n ** 64n - 1n, 2n ** 64n, 2n ** 255n, 2n ** 256n - 1n]

/** An integer below 2^256. */
export const hostileInteger: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: 0n, max: 1_000_000n }),
  fc.constantFrom(...BORDERS, ...LARGE_BORDERS),
  fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
)

const quantity = hostileInteger.map(uintBytes)
const none = fc.constant(undefined)
const hashes = fc.array(fixed(32), { maxLength: 3 })

const accessList = fc
  .array(fc.tuple(fixed(20), hashes), { maxLength: 3 })
  .map((entries) => RLP.encode(entries))
const authorizationList = fc
  .array(fc.tuple(quantity, fixed(20), quantity, quantity, quantity, quantity), { maxLength: 3 })
  .map((entries) => RLP.encode(entries))

/** The fields of a transaction of the type, with any values that its form allows. */
export const arbitraryTransaction = (type: TransactionType): fc.Arbitrary<TransactionFields> =>
  fc.record({
    type: fc.constant(type),
    chainId: type === 0 ? none : quantity,
    nonce: quantity,
    gasPrice: type < 2 ? quantity : none,
    maxPriorityFeePerGas: type >= 2 ? quantity : none,
    maxFeePerGas: type >= 2 ? quantity : none,
    gasLimit: quantity,
    to: type >= 3 ? fixed(20) : fc.oneof(fixed(20), fc.constant(new Uint8Array(0))),
    value: quantity,
    input: fc.uint8Array({ maxLength: 80 }),
    accessList: type === 0 ? none : accessList,
    maxFeePerBlobGas: type === 3 ? quantity : none,
    blobVersionedHashes: type === 3 ? hashes.map((list) => RLP.encode(list)) : none,
    authorizationList: type === 4 ? authorizationList : none,
    v: type === 0 ? fc.oneof(fc.constantFrom(27n, 28n).map(uintBytes), quantity) : quantity,
    r: quantity,
    s: quantity,
  })

/** Fields of a transaction of any of the known types. */
export const anyTransaction: fc.Arbitrary<TransactionFields> = fc.oneof(
  ...([0, 1, 2, 3, 4] as const).map(arbitraryTransaction),
)

/** Bytes that look like a transaction of a later fork, or have a known type and another shape. */
const foreignTransaction: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc
    .tuple(fc.integer({ min: 5, max: 0x7f }), fc.uint8Array({ maxLength: 50 }))
    .map(([type, payload]) => concatBytes([Uint8Array.of(type), payload])),
  fc
    .tuple(fc.integer({ min: 1, max: 4 }), fc.uint8Array({ maxLength: 50 }))
    .map(([type, payload]) => concatBytes([Uint8Array.of(type), payload])),
  fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 }).map((items) => RLP.encode(items)),
)

const log = fc
  .tuple(fixed(20), fc.array(fixed(32), { maxLength: 4 }), fc.uint8Array({ maxLength: 120 }))
  .map(([address, topics, data]) => [address, topics, data])
const outcome = fc.oneof(
  fc.constantFrom(new Uint8Array(0), Uint8Array.of(1)),
  // Before Byzantium, and from then on.
  fixed(32),
)

/** A transaction's bytes with its receipt in form 69. */
const transactionAndReceipt = fc
  .tuple(
    fc.oneof(anyTransaction.map(encodeTransaction), foreignTransaction),
    fc.tuple(outcome, quantity, fc.array(log, { maxLength: 4 })),
  )
  .map(([transaction, receipt]) => {
    const type = transaction[0]! >= 0xc0 ? 0 : transaction[0]!
    return { transaction, receipt: RLP.encode([type, ...receipt]) }
  })

/** The fields after the nonce, as many as some fork has, and at times some that no fork has. */
const laterFields = fc
  .tuple(
    fc.tuple(quantity, fixed(32), quantity, quantity, fixed(32), fixed(32)),
    fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 3 }),
    fc.nat(9),
  )
  .map(([known, unknown, count]) => [...known, ...unknown].slice(0, count))

/** Fields of a chain that goes its own way: any bytes at the places that mainnet's forks took. */
const foreignFields = fc.array(fc.oneof(quantity, fixed(32), fc.uint8Array({ maxLength: 40 })), {
  maxLength: 9,
})

/** A header of this number, as RLP. */
export const arbitraryHeader = (number: fc.Arbitrary<bigint>): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      fc.tuple(fixed(32), fixed(32), fixed(20), fixed(32), fixed(32), fixed(32), fixed(256)),
      fc.tuple(quantity, number.map(uintBytes), quantity, quantity, quantity),
      fc.tuple(fc.uint8Array({ maxLength: 120 }), fixed(32), fixed(8)),
      fc.oneof(laterFields, foreignFields),
    )
    .map((parts) => RLP.encode(parts.flat()))

const withdrawal = fc.tuple(quantity, quantity, fixed(20), quantity)

/** A whole block; its roots are not those of its parts. */
export const arbitraryPayload: fc.Arbitrary<BlockPayload> = fc
  .record({
    blockNumber: fc.integer({ min: 0, max: 2 ** 31 }),
    pairs: fc.array(transactionAndReceipt, { maxLength: 6 }),
    uncles: fc.array(arbitraryHeader(hostileInteger), { maxLength: 2 }),
    withdrawals: fc.option(fc.array(withdrawal, { maxLength: 3 }), { nil: undefined }),
  })
  .chain(({ blockNumber, ...parts }) =>
    arbitraryHeader(fc.constant(BigInt(blockNumber))).map((header) => ({
      blockNumber,
      hash: keccak256(header),
      header,
      body: encodeBody(
        parts.pairs.map((pair) => pair.transaction),
        parts.uncles,
        parts.withdrawals?.map((fields) => RLP.encode(fields)),
      ),
      receipts: encodeList(parts.pairs.map((pair) => pair.receipt)),
    })),
  )

/** A body of transactions as their hashes take them, and of items for the rest. */
export const encodeBody = (
  transactions: ReadonlyArray<Uint8Array>,
  uncles: ReadonlyArray<Uint8Array>,
  withdrawals: ReadonlyArray<Uint8Array> | undefined,
): Uint8Array => {
  const items = transactions.map((bytes) => (bytes[0]! >= 0xc0 ? bytes : encodeBytes(bytes)))
  const lists = [encodeList(items), encodeList(uncles)]
  if (withdrawals !== undefined) lists.push(encodeList(withdrawals))
  return encodeList(lists)
}

/** A header of Shanghai's form with this base fee, and everything else zero. */
export const plainHeader = (blockNumber: number, baseFee: number | bigint): Uint8Array =>
  encodeList([
    ...[32, 32, 20, 32, 32, 32, 256].map((width) => encodeBytes(new Uint8Array(width))),
    ...[0, blockNumber, 0, 0, 0].map((value) => encodeUint(value)),
    ...[0, 32, 8].map((width) => encodeBytes(new Uint8Array(width))),
    encodeUint(baseFee),
    encodeBytes(new Uint8Array(32)),
  ])
