/**
 * Queries of logs and lookups of transactions over a large store, and the building of their index.
 * Each figure is a median; the store is written through the real one, queries go through the real
 * reader, and their answers are written as JSON text, which counts.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { Effect } from "effect"
import { generateChain, generatedChainSpec } from "../src/devnet/generatedChain.ts"
import type { ServedChain } from "../src/devnet/servedChain.ts"
import { FlatReceiptCursor, LogCursor } from "../src/domain/logs.ts"
import { readBody } from "../src/domain/body.ts"
import { fromHex, toHex, toHex0x } from "../src/domain/hex.ts"
import { keccak256 } from "../src/domain/keccak.ts"
import { checks } from "../src/process/checks.ts"
import { ChainReader, type ChainReaderShape, type StoredLog } from "../src/rpc/ChainReader.ts"
import { INDEX_FILE } from "../src/write/chainIndex/ChainIndexDatabase.ts"
import { layerNoIndexer } from "../src/write/chainIndex/ChainIndexer.ts"
import { buildAll } from "../src/write/chainIndex/ChainIndexing.ts"
import { layerChainReaderOver } from "../src/write/ChainReaderSession.ts"
import { unpackParts } from "../src/write/payloadCodec.ts"
import { rowsNow } from "../src/write/RowsNow.ts"
import { Store } from "../src/write/Store.ts"
import { openDatabase, type StoreDatabase } from "../src/write/StoreDatabase.ts"
import { commitDefaults, DATABASE_FILE, type OpenOptions } from "../src/write/storeProtocol.ts"
import { bytesAt, numberAt } from "../src/write/storedValues.ts"

const BLOCKS = Number(process.env["ANNALS_BENCH_BLOCKS"] ?? 100_000)
const MAINNET_BLOCKS = 1_100
const SEED = 21
const ROUNDS = 15
const LOOKUPS = 200
const BLOCKS_A_WRITE = 1_000
const RANGES = [1_000, 10_000, 100_000]
const MATCHES = [10, 100, 1_000]
const LIMITS = { bytes: 1e12, results: 20_000, ms: 60_000 }

const spec = generatedChainSpec()

const optionsOf = (directory: string): OpenOptions => ({
  directory,
  purpose: {
    kind: "sync",
    network: "devnet",
    chainId: spec.chainId,
    genesisHash: spec.genesisHash,
    tables: [],
    checks,
    trusted: [],
  },
  ...commitDefaults,
})

const payloadOf = (chain: ServedChain, blockNumber: number) => ({
  blockNumber,
  hash: chain.hashAt(blockNumber)!,
  header: chain.headerAt(blockNumber)!,
  body: chain.bodyAt(blockNumber)!,
  receipts: chain.receipts69At(blockNumber)!,
})

const writeStore = (directory: string, chain: ServedChain) =>
  Effect.gen(function* () {
    const store = yield* Store
    for (let from = 0; from <= chain.lastBlock; from += BLOCKS_A_WRITE) {
      const to = Math.min(from + BLOCKS_A_WRITE - 1, chain.lastBlock)
      const blocks = Array.from({ length: to - from + 1 }, (_, i) => payloadOf(chain, from + i))
      const flushing = Effect.forever(Effect.delay(store.flush, 20))
      yield* Effect.raceFirst(store.write(blocks), flushing)
    }
  }).pipe(Effect.provide(Store.layerInline(optionsOf(directory))))

/** Makes the store unless it is there. */
const prepare = async (directory: string, shape: "light" | "mainnet", blocks: number) => {
  if (existsSync(path.join(directory, DATABASE_FILE))) return
  await Effect.runPromise(writeStore(directory, generateChain({ blocks, shape, seed: SEED })))
}

const buildIndex = async (directory: string, blocks: number) => {
  const file = path.join(directory, INDEX_FILE)
  for (const end of ["", "-wal", "-shm"]) rmSync(`${file}${end}`, { force: true })
  const before = process.cpuUsage()
  await Effect.runPromise(buildAll(directory))
  const { user, system } = process.cpuUsage(before)
  return {
    cpu_ms_per_block: round((user + system) / 1000 / blocks),
    bytes_per_block: round(statSync(file).size / blocks),
    payload_bytes_per_block: round(statSync(path.join(directory, DATABASE_FILE)).size / blocks),
  }
}

/** How many logs each address has within the highest `blocks` blocks. */
const countAddresses = (store: StoreDatabase, from: number, to: number) => {
  const counts = new Map<string, number>()
  for (let at = from; at <= to; at += 100) {
    const rows = rowsNow(
      store,
      "SELECT body, receipts, codec FROM payloads WHERE block_number BETWEEN ? AND ?",
      [at, Math.min(at + 99, to)],
    )
    for (const row of rows) {
      const packed = { body: bytesAt(row, 0), receipts: bytesAt(row, 1), codec: numberAt(row, 2) }
      const receipts = new FlatReceiptCursor(unpackParts(packed)!.receipts)
      while (receipts.next()) {
        const logs = new LogCursor(receipts.bytes, receipts.logsStart, receipts.logsEnd)
        while (logs.next()) {
          const address = toHex(logs.bytes.subarray(logs.addressStart, logs.addressStart + 20))
          counts.set(address, (counts.get(address) ?? 0) + 1)
        }
      }
    }
  }
  return counts
}

/** The address whose count is nearest to what is wanted. */
const nearest = (counts: ReadonlyMap<string, number>, wanted: number): string =>
  [...counts].reduce((best, each) =>
    Math.abs(each[1] - wanted) < Math.abs(best[1] - wanted) ? each : best,
  )[0]

const quantity = (value: number): string => `0x${value.toString(16)}`

const logObject = (log: StoredLog) => ({
  address: toHex0x(log.address),
  topics: log.topics.map(toHex0x),
  data: toHex0x(log.data),
  blockNumber: quantity(log.blockNumber),
  transactionHash: toHex0x(log.transactionHash),
  transactionIndex: quantity(log.transactionIndex),
  blockHash: toHex0x(log.blockHash),
  blockTimestamp: quantity(log.blockTimestamp),
  logIndex: quantity(log.logIndex),
  removed: false,
})

const measureQuery = async (
  reader: ChainReaderShape,
  address: string,
  range: readonly [number, number],
) => {
  const filter = { addresses: [fromHex(address)], topics: [] }
  const times: Array<number> = []
  const cpuTimes: Array<number> = []
  let matches = 0
  for (let at = 0; at < ROUNDS; at++) {
    const before = process.cpuUsage()
    const startedMs = performance.now()
    const logs = await Effect.runPromise(reader.logs(filter, range, LIMITS))
    JSON.stringify(logs.map(logObject))
    times.push(performance.now() - startedMs)
    const { user, system } = process.cpuUsage(before)
    cpuTimes.push((user + system) / 1000)
    matches = logs.length
  }
  return { matches, ms: round(median(times)), cpu_ms: round(median(cpuTimes)) }
}

const measureLookups = async (reader: ChainReaderShape, store: StoreDatabase, blocks: number) => {
  const known: Array<Uint8Array> = []
  for (let i = 0; i < LOOKUPS; i++) {
    const blockNumber = 1 + ((i * 7_919) % (blocks - 1))
    const [row] = rowsNow(
      store,
      "SELECT body, receipts, codec FROM payloads WHERE block_number = ?",
      [blockNumber],
    )
    const packed = { body: bytesAt(row, 0), receipts: bytesAt(row, 1), codec: numberAt(row, 2) }
    const { transactions } = readBody(unpackParts(packed)!.body)
    known.push(keccak256(transactions[i % transactions.length]!))
  }
  const unknown = known.map((hash) => keccak256(hash))
  const timesOf = async (hashes: ReadonlyArray<Uint8Array>, found: boolean) => {
    const times: Array<number> = []
    for (const hash of hashes) {
      const startedMs = performance.now()
      const place = await Effect.runPromise(reader.placeOf(hash))
      times.push((performance.now() - startedMs) * 1000)
      if ((place !== undefined) !== found) throw new Error(`a wrong place of ${toHex(hash)}`)
    }
    return round(median(times))
  }
  return { known_us: await timesOf(known, true), unknown_us: await timesOf(unknown, false) }
}

/** Queries and lookups over a store of blocks 0 to `last`. */
const measure = async (directory: string, last: number) => {
  const options = { directory, purpose: { kind: "read" }, ...commitDefaults } as const
  return Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const store = yield* openDatabase(options)
        const reader = yield* ChainReader
        const queries: Array<object> = []
        // Most of it is sealed; the last blocks, which are not, are in.
        for (const blocks of RANGES.filter((blocks) => blocks <= last)) {
          const range = [last - blocks + 1, last] as const
          const counts = countAddresses(store, ...range)
          for (const wanted of MATCHES) {
            const address = nearest(counts, wanted)
            const figures = yield* Effect.promise(() => measureQuery(reader, address, range))
            queries.push({ blocks, ...figures })
          }
        }
        const lookups = yield* Effect.promise(() => measureLookups(reader, store, last))
        return { queries, lookups }
      }),
    ).pipe(Effect.provide(layerChainReaderOver(directory)), Effect.provide(layerNoIndexer)),
  )
}

const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0

const round = (value: number): number => Number(value.toPrecision(4))

const kept = process.env["ANNALS_BENCH_STORE"]
const root = kept ?? mkdtempSync(path.join(os.tmpdir(), "annals-bench-"))
try {
  const [light, mainnet] = [path.join(root, "light"), path.join(root, "mainnet")]
  await prepare(light, "light", BLOCKS)
  await prepare(mainnet, "mainnet", MAINNET_BLOCKS)
  const figures = {
    light: {
      blocks: BLOCKS,
      index: await buildIndex(light, BLOCKS),
      ...(await measure(light, BLOCKS)),
    },
    mainnet: {
      blocks: MAINNET_BLOCKS,
      index: await buildIndex(mainnet, MAINNET_BLOCKS),
      ...(await measure(mainnet, MAINNET_BLOCKS)),
    },
  }
  console.log(JSON.stringify(figures, undefined, 2))
} finally {
  if (kept === undefined) rmSync(root, { recursive: true, force: true })
}
