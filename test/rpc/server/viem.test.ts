/**
 * viem as the client, over HTTP and WebSocket, against real stores of the fixtures' chains: what it
 * reads is held against what it, and a plain RLP decoder, make of the fixtures' own bytes.
 */
import { type Input, RLP } from "@ethereumjs/rlp"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import {
  type Block,
  createPublicClient,
  hexToBigInt,
  http,
  keccak256,
  parseTransaction,
  type PublicClient,
  recoverTransactionAddress,
  toHex,
  type TransactionReceipt,
  type TransactionSerialized,
  webSocket,
} from "viem"
import {
  generateChain,
  generatedChainSpec,
  generateFork,
} from "../../../src/devnet/generatedChain.ts"
import type { StoredBlock } from "../../../src/rpc/ChainReader.ts"
import { fixturesDir } from "../../support/fixtures.ts"
import { type FixtureChain, fixtureChain, storedBlocks } from "../fixtureChains.ts"
import { type MemoryChain, memoryChain } from "../memoryReader.ts"
import { serveStored } from "./storeServer.ts"
import { eventually, startServer, statusOf, type TestServer, upFrom } from "./support.ts"

type Item = Uint8Array | ReadonlyArray<Item>

const list = (item: Item | undefined): ReadonlyArray<Item> => {
  if (item === undefined || item instanceof Uint8Array) throw new Error("no list")
  return item
}

const hex = (item: Item | undefined): `0x${string}` => {
  if (!(item instanceof Uint8Array)) throw new Error("no bytes")
  return item.length === 0 ? "0x" : toHex(item)
}

const integer = (item: Item | undefined): bigint => {
  const text = hex(item)
  return text === "0x" ? 0n : hexToBigInt(text)
}

const decode = (bytes: Uint8Array): ReadonlyArray<Item> => list(RLP.decode(bytes))

/** Every field of a header, by viem's names; those that the block's fork lacks are undefined. */
const headerFields = (header: Uint8Array): Record<string, unknown> => {
  const fields = decode(header)
  const optional = <A>(at: number, read: (item: Item) => A): A | undefined =>
    fields[at] === undefined ? undefined : read(fields[at])
  return {
    parentHash: hex(fields[0]),
    sha3Uncles: hex(fields[1]),
    miner: hex(fields[2]),
    stateRoot: hex(fields[3]),
    transactionsRoot: hex(fields[4]),
    receiptsRoot: hex(fields[5]),
    logsBloom: hex(fields[6]),
    difficulty: integer(fields[7]),
    number: integer(fields[8]),
    gasLimit: integer(fields[9]),
    gasUsed: integer(fields[10]),
    timestamp: integer(fields[11]),
    extraData: hex(fields[12]),
    mixHash: hex(fields[13]),
    nonce: hex(fields[14]),
    baseFeePerGas: optional(15, integer) ?? null,
    withdrawalsRoot: optional(16, hex),
    blobGasUsed: optional(17, integer),
    excessBlobGas: optional(18, integer),
    parentBeaconBlockRoot: optional(19, hex),
    requestsHash: optional(20, hex),
  }
}

/** Transactions' bytes as their hashes take them. */
const rawTransactions = ({ body }: StoredBlock): ReadonlyArray<TransactionSerialized> => {
  const texts = list(decode(body)[0]).map((item) =>
    item instanceof Uint8Array ? toHex(item) : toHex(encoded(item)),
  )
  // viem's type tells the kinds apart by their first byte, which is read only later.
  return JSON.parse(JSON.stringify(texts))
}

/** An item's own bytes. */
const encoded = (item: Item): Uint8Array => RLP.encode(mutable(item))

/** As the encoder's type wants it. */
const mutable = (item: Item): Input => (item instanceof Uint8Array ? item : item.map(mutable))

const withoutUndefined = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))

/** Only the fields that are wanted. */
const pick = (from: object, wanted: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(from).filter(([name]) => Object.hasOwn(wanted, name)))

const holdBlock = async (stored: StoredBlock, block: Block<bigint, true>): Promise<void> => {
  const header = withoutUndefined(headerFields(stored.header))
  assert.deepEqual(pick(block, header), header)
  assert.strictEqual(block.hash, toHex(stored.hash))
  const [, uncles, withdrawals] = decode(stored.body)
  assert.deepEqual(
    block.uncles,
    list(uncles).map((item) => keccak256(encoded(item))),
  )
  assert.deepEqual(
    block.withdrawals?.map(({ index, validatorIndex, address, amount }) => [
      BigInt(index),
      BigInt(validatorIndex),
      address,
      BigInt(amount),
    ]),
    withdrawals &&
      list(withdrawals).map((item) => {
        const [index, validator, address, amount] = list(item)
        return [integer(index), integer(validator), hex(address), integer(amount)]
      }),
  )
  const raws = rawTransactions(stored)
  assert.strictEqual(block.transactions.length, raws.length)
  for (const [at, raw] of raws.entries()) {
    const transaction = block.transactions[at]!
    const { type, gas, nonce, to, value, data, ...rest } = parseTransaction(raw)
    assert.strictEqual(transaction.hash, keccak256(raw))
    assert.strictEqual(transaction.type, type)
    assert.strictEqual(transaction.transactionIndex, at)
    assert.strictEqual(transaction.blockHash, block.hash)
    assert.strictEqual(transaction.blockNumber, block.number)
    assert.strictEqual(transaction.gas, gas ?? 0n)
    assert.strictEqual(transaction.nonce, nonce ?? 0)
    assert.strictEqual(transaction.to?.toLowerCase() ?? undefined, to?.toLowerCase() ?? undefined)
    assert.strictEqual(transaction.value, value ?? 0n)
    assert.strictEqual(transaction.input, data ?? "0x")
    assert.strictEqual(
      transaction.from.toLowerCase(),
      (await recoverTransactionAddress({ serializedTransaction: raw })).toLowerCase(),
    )
    if ("maxFeePerGas" in rest) assert.strictEqual(transaction.maxFeePerGas, rest.maxFeePerGas)
    if ("gasPrice" in rest) assert.strictEqual(transaction.gasPrice, rest.gasPrice)
    if ("chainId" in rest) assert.strictEqual(transaction.chainId, rest.chainId)
    if ("r" in rest) assert.strictEqual(BigInt(transaction.r), BigInt(rest.r!))
    if ("s" in rest) assert.strictEqual(BigInt(transaction.s), BigInt(rest.s!))
    if ("blobVersionedHashes" in rest) {
      assert.deepEqual(transaction.blobVersionedHashes, rest.blobVersionedHashes)
    }
  }
}

const holdReceipts = (stored: StoredBlock, receipts: ReadonlyArray<TransactionReceipt>): void => {
  const raws = rawTransactions(stored)
  let before = 0n
  let logIndex = 0
  const items = decode(stored.receipts)
  assert.strictEqual(receipts.length, items.length)
  for (const [at, item] of items.entries()) {
    const [, outcome, cumulative, logs] = list(item)
    const receipt = receipts[at]!
    const blockHash = toHex(stored.hash)
    const blockNumber = BigInt(stored.blockNumber)
    const root = hex(outcome).length === 66
    assert.strictEqual(receipt.transactionHash, keccak256(raws[at]!))
    assert.strictEqual(receipt.transactionIndex, at)
    assert.deepEqual([receipt.blockHash, receipt.blockNumber], [blockHash, blockNumber])
    assert.strictEqual(receipt.cumulativeGasUsed, integer(cumulative))
    assert.strictEqual(receipt.gasUsed, integer(cumulative) - before)
    if (root) assert.strictEqual(receipt.root, hex(outcome))
    else assert.strictEqual(receipt.status, integer(outcome) === 1n ? "success" : "reverted")
    before = integer(cumulative)
    assert.deepEqual<unknown>(
      receipt.logs.map(({ address, topics, data, logIndex, transactionHash, removed }) => ({
        address,
        topics,
        data,
        logIndex,
        transactionHash,
        removed,
      })),
      list(logs).map((log) => {
        const [address, topics, data] = list(log)
        return {
          address: hex(address),
          topics: list(topics).map((topic) => hex(topic)),
          data: hex(data),
          logIndex: logIndex++,
          transactionHash: receipt.transactionHash,
          removed: false,
        }
      }),
    )
  }
}

describe.skipIf(fixturesDir === undefined)("viem reads the fixtures' chains", () => {
  // Every block of the short chains, some of the long ones: each signature is recovered twice.
  describe.each([
    ["execapis", 1],
    ["rethcompat", 1],
    ["ethtest", 7],
    ["nimb", 41],
  ])("%s", (name, every) => {
    let fixtures: FixtureChain
    let server: TestServer
    let clients: ReadonlyArray<PublicClient>

    beforeAll(async () => {
      fixtures = await fixtureChain(name)
      server = await serveStored(fixtures)
      clients = [
        createPublicClient({
          transport: http(server.url, { batch: true, maxResponseBodySize: false }),
        }),
        createPublicClient({
          transport: webSocket(server.url.replace("http", "ws"), { reconnect: false }),
        }),
      ]
    })

    afterAll(async () => server.stop())

    it("blocks and receipts, field by field", async () => {
      for (const [at, stored] of fixtures.blocks.entries()) {
        if (at % every !== 0) continue
        const client = clients[at % 2]!
        const blockNumber = BigInt(stored.blockNumber)
        const block = await client.getBlock({ blockNumber, includeTransactions: true })
        await holdBlock(stored, block)
        const { transactions } = await client.getBlock({ blockHash: toHex(stored.hash) })
        assert.deepEqual(
          transactions,
          block.transactions.map(({ hash }) => hash),
        )
        assert.strictEqual(
          await client.getBlockTransactionCount({ blockNumber }),
          transactions.length,
        )
        const receipts = await Promise.all(
          transactions.map(async (hash) => client.getTransactionReceipt({ hash })),
        )
        holdReceipts(stored, receipts)
        for (const [index, hash] of transactions.slice(0, 3).entries()) {
          assert.deepEqual(await client.getTransaction({ hash }), block.transactions[index])
          assert.deepEqual(
            await client.getTransaction({ blockNumber, index }),
            block.transactions[index],
          )
        }
        const logs = await client.getLogs({ fromBlock: blockNumber, toBlock: blockNumber })
        assert.deepEqual(
          logs,
          receipts.flatMap((receipt) => receipt.logs),
        )
      }
    })

    it("what the chain is, and its tags", async () => {
      for (const client of clients) {
        assert.strictEqual(await client.getChainId(), Number(fixtures.chain.chainId))
        const head = BigInt(fixtures.blocks.at(-1)!.blockNumber)
        assert.strictEqual(await client.getBlockNumber({ cacheTime: 0 }), head)
        assert.strictEqual((await client.getBlock({ blockTag: "finalized" })).number, head)
        assert.strictEqual((await client.getBlock({ blockTag: "earliest" })).number, 0n)
      }
    })
  })
})

describe("viem follows a chain", () => {
  let chain: MemoryChain
  let server: TestServer
  const main = generateChain({ shape: "tiny", seed: 7, blocks: 30 })
  const blocks = storedBlocks(main)
  const fork = storedBlocks(generateFork(main, 19, { shape: "tiny", seed: 8, blocks: 30 }))

  beforeAll(async () => {
    chain = memoryChain(blocks.slice(0, 21), { chainId: Number(generatedChainSpec().chainId) })
    server = await startServer(chain.reader)
  })

  afterAll(async () => server.stop())

  it("by filters over HTTP and by subscriptions over WebSocket, through a reorganisation", async () => {
    const polling = createPublicClient({ transport: http(server.url), pollingInterval: 20 })
    const told = createPublicClient({
      transport: webSocket(server.url.replace("http", "ws"), { reconnect: false }),
    })
    const filter = await polling.createEventFilter()
    const blockFilter = await polling.createBlockFilter()
    const heads: Array<string> = []
    const logs: Array<string> = []
    const stops = [
      told.watchBlocks({ onBlock: ({ hash }) => heads.push(hash) }),
      told.watchEvent({
        onLogs: (some) =>
          logs.push(...some.map(({ removed, blockHash }) => `${blockHash} ${removed}`)),
      }),
    ]
    const status = async (): Promise<number> => (await statusOf(server.url)).filters
    await eventually(async () => (await status()) === 4)
    chain.replace(upFrom(fork.slice(0, 24), 19))
    const hashes = fork.slice(19, 24).map(({ hash }) => toHex(hash))
    await eventually(() => heads.length >= 5)
    assert.deepEqual(heads, hashes)
    const changes = await polling.getFilterChanges({ filter })
    const polled = changes.map(({ removed, blockHash }) => `${blockHash} ${removed}`)
    await eventually(() => logs.length >= polled.length)
    assert.deepEqual(logs, polled)
    assert.isTrue(polled.some((text) => text.endsWith("true")))
    assert.isTrue(polled.some((text) => text.endsWith("false")))
    assert.deepEqual(await polling.getFilterChanges({ filter: blockFilter }), hashes)
    assert.isTrue(await polling.uninstallFilter({ filter }))
    stops.forEach((stop) => stop())
    await eventually(async () => (await status()) === 1)
  })
})
