/**
 * viem as the client of every method, as a user has it: real chains from peers through `annals sync`
 * into a store, and from there through `annals serve`; every answer whole, field by field.
 */
import { mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { createInterface } from "node:readline"
import {
  createPublicClient,
  formatBlock,
  formatLog,
  formatTransaction,
  formatTransactionReceipt,
  type Hex,
  http,
  rpcSchema,
  toHex,
  webSocket,
} from "viem"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { exchangeNames, readExchanges, shapeOf } from "../rpc/exchanges.ts"
import { eventually, post, statusOf } from "../rpc/server/support.ts"
import {
  type ExpectedBlock,
  type ExpectedChain,
  expectedChain,
  type Fields,
} from "../support/expectedBlocks.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import { run, type Running, start, withDevnet } from "../support/program.ts"

/** Any method, whether viem knows it or not. */
const anyMethod =
  rpcSchema<[{ Method: string; Parameters?: ReadonlyArray<unknown>; ReturnType: unknown }]>()

const clientOf = (url: string) =>
  createPublicClient({
    transport: http(url, { batch: true, retryCount: 0, maxResponseBodySize: false }),
    rpcSchema: anyMethod,
    cacheTime: 0,
  })
type Client = ReturnType<typeof clientOf>

/** Gets a chain from peers into a store, down to its last block, which is anchored by its hash. */
const ingest = async (name: string, directory: string, chain: ExpectedChain): Promise<void> => {
  const network = `--network=${fixture(`chains/${name}/genesis.json`)}`
  const file = `--chain=${fixture(`chains/${name}/full.rlp.gz`)}`
  const { number, hash } = chain.head
  await withDevnet(3, [network, file], async ({ peerFlags }) => {
    const { code, stderr } = await run([
      "sync",
      network,
      `--end-block=${number}`,
      `--trusted-hash=${number}:${hash}`,
      `--data-dir=${directory}`,
      ...peerFlags,
    ])
    assert.strictEqual(code, 0, stderr)
  })
}

/** Starts `annals serve` and waits until it listens. */
const serve = async (directory: string): Promise<Running & { readonly url: string }> => {
  const running = start(["serve", `--data-dir=${directory}`, "--http-port=0"])
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: running.child.stderr! }).on("line", (line) => {
      const [found] = /http:\/\/\S+/u.exec(line) ?? []
      if (found !== undefined) resolve(found)
    })
    void running.outcome.then(({ stderr }) => reject(new Error(stderr)))
  })
  return { ...running, url }
}

/** Whether a log matches, by the specification's words, slowly and simply. */
const matches = (
  { address, topics }: Fields,
  wanted: { readonly addresses?: ReadonlyArray<Hex>; readonly topics?: ReadonlyArray<Wanted> },
): boolean =>
  Array.isArray(topics) &&
  (wanted.addresses === undefined || wanted.addresses.some((one) => one === address)) &&
  (wanted.topics ?? []).every(
    (one, at) =>
      at < topics.length &&
      (one === null || (Array.isArray(one) ? one.includes(topics[at]) : one === topics[at])),
  )
type Wanted = null | Hex | ReadonlyArray<Hex>

describe.skipIf(fixturesDir === undefined).each([
  // Every block of the short chains, some of the long ones: each signature is recovered again.
  ["execapis", 1],
  ["rethcompat", 1],
  ["ethtest", 20],
  ["nimb", 100],
])("annals serve, of %s from peers", (name, every) => {
  let directory = ""
  let chain: ExpectedChain
  let server: Running & { readonly url: string }
  let client: Client
  let sample: ReadonlyArray<ExpectedBlock>

  const ask = async (method: string, ...params: ReadonlyArray<unknown>): Promise<unknown> =>
    client.request({ method, params })

  beforeAll(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), "annals-methods-"))
    chain = expectedChain(name)
    await ingest(name, directory, chain)
    server = await serve(directory)
    client = clientOf(server.url)
    await eventually(async () => (await statusOf(server.url)).store.unindexed_blocks === 0)
    const indices = Array.from({ length: chain.length }, (_, at) => at)
    sample = indices.filter((at) => at % every === 0 || at === chain.length - 1).map(chain.at)
  })

  afterAll(async () => {
    server.child.kill("SIGTERM")
    assert.strictEqual((await server.outcome).code, 143)
    rmSync(directory, { recursive: true })
  })

  it("tells what the chain is, and where it ends", async () => {
    const head = toHex(chain.head.number)
    assert.strictEqual(await ask("eth_chainId"), toHex(chain.chainId))
    assert.strictEqual(await ask("net_version"), String(chain.chainId))
    assert.match(String(await ask("web3_clientVersion")), /^annals\//u)
    assert.strictEqual(await ask("eth_blockNumber"), head)
    assert.isFalse(await ask("eth_syncing"))
    for (const tag of ["latest", "safe", "finalized", "pending"]) {
      assert.nestedPropertyVal(
        await ask("eth_getBlockByNumber", tag, false),
        "hash",
        chain.head.hash,
      )
    }
    const earliest = await ask("eth_getBlockByNumber", "earliest", true)
    assert.nestedPropertyVal(earliest, "number", "0x0")
    assert.nestedPropertyVal(earliest, "hash", sample[0]!.block["parentHash"])
    assert.isNull(await ask("eth_getBlockByNumber", toHex(chain.head.number + 1), true))
    assert.isNull(await ask("eth_getBlockByHash", toHex(1, { size: 32 }), true))
    assert.isNull(await ask("eth_getTransactionByHash", toHex(1, { size: 32 })))
    assert.isNull(await ask("eth_getTransactionReceipt", toHex(1, { size: 32 })))
  })

  it("shows blocks, uncles and raw bytes as the fixture holds them", async () => {
    assert.isNotEmpty(sample)
    for (const { number, hash, block, transactionHashes, uncles, raw } of sample) {
      const hashes = { ...block, transactions: transactionHashes }
      const of = async (method: string, ...rest: ReadonlyArray<unknown>) =>
        Promise.all([ask(`${method}Number`, number, ...rest), ask(`${method}Hash`, hash, ...rest)])
      assert.deepEqual(await of("eth_getBlockBy", true), [block, block])
      assert.deepEqual(await of("eth_getBlockBy", false), [hashes, hashes])
      const count = toHex(transactionHashes.length)
      assert.deepEqual(await of("eth_getBlockTransactionCountBy"), [count, count])
      const uncleCount = toHex(uncles.length)
      assert.deepEqual(await of("eth_getUncleCountByBlock"), [uncleCount, uncleCount])
      for (const [at, uncle] of [...uncles, null].entries()) {
        const shown = await Promise.all([
          ask("eth_getUncleByBlockNumberAndIndex", number, toHex(at)),
          ask("eth_getUncleByBlockHashAndIndex", hash, toHex(at)),
        ])
        assert.deepEqual(shown, [uncle, uncle])
      }
      assert.strictEqual(await ask("debug_getRawHeader", number), raw.header)
      assert.strictEqual(await ask("debug_getRawBlock", number), raw.block)
      assert.deepEqual(await ask("debug_getRawReceipts", hash), raw.receipts)
    }
  })

  it("shows transactions and receipts, one by one and by block", async () => {
    for (const { number, hash, transactions, transactionHashes, receipts, raw } of sample) {
      // By hash and by number in turn: there is a block with ten megabytes of them.
      const ref = BigInt(number) % 2n === 0n ? hash : number
      assert.deepEqual(await ask("eth_getBlockReceipts", ref), receipts)
      const one = async (own: Hex, at: number) =>
        Promise.all([
          ask("eth_getTransactionByHash", own),
          ask("eth_getTransactionByBlockNumberAndIndex", number, toHex(at)),
          ask("eth_getTransactionByBlockHashAndIndex", hash, toHex(at)),
          ask("eth_getTransactionReceipt", own),
          ask("debug_getRawTransaction", own),
        ])
      // Of the blocks with hundreds, the first and the last.
      const some = [...transactionHashes.entries()].filter(
        ([at]) => at < 10 || at === transactionHashes.length - 1,
      )
      for (const [at, own] of some) {
        const shown = transactions[at]
        const expected = [shown, shown, shown, receipts[at], raw.transactions[at]]
        assert.deepEqual<unknown>(await one(own, at), expected)
      }
      const beyond = toHex(transactionHashes.length)
      assert.isNull(await ask("eth_getTransactionByBlockHashAndIndex", hash, beyond))
    }
  })

  it("is read by viem's own actions", async () => {
    const rich = sample.filter(({ transactions }) => transactions.length > 0).slice(-5)
    assert.isNotEmpty(rich)
    for (const { hash, number, block, transactions, transactionHashes, receipts } of rich) {
      const blockNumber = BigInt(number)
      const full = await client.getBlock({ blockNumber, includeTransactions: true })
      assert.deepEqual<unknown>(full, formatBlock(block))
      const { transactions: named } = await client.getBlock({ blockHash: hash })
      assert.deepEqual(named, [...transactionHashes])
      assert.strictEqual(await client.getBlockTransactionCount({ blockHash: hash }), named.length)
      const index = named.length - 1
      const [last] = [transactionHashes.at(-1)!]
      const shown = formatTransaction(transactions.at(-1)!)
      assert.deepEqual<unknown>(await client.getTransaction({ hash: last }), shown)
      assert.deepEqual<unknown>(await client.getTransaction({ blockNumber, index }), shown)
      assert.deepEqual<unknown>(await client.getTransaction({ blockHash: hash, index }), shown)
      assert.deepEqual<unknown>(
        await client.getTransactionReceipt({ hash: last }),
        formatTransactionReceipt(JSON.parse(JSON.stringify(receipts.at(-1)))),
      )
    }
    assert.strictEqual(await client.getChainId(), chain.chainId)
    assert.strictEqual(await client.getBlockNumber(), BigInt(chain.head.number))
  })

  it("finds logs by block, range, addresses and topics", async () => {
    // All blocks of an unbroken piece; senders of a long one would take long.
    const indices = Array.from({ length: Math.min(chain.length, 60) }, (_, at) => at)
    const blocks = indices.map((at) => chain.at(chain.length - indices.length + at))
    const logs = blocks.flatMap((block) => block.logs)
    const range = { fromBlock: blocks[0]!.number, toBlock: "latest" }
    assert.isNotEmpty(logs)
    const addresses = [...new Set(logs.map(({ address }) => hexOf(address)))].slice(0, 2)
    const topics = [...new Set(logs.flatMap(topicsOf))]
    const second = logs.map((log) => topicsOf(log)[1]).find((one) => one !== undefined)
    const absent = toHex(7, { size: 32 })
    const forms: ReadonlyArray<{
      readonly addresses?: ReadonlyArray<Hex>
      readonly topics?: ReadonlyArray<Wanted>
    }> = [
      {},
      { addresses: addresses.slice(0, 1) },
      { addresses },
      { topics: [topics[0] ?? absent] },
      { topics: [topics.slice(0, 5)] },
      { topics: [null] },
      { topics: [null, second ?? absent] },
      { topics: [[absent, topics[0] ?? absent], null] },
      { addresses, topics: [topics.slice(0, 5)] },
      { topics: [null, null, null, null] },
      { topics: [absent] },
      { addresses: ["0x00000000000000000000000000000000000000aa"] },
    ]
    let found = 0
    for (const form of forms) {
      const expected = logs.filter((log) => matches(log, form))
      const { addresses: [first, ...others] = [] } = form
      const address = others.length > 0 ? form.addresses : first
      const query = { ...(address && { address }), ...(form.topics && { topics: form.topics }) }
      assert.deepEqual(await ask("eth_getLogs", { ...range, ...query }), expected)
      found += expected.length
      for (const { hash, number, logs: own } of blocks.slice(-3)) {
        const ofBlock = own.filter((log) => matches(log, form))
        assert.deepEqual(await ask("eth_getLogs", { blockHash: hash, ...query }), ofBlock)
        const alone = { fromBlock: number, toBlock: number }
        assert.deepEqual(await ask("eth_getLogs", { ...alone, ...query }), ofBlock)
      }
    }
    assert.isAbove(found, logs.length)
    const [address] = addresses
    assert.deepEqual<unknown>(
      await client.getLogs({
        ...(address && { address }),
        fromBlock: BigInt(blocks[0]!.number),
        toBlock: "finalized",
      }),
      logs
        .filter((log) => log["address"] === address)
        .map((log) => formatLog(JSON.parse(JSON.stringify(log)))),
    )
    const future = {
      fromBlock: toHex(chain.head.number + 1),
      toBlock: toHex(chain.head.number + 2),
    }
    const refused = await post(server.url, call("eth_getLogs", future))
    assert.strictEqual(refused.answer.error?.code, -32602)
  })

  it("keeps filters, and subscribes connections", async () => {
    const blocks = [chain.at(chain.length - 2), chain.at(chain.length - 1)]
    const fromBlock = BigInt(blocks[0]!.number)
    const filter = await client.createEventFilter({ fromBlock, toBlock: "latest" })
    const blockFilter = await client.createBlockFilter()
    assert.deepEqual(await client.getFilterChanges({ filter }), [])
    assert.deepEqual(await client.getFilterChanges({ filter: blockFilter }), [])
    assert.deepEqual<unknown>(
      await client.getFilterLogs({ filter }),
      blocks.flatMap(({ logs }) => logs.map((log) => formatLog(JSON.parse(JSON.stringify(log))))),
    )
    assert.isTrue(await client.uninstallFilter({ filter }))
    assert.isFalse(await client.uninstallFilter({ filter }))
    assert.isTrue(await client.uninstallFilter({ filter: blockFilter }))
    const socket = createPublicClient({
      transport: webSocket(server.url.replace("http", "ws"), { reconnect: false }),
      rpcSchema: anyMethod,
    })
    for (const params of [["newHeads"], ["logs", {}]]) {
      const id = await socket.request({ method: "eth_subscribe", params })
      assert.match(String(id), /^0x[0-9a-f]+$/u)
      assert.isTrue(await socket.request({ method: "eth_unsubscribe", params: [id] }))
      assert.isFalse(await socket.request({ method: "eth_unsubscribe", params: [id] }))
    }
    assert.strictEqual(await socket.getBlockNumber(), BigInt(chain.head.number))
    ;(await socket.transport.getRpcClient()).close()
    const refused = await post(server.url, call("eth_subscribe", "newHeads"))
    assert.strictEqual(refused.answer.error?.code, -32601)
  })

  if (name !== "execapis") return
  it("answers the specification's own cases", async () => {
    assert.isNotEmpty(exchangeNames)
    for (const exchange of exchangeNames.flatMap(readExchanges)) {
      const { method, params, result, error, shapeOnly } = exchange
      const { answer } = await post(server.url, { jsonrpc: "2.0", id: 1, method, params })
      const told = { result: answer.result, error: answer.error }
      if (shapeOnly) assert.deepEqual(shapeOf(told.result), shapeOf(result), exchange.name)
      else assert.deepEqual(told, { result, error }, exchange.name)
    }
  })
})

const call = (method: string, ...params: ReadonlyArray<unknown>) => ({
  jsonrpc: "2.0",
  id: 1,
  method,
  params,
})

const hexOf = (value: unknown): Hex =>
  typeof value === "string" ? `0x${value.slice(2)}` : assert.fail("no text")

const topicsOf = ({ topics }: Fields): ReadonlyArray<Hex> =>
  Array.isArray(topics) ? topics.map(hexOf) : assert.fail("no topics")
