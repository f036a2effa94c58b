/**
 * What checking a block costs, part by part, in CPU-milliseconds a block of a generated chain of
 * mainnet's shape (200 transactions, 800 logs, about 220 kB). Run by `verify.mjs`; prints one JSON
 * object.
 *
 * Parts are timed one after the other in each round, so that noise meets all of them; each figure
 * is the median of the rounds, `least` the best of them. `keccak_bytes` is the floor: the bytes
 * that the roots hash, one-shot.
 */
import { Effect } from "effect"
import { generateChain } from "../src/devnet/generatedChain.ts"
import { openBody } from "../src/domain/body.ts"
import { keccak256 } from "../src/domain/keccak.ts"
import { receiptsBloom, receiptsRoot } from "../src/domain/receipts.ts"
import { digestReceipts } from "../src/domain/receiptsDigest.ts"
import { packBlocks, readPack } from "../src/process/blockPack.ts"
import { checkBlock, type UncheckedBlock } from "../src/process/checkBlock.ts"
import { checks, type Check } from "../src/process/checks.ts"
import { checkPack } from "../src/process/checkPack.ts"
import { CheckPool } from "../src/process/CheckPool.ts"

const BLOCKS = 200
const ROUNDS = 7
const WARM_UP_ROUNDS = 2
/** As ingest packs them: about 1 MB. */
const BLOCKS_PER_PACK = 4
const SEED = 11

const ALL: ReadonlySet<Check> = new Set(checks)
const NONE: ReadonlySet<Check> = new Set()

const chain = generateChain({ blocks: BLOCKS, shape: "mainnet", seed: SEED })

const blocksOf = (receiptsForm: 68 | 69): ReadonlyArray<UncheckedBlock> =>
  chain.numbers.slice(1).map((blockNumber) => ({
    blockNumber,
    hash: chain.hashAt(blockNumber)!,
    header: chain.headerAt(blockNumber)!,
    body: chain.bodyAt(blockNumber)!,
    receipts:
      receiptsForm === 68 ? chain.receipts68At(blockNumber)! : chain.receipts69At(blockNumber)!,
    receiptsForm,
  }))

const blocks68 = blocksOf(68)
const blocks69 = blocksOf(69)

const packsOf = (blocks: ReadonlyArray<UncheckedBlock>): Array<ArrayBuffer> => {
  const packs: Array<ArrayBuffer> = []
  for (let at = 0; at < blocks.length; at += BLOCKS_PER_PACK) {
    packs.push(packBlocks(blocks.slice(at, at + BLOCKS_PER_PACK)))
  }
  return packs
}

const each =
  (blocks: ReadonlyArray<UncheckedBlock>, run: (block: UncheckedBlock) => unknown) => (): void => {
    for (const block of blocks) run(block)
  }

const mustPass = (block: UncheckedBlock, wanted: ReadonlySet<Check>): void => {
  const outcome = checkBlock(block, wanted)
  if (outcome._tag === "Failed") throw new Error(JSON.stringify(outcome))
}

const TRANSACTIONS: ReadonlySet<Check> = new Set(["transactions"])
const ROOT = { root: true, blooms: true }
const BLOOMS = { root: false, blooms: true }

/** What is timed; a part may return what it made, to be thrown away after the round. */
const parts: Readonly<Record<string, () => unknown>> = {
  keccak_bytes: each(blocks68, ({ body, receipts }) => {
    keccak256(body)
    keccak256(receipts)
  }),
  header: each(blocks69, ({ header }) => keccak256(header)),
  transactions_root: each(blocks69, (block) => {
    openBody(block.body)
    return checkTransactions(block)
  }),
  receipts_root_plain_68: each(blocks68, ({ receipts }) => receiptsRoot(receipts, 68)),
  receipts_root_plain_69: each(blocks69, ({ receipts }) => receiptsRoot(receipts, 69)),
  bloom_plain_69: each(blocks69, ({ receipts }) => receiptsBloom(receipts, 69)),
  blooms_69: each(blocks69, ({ receipts }) => digestReceipts(receipts, 69, BLOOMS)),
  receipts_and_blooms_68: each(blocks68, ({ receipts }) => digestReceipts(receipts, 68, ROOT)),
  receipts_and_blooms_69: each(blocks69, ({ receipts }) => digestReceipts(receipts, 69, ROOT)),
  check_all_68: each(blocks68, (block) => mustPass(block, ALL)),
  check_all_69: each(blocks69, (block) => mustPass(block, ALL)),
  check_none_69: each(blocks69, (block) => mustPass(block, NONE)),
  pack: () => packsOf(blocks69),
  unpack: (() => {
    const packs = packsOf(blocks69)
    return () => packs.map((pack) => readPack(pack))
  })(),
}

/** Form 68 is rewritten in place, so each round needs fresh packs; making them is not timed. */
const flatten = (): number => {
  const packs = packsOf(blocks68)
  return cpuMs(() => packs.map((pack) => checkPack(pack, NONE)))
}

const checkTransactions = (block: UncheckedBlock): void => {
  checkBlock({ ...block, receipts: EMPTY_LIST }, TRANSACTIONS)
}
const EMPTY_LIST = Uint8Array.of(0xc0)

const cpuMs = (run: () => unknown): number => {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** A round through one checking thread: CPU of the thread, and of everything else. */
const throughThread = (pool: typeof CheckPool.Service) =>
  Effect.gen(function* () {
    const packs = packsOf(blocks69)
    const [threadBefore, before] = [pool.threadsCpuMs()[0]!, process.cpuUsage()]
    yield* Effect.forEach(packs, (pack) => pool.check(pack, ALL), { concurrency: 4 })
    const { user, system } = process.cpuUsage(before)
    const thread = pool.threadsCpuMs()[0]! - threadBefore
    return { thread, other: (user + system) / 1000 - thread }
  })

const main = Effect.gen(function* () {
  const times = new Map<string, Array<number>>()
  const note = (name: string, ms: number): void => {
    times.set(name, [...(times.get(name) ?? []), ms / BLOCKS])
  }
  const pool = yield* CheckPool
  for (let round = 0; round < ROUNDS + WARM_UP_ROUNDS; round++) {
    if (round === WARM_UP_ROUNDS) times.clear()
    for (const [name, run] of Object.entries(parts)) note(name, cpuMs(run))
    note("check_none_and_flatten_68", flatten())
    const { thread, other } = yield* throughThread(pool)
    note("thread_check_all_69", thread)
    note("thread_transfer", other)
  }
  const of = (pick: (sorted: ReadonlyArray<number>) => number): Record<string, number> =>
    Object.fromEntries(
      [...times].map(([name, all]) => [name, round3(pick(all.toSorted((a, b) => a - b)))]),
    )
  const bytes = (pick: (block: UncheckedBlock) => Uint8Array, blocks = blocks69): number =>
    Math.round(blocks.reduce((sum, block) => sum + pick(block).length, 0) / BLOCKS)
  console.log(
    JSON.stringify(
      {
        blocks: BLOCKS,
        rounds: ROUNDS,
        bytes_per_block: {
          header: bytes(({ header }) => header),
          body: bytes(({ body }) => body),
          receipts_68: bytes(({ receipts }) => receipts, blocks68),
          receipts_69: bytes(({ receipts }) => receipts),
        },
        cpu_ms_per_block: of((sorted) => sorted[sorted.length >> 1]!),
        least: of((sorted) => sorted[0]!),
      },
      null,
      2,
    ),
  )
})

const round3 = (value: number): number => Math.round(value * 1000) / 1000

await Effect.runPromise(
  main.pipe(Effect.provide(CheckPool.layerWith({ count: 1, program: process.argv[2] }))),
)
