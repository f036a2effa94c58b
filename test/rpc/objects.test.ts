/**
 * The objects of real blocks, turned back into what hashes and roots are made of: every field of a
 * header, transaction, receipt and withdrawal is in one of them.
 */
import { readFileSync } from "node:fs"
import { createTxFromRPC } from "@ethereumjs/tx"
import { assert, beforeAll, describe, it } from "vitest"
import type { BlobParameters } from "../../src/chain/chainSpec.ts"
import { mainnet } from "../../src/chain/networks.ts"
import { readChainFiles } from "../../src/devnet/chainFiles.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { readBody } from "../../src/domain/body.ts"
import { readHeader } from "../../src/domain/header.ts"
import { fromHex, toHex, toHex0x } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import {
  concatBytes,
  encodeBytes,
  encodeList,
  encodeUint,
  RlpReader,
} from "../../src/domain/rlp.ts"
import { orderedTrieRoot } from "../../src/domain/trieRoot.ts"
import {
  blockObject,
  blockTransactionObject,
  rawBlock,
  rawReceipts,
  transactionCount,
  uncleCount,
  uncleObject,
} from "../../src/rpc/blockObject.ts"
import type { StoredBlock } from "../../src/rpc/ChainReader.ts"
import type { JsonObject, JsonValue } from "../../src/rpc/json.ts"
import { logObject } from "../../src/rpc/logObject.ts"
import { receiptObject, receiptObjects } from "../../src/rpc/receiptObject.ts"
import { headerFields } from "../support/expectedBlocks.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import { commonOf } from "../support/otherLibrary.ts"
import { type FixtureChain, fixtureChain, storedBlocks } from "./fixtureChains.ts"
import { blockLogs } from "./memoryReader.ts"

const text = (value: JsonValue | undefined): string =>
  typeof value === "string" ? value : assert.fail("no text")

const bytesOf = (value: JsonValue | undefined): Uint8Array => encodeBytes(fromHex(text(value)))

const uintOf = (value: JsonValue | undefined): Uint8Array => {
  assert.match(text(value), /^0x(0|[1-9a-f][0-9a-f]*)$/)
  return encodeUint(BigInt(text(value)))
}

const items = (value: JsonValue | undefined): ReadonlyArray<JsonValue> =>
  Array.isArray(value) ? value : assert.fail("no list")

const isObject = (value: JsonValue): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const list = (value: JsonValue | undefined): ReadonlyArray<JsonObject> =>
  items(value).map((item) => (isObject(item) ? item : assert.fail("no object")))

/** RLP of the header that an object shows. */
const headerOf = (object: JsonObject): Uint8Array =>
  encodeList(
    headerFields
      .filter(({ name }) => name in object)
      .map(({ name, isQuantity }) => (isQuantity ? uintOf : bytesOf)(object[name])),
  )

/** What the withdrawals trie holds of an object (EIP-4895). */
const withdrawalOf = ({ index, validatorIndex, address, amount }: JsonObject): Uint8Array =>
  encodeList([uintOf(index), uintOf(validatorIndex), bytesOf(address), uintOf(amount)])

/** What the receipts trie holds of an object (EIP-2718, EIP-658). */
const receiptOf = (object: JsonObject): Uint8Array => {
  const outcome = "root" in object ? bytesOf(object["root"]) : uintOf(object["status"])
  const logs = list(object["logs"]).map((log) => {
    return encodeList([
      bytesOf(log["address"]),
      encodeList(items(log["topics"]).map(bytesOf)),
      bytesOf(log["data"]),
    ])
  })
  const fields = encodeList([
    outcome,
    uintOf(object["cumulativeGasUsed"]),
    bytesOf(object["logsBloom"]),
    encodeList(logs),
  ])
  const type = Number(object["type"])
  return type === 0 ? fields : concatBytes([Uint8Array.of(type), fields])
}

const assertHeader = (object: JsonObject, block: StoredBlock): void => {
  assert.strictEqual(toHex(headerOf(object)), toHex(block.header))
  assert.strictEqual(object["hash"], toHex0x(keccak256(block.header)))
}

const assertReceipts = (block: StoredBlock, schedule: ReadonlyArray<BlobParameters>): void => {
  const objects = receiptObjects(block, schedule)
  const header = readHeader(block.header)
  const values = objects.map(receiptOf)
  assert.deepEqual(orderedTrieRoot(values), header.receiptsRoot)
  assert.deepEqual(rawReceipts(block), values.map(toHex0x))
  const logs = objects.flatMap((object) => list(object["logs"]))
  assert.deepEqual(
    logs,
    blockLogs(block).map((log) => logObject(log, false)),
  )
  const gas = objects.reduce((sum, object) => sum + Number(object["gasUsed"]), 0)
  assert.strictEqual(gas, header.gasUsed)
  objects.forEach((object, index) => {
    assert.deepEqual(receiptObject(block, index, schedule), object)
  })
  assert.isUndefined(receiptObject(block, objects.length, schedule))
}

/** Transactions made of objects by another library have the same hashes and senders. */
const assertTransactions = async (block: StoredBlock, chainId: number): Promise<void> => {
  const common = commonOf(chainId)
  const { transactions } = readBody(block.body)
  const full = list(blockObject(block, true)["transactions"])
  const receipts = receiptObjects(block, [])
  const hashes = transactions.map((bytes) => toHex0x(keccak256(bytes)))
  assert.deepEqual(blockObject(block, false)["transactions"], hashes)
  assert.strictEqual(transactionCount(block), hashes.length)
  for (const [index, hash] of hashes.entries()) {
    const object = full[index]!
    assert.deepEqual(blockTransactionObject(block, index), object)
    const { gasPrice, ...others } = object
    // The library takes the price that was paid for one that was offered.
    const data = JSON.stringify("maxFeePerGas" in object ? others : object)
    const read = await createTxFromRPC(JSON.parse(data), {
      common,
      allowUnlimitedInitCodeSize: true,
    })
    assert.strictEqual(toHex0x(read.hash()), hash)
    assert.strictEqual(object["hash"], hash)
    assert.strictEqual(object["from"], read.getSenderAddress().toString())
    assert.strictEqual(object["transactionIndex"], `0x${index.toString(16)}`)
    const receipt = receipts[index]!
    for (const same of ["from", "to", "type", "blockHash", "blockNumber", "transactionIndex"]) {
      assert.strictEqual(receipt[same], object[same], same)
    }
    assert.strictEqual(receipt["transactionHash"], hash)
    assert.strictEqual(receipt["effectiveGasPrice"], gasPrice)
    assert.strictEqual(receipt["contractAddress"] === null, object["to"] !== null)
  }
  assert.isUndefined(blockTransactionObject(block, hashes.length))
}

const assertBlock = (block: StoredBlock): void => {
  const object = blockObject(block, false)
  assertHeader(object, block)
  assert.strictEqual(Number(object["size"]), rawBlock(block).length)
  const { uncles, withdrawals } = readBody(block.body)
  assert.strictEqual(uncleCount(block), uncles.length)
  assert.deepEqual(
    object["uncles"],
    uncles.map((uncle) => toHex0x(keccak256(uncle))),
  )
  uncles.forEach((header, index) => {
    const uncle = uncleObject(block, index)!
    assertHeader(uncle, { ...block, header })
    assert.deepEqual(uncle["uncles"], [])
    assert.notProperty(uncle, "transactions")
  })
  assert.isUndefined(uncleObject(block, uncles.length))
  assert.strictEqual("withdrawals" in object, withdrawals !== undefined)
  if (withdrawals !== undefined) {
    const root = orderedTrieRoot(list(object["withdrawals"]).map(withdrawalOf))
    assert.strictEqual(object["withdrawalsRoot"], toHex0x(root))
  }
}

describe.skipIf(fixturesDir === undefined).each([
  // Of 1,024 blocks that are much alike, one in 32.
  ["nimb", 32],
  ["ethtest", 4],
  ["rethcompat", 1],
  ["execapis", 1],
])("the objects of chains/%s", (name, every) => {
  let chain: FixtureChain

  beforeAll(async () => {
    chain = await fixtureChain(name)
  })

  it("show blocks, uncles and withdrawals whole", () => {
    assert.isNotEmpty(chain.blocks)
    chain.blocks.forEach(assertBlock)
  })

  const sample = () => {
    const blocks = chain.blocks.filter(({ blockNumber }) => blockNumber % every === 0)
    assert.isNotEmpty(blocks)
    return blocks
  }

  it("show receipts whole, with blooms and places", () => {
    for (const block of sample()) assertReceipts(block, chain.chain.blobSchedule)
    assert.isNotEmpty(chain.blocks.flatMap((block) => receiptObjects(block, [])))
  })

  it("show transactions whole, with their senders", async () => {
    for (const block of sample()) await assertTransactions(block, Number(chain.chain.chainId))
    assert.isAbove(
      sample().reduce((sum, block) => sum + transactionCount(block), 0),
      20,
    )
  })

  it("are made of the very blocks that the chain file holds", () => {
    const file = new RlpReader(new Uint8Array(readFileSync(fixture(`chains/${name}/chain.rlp`))))
    for (const block of chain.blocks) {
      if (block.blockNumber === 0) continue
      assert.strictEqual(toHex(rawBlock(block)), toHex(file.next().item()))
    }
    assert.isTrue(file.done)
  })
})

describe.skipIf(fixturesDir === undefined)("the receipts of blobs", () => {
  it("tell the price at every fork that changed it", async () => {
    const { blocks, facts } = await fixtureChain("execapis")
    const prices = blocks.flatMap((block) =>
      receiptObjects(block, facts.rules!.blobSchedule)
        .filter((receipt) => receipt["type"] === "0x3")
        .map(({ blobGasUsed, blobGasPrice }) => [blobGasUsed, blobGasPrice]),
    )
    assert.isNotEmpty(prices)
    for (const [used, price] of prices) {
      assert.strictEqual(Number(used) % 131_072, 0)
      assert.match(text(price), /^0x[1-9a-f][0-9a-f]*$/)
    }
    const without = blocks.flatMap((block) => receiptObjects(block, []))
    assert.isTrue(without.every((receipt) => !("blobGasPrice" in receipt)))
  })
})

describe("a transaction of a type that is not known yet", () => {
  it("is shown with its hash, type and place, and its receipt without what follows from it", () => {
    const block = generateChain({ blocks: 1, shape: "light", seed: 1 })
    const transaction = Uint8Array.of(0x7d, 0xc1, 0x80)
    // [type, status, cumulativeGas, logs] (EIP-7642).
    const receipts = encodeList([encodeList([0x7d, 1, 9, 0xc0].map((byte) => Uint8Array.of(byte)))])
    const empty = encodeList([])
    const body = encodeList([encodeList([encodeBytes(transaction)]), empty, empty])
    const stored = { ...storedBlocks(block)[1]!, body, receipts }
    const hash = toHex0x(keccak256(transaction))
    const place = { blockHash: toHex0x(stored.hash), blockNumber: "0x1", transactionIndex: "0x0" }
    const timestamp = text(blockObject(stored, false)["timestamp"])
    assert.deepEqual(blockObject(stored, true)["transactions"], [
      { ...place, hash, type: "0x7d", blockTimestamp: timestamp },
    ])
    assert.deepEqual(receiptObjects(stored, []), [
      {
        ...place,
        transactionHash: hash,
        type: "0x7d",
        status: "0x1",
        cumulativeGasUsed: "0x9",
        gasUsed: "0x9",
        logs: [],
        logsBloom: `0x${"00".repeat(256)}`,
      },
    ])
  })
})

describe.skipIf(fixturesDir === undefined)("the objects of mainnet's blocks", () => {
  const files = [
    "prebyzantium-1000000-1000030",
    "byzantium-1-100-7000000",
    "london-15040641-15040710",
    "forks-14764013-22869878",
    "cancun-19433902-19433903",
  ]

  it.each(files)("show %s whole", async (file) => {
    const served = readChainFiles([fixture(`mainnet/${file}.rlp`)])
    const blocks = storedBlocks(served)
    assert.isNotEmpty(blocks)
    for (const block of blocks) {
      assertBlock(block)
      assertReceipts(block, mainnet.blobSchedule)
    }
    // One block's senders by the other library take long enough.
    const [first] = blocks
    if (first !== undefined) await assertTransactions(first, 1)
  })
})
