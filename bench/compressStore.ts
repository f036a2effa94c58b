/**
 * What a block costs that is written into a store, with its payload packed and plain: the sum of
 * compressing, which costs, and of writing less, which saves. No checks, no tables, one thread.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import { Effect, Fiber } from "effect"
import { generateChain, generatedChainSpec } from "../src/devnet/generatedChain.ts"
import { packBlocks, readPack } from "../src/process/blockPack.ts"
import { NO_COMPRESSION } from "../src/write/payloadCodec.ts"
import { Store } from "../src/write/Store.ts"
import { commitDefaults, DATABASE_FILE, type OpenOptions } from "../src/write/storeProtocol.ts"
import { PAYLOAD_LEVEL } from "../src/write/zstdLibrary.ts"

const BLOCKS = 400
const ROUNDS = 5
const SEED = 12
/** As ingest packs them: about 1 MB. */
const BLOCKS_PER_PACK = 4
const WRITES_AT_ONCE = 64
const FLUSH_MS = 20

const chain = generateChain({ blocks: BLOCKS, shape: "mainnet", seed: SEED })
const spec = generatedChainSpec()
const blocks = chain.numbers.slice(1).map((blockNumber) => ({
  blockNumber,
  hash: chain.hashAt(blockNumber)!,
  header: chain.headerAt(blockNumber)!,
  body: chain.bodyAt(blockNumber)!,
  receipts: chain.receipts69At(blockNumber)!,
  receiptsForm: 69 as const,
}))
const packs = Array.from({ length: BLOCKS / BLOCKS_PER_PACK }, (_, i) =>
  packBlocks(blocks.slice(i * BLOCKS_PER_PACK, (i + 1) * BLOCKS_PER_PACK)),
)

interface Written {
  readonly cpuMs: number
  readonly kB: number
}

const optionsOf = (directory: string, compressionLevel: number): OpenOptions => ({
  directory,
  purpose: {
    kind: "sync",
    network: "devnet",
    chainId: spec.chainId,
    genesisHash: spec.genesisHash,
    tables: [],
    checks: ["links"],
    trusted: [],
    compressionLevel,
  },
  ...commitDefaults,
})

/** Writes all blocks into a fresh store; the file's size is that of the closed one. */
const write = async (level: number): Promise<Written> => {
  const directory = mkdtempSync(path.join(os.tmpdir(), "annals-bench-"))
  try {
    const before = process.cpuUsage()
    await Effect.runPromise(
      Effect.gen(function* () {
        const store = yield* Store
        const writing = yield* Effect.fork(
          Effect.forEach(packs, (pack) => store.write(readPack(pack)), {
            concurrency: WRITES_AT_ONCE,
            discard: true,
          }),
        )
        // The last transaction is not full.
        const flushing = Effect.delay(store.flush, FLUSH_MS).pipe(Effect.forever)
        yield* Effect.raceFirst(Fiber.join(writing), flushing)
      }).pipe(Effect.provide(Store.layerInline(optionsOf(directory, level)))),
    )
    const { user, system } = process.cpuUsage(before)
    const kB = statSync(path.join(directory, DATABASE_FILE)).size / BLOCKS / 1000
    return { cpuMs: (user + system) / 1000 / BLOCKS, kB }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The table, in Markdown. */
export const storeTable = async (): Promise<string> => {
  const levels = [NO_COMPRESSION, PAYLOAD_LEVEL, 3]
  const runs = new Map<number, Array<Written>>(levels.map((level) => [level, []]))
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const level of levels) {
      const written = await write(level)
      if (round > 0) runs.get(level)!.push(written)
    }
  }
  const lines = levels.map((level) => {
    const sorted = runs.get(level)!.toSorted((a, b) => a.cpuMs - b.cpuMs)
    const { cpuMs, kB } = sorted[sorted.length >> 1]!
    return `| ${level} | ${cpuMs.toFixed(2)} | ${sorted[0]!.cpuMs.toFixed(2)} | ${kB.toFixed(1)} |`
  })
  const head = "| level | CPU-ms a block, median | least | kB a block in the closed file |"
  return [head, "|---|---|---|---|", ...lines].join("\n")
}
