/** Rows of real blocks: there and back, and against what a node answers about the same blocks. */
import { readdirSync, readFileSync } from "node:fs"
import path from "node:path"
import { assert, describe, it } from "vitest"
import { readChainFiles } from "../../src/devnet/chainFiles.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { readHeader } from "../../src/domain/header.ts"
import { toHex0x } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import type { BlockPayload } from "../../src/write/rows.ts"
import type { BindValue } from "../../src/write/rowValues.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import {
  type BlockRows,
  decode,
  payloadFromRows,
  type Row,
  sameBytes,
  wholeOf,
} from "../support/payloadFromRows.ts"

/** Undefined when the source has no receipts for the block. */
const payloadAt = (chain: ServedChain, blockNumber: number): BlockPayload | undefined => {
  const receipts = chain.receipts69At(blockNumber)
  return (
    receipts && {
      blockNumber,
      hash: chain.hashAt(blockNumber)!,
      header: chain.headerAt(blockNumber)!,
      body: chain.bodyAt(blockNumber)!,
      receipts,
    }
  )
}

interface Tally {
  blocks: number
  readonly types: Array<number>
  transactions: number
  logs: number
  withdrawals: number
  uncles: number
  stateRoots: number
}

/** Every block of a file that has receipts, through its rows and back. */
const tally = (name: string): Tally => {
  const chain = readChainFiles([fixture(name)])
  const types = new Set<number>()
  const sums = { blocks: 0, transactions: 0, logs: 0, withdrawals: 0, uncles: 0, stateRoots: 0 }
  for (const number of chain.numbers) {
    const payload = payloadAt(chain, number)
    if (payload === undefined) continue
    // Nothing of a sender is needed on the way back, and a chain of creations would take a minute.
    const rows = decode(payload, "none")
    assert.isTrue(sameBytes(wholeOf(payloadFromRows(rows)), wholeOf(payload)), `block ${number}`)
    assertBlockRow(payload, rows)
    sums.blocks += 1
    sums.transactions += rows.transactions.length
    sums.logs += rows.logs.length
    sums.withdrawals += rows.withdrawals.length
    sums.uncles += rows.uncles.length
    for (const row of rows.transactions) {
      assert.isNull(row["raw"])
      types.add(Number(row["transaction_type"]))
      if (row["post_state"] !== null) sums.stateRoots += 1
    }
  }
  return { ...sums, types: [...types].sort((a, b) => a - b) }
}

const assertBlockRow = (payload: BlockPayload, rows: BlockRows): void => {
  const header = readHeader(payload.header)
  const block = rows.blocks[0]!
  const gas = rows.transactions.reduce((sum, row) => sum + Number(row["gas_used"]), 0)
  assert.strictEqual(gas, header.gasUsed)
  assert.strictEqual(block["gas_used"], header.gasUsed)
  assert.strictEqual(block["timestamp"], header.timestamp)
  assert.deepEqual(block["block_hash"], keccak256(payload.header))
  assert.isNull(block["extra_fields"])
  assert.strictEqual(block["transaction_count"], rows.transactions.length)
  assert.strictEqual(block["log_count"], rows.logs.length)
  assert.strictEqual(block["uncle_count"], rows.uncles.length)
  assert.strictEqual(block["withdrawal_count"] ?? 0, rows.withdrawals.length)
  const logs = rows.transactions.reduce((sum, row) => sum + Number(row["log_count"]), 0)
  assert.strictEqual(logs, rows.logs.length)
}

describe.skipIf(fixturesDir === undefined)("rows of real blocks, there and back", () => {
  it("pre-Byzantium receipts keep their state roots (mainnet 1000000)", () => {
    const seen = tally("mainnet/prebyzantium-1000000-1000030.rlp")
    assert.deepEqual([seen.blocks, seen.transactions, seen.stateRoots], [31, 64, 64])
    assert.deepEqual(seen.types, [0])
  })

  it("types 0, 1, 2, 3 and 4 and withdrawals (mainnet around the Merge to Prague)", () => {
    const seen = tally("mainnet/forks-14764013-22869878.rlp")
    assert.deepEqual(seen.types, [0, 1, 2, 3, 4])
    assert.deepEqual([seen.blocks, seen.transactions, seen.withdrawals], [13, 1686, 112])
  })

  it("Byzantium, London and Cancun on mainnet", () => {
    assert.strictEqual(tally("mainnet/byzantium-1-100-7000000.rlp").transactions, 38)
    assert.strictEqual(tally("mainnet/london-15040641-15040710.rlp").transactions, 893)
    const cancun = tally("mainnet/cancun-19433902-19433903.rlp")
    assert.deepEqual([cancun.transactions, cancun.types], [343, [0, 1, 2, 3]])
  })

  it("chains/nimb has 25,344 logs", () => {
    const seen = tally("chains/nimb/full.rlp.gz")
    assert.deepEqual([seen.blocks, seen.transactions, seen.logs], [1024, 11_264, 25_344])
  })

  it("chains/execapis has types 0 to 4, 18 uncles and 383 logs", () => {
    const seen = tally("chains/execapis/full.rlp.gz")
    assert.deepEqual(seen.types, [0, 1, 2, 3, 4])
    assert.deepEqual([seen.blocks, seen.uncles, seen.logs], [54, 18, 383])
    assert.isAbove(seen.stateRoots, 0)
    assert.isAbove(seen.withdrawals, 0)
  })

  it("chains/rethcompat has 19 uncles and chains/ethtest types 0 to 4", () => {
    const reth = tally("chains/rethcompat/full.rlp.gz")
    assert.deepEqual([reth.types, reth.uncles], [[0, 1, 2, 3, 4], 19])
    assert.isAbove(reth.stateRoots, 0)
    assert.deepEqual(tally("chains/ethtest/full.rlp.gz").types, [0, 1, 2, 3, 4])
  })

  it("mainnet's first 8,192 blocks have 1,410 uncles", () => {
    assert.strictEqual(tally("era1/mainnet-00000-5ec1ffb8.era1").uncles, 1410)
  })
})

/** A receipt as the specification's own examples have it. */
interface RpcReceipt {
  readonly blockNumber: string
  readonly transactionIndex: string
  readonly transactionHash: string
  readonly type: string
  readonly from: string
  readonly to: string | null
  readonly contractAddress: string | null
  readonly gasUsed: string
  readonly cumulativeGasUsed: string
  readonly effectiveGasPrice: string
  readonly blobGasUsed?: string
  readonly status?: string
  readonly root?: string
  readonly logs: ReadonlyArray<unknown>
}

interface RpcAnswer {
  readonly result?: RpcReceipt | ReadonlyArray<RpcReceipt> | null
}

/** The receipts in the answers of the specification's examples. */
const rpcReceipts = (): ReadonlyArray<RpcReceipt> =>
  ["eth_getTransactionReceipt", "eth_getBlockReceipts"].flatMap((method) => {
    const dir = fixture(`execution-apis/${method}`)
    const lines = readdirSync(dir)
      .sort()
      .flatMap((name) => readFileSync(path.join(dir, name), "utf8").split("\n"))
    return lines
      .filter((line) => line.startsWith("<< "))
      .flatMap((line): ReadonlyArray<RpcReceipt> => {
        const answer: RpcAnswer = JSON.parse(line.slice(3))
        return [answer.result ?? []].flat()
      })
  })

const hexOrNull = (value: BindValue | undefined): string | null =>
  value instanceof Uint8Array ? toHex0x(value) : null

const asRpc = (row: Row, logs: ReadonlyArray<Row>): Omit<RpcReceipt, "logs"> & { logs: number } => {
  const number = (name: string): string => `0x${Number(row[name]).toString(16)}`
  const own = logs.filter((log) => log["transaction_index"] === row["transaction_index"])
  return {
    blockNumber: number("block_number"),
    transactionIndex: number("transaction_index"),
    transactionHash: hexOrNull(row["transaction_hash"])!,
    type: number("transaction_type"),
    from: hexOrNull(row["from_address"])!,
    to: hexOrNull(row["to_address"]),
    contractAddress: hexOrNull(row["contract_address"]),
    gasUsed: number("gas_used"),
    cumulativeGasUsed: number("cumulative_gas_used"),
    effectiveGasPrice: number("gas_price"),
    ...(row["blob_gas_used"] === null ? {} : { blobGasUsed: number("blob_gas_used") }),
    ...(row["success"] === null
      ? { root: hexOrNull(row["post_state"])! }
      : { status: number("success") }),
    logs: own.length,
  }
}

describe.skipIf(fixturesDir === undefined)("rows against the specification's answers", () => {
  it("agree in gas, prices, senders, contracts, blobs and outcome", () => {
    const chain = readChainFiles([fixture("chains/execapis/full.rlp.gz")])
    const receipts = rpcReceipts()
    assert.isTrue(receipts.some((receipt) => receipt.contractAddress !== null))
    assert.isTrue(receipts.some((receipt) => receipt.root !== undefined))
    assert.isTrue(receipts.some((receipt) => receipt.blobGasUsed !== undefined))
    for (const { logs, ...receipt } of receipts) {
      const rows = decode(payloadAt(chain, Number(receipt.blockNumber))!, "all")
      const told = asRpc(rows.transactions[Number(receipt.transactionIndex)]!, rows.logs)
      const expected: Record<string, unknown> = { ...receipt, logs: logs.length }
      for (const [name, value] of Object.entries(told)) {
        assert.strictEqual(value, expected[name], `${receipt.transactionHash} ${name}`)
      }
    }
  })
})
