import { Common, Hardfork, Mainnet } from "@ethereumjs/common"
import { RLP } from "@ethereumjs/rlp"
import { createTx } from "@ethereumjs/tx"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { RlpError, uintBytes } from "../../src/domain/rlp.ts"
import { encodeTransaction } from "../../src/domain/transactions.ts"
import {
  type BlockPayload,
  blockRow,
  logRows,
  transactionRows,
  uncleRows,
  withdrawalRows,
} from "../../src/write/rows.ts"
import type { BindValue } from "../../src/write/rowValues.ts"
import { columnNames } from "../../src/write/tables.ts"
import type { Senders } from "../../src/write/transactionRow.ts"
import { arbitraryPayload, encodeBody, plainHeader } from "../support/arbitraryBlocks.ts"
import { decode, payloadFromRows, rowsOf, sameBytes, wholeOf } from "../support/payloadFromRows.ts"

const bindable = (value: BindValue): boolean => {
  if (typeof value === "number") return Number.isSafeInteger(value)
  return typeof value !== "bigint" || (value >= 0n && value < 2n ** 63n)
}

describe("rows", () => {
  it("lose nothing: written again they are the same bytes, for arbitrary blocks", () => {
    fc.assert(
      fc.property(arbitraryPayload, (payload) => {
        assert.isTrue(sameBytes(wholeOf(payloadFromRows(decode(payload))), wholeOf(payload)))
      }),
      { numRuns: 500 },
    )
  })

  it("tell the size of the block as the protocol writes it", () => {
    fc.assert(
      fc.property(arbitraryPayload, (payload) => {
        const parts = RLP.decode(payload.body)
        assert.isArray(parts)
        const block = RLP.encode([RLP.decode(payload.header), ...parts])
        assert.strictEqual(decode(payload).blocks[0]!["size"], block.length)
      }),
      { numRuns: 100 },
    )
  })

  it("hold nothing that SQLite's driver refuses", () => {
    fc.assert(
      fc.property(arbitraryPayload, (payload) => {
        for (const rows of Object.values(decode(payload))) {
          for (const row of rows) assert.isTrue(Object.values(row).every(bindable))
        }
      }),
      { numRuns: 200 },
    )
  })

  it("are appended to what is there", () => {
    const payload = fc.sample(arbitraryPayload, { numRuns: 1, seed: 3 })[0]!
    const out: Array<BindValue> = [42]
    blockRow(payload, out)
    assert.strictEqual(out[0], 42)
    assert.lengthOf(out, 1 + columnNames("blocks").length)
  })

  it("of bytes that are no block throw RlpErrors and nothing else", () => {
    const tampered = fc
      .tuple(arbitraryPayload, fc.array(fc.tuple(fc.nat(2), fc.nat(), fc.nat(255))))
      .map(([payload, changes]) => {
        const parts = [payload.header, payload.body, payload.receipts]
        for (const [part, at, byte] of changes) parts[part]![at % parts[part]!.length] = byte
        return payload
      })
    fc.assert(
      fc.property(tampered, (payload) => {
        for (const run of [blockRow, transactionRows, logRows, withdrawalRows, uncleRows]) {
          try {
            run(payload, [])
          } catch (error) {
            assert.instanceOf(error, RlpError)
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})

/** A block of these transactions; each receipt uses 21,000 gas more and has no logs. */
const blockOf = (
  transactions: ReadonlyArray<Uint8Array>,
  gas: ReadonlyArray<bigint | number> = transactions.map((_, index) => (index + 1) * 21_000),
  baseFee: number | bigint = 7,
): BlockPayload => {
  const header = plainHeader(5, baseFee)
  const types = transactions.map((bytes) => (bytes[0]! >= 0xc0 ? 0 : bytes[0]!))
  return {
    blockNumber: 5,
    hash: keccak256(header),
    header,
    body: encodeBody(transactions, [], []),
    receipts: RLP.encode(types.map((type, index) => [type, 1, gas[index]!, []])),
  }
}

const TO = new Uint8Array(20).fill(7)
const NONE = new Uint8Array(0)
const EMPTY_LIST = Uint8Array.of(0xc0)

const feeMarket = (maxFee: number | bigint, maxPriority: number | bigint): Uint8Array =>
  encodeTransaction({
    type: 2,
    chainId: uintBytes(1),
    nonce: uintBytes(2n ** 64n - 1n),
    gasPrice: undefined,
    maxPriorityFeePerGas: uintBytes(maxPriority),
    maxFeePerGas: uintBytes(maxFee),
    gasLimit: uintBytes(2n ** 63n),
    to: TO,
    value: uintBytes(258),
    input: Uint8Array.of(0, 1, 0, 2, 3),
    accessList: EMPTY_LIST,
    maxFeePerBlobGas: undefined,
    blobVersionedHashes: undefined,
    authorizationList: undefined,
    v: NONE,
    r: uintBytes(1),
    s: uintBytes(2),
  })

describe("rows of transactions", () => {
  it("have the gas price that was paid: the tip on the base fee, up to the maximum", () => {
    const wei = 10n ** 18n
    const rows = (baseFee: number | bigint) =>
      decode(
        blockOf(
          [feeMarket(100, 3), feeMarket(8, 3), feeMarket(wei, wei - 1n), feeMarket(2n ** 255n, 1)],
          undefined,
          baseFee,
        ),
      ).transactions.map((row) => row["gas_price"])
    assert.deepEqual(rows(7), [10, 8, wei, 8])
    assert.deepEqual(rows(wei), [100, 8, wei, wei + 1n])
  })

  it("keep integers of 2^63 and more as 32 bytes, and 256-bit numbers always", () => {
    const row = decode(blockOf([feeMarket(1, 1)])).transactions[0]!
    const nonce = row["nonce"]
    assert.instanceOf(nonce, Uint8Array)
    assert.strictEqual(toHex(nonce), "ffffffffffffffff".padStart(64, "0"))
    const gasLimit = row["gas_limit"]
    assert.instanceOf(gasLimit, Uint8Array)
    assert.strictEqual(toHex(gasLimit), "8000000000000000".padStart(64, "0"))
    const value = row["value"]
    assert.instanceOf(value, Uint8Array)
    assert.strictEqual(toHex(value), "0102".padStart(64, "0"))
  })

  it("count the bytes of the calldata and of the whole", () => {
    const bytes = feeMarket(1, 1)
    const row = decode(blockOf([bytes])).transactions[0]!
    assert.strictEqual(row["n_input_zero_bytes"], 2)
    assert.strictEqual(row["n_rlp_bytes"], bytes.length)
    assert.deepEqual(row["transaction_hash"], keccak256(bytes))
  })

  it("have the difference of cumulative gas, and NULL where that falls", () => {
    const transactions = Array.from({ length: 4 }, () => feeMarket(1, 1))
    const rows = decode(blockOf(transactions, [21_000, 63_000, 2n ** 60n, 5])).transactions
    assert.deepEqual(
      rows.map((row) => row["gas_used"]),
      [21_000, 42_000, 2n ** 60n - 63_000n, null],
    )
  })

  it("keep a transaction of an unknown type raw, with hash and type, and the rest NULL", () => {
    const unknown = Uint8Array.of(0x55, 1, 2, 3)
    const [row, next] = decode(blockOf([unknown, feeMarket(1, 1)])).transactions
    const told = Object.entries(row!).filter(([, value]) => value !== null)
    assert.deepEqual(Object.fromEntries(told), {
      block_number: 5,
      transaction_index: 0,
      transaction_hash: keccak256(unknown),
      transaction_type: 0x55,
      n_rlp_bytes: 4,
      gas_used: 21_000,
      cumulative_gas_used: 21_000,
      success: 1,
      log_count: 0,
      raw: unknown,
    })
    assert.isNull(next!["raw"])
  })

  it("refuse receipts that are not those of the transactions", () => {
    const payload = blockOf([feeMarket(1, 1)])
    for (const receipts of [
      [],
      [[1, 1, 1, []]],
      [
        [2, 1, 1, []],
        [2, 1, 2, []],
      ],
    ]) {
      const broken = { ...payload, receipts: RLP.encode(receipts) }
      assert.throws(() => transactionRows(broken, []), RlpError)
    }
  })

  it("refuse the header of another block", () => {
    assert.throws(() => blockRow({ ...blockOf([]), blockNumber: 6 }, []), RlpError)
  })
})

describe("senders", () => {
  /** EIP-155's example, and a creation by the same key: both from 0x9d8a…5a4f. */
  const call = fromHex(
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025" +
      "a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276" +
      "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83",
  )
  const before155 = new Common({ chain: Mainnet, hardfork: Hardfork.Homestead })
  const fields = { nonce: 1, gasLimit: 90_000, gasPrice: 1, data: "0x00" } as const
  const creation = createTx(fields, { common: before155 })
    .sign(new Uint8Array(32).fill(0x46))
    .serialize()
  const found = (senders: Senders) =>
    decode(blockOf([call, creation]), senders).transactions.map((row) => [
      row["from_address"] !== null,
      row["contract_address"] !== null,
    ])

  it("of legacy transactions sign for a chain, or for every chain", () => {
    const rows = decode(blockOf([call, creation])).transactions
    assert.deepEqual(
      rows.map((row) => [row["chain_id"], row["v"]]),
      [
        [1, 37],
        [null, 28],
      ],
    )
  })

  it("are recovered for as many transactions as were asked for", () => {
    assert.deepEqual(found("none"), [
      [false, false],
      [false, false],
    ])
    assert.deepEqual(found("creations"), [
      [false, false],
      [false, true],
    ])
    assert.deepEqual(found("all"), [
      [true, false],
      [true, true],
    ])
  })
})

const address = (fill: number) => new Uint8Array(20).fill(fill)
const topic = (fill: number) => new Uint8Array(32).fill(fill)
const hexSet = (...items: ReadonlyArray<Uint8Array>) => new Set(items.map(toHex))

describe("rows of logs", () => {
  const payload: BlockPayload = {
    ...blockOf([]),
    receipts: RLP.encode([
      [
        2,
        1,
        1,
        [
          [address(1), [topic(1)], NONE],
          [address(2), [], NONE],
        ],
      ],
      [2, 1, 2, []],
      [2, 1, 3, [[address(1), [topic(2), topic(1)], Uint8Array.of(9)]]],
    ]),
  }
  const kept = (addresses: ReadonlySet<string>, topic0s: ReadonlySet<string>) =>
    rowsOf("logs", (out) => logRows(payload, out, { addresses, topic0s })).map((row) => [
      row["transaction_index"],
      row["log_index"],
    ])

  it("count logs through the block", () => {
    const rows = rowsOf("logs", (out) => logRows(payload, out))
    const places = rows.map((row) => [row["transaction_index"], row["log_index"]])
    assert.deepEqual(places, [
      [0, 0],
      [0, 1],
      [2, 2],
    ])
    assert.deepEqual([rows[2]!["topic1"], rows[2]!["topic2"]], [topic(1), null])
  })

  it("are filtered by address and first topic and keep their index", () => {
    const all = [
      [0, 0],
      [0, 1],
      [2, 2],
    ]
    assert.deepEqual(kept(hexSet(), hexSet()), all)
    assert.deepEqual(kept(hexSet(address(2)), hexSet()), [[0, 1]])
    assert.deepEqual(kept(hexSet(address(1), address(2)), hexSet()), all)
    assert.deepEqual(kept(hexSet(), hexSet(topic(2))), [[2, 2]])
    assert.deepEqual(kept(hexSet(address(1)), hexSet(topic(1), topic(3))), [[0, 0]])
    assert.deepEqual(kept(hexSet(address(3)), hexSet()), [])
  })
})
