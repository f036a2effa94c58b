/** What the watcher keeps of the last blocks, and what a filter is told when that was not enough. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { generateChain, generateFork } from "../../../src/devnet/generatedChain.ts"
import { toHex0x } from "../../../src/domain/hex.ts"
import { ChainReader, type StoredBlock } from "../../../src/rpc/ChainReader.ts"
import { WINDOW_BLOCKS } from "../../../src/rpc/live/chainStep.ts"
import { ChainWatcher } from "../../../src/rpc/live/ChainWatcher.ts"
import { Filters } from "../../../src/rpc/live/Filters.ts"
import { Slots } from "../../../src/rpc/live/Slots.ts"
import { logObject } from "../../../src/rpc/logObject.ts"
import { parseLogQuery } from "../../../src/rpc/params.ts"
import { defaultRpcLimits } from "../../../src/rpc/rpcLimits.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { blockLogs, type MemoryChain, memoryChain } from "../memoryReader.ts"
import { upFrom } from "../server/support.ts"

const small = generateChain({ blocks: 60, shape: "tiny", seed: 5 })
/** Small blocks up to 60, then some that are many times larger. */
const main = storedBlocks(generateFork(small, 61, { blocks: 200, shape: "light", seed: 6 }))
/** Leaves `main` above block 80. */
const fork = storedBlocks(
  generateFork(generateFork(small, 61, { blocks: 200, shape: "light", seed: 6 }), 81, {
    blocks: 110,
    shape: "light",
    seed: 7,
  }),
)

const bytesOf = ({ header, body, receipts }: StoredBlock): number =>
  header.length + body.length + receipts.length

const sumOf = (blocks: ReadonlyArray<StoredBlock>): number =>
  blocks.reduce((sum, block) => sum + bytesOf(block), 0)

const logsOf = (blocks: ReadonlyArray<StoredBlock>, removed: boolean): ReadonlyArray<unknown> =>
  blocks.flatMap(blockLogs).map((log) => logObject(log, removed))

const watching = (chain: MemoryChain, keptBytes: number) =>
  Filters.layer(defaultRpcLimits).pipe(
    Layer.provideMerge(Layer.mergeAll(ChainWatcher.layerEvery(60_000, keptBytes), Slots.layer(10))),
    Layer.provideMerge(Layer.succeed(ChainReader, chain.reader)),
  )

const poll = { limits: defaultRpcLimits, give: Effect.succeed, told: () => undefined }

/** The numbers of the blocks of the window that are kept whole, and what they are in bytes. */
const kept = Effect.flatMap(ChainWatcher, ({ settled }) =>
  settled(
    ({ window }) =>
      Effect.sync(() => {
        const whole = window.flatMap(({ content }) => (content === undefined ? [] : [content]))
        return { numbers: whole.map(({ blockNumber }) => blockNumber), bytes: sumOf(whole) }
      }),
    Effect.succeed,
  ),
)

const numbers = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from + 1 }, (_, at) => from + at)

describe("the last blocks that are kept whole", () => {
  const all = main.slice(61, 71)

  it.scoped("are as many from the head down as there is room for, to the byte", () => {
    const chain = memoryChain(main.slice(0, 71))
    return Effect.gen(function* () {
      yield* (yield* Filters).newLogFilter(parseLogQuery({}))
      assert.deepEqual(yield* kept, { numbers: numbers(61, 70), bytes: sumOf(all) })
      // One byte more than before has to go; with it all below.
      chain.add(main.slice(71, 72))
      const { numbers: after } = yield* kept
      assert.strictEqual(after.at(-1), 71)
      assert.isAbove(after[0]!, 61)
    }).pipe(Effect.provide(watching(chain, sumOf(all))))
  })

  it.scoped("never are more bytes than they may, though large blocks follow small ones", () => {
    const chain = memoryChain(main.slice(0, 61))
    const most = Math.floor(sumOf(main.slice(0, 61)) + 1.5 * bytesOf(main[61]!))
    return Effect.gen(function* () {
      yield* (yield* Filters).newLogFilter(parseLogQuery({}))
      for (let head = 61; head < 90; head++) {
        chain.add(main.slice(head, head + 1))
        const { numbers: whole, bytes } = yield* kept
        assert.isAtMost(bytes, most)
        // Without a gap: what is kept is the chain's end.
        assert.deepEqual(whole, numbers(whole[0]!, head))
      }
    }).pipe(Effect.provide(watching(chain, most)))
  })

  it.scoped("are at most those of the window", () => {
    const chain = memoryChain(main)
    return Effect.gen(function* () {
      yield* (yield* Filters).newLogFilter(parseLogQuery({}))
      const { numbers: whole } = yield* kept
      assert.deepEqual(whole, numbers(201 - WINDOW_BLOCKS, 200))
    }).pipe(Effect.provide(watching(chain, 1e9)))
  })

  it.scoped("are none while nobody is told of logs", () => {
    const chain = memoryChain(main)
    return Effect.gen(function* () {
      const filters = yield* Filters
      yield* filters.newBlockFilter
      assert.isEmpty((yield* kept).numbers)
      const logs = yield* filters.newLogFilter(parseLogQuery({}))
      assert.isNotEmpty((yield* kept).numbers)
      yield* filters.uninstall(logs)
      assert.isEmpty((yield* kept).numbers)
    }).pipe(Effect.provide(watching(chain, 1e9)))
  })
})

describe("a reorganisation, where the last blocks are more than is kept", () => {
  const losers = main.slice(81, 101)
  const winners = fork.slice(81, 103)
  /** Of the losers, and one byte less. */
  const enough = sumOf(losers)

  it.scoped("is told to a filter as long as all that it removes is kept", () => {
    const chain = memoryChain(main.slice(0, 101))
    return Effect.gen(function* () {
      const filters = yield* Filters
      const id = yield* filters.newLogFilter(parseLogQuery({}))
      chain.replace(upFrom(winners, 81))
      assert.deepEqual<unknown>(yield* filters.changes(id, poll), [
        ...losers.toReversed().flatMap((block) => logsOf([block], true)),
        ...logsOf(winners, false),
      ])
    }).pipe(Effect.provide(watching(chain, enough)))
  })

  it.scoped("ends a filter of logs otherwise, which is never told a part of what went", () => {
    const chain = memoryChain(main.slice(0, 101))
    return Effect.gen(function* () {
      const filters = yield* Filters
      const id = yield* filters.newLogFilter(parseLogQuery({}))
      const blocks = yield* filters.newBlockFilter
      chain.replace(upFrom(winners, 81))
      const refused = yield* Effect.flip(filters.changes(id, poll))
      assert.strictEqual(refused.code, -32000)
      assert.match(refused.message, /^filter not found/)
      assert.isFalse(yield* filters.uninstall(id))
      // Who is told of blocks alone needs nothing of those that went.
      assert.deepEqual<unknown>(
        yield* filters.changes(blocks, poll),
        winners.map(({ hash }) => toHex0x(hash)),
      )
      // A new filter stands on the new branch.
      const again = yield* filters.newLogFilter(parseLogQuery({}))
      chain.add(fork.slice(103, 104))
      assert.deepEqual<unknown>(
        yield* filters.changes(again, poll),
        logsOf(fork.slice(103, 104), false),
      )
    }).pipe(Effect.provide(watching(chain, enough - 1)))
  })
})
