import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { toHex0x } from "../../src/domain/hex.ts"
import type { SyncReport } from "../../src/observe/syncReport.ts"
import { transactionBytes, transactionCount } from "../../src/rpc/blockObject.ts"
import {
  ChainReader,
  type ChainReaderShape,
  QueryTooSlow,
  ReadFailed,
  type StoredBlock,
} from "../../src/rpc/ChainReader.ts"
import {
  callHistoryMethod,
  type CallContext,
  historyMethods,
} from "../../src/rpc/HistoryMethods.ts"
import type { JsonValue } from "../../src/rpc/json.ts"
import { logObject } from "../../src/rpc/logObject.ts"
import { RpcError } from "../../src/rpc/rpcError.ts"
import { defaultRpcLimits } from "../../src/rpc/rpcLimits.ts"
import { SenderCache } from "../../src/rpc/senderCache.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { storedBlocks } from "./fixtureChains.ts"
import { blockLogs, memoryChain, type MemoryFacts } from "./memoryReader.ts"

const blocks = storedBlocks(generateChain({ blocks: 40, shape: "light", seed: 3 }))
const blockAt = (number: number): StoredBlock => blocks[number]!
const between = (from: number, to: number) => blocks.slice(from, to + 1)
const hashAt = (number: number) => toHex0x(blockAt(number).hash)
const hex = (number: number) => `0x${number.toString(16)}`
const firstTransaction = (number: number) =>
  toHex0x(keccak256(transactionBytes(blockAt(number), 0)!))

const NO_HASH = `0x${"00".repeat(31)}01`
const EMPTY_STORE: ReadonlyArray<StoredBlock> = []

const context: CallContext = {
  limits: defaultRpcLimits,
  clientVersion: "annals/1.2.3/linux",
  report: () => undefined,
  senders: new SenderCache(),
  pause: Effect.void,
}

interface Failure {
  readonly code: number
  readonly message: string
}

/** Calls a method over a reader and gives the result, or the error. */
const callReader = (
  reader: ChainReaderShape,
  method: string,
  params: unknown = [],
  changes: Partial<CallContext> = {},
): Effect.Effect<JsonValue | Failure> =>
  callHistoryMethod(method, params, { ...context, ...changes }).pipe(
    Effect.catchAll(({ code, message }: RpcError) => Effect.succeed({ code, message })),
    Effect.provideService(ChainReader, reader),
  )

/** A caller of methods over blocks. */
const over = (stored: ReadonlyArray<StoredBlock>, facts: MemoryFacts = {}) => {
  const { reader } = memoryChain(stored, facts)
  return (method: string, params: unknown = [], changes: Partial<CallContext> = {}) =>
    callReader(reader, method, params, changes)
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : assert.fail(`no ${name}`)

/** What `first` gives the first time, and `then` gives ever after. */
const changing = <A, E>(first: Effect.Effect<A, E>, then: () => Effect.Effect<A, E>) => {
  let looks = 0
  return Effect.suspend(() => (looks++ === 0 ? first : then()))
}

/** Methods about a block, with what they want behind its number or hash. */
const BY_NUMBER: ReadonlyArray<readonly [string, ...Array<JsonValue>]> = [
  ["eth_getBlockByNumber", true],
  ["eth_getBlockByNumber", false],
  ["eth_getBlockTransactionCountByNumber"],
  ["eth_getTransactionByBlockNumberAndIndex", "0x0"],
  ["eth_getUncleCountByBlockNumber"],
  ["eth_getUncleByBlockNumberAndIndex", "0x0"],
  ["eth_getBlockReceipts"],
  ["debug_getRawHeader"],
  ["debug_getRawBlock"],
  ["debug_getRawReceipts"],
]
const BY_HASH: ReadonlyArray<readonly [string, ...Array<JsonValue>]> = [
  ["eth_getBlockByHash", true],
  ["eth_getBlockTransactionCountByHash"],
  ["eth_getTransactionByBlockHashAndIndex", "0x0"],
  ["eth_getUncleCountByBlockHash"],
  ["eth_getUncleByBlockHashAndIndex", "0x0"],
  ["eth_getBlockReceipts"],
  ["debug_getRawHeader"],
  ["debug_getRawBlock"],
  ["debug_getRawReceipts"],
]
const BY_TRANSACTION = [
  "eth_getTransactionByHash",
  "eth_getTransactionReceipt",
  "debug_getRawTransaction",
]

const PRUNED = { code: 4444, message: "pruned history unavailable" }
const UNKNOWN_BLOCK = { code: -39_001, message: "Unknown block" }

describe("what is not there", () => {
  it.effect("is null for a number above the highest stored block, in every method", () =>
    Effect.gen(function* () {
      const call = over(between(0, 20))
      for (const [method, ...rest] of BY_NUMBER) {
        for (const number of ["0x15", "0xffffffffffffffff"]) {
          assert.isNull(yield* call(method, [number, ...rest]), method)
        }
      }
    }),
  )

  it.effect("is 4444 for a number below it that is not stored, in every method", () =>
    Effect.gen(function* () {
      const call = over([...between(5, 10), ...between(20, 30)])
      for (const [method, ...rest] of BY_NUMBER) {
        for (const number of [0, 4, 11, 19]) {
          assert.deepEqual(yield* call(method, [hex(number), ...rest]), PRUNED, method)
        }
        for (const number of [5, 10, 20, 30]) {
          assert.notDeepEqual(yield* call(method, [hex(number), ...rest]), PRUNED, method)
        }
        const justBelow = over([blockAt(0), blockAt(2)])
        assert.deepEqual(yield* justBelow(method, ["0x1", ...rest]), PRUNED, method)
      }
    }),
  )

  it.effect("is null for an unknown hash, in every method", () =>
    Effect.gen(function* () {
      const call = over(between(5, 10))
      for (const [method, ...rest] of BY_HASH) {
        assert.isNull(yield* call(method, [NO_HASH, ...rest]), method)
      }
      for (const method of BY_TRANSACTION) {
        assert.isNull(yield* call(method, [NO_HASH]), method)
        assert.isNull(yield* call(method, [firstTransaction(11)]), method)
        assert.isNotNull(yield* call(method, [firstTransaction(10)]), method)
      }
    }),
  )

  it.effect("is null for an index that the block does not have", () =>
    Effect.gen(function* () {
      const call = over(between(0, 5))
      const count = transactionCount(blockAt(5))
      const last = [hex(5), hex(count - 1)]
      assert.isNotNull(yield* call("eth_getTransactionByBlockNumberAndIndex", last))
      for (const index of [hex(count), "0xffffffffffffffff"]) {
        assert.isNull(yield* call("eth_getTransactionByBlockNumberAndIndex", [hex(5), index]))
        assert.isNull(yield* call("eth_getUncleByBlockNumberAndIndex", [hex(5), index]))
      }
    }),
  )

  it.effect("is not known while the index of transactions is behind, but what it has is", () =>
    Effect.gen(function* () {
      const call = over(between(0, 10), { unindexed: 3 })
      const busy = { code: -32_000, message: "transaction indexing is in progress" }
      for (const method of BY_TRANSACTION) {
        assert.deepEqual(yield* call(method, [firstTransaction(9)]), busy)
        assert.deepEqual(yield* call(method, [NO_HASH]), busy)
        assert.isNotNull(yield* call(method, [firstTransaction(7)]))
        assert.notDeepEqual(yield* call(method, [firstTransaction(7)]), busy)
      }
    }),
  )

  it.effect("is no block at all in an empty store", () =>
    Effect.gen(function* () {
      const call = over(EMPTY_STORE)
      const none = { code: -32_000, message: "no block is stored yet" }
      assert.deepEqual(yield* call("eth_blockNumber"), none)
      assert.isNull(yield* call("eth_getBlockByNumber", ["0x0", false]))
      assert.deepEqual(yield* call("eth_getBlockByNumber", ["latest", false]), UNKNOWN_BLOCK)
      assert.deepEqual(yield* call("eth_getLogs", [{}]), UNKNOWN_BLOCK)
    }),
  )
})

describe("tags", () => {
  const stored = [...between(5, 10), ...between(20, 30)]
  const numberAt = (facts: MemoryFacts, tag: string) =>
    Effect.map(over(stored, facts)("eth_getBlockByNumber", [tag, false]), (block) =>
      Number(field(block, "number")),
    )

  it.effect("stand for the ends of the first unbroken range", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* numberAt({}, "earliest"), 5)
      assert.strictEqual(yield* numberAt({}, "latest"), 10)
      assert.strictEqual(yield* numberAt({}, "pending"), 10)
      assert.strictEqual(yield* over(stored)("eth_blockNumber"), "0xa")
    }),
  )

  it.effect("safe and finalized are what the store says, an error while it says nothing", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* numberAt({ safe: 9, finalized: 7 }, "safe"), 9)
      assert.strictEqual(yield* numberAt({ safe: 9, finalized: 7 }, "finalized"), 7)
      const call = over(stored)
      for (const tag of ["safe", "finalized"]) {
        assert.deepEqual(yield* call("eth_getBlockByNumber", [tag, true]), UNKNOWN_BLOCK)
        const range = { fromBlock: "0x5", toBlock: tag }
        assert.deepEqual(yield* call("eth_getLogs", [range]), UNKNOWN_BLOCK)
      }
    }),
  )
})

describe("a block's hash", () => {
  it.effect("finds the block in all the forms that a parameter can have", () =>
    Effect.gen(function* () {
      const call = over(between(0, 10))
      const expected = yield* call("eth_getBlockReceipts", ["0x7"])
      assert.isNotEmpty(expected)
      for (const ref of [
        hashAt(7),
        { blockHash: hashAt(7) },
        { blockHash: hashAt(7), requireCanonical: true },
        { blockNumber: "0x7" },
      ]) {
        assert.deepEqual(yield* call("eth_getBlockReceipts", [ref]), expected)
      }
    }),
  )

  it.effect("never gives another block, though the chain changes between two looks", () =>
    Effect.gen(function* () {
      const other = storedBlocks(generateChain({ blocks: 10, shape: "light", seed: 4 }))
      const chain = memoryChain(between(0, 10))
      // The number is found in the old chain, the block in the new one.
      const reader: ChainReaderShape = {
        ...chain.reader,
        numberOf: (hash) => Effect.tap(chain.reader.numberOf(hash), () => swap),
      }
      const swap = Effect.sync(() => chain.replace([other[9]!, other[10]!]))
      assert.isNull(yield* callReader(reader, "eth_getBlockByHash", [hashAt(9), false]))

      const again = memoryChain(between(0, 10))
      const swapAgain = Effect.sync(() => again.replace([other[9]!, other[10]!]))
      const logsReader: ChainReaderShape = {
        ...again.reader,
        numberOf: (hash) => Effect.tap(again.reader.numberOf(hash), () => swapAgain),
      }
      const answer = yield* callReader(logsReader, "eth_getLogs", [{ blockHash: hashAt(9) }])
      assert.deepEqual(answer, { code: -32_000, message: "unknown block" })
    }),
  )

  it.effect("of a transaction neither", () =>
    Effect.gen(function* () {
      const { reader } = memoryChain(between(0, 10))
      const elsewhere: ChainReaderShape = {
        ...reader,
        placeOf: () => Effect.succeed({ blockNumber: 8, transactionIndex: 0 }),
      }
      for (const method of BY_TRANSACTION) {
        assert.isNull(yield* callReader(elsewhere, method, [firstTransaction(7)]))
        assert.isNotNull(yield* callReader(elsewhere, method, [firstTransaction(8)]))
      }
    }),
  )
})

describe("two looks at a changing store", () => {
  it.effect("find a block that was stored between them", () =>
    Effect.gen(function* () {
      const { reader } = memoryChain(between(0, 10))
      const seventh = changing(Effect.succeed(undefined), () => reader.blockAt(7))
      const filling: ChainReaderShape = { ...reader, blockAt: () => seventh }
      const block = yield* callReader(filling, "eth_getBlockByNumber", ["0x7", false])
      assert.strictEqual(field(block, "hash"), hashAt(7))
    }),
  )

  it.effect("find a transaction that a reorg has moved between them", () =>
    Effect.gen(function* () {
      const { reader } = memoryChain(between(0, 10))
      const hash = firstTransaction(7)
      for (const gone of [
        { blockNumber: 8, transactionIndex: 0 },
        { blockNumber: 99, transactionIndex: 0 },
      ]) {
        const moved = changing(Effect.succeed(gone), () =>
          Effect.succeed({ blockNumber: 7, transactionIndex: 0 }),
        )
        const found = callReader({ ...reader, placeOf: () => moved }, BY_TRANSACTION[0]!, [hash])
        assert.strictEqual(field(yield* found, "hash"), hash)
      }
    }),
  )
})

describe("eth_getLogs", () => {
  const all = blocks.flatMap(blockLogs)
  const shown = (from: number, to: number) =>
    all
      .filter(({ blockNumber }) => blockNumber >= from && blockNumber <= to)
      .map((log) => logObject(log, false))

  it.effect("gives all logs of a range, of one block by its hash, and of the newest block", () =>
    Effect.gen(function* () {
      const call = over(between(0, 30))
      const range = { fromBlock: "0x1", toBlock: "0x3", address: null, topics: null }
      assert.deepEqual(yield* call("eth_getLogs", [range]), shown(1, 3))
      assert.deepEqual(yield* call("eth_getLogs", [{ blockHash: hashAt(4) }]), shown(4, 4))
      assert.deepEqual(yield* call("eth_getLogs", [{}]), shown(30, 30))
      assert.isNotEmpty(shown(30, 30))
    }),
  )

  it.effect("refuses a range that is reversed, or ends in the future", () =>
    Effect.gen(function* () {
      const call = over(between(0, 20))
      const reversed = { code: -32_602, message: "invalid block range params" }
      const future = { code: -32_602, message: "block range extends beyond current head block" }
      for (const [fromBlock, toBlock, expected] of [
        ["0x5", "0x4", reversed],
        ["0x16", "latest", reversed],
        ["0x5", "earliest", reversed],
        ["0x5", "0x15", future],
        ["0x16", "0x18", future],
        ["latest", "0x15", future],
      ] as const) {
        assert.deepEqual(yield* call("eth_getLogs", [{ fromBlock, toBlock }]), expected)
      }
    }),
  )

  it.effect("is 4444, not empty, where a block of the range is not stored", () =>
    Effect.gen(function* () {
      const call = over([...between(5, 10), ...between(20, 30)])
      for (const [fromBlock, toBlock] of [
        ["0x0", "0x6"],
        ["0x9", "0x15"],
        ["0xc", "0xd"],
      ]) {
        assert.deepEqual(yield* call("eth_getLogs", [{ fromBlock, toBlock }]), PRUNED)
      }
      const stored = { fromBlock: "0x14", toBlock: "0x16" }
      assert.deepEqual(yield* call("eth_getLogs", [stored]), shown(20, 22))
    }),
  )

  it.effect("refuses a range that is too wide, and says what would do", () =>
    Effect.gen(function* () {
      const limits = { ...defaultRpcLimits, logBlocks: 4 }
      const call = over(between(0, 20))
      const ask = (toBlock: string) =>
        call("eth_getLogs", [{ fromBlock: "0xa", toBlock }], { limits })
      assert.deepEqual(yield* ask("0xd"), shown(10, 13))
      assert.deepEqual(yield* ask("0xe"), {
        code: -32_602,
        message:
          "block range is too wide: 5 blocks, at most 4 are allowed. Try with this block range [0xa, 0xd].",
      })
    }),
  )

  it.effect("says where it would stay within the limit of results, in the words clients know", () =>
    Effect.gen(function* () {
      const limits = { ...defaultRpcLimits, logResults: 50 }
      const call = over(between(0, 20))
      const answer = yield* call("eth_getLogs", [{ fromBlock: "0x1", toBlock: "0xa" }], { limits })
      assert.deepEqual(answer, {
        code: -32_005,
        message: "query returned more than 50 results. Try with this block range [0x1, 0x2].",
      })
      assert.lengthOf(shown(1, 2), 40)
    }),
  )

  it.effect("gives everything to a client that follows what it is told, at any limit", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 90 }),
          fc.integer({ min: 1, max: 50 }),
          fc.integer({ min: 0, max: 40 }),
          async (logResults, logBlocks, start) => {
            const limits = { ...defaultRpcLimits, logResults, logBlocks }
            const call = over(blocks)
            const collected: Array<unknown> = []
            let from = start
            let to = 40
            while (from <= 40) {
              const range = { fromBlock: hex(from), toBlock: hex(to) }
              const answer = await Effect.runPromise(call("eth_getLogs", [range], { limits }))
              if (Array.isArray(answer)) {
                collected.push(...answer)
                from = to + 1
                to = 40
                continue
              }
              const told = /Try with this block range \[(0x\w+), (0x\w+)\]\.$/.exec(
                String(field(answer, "message")),
              )
              assert.isNotNull(told)
              assert.strictEqual(Number(told?.[1]), from)
              const next = Number(told?.[2])
              assert.isAtLeast(next, from)
              assert.isBelow(next, to)
              to = next
            }
            assert.deepEqual(collected, shown(start, 40))
          },
        ),
        { numRuns: 40 },
      ),
    ),
  )

  it.effect("refuses what takes too long", () =>
    Effect.gen(function* () {
      const { reader } = memoryChain(between(0, 10))
      const slow: ChainReaderShape = {
        ...reader,
        logs: (_filter, _range, { ms }) => Effect.fail(new QueryTooSlow({ limitMs: ms })),
      }
      const answer = yield* callReader(slow, "eth_getLogs", [{ fromBlock: "0x1" }])
      assert.strictEqual(field(answer, "code"), -32_005)
      assert.match(String(field(answer, "message")), /^query took longer than 10000 ms/)
    }),
  )

  it.effect("refuses the hash of no stored block: it is no block without logs", () =>
    Effect.gen(function* () {
      const answer = yield* over(between(0, 10))("eth_getLogs", [{ blockHash: NO_HASH }])
      assert.deepEqual(answer, { code: -32_000, message: "unknown block" })
    }),
  )
})

describe("eth_syncing", () => {
  const report: SyncReport = {
    phase: "backfill",
    startBlock: 2,
    targetBlock: 90,
    headBlock: 154,
    blocksBehind: 144,
    behindSinceMs: 1,
    reorgs: 0,
  }

  it.effect("tells how far the backfill is, and false in every other phase", () =>
    Effect.gen(function* () {
      const call = over(between(2, 10))
      const ask = (state: SyncReport | undefined) =>
        call("eth_syncing", [], { report: () => state })
      const told = { startingBlock: "0x2", currentBlock: "0xa", highestBlock: "0x9a" }
      assert.deepEqual(yield* ask(report), told)
      const early = { ...report, headBlock: undefined }
      assert.deepEqual(yield* ask(early), { ...told, highestBlock: "0x5a" })
      for (const phase of ["starting", "following", "ended"] as const) {
        assert.isFalse(yield* ask({ ...report, phase }))
      }
      assert.isFalse(yield* ask(undefined))
      const empty = over(EMPTY_STORE)("eth_syncing", [], { report: () => report })
      assert.deepEqual(yield* empty, { ...told, currentBlock: "0x2" })
    }),
  )
})

describe("the chain and the client", () => {
  it.effect("are told as the specification writes them", () =>
    Effect.gen(function* () {
      const call = over(between(0, 1), { chainId: 11_155_111 })
      assert.strictEqual(yield* call("eth_chainId"), "0xaa36a7")
      assert.strictEqual(yield* call("net_version"), "11155111")
      assert.strictEqual(yield* call("web3_clientVersion"), "annals/1.2.3/linux")
      // Parameters may be left out.
      assert.strictEqual(yield* call("eth_chainId", null), "0xaa36a7")
    }),
  )
})

describe("errors", () => {
  it.effect("are -32601 for methods that are none, whatever their name", () =>
    Effect.gen(function* () {
      for (const method of ["eth_call", "constructor", "__proto__", ""]) {
        const answer = yield* over(EMPTY_STORE)(method)
        assert.strictEqual(field(answer, "code"), -32_601)
      }
    }),
  )

  it.effect("say nothing of how the store failed", () =>
    Effect.gen(function* () {
      const failed = Effect.fail(new ReadFailed({ reason: "/secret/annals.db: disk I/O error" }))
      const { reader } = memoryChain(between(0, 10))
      const broken: ChainReaderShape = {
        ...reader,
        extent: failed,
        numberOf: () => failed,
        blockAt: () => failed,
        headerAt: () => failed,
        placeOf: () => failed,
        logs: () => failed,
      }
      const expected = { code: -32_603, message: "the stored history cannot be read" }
      for (const [method, ...rest] of BY_NUMBER) {
        assert.deepEqual(yield* callReader(broken, method, ["0x1", ...rest]), expected)
      }
      for (const method of BY_TRANSACTION) {
        assert.deepEqual(yield* callReader(broken, method, [NO_HASH]), expected)
      }
      assert.deepEqual(yield* callReader(broken, "eth_getLogs", [{}]), expected)
      assert.deepEqual(yield* callReader(broken, "eth_blockNumber"), expected)
    }),
  )

  it.effect("are the same for stored bytes that are no block", () =>
    Effect.gen(function* () {
      const damaged = { ...blockAt(1), body: Uint8Array.of(0xc1), receipts: Uint8Array.of(0x80) }
      const call = over([blockAt(0), damaged])
      const expected = { code: -32_603, message: "the stored history cannot be read" }
      for (const method of ["debug_getRawReceipts", "eth_getBlockReceipts"]) {
        assert.deepEqual(yield* call(method, ["0x1"]), expected)
      }
      assert.deepEqual(yield* call("eth_getBlockByNumber", ["0x1", true]), expected)
    }),
  )

  it.effect("are RPC errors, never defects, for any parameters of any method", () =>
    Effect.promise(() => {
      const call = over(between(5, 20))
      const method = fc.constantFrom(...historyMethods)
      const likely = fc.oneof(
        fc.constantFrom("latest", "safe", "0x7", "0x0", hashAt(7), NO_HASH, true, null),
        fc.jsonValue(),
      )
      const params = fc.oneof(fc.array(likely, { maxLength: 3 }), fc.jsonValue())
      return fc.assert(
        fc.asyncProperty(method, params, async (method, params) => {
          const answer = await Effect.runPromise(call(method, params))
          // Every answer has a JSON text that says the same.
          assert.deepEqual(JSON.parse(JSON.stringify(answer)), answer)
        }),
        { numRuns: 400 },
      )
    }),
  )
})
