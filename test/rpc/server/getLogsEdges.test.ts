/** `eth_getLogs` at the edges of its limits and of what is stored, over HTTP and a real store. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { generateChain } from "../../../src/devnet/generatedChain.ts"
import { layerNoIndexer } from "../../../src/write/chainIndex/ChainIndexer.ts"
import { buildAll } from "../../../src/write/chainIndex/ChainIndexing.ts"
import { layerChainReaderOver } from "../../../src/write/ChainReaderSession.ts"
import type { RpcLimits } from "../../../src/rpc/rpcLimits.ts"
import { logsOf, storeOf, writeInto } from "../../write/chainReaderSupport.ts"
import { call, type RpcAnswer, startServerOver } from "./support.ts"

const chain = generateChain({ blocks: 200, shape: "light", seed: 4 })
const hex = (number: number): string => `0x${number.toString(16)}`

/** How many logs blocks have together. */
const countOf = (from: number, to: number): number => {
  let count = 0
  for (let block = from; block <= to; block++) count += logsOf(chain, block).length
  return count
}

type Ask = (query: Readonly<Record<string, unknown>>) => Effect.Effect<RpcAnswer>

/** Asks a server over blocks 20 to 140 and 151 to 200; 20 to 136 are in the index. */
const asking = (limits: Partial<RpcLimits> = {}): Effect.Effect<Ask, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = yield* storeOf(chain, 20, 140)
    yield* writeInto(directory, chain, 151, 200)
    yield* buildAll(directory)
    const reader = Layer.provide(layerChainReaderOver(directory), layerNoIndexer)
    const { url } = yield* Effect.acquireRelease(
      Effect.promise(async () => startServerOver(reader, { limits })),
      ({ stop }) => Effect.promise(stop),
    )
    return (query) => Effect.promise(async () => call(url, "eth_getLogs", query))
  })

const range = (from: number, to: number) => ({ fromBlock: hex(from), toBlock: hex(to) })

/** How many logs were answered, or the code of the refusal. */
const outcome = ({ result, error }: RpcAnswer): string =>
  Array.isArray(result) ? `${result.length} logs` : `error ${error?.code}`

const logs = (count: number): string => `${count} logs`

/** The range that a refusal suggests. */
const suggested = ({ error }: RpcAnswer) => {
  const words = /Try with this block range \[(0x[0-9a-f]+), (0x[0-9a-f]+)\]\.$/
  const [, fromBlock, toBlock] = words.exec(error?.message ?? "") ?? []
  assert.isDefined(toBlock, error?.message)
  return { fromBlock, toBlock }
}

describe("a range of eth_getLogs", () => {
  it.scopedLive("is as wide as it may be, and refused with one block more", () =>
    Effect.gen(function* () {
      const ask = yield* asking({ logBlocks: 30 })
      for (const from of [20, 60, 111]) {
        const widest = yield* ask(range(from, from + 29))
        assert.strictEqual(outcome(widest), logs(countOf(from, from + 29)))
        const wider = yield* ask(range(from, from + 30))
        // The width comes before what is stored: nothing is looked up for it.
        assert.strictEqual(outcome(wider), "error -32602")
        assert.deepEqual(suggested(wider), range(from, from + 29))
        assert.strictEqual(outcome(yield* ask(suggested(wider))), outcome(widest))
      }
    }),
  )

  it.scopedLive("gives as many logs as it may, and is refused with one more", () =>
    Effect.gen(function* () {
      // In the index, across its end, and above it.
      const ranges = [
        [30, 50],
        [120, 140],
        [160, 190],
      ] as const
      for (const [from, to] of ranges) {
        const count = countOf(from, to)
        const enough = yield* asking({ logResults: count })
        assert.strictEqual(outcome(yield* enough(range(from, to))), logs(count))
        const tooFew = yield* asking({ logResults: count - 1 })
        const refused = yield* tooFew(range(from, to))
        assert.strictEqual(outcome(refused), "error -32005")
        assert.include(refused.error?.message, `query returned more than ${count - 1} results. `)
        assert.deepEqual(suggested(refused), range(from, to - 1))
        const fitting = yield* tooFew(suggested(refused))
        assert.strictEqual(outcome(fitting), logs(countOf(from, to - 1)))
      }
    }),
  )

  it.scopedLive("that is one block is given whole, however many logs it has", () =>
    Effect.gen(function* () {
      const ask = yield* asking({ logResults: 1 })
      const refused = yield* ask(range(40, 41))
      assert.deepEqual(suggested(refused), range(40, 40))
      assert.isAbove(countOf(40, 40), 1)
      assert.strictEqual(outcome(yield* ask(range(40, 40))), logs(countOf(40, 40)))
      const byHash = { blockHash: `0x${Buffer.from(chain.hashAt(40)!).toString("hex")}` }
      assert.strictEqual(outcome(yield* ask(byHash)), logs(countOf(40, 40)))
    }),
  )

  it.scopedLive("is 4444 where blocks of it are not stored, and what is around them is given", () =>
    Effect.gen(function* () {
      const ask = yield* asking()
      const expected = [
        [20, 20, logs(countOf(20, 20))],
        [19, 20, "error 4444"],
        [0, 19, "error 4444"],
        [0, 200, "error 4444"],
        [20, 140, logs(countOf(20, 140))],
        [20, 141, "error 4444"],
        [140, 151, "error 4444"],
        [141, 150, "error 4444"],
        [150, 151, "error 4444"],
        [151, 200, logs(countOf(151, 200))],
        [151, 201, "error -32602"],
        [201, 201, "error -32602"],
        [30, 29, "error -32602"],
      ] as const
      for (const [from, to, wanted] of expected) {
        assert.strictEqual(outcome(yield* ask(range(from, to))), wanted, `${from} to ${to}`)
      }
      // The tags name the ends of the first unbroken range.
      const tags = { fromBlock: "earliest", toBlock: "latest" }
      assert.strictEqual(outcome(yield* ask(tags)), logs(countOf(20, 140)))
      assert.strictEqual(outcome(yield* ask({ fromBlock: hex(139) })), logs(countOf(139, 140)))
    }),
  )
})

/** So many texts of so many bytes that nothing in the chain has. */
const others = (count: number, bytes: number): ReadonlyArray<string> =>
  Array.from(
    { length: count },
    (_, at) =>
      `0x${hex(at)
        .slice(2)
        .padStart(2 * bytes, "f")}`,
  )

describe("what eth_getLogs asks for", () => {
  it.scopedLive("is a block by its hash or a range, not both, though both are the same", () =>
    Effect.gen(function* () {
      const ask = yield* asking()
      const blockHash = `0x${Buffer.from(chain.hashAt(30)!).toString("hex")}`
      for (const more of [{ fromBlock: hex(30) }, { toBlock: hex(30) }, range(30, 30)]) {
        const { error } = yield* ask({ blockHash, ...more })
        assert.strictEqual(error?.code, -32602)
        assert.include(error?.message, "cannot specify both BlockHash and FromBlock/ToBlock")
      }
      const none = { blockHash, fromBlock: null, toBlock: null }
      assert.strictEqual(outcome(yield* ask(none)), logs(countOf(30, 30)))
    }),
  )

  it.scopedLive(
    "is at most four topics, a thousand addresses and alternatives; no list is all",
    () =>
      Effect.gen(function* () {
        const ask = yield* asking()
        const [from, to] = [70, 80]
        const all = logs(countOf(from, to))
        const found = Array.from({ length: to - from + 1 }, (_, at) =>
          logsOf(chain, from + at),
        ).flat()
        const [one] = found
        const address = `0x${one!.address}`
        const topic = `0x${one!.topics[0]!}`
        const withAddress = logs(found.filter((log) => log.address === one!.address).length)
        const withTopic = logs(found.filter((log) => log.topics[0] === one!.topics[0]).length)
        const fourTopics = logs(found.filter(({ topics }) => topics.length >= 4).length)
        const queries: ReadonlyArray<readonly [Readonly<Record<string, unknown>>, string]> = [
          [{}, all],
          [{ address: [], topics: [] }, all],
          [{ address: null, topics: null }, all],
          [{ topics: [[]] }, logs(found.filter(({ topics }) => topics.length > 0).length)],
          [{ topics: [null, null, null, null] }, fourTopics],
          [{ topics: [[], null, [], null] }, fourTopics],
          [{ topics: [null, null, null, null, null] }, "error -32602"],
          [{ address: [address, ...others(999, 20)] }, withAddress],
          [{ address: [address, ...others(1_000, 20)] }, "error -32602"],
          [{ topics: [[topic, ...others(999, 32)]] }, withTopic],
          [{ topics: [[topic, ...others(1_000, 32)]] }, "error -32602"],
          [
            { topics: [[topic, null]] },
            logs(found.filter(({ topics }) => topics.length > 0).length),
          ],
          [{ address: [address, address] }, withAddress],
          [{ address: [address, null] }, "error -32602"],
          [{ address: [[address]] }, "error -32602"],
          [{ topics: topic }, "error -32602"],
        ]
        for (const [query, wanted] of queries) {
          const answer = yield* ask({ ...range(from, to), ...query })
          assert.strictEqual(outcome(answer), wanted, JSON.stringify(query).slice(0, 100))
        }
      }),
  )
})
