/** Filters and subscriptions through the server, while the chain in memory moves. */
import { Effect, Layer, TestClock } from "effect"
import { it as effectIt } from "@effect/vitest"
import { afterEach, assert, beforeAll, beforeEach, describe, it } from "vitest"
import { generateChain, generateFork } from "../../../src/devnet/generatedChain.ts"
import { toHex0x } from "../../../src/domain/hex.ts"
import { ChainReader, QueryTooSlow, type StoredBlock } from "../../../src/rpc/ChainReader.ts"
import { ChainWatcher } from "../../../src/rpc/live/ChainWatcher.ts"
import { EXPIRES_MS, Filters } from "../../../src/rpc/live/Filters.ts"
import { Slots } from "../../../src/rpc/live/Slots.ts"
import { logObject } from "../../../src/rpc/logObject.ts"
import { defaultRpcLimits } from "../../../src/rpc/rpcLimits.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { blockLogs, type MemoryChain, memoryChain } from "../memoryReader.ts"
import {
  call,
  eventually,
  post,
  result,
  SocketClient,
  startServer,
  statusOf,
  type TestServer,
  upFrom,
} from "../server/support.ts"

const options = { shape: "light", seed: 1 } as const
let main: ReadonlyArray<StoredBlock> = []
/** Branches off `main` at block 150: 151 to 260 are others. */
let fork: ReadonlyArray<StoredBlock> = []

beforeAll(() => {
  const served = generateChain({ ...options, blocks: 400 })
  main = storedBlocks(served)
  fork = storedBlocks(generateFork(served, 151, { ...options, seed: 2, blocks: 260 }))
})

const logsOf = (blocks: ReadonlyArray<StoredBlock>, removed: boolean): ReadonlyArray<unknown> =>
  blocks.flatMap(blockLogs).map((log) => logObject(log, removed))

const hashesOf = (blocks: ReadonlyArray<StoredBlock>): Array<unknown> =>
  blocks.map(({ hash }) => toHex0x(hash))

let chain: MemoryChain
let server: TestServer | undefined
let url = ""

const start = async (head: number, limits = {}): Promise<void> => {
  chain = memoryChain(main.slice(0, head + 1))
  server = await startServer(chain.reader, { limits })
  ;({ url } = server)
}

afterEach(async () => {
  await server?.stop()
  server = undefined
})

const texts = (logs: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  logs.map((log) => JSON.stringify(log)).sort()

describe("filters", () => {
  it("tell the logs and blocks that came since the last poll", async () => {
    await start(100)
    const logs = await result(url, "eth_newFilter", {})
    const blocks = await result(url, "eth_newBlockFilter")
    assert.deepEqual(await result(url, "eth_getFilterChanges", logs), [])
    chain.add(main.slice(101, 103))
    assert.deepEqual(
      await result(url, "eth_getFilterChanges", logs),
      logsOf(main.slice(101, 103), false),
    )
    assert.deepEqual(
      await result(url, "eth_getFilterChanges", blocks),
      hashesOf(main.slice(101, 103)),
    )
    assert.deepEqual(await result(url, "eth_getFilterChanges", logs), [])
    assert.deepEqual(
      await result(url, "eth_getFilterLogs", logs),
      logsOf(main.slice(102, 103), false),
    )
    assert.isTrue(await result(url, "eth_uninstallFilter", logs))
    assert.isFalse(await result(url, "eth_uninstallFilter", logs))
    assert.strictEqual((await call(url, "eth_getFilterChanges", logs)).error?.code, -32000)
  })

  it.each([1, 2, 63, 64])(
    "tell a reorganisation of depth %d: what went, newest first, then what came",
    async (depth) => {
      const head = 150 + depth
      await start(head)
      const id = await result(url, "eth_newFilter", {})
      const winners = fork.slice(151, head + 2)
      chain.replace(upFrom(winners, 151))
      const losers = main.slice(151, head + 1).toReversed()
      assert.deepEqual(await result(url, "eth_getFilterChanges", id), [
        ...losers.flatMap((block) => logsOf([block], true)),
        ...logsOf(winners, false),
      ])
      assert.deepEqual(await result(url, "eth_getFilterChanges", id), [])
    },
  )

  it("do not take back what was never told", async () => {
    await start(150)
    const id = await result(url, "eth_newFilter", {})
    chain.add(main.slice(151, 160))
    await eventually(async () => (await result(url, "eth_blockNumber")) === "0x9f")
    chain.replace(upFrom(fork.slice(0, 156), 151))
    assert.deepEqual(
      await result(url, "eth_getFilterChanges", id),
      logsOf(fork.slice(151, 156), false),
    )
  })

  it("lose nothing of a leap that is more than one answer may hold", async () => {
    await start(0, { logResults: 50, logBlocks: 7 })
    const id = await result(url, "eth_newFilter", {})
    chain.add(main.slice(1, 101))
    const told: Array<unknown> = []
    for (let polls = 0; polls < 60; polls++) {
      const some = await result(url, "eth_getFilterChanges", id)
      if (!Array.isArray(some) || some.length === 0) break
      assert.isAtMost(some.length, 50)
      told.push(...some)
    }
    assert.deepEqual(told, logsOf(main.slice(1, 101), false))
  })

  it("lose nothing where the logs of a leap are more bytes than an answer may hold", async () => {
    await start(0, { responseBytes: 60_000 })
    const id = await result(url, "eth_newFilter", {})
    chain.add(main.slice(1, 41))
    const told: Array<unknown> = []
    for (let polls = 0; polls < 60; polls++) {
      const some = await result(url, "eth_getFilterChanges", id)
      if (!Array.isArray(some) || some.length === 0) break
      told.push(...some)
    }
    assert.deepEqual(told, logsOf(main.slice(1, 41), false))
  })

  it("lose nothing where what went is more bytes than an answer may hold", async () => {
    await start(190, { responseBytes: 60_000 })
    const id = await result(url, "eth_newFilter", {})
    chain.replace(upFrom(fork.slice(0, 153), 151))
    const told: Array<unknown> = []
    for (let polls = 0; polls < 60; polls++) {
      const some = await result(url, "eth_getFilterChanges", id)
      if (!Array.isArray(some) || some.length === 0) break
      told.push(...some)
    }
    assert.deepEqual(told, [
      ...main
        .slice(151, 191)
        .toReversed()
        .flatMap((block) => logsOf([block], true)),
      ...logsOf(fork.slice(151, 153), false),
    ])
  })

  it("lose nothing where a batch's answers do not fit", async () => {
    await start(1, { responseBytes: 200_000 })
    const [a, b] = [await result(url, "eth_newFilter", {}), await result(url, "eth_newFilter", {})]
    chain.add(main.slice(2, 13))
    const told: Record<string, Array<unknown>> = { [String(a)]: [], [String(b)]: [] }
    for (let polls = 0; polls < 20; polls++) {
      const calls = [a, b, a, b].map((filter, id) => ({
        jsonrpc: "2.0",
        id,
        method: "eth_getFilterChanges",
        params: [filter],
      }))
      const { answers } = await post(url, calls)
      for (const { id, result } of answers) {
        if (Array.isArray(result)) told[String(id === 0 || id === 2 ? a : b)]?.push(...result)
      }
    }
    const expected = logsOf(main.slice(2, 13), false)
    for (const logs of Object.values(told)) assert.deepEqual(texts(logs), texts(expected))
  })

  it("catch up in smaller steps after a leap that takes longer than a call may", async () => {
    chain = memoryChain(main.slice(0, 2))
    const { reader } = chain
    // 5 ms a block.
    const logs: typeof reader.logs = (filter, range, limits) =>
      Effect.sleep(5 * (range[1] - range[0] + 1)).pipe(
        Effect.zipRight(reader.logs(filter, range, limits)),
        Effect.timeoutFail({
          duration: limits.ms,
          onTimeout: () => new QueryTooSlow({ limitMs: limits.ms }),
        }),
      )
    server = await startServer({ ...reader, logs }, { limits: { callMs: 500 } })
    ;({ url } = server)
    const id = await result(url, "eth_newFilter", {})
    chain.add(main.slice(2, 202))
    const told: Array<unknown> = []
    for (
      let polls = 0;
      polls < 60 && told.length < logsOf(main.slice(2, 202), false).length;
      polls++
    ) {
      const { result } = await call(url, "eth_getFilterChanges", id)
      if (Array.isArray(result)) told.push(...result)
    }
    assert.deepEqual(told, logsOf(main.slice(2, 202), false))
  })

  it("are not made where the answer with their id does not fit", async () => {
    await start(10, { responseBytes: 200 })
    const calls = Array.from({ length: 10 }, (_, id) => ({
      jsonrpc: "2.0",
      id,
      method: "eth_newBlockFilter",
    }))
    const { answers } = await post(url, calls)
    const made = answers.filter(({ error }) => error === undefined).length
    assert.isBelow(made, 10)
    assert.strictEqual((await statusOf(url)).filters, made)
  })

  it("ask for what they are made for only", async () => {
    await start(100)
    const [log] = blockLogs(main[105]!)
    const asked = {
      address: toHex0x(log!.address),
      topics: [toHex0x(log!.topics[0]!)],
      toBlock: "0x69",
    }
    const id = await result(url, "eth_newFilter", asked)
    chain.add(main.slice(101, 111))
    const got = await result(url, "eth_getFilterChanges", id)
    const { toBlock, ...query } = asked
    assert.deepEqual(
      got,
      await result(url, "eth_getLogs", { ...query, fromBlock: "0x65", toBlock }),
    )
    assert.isNotEmpty(got)
    const ofHash = await call(url, "eth_newFilter", { blockHash: toHex0x(main[1]!.hash) })
    assert.strictEqual(ofHash.error?.code, -32602)
  })

  it("that would have to take back more than is remembered are gone", async () => {
    await start(350)
    const logs = await result(url, "eth_newFilter", {})
    chain.replace(upFrom(fork, 151))
    assert.strictEqual((await call(url, "eth_getFilterChanges", logs)).error?.code, -32000)
    assert.isFalse(await result(url, "eth_uninstallFilter", logs))
  })

  it("are limited in number, and a place that is given up is free again", async () => {
    await start(10, { filters: 2 })
    const first = await result(url, "eth_newFilter", {})
    await result(url, "eth_newBlockFilter")
    assert.strictEqual((await call(url, "eth_newFilter", {})).error?.code, -32005)
    await result(url, "eth_uninstallFilter", first)
    await result(url, "eth_newFilter", {})
  })
})

describe("subscriptions", () => {
  let client: SocketClient

  const open = async (): Promise<SocketClient> => {
    client = new SocketClient(url)
    await client.opened
    return client
  }

  beforeEach(async () => start(151))
  afterEach(() => client.socket.terminate())

  it("tell new heads and logs, rising", async () => {
    await open()
    const heads = (await client.call("eth_subscribe", "newHeads")).result
    const logs = (await client.call("eth_subscribe", "logs", {})).result
    chain.add(main.slice(152, 155))
    const wanted = logsOf(main.slice(152, 155), false)
    const told = await client.toldAtLeast(3 + wanted.length)
    assert.deepEqual<unknown>(
      told.filter(({ subscription }) => subscription === heads).map(({ result }) => result["hash"]),
      hashesOf(main.slice(152, 155)),
    )
    assert.deepEqual<unknown>(
      told.filter(({ subscription }) => subscription === logs).map(({ result }) => result),
      wanted,
    )
    assert.deepInclude(await result(url, "eth_getBlockByNumber", "0x98", false), told[0]!.result)
  })

  it("tell a reorganisation: removed logs, then heads, then logs", async () => {
    await open()
    await client.call("eth_subscribe", "logs", {})
    await client.call("eth_subscribe", "newHeads")
    chain.replace(upFrom(fork.slice(0, 154), 151))
    const removed = logsOf(main.slice(151, 152), true)
    const added = logsOf(fork.slice(151, 154), false)
    const told = await client.toldAtLeast(removed.length + 3 + added.length)
    const results = told.map(({ result }) => result)
    assert.deepEqual<unknown>(results.slice(0, removed.length), removed)
    assert.deepEqual(
      results.slice(removed.length, removed.length + 3).map(({ hash }) => hash),
      hashesOf(fork.slice(151, 154)),
    )
    assert.deepEqual<unknown>(results.slice(removed.length + 3), added)
  })

  it("tell the last heads of a leap only, and all of its logs", async () => {
    await open()
    const heads = (await client.call("eth_subscribe", "newHeads")).result
    await client.call("eth_subscribe", "logs", {})
    chain.add(main.slice(152, 401))
    const wanted = logsOf(main.slice(152, 401), false)
    const told = await client.toldAtLeast(128 + wanted.length)
    const headsTold = told.filter(({ subscription }) => subscription === heads)
    assert.deepEqual(
      headsTold.map(({ result }) => result["hash"]),
      hashesOf(main.slice(-128)),
    )
    assert.deepEqual<unknown>(
      told.filter(({ subscription }) => subscription !== heads).map(({ result }) => result),
      wanted,
    )
  })

  it("end when they are told to, and with their connection", async () => {
    await open()
    const id = (await client.call("eth_subscribe", "newHeads")).result
    assert.isTrue((await client.call("eth_unsubscribe", id)).result)
    assert.isFalse((await client.call("eth_unsubscribe", id)).result)
    await client.call("eth_subscribe", "newHeads")
    await client.call("eth_subscribe", "logs", {})
    assert.strictEqual((await statusOf(url)).filters, 2)
    client.socket.terminate()
    await eventually(async () => (await statusOf(url)).filters === 0)
    assert.deepEqual(client.told, [])
  })

  it("are refused where they are to nothing that there is", async () => {
    await open()
    for (const params of [[], ["newPendingTransactions"], ["logs", 1], ["logs", { topics: 1 }]]) {
      assert.strictEqual((await client.call("eth_subscribe", ...params)).error?.code, -32602)
    }
  })
})

/** A reader that counts what is read of blocks above the first head. */
const counting = (above: number) => {
  const reads = { blocks: 0, logs: 0 }
  const { reader } = chain
  return {
    reads,
    reader: {
      ...reader,
      blockAt: (at: number) => {
        if (at > above) reads.blocks += 1
        return reader.blockAt(at)
      },
      logs: (...asked: Parameters<typeof reader.logs>) => {
        reads.logs += 1
        return reader.logs(...asked)
      },
    },
  }
}

describe("many who are told of the same block", () => {
  it.each([50, 200])("read it once for %d subscriptions to logs", async (count) => {
    chain = memoryChain(main.slice(0, 101))
    const { reader, reads } = counting(100)
    server = await startServer(reader)
    const address = blockLogs(main[101]!)[0]!.address
    const clients = Array.from({ length: count / 10 }, () => new SocketClient(server!.url))
    await Promise.all(clients.map(async ({ opened }) => opened))
    const filters = [{}, { address: toHex0x(address) }]
    const ids = new Map<SocketClient, Array<unknown>>()
    for (const client of clients) {
      ids.set(client, [])
      for (let at = 0; at < 10; at++) {
        ids.get(client)!.push((await client.call("eth_subscribe", "logs", filters[at % 2])).result)
      }
    }
    chain.add(main.slice(101, 102))
    const all = logsOf(main.slice(101, 102), false)
    const some = all.filter((_log, at) => {
      const { address: other } = blockLogs(main[101]!)[at]!
      return Buffer.compare(other, address) === 0
    })
    for (const client of clients) {
      const told = await client.toldAtLeast(5 * all.length + 5 * some.length)
      ids.get(client)!.forEach((id, at) => {
        const mine = told.filter(({ subscription }) => subscription === id)
        assert.deepEqual<unknown>(
          mine.map(({ result }) => result),
          at % 2 === 0 ? all : some,
        )
      })
    }
    assert.deepEqual(reads, { blocks: 1, logs: 0 })
    for (const { socket } of clients) socket.terminate()
  })

  it("read it once for many filters that are polled", async () => {
    chain = memoryChain(main.slice(0, 101))
    const { reader, reads } = counting(100)
    server = await startServer(reader)
    ;({ url } = server)
    const ids = await Promise.all(
      Array.from({ length: 50 }, async () => result(url, "eth_newFilter", {})),
    )
    chain.add(main.slice(101, 103))
    const answers = await Promise.all(
      ids.map(async (id) => result(url, "eth_getFilterChanges", id)),
    )
    for (const answer of answers) assert.deepEqual(answer, logsOf(main.slice(101, 103), false))
    assert.deepEqual(reads, { blocks: 2, logs: 0 })
  })
})

describe("a filter that nobody polls", () => {
  const poll = { limits: defaultRpcLimits, give: Effect.succeed, told: () => undefined }
  effectIt.scoped("is gone after five minutes", () =>
    Effect.gen(function* () {
      const filters = yield* Filters
      const forgotten = yield* filters.newBlockFilter
      const polled = yield* filters.newBlockFilter
      yield* TestClock.adjust(EXPIRES_MS - 1)
      yield* filters.changes(polled, poll)
      yield* TestClock.adjust(60_000)
      yield* filters.changes(polled, poll)
      const gone = yield* Effect.flip(filters.changes(forgotten, poll))
      assert.strictEqual(gone.code, -32000)
      assert.strictEqual((yield* Slots).taken(), 1)
    }).pipe(
      Effect.provide(
        Filters.layer(defaultRpcLimits).pipe(
          Layer.provideMerge(Layer.mergeAll(ChainWatcher.layerEvery(60_000), Slots.layer(10))),
          Layer.provideMerge(Layer.sync(ChainReader, () => memoryChain(main.slice(0, 2)).reader)),
        ),
      ),
    ),
  )
})
