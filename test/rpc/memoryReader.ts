/**
 * A `ChainReader` over blocks in memory, which answers as the store's must: slowly and simply, by
 * looking at every block. Tests change its chain while it is read.
 *
 * Invariants: a log is found by walking receipts and by nothing else; whatever is missing is told
 * as `ChainReader` says it.
 */
import { Effect, Layer } from "effect"
import type { ChainRules } from "../../src/chain/chainRules.ts"
import type { BlockRange } from "../../src/domain/blockRanges.ts"
import { readBody } from "../../src/domain/body.ts"
import { readHeader } from "../../src/domain/header.ts"
import { equalBytes, toHex } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { FlatReceiptCursor, LogCursor, TOPIC_STRIDE } from "../../src/domain/logs.ts"
import {
  type ChainExtent,
  ChainReader,
  type ChainReaderShape,
  IndexBehind,
  type LogFilter,
  type LogsLimits,
  NotStored,
  type StoredBlock,
  type StoredLog,
  type StoredReorg,
  TooManyLogs,
  type TransactionPlace,
} from "../../src/rpc/ChainReader.ts"
import { logObject } from "../../src/rpc/logObject.ts"

/** What a store knows beside its blocks. */
export interface MemoryFacts {
  /** 1337 when not given. */
  readonly chainId?: number
  readonly network?: string
  /** The hash of block 0, if that is there, when not given. */
  readonly genesisHash?: Uint8Array
  /** Nothing is known of blobs when not given. */
  readonly rules?: ChainRules
  readonly safe?: number
  readonly finalized?: number
  /** How many of the highest blocks the index of transactions does not cover; 0 when not given. */
  readonly unindexed?: number
}

/** A chain in memory that can change, and what reads it. */
export interface MemoryChain {
  readonly reader: ChainReaderShape
  /** Stores blocks; one of the same number is overwritten. */
  readonly add: (blocks: ReadonlyArray<StoredBlock>) => void
  /** Takes what is stored from the first of `blocks` on away, stores `blocks`, and notes a reorg. */
  readonly replace: (blocks: readonly [StoredBlock, ...Array<StoredBlock>]) => void
  /** Takes single blocks away, as if they had never been stored. */
  readonly remove: (numbers: ReadonlyArray<number>) => void
}

/** The Layer over blocks that stay as they are. */
export const memoryReader = (
  blocks: ReadonlyArray<StoredBlock>,
  facts: MemoryFacts = {},
): Layer.Layer<ChainReader> => Layer.succeed(ChainReader, memoryChain(blocks, facts).reader)

/** See {@link MemoryChain}. */
export const memoryChain = (
  blocks: ReadonlyArray<StoredBlock>,
  facts: MemoryFacts = {},
): MemoryChain => {
  const stored = new Map(blocks.map((block) => [block.blockNumber, block]))
  const reorgs: Array<StoredReorg> = []
  let version = 1
  const changed = (change: () => void): void => {
    change()
    version += 1
  }
  return {
    reader: readerOf(stored, reorgs, () => version, facts),
    add: (more) => changed(() => more.forEach((block) => stored.set(block.blockNumber, block))),
    replace: (winners) =>
      changed(() => {
        const fromBlock = winners[0].blockNumber
        const losers = sorted(stored).filter(({ blockNumber }) => blockNumber >= fromBlock)
        for (const { blockNumber } of losers) stored.delete(blockNumber)
        for (const block of winners) stored.set(block.blockNumber, block)
        reorgs.push({
          reorgId: reorgs.length + 1,
          fromBlock,
          toBlock: losers.at(-1)?.blockNumber ?? fromBlock,
          oldHash: losers[0]?.hash ?? winners[0].hash,
          newHash: winners[0].hash,
        })
      }),
    remove: (numbers) => changed(() => numbers.forEach((number) => stored.delete(number))),
  }
}

type Stored = ReadonlyMap<number, StoredBlock>

const sorted = (stored: Stored): ReadonlyArray<StoredBlock> =>
  [...stored.values()].sort((a, b) => a.blockNumber - b.blockNumber)

const readerOf = (
  stored: Stored,
  reorgs: ReadonlyArray<StoredReorg>,
  version: () => number,
  facts: MemoryFacts,
): ChainReaderShape => ({
  chain: {
    chainId: facts.chainId ?? 1337,
    network: facts.network ?? "memory",
    genesisHash: facts.genesisHash ?? stored.get(0)?.hash ?? new Uint8Array(32),
    rules: facts.rules ?? { blobSchedule: [] },
  },
  extent: Effect.sync(() => extentOf(stored, facts)),
  version: Effect.sync(version),
  numberOf: (hash) =>
    Effect.sync(() => sorted(stored).find((block) => equalBytes(block.hash, hash))?.blockNumber),
  blockAt: (number) => Effect.sync(() => stored.get(number)),
  headerAt: (number) => Effect.sync(() => stored.get(number)),
  placeOf: (hash) => Effect.suspend(() => placeOf(stored, hash, facts.unindexed ?? 0)),
  logs: (filter, range, limits) => Effect.suspend(() => logsOf(stored, filter, range, limits)),
  reorgsAfter: (reorgId) => Effect.sync(() => reorgs.filter((row) => row.reorgId > reorgId)),
})

const extentOf = (stored: Stored, { safe, finalized }: MemoryFacts): ChainExtent => {
  const ranges: Array<[number, number]> = []
  for (const { blockNumber } of sorted(stored)) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === blockNumber - 1) last[1] = blockNumber
    else ranges.push([blockNumber, blockNumber])
  }
  return {
    ranges,
    earliest: ranges[0]?.[0],
    latest: ranges[0]?.[1],
    highest: ranges.at(-1)?.[1],
    safe,
    finalized,
  }
}

const placeOf = (
  stored: Stored,
  hash: Uint8Array,
  unindexed: number,
): Effect.Effect<TransactionPlace | undefined, IndexBehind> => {
  const blocks = sorted(stored)
  for (const { blockNumber, body } of blocks.slice(0, blocks.length - unindexed)) {
    const hashes = readBody(body).transactions.map((bytes) => keccak256(bytes))
    const transactionIndex = hashes.findIndex((other) => equalBytes(other, hash))
    if (transactionIndex >= 0) return Effect.succeed({ blockNumber, transactionIndex })
  }
  return unindexed > 0
    ? Effect.fail(new IndexBehind({ blocks: unindexed }))
    : Effect.succeed(undefined)
}

const logsOf = (
  stored: Stored,
  filter: LogFilter,
  [from, to]: BlockRange,
  { results, bytes }: LogsLimits,
): Effect.Effect<ReadonlyArray<StoredLog>, NotStored | TooManyLogs> => {
  const logs: Array<StoredLog> = []
  let textBytes = 0
  let refusal: TooManyLogs | undefined
  for (let blockNumber = from; blockNumber <= to; blockNumber++) {
    const block = stored.get(blockNumber)
    if (block === undefined) return Effect.fail(new NotStored({ blockNumber }))
    const before = logs.length
    const found = blockLogs(block).filter((log) => matches(log, filter))
    logs.push(...found)
    for (const log of found) textBytes += `${JSON.stringify(logObject(log, false))},`.length
    const many = logs.length > results
    if (from === to || (!many && textBytes <= bytes)) continue
    const fits: BlockRange = [from, Math.max(from, blockNumber - 1)]
    refusal ??= new TooManyLogs({ limit: many ? results : Math.max(1, before), fits })
  }
  return refusal === undefined ? Effect.succeed(logs) : Effect.fail(refusal)
}

const matches = (log: StoredLog, { addresses, topics }: LogFilter): boolean =>
  isAmong(log.address, addresses) &&
  topics.length <= log.topics.length &&
  topics.every((alternatives, at) => isAmong(log.topics[at]!, alternatives))

const isAmong = (bytes: Uint8Array, alternatives: ReadonlyArray<Uint8Array>): boolean =>
  alternatives.length === 0 || alternatives.some((other) => toHex(other) === toHex(bytes))

/** All logs of a block. */
export const blockLogs = (block: StoredBlock): ReadonlyArray<StoredLog> => {
  const { transactions } = readBody(block.body)
  const receipts = new FlatReceiptCursor(block.receipts)
  const blockTimestamp = readHeader(block.header).timestamp
  const logs: Array<StoredLog> = []
  for (let transactionIndex = 0; receipts.next(); transactionIndex++) {
    const transactionHash = keccak256(transactions[transactionIndex]!)
    const cursor = new LogCursor(receipts.bytes, receipts.logsStart, receipts.logsEnd)
    while (cursor.next()) {
      logs.push({
        blockNumber: block.blockNumber,
        blockHash: block.hash,
        blockTimestamp,
        transactionHash,
        transactionIndex,
        logIndex: logs.length,
        ...logFields(cursor),
      })
    }
  }
  return logs
}

const logFields = ({
  bytes,
  addressStart,
  topicsStart,
  topicCount,
  dataStart,
  dataEnd,
}: LogCursor): Pick<StoredLog, "address" | "topics" | "data"> => ({
  address: bytes.slice(addressStart, addressStart + 20),
  topics: Array.from({ length: topicCount }, (_, at) => {
    const start = topicsStart + TOPIC_STRIDE * at
    return bytes.slice(start, start + 32)
  }),
  data: bytes.slice(dataStart, dataEnd),
})
