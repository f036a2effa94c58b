/**
 * What the first inputs are made of: real blocks and a real client's messages where the fixtures
 * are there, and a made chain everywhere. The same from run to run.
 */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { readRlpChain } from "../../src/devnet/rlpChain.ts"
import { fromHex } from "../../src/domain/hex.ts"
import { encodeGetReceipts, encodeReceipts, ETH } from "../../src/wire/ethMessages.ts"
import {
  encodeBlockRangeUpdate,
  encodeGetBlockBodies,
  encodeGetBlockHeaders,
  encodeItems,
  encodeStatus,
} from "../../src/wire/ethMessages.ts"
import { ETH_VERSIONS, type EthVersion } from "../../src/wire/hello.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"

/** A block, all of it RLP; receipts in form 68. */
export interface MaterialBlock {
  readonly header: Uint8Array
  readonly body: Uint8Array
  readonly receipts: Uint8Array
}

/** A message of eth, its payload decompressed; code relative to eth. */
export interface MaterialMessage {
  readonly version: EthVersion
  readonly code: number
  readonly payload: Uint8Array
}

/** Everything there is. */
export interface Material {
  readonly blocks: ReadonlyArray<MaterialBlock>
  readonly messages: ReadonlyArray<MaterialMessage>
  /** Texts of genesis.json files. */
  readonly genesisFiles: ReadonlyArray<string>
}

/** The chain that is made where nothing is recorded. */
export const madeChain = generateChain({ blocks: 12, shape: "light", seed: 3 })

/** Larger inputs are altered too slowly to be worth it. */
const MAX_BLOCK_BYTES = 24 * 1024
const MAX_MESSAGE_BYTES = 8 * 1024
/** So many messages of one code and version are enough. */
const MESSAGES_OF_A_KIND = 8
const BLOCKS_OF_A_FILE = 8

const CHAINS = [
  "mainnet/prebyzantium-1000000-1000030.rlp",
  "mainnet/byzantium-1-100-7000000.rlp",
  "mainnet/london-15040641-15040710.rlp",
  "mainnet/forks-14764013-22869878.rlp",
  "chains/ethtest/full.rlp.gz",
  "chains/execapis/full.rlp.gz",
  "chains/nimb/full.rlp.gz",
  "chains/rethcompat/full.rlp.gz",
]

const TRANSCRIPTS = [
  ["wire/rpccompat-geth1.17.0.eth68.transcript.jsonl", 68],
  ["wire/rpccompat-geth1.17.3.eth69.transcript.jsonl", 69],
  ["wire/rpccompat-geth1.17.3.eth70.transcript.jsonl", 70],
  ["wire/ethtest-geth1.17.3.eth70.transcript.jsonl.gz", 70],
] as const

const GENESIS_FILES = ["nimb", "rethcompat"].map((name) => `chains/${name}/genesis.json`)

let loaded: Material | undefined

/** Reads the fixtures, once. */
export const loadMaterial = (): Material =>
  (loaded ??= {
    blocks: [...madeBlocks(), ...(fixturesDir === undefined ? [] : CHAINS.flatMap(readBlocks))],
    messages: [
      ...madeMessages(),
      ...(fixturesDir === undefined
        ? []
        : TRANSCRIPTS.flatMap(([file, v]) => readMessages(file, v))),
    ],
    genesisFiles:
      fixturesDir === undefined
        ? []
        : GENESIS_FILES.map((name) => readFileSync(fixture(name), "utf8")),
  })

const madeBlocks = (): ReadonlyArray<MaterialBlock> =>
  madeChain.numbers.slice(0, 6).map((number) => ({
    header: madeChain.headerAt(number)!,
    body: madeChain.bodyAt(number)!,
    receipts: madeChain.receipts68At(number) ?? Uint8Array.of(0xc0),
  }))

/** Blocks of all sizes up to the bound, spread over the file. */
const readBlocks = (name: string): ReadonlyArray<MaterialBlock> => {
  const blocks = readRlpChain(readFileSync(fixture(name)), name)
    .map(({ header, body, receipts = Uint8Array.of(0xc0) }) => ({ header, body, receipts }))
    .filter(({ body, receipts }) => body.length + receipts.length <= MAX_BLOCK_BYTES)
  const step = Math.ceil(blocks.length / BLOCKS_OF_A_FILE)
  return blocks.filter((_, index) => index % step === 0)
}

const LINE = /"code":(\d+),"payload":"(?:0x)?([0-9a-f]*)"/

const readMessages = (name: string, version: EthVersion): ReadonlyArray<MaterialMessage> => {
  const bytes = readFileSync(fixture(name))
  const text = (name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8")
  const counts = new Map<number, number>()
  const messages: Array<MaterialMessage> = []
  for (const line of text.split("\n")) {
    const match = LINE.exec(line)
    if (match === null || match[2]!.length > 2 * MAX_MESSAGE_BYTES) continue
    const code = Number(match[1])
    const count = counts.get(code) ?? 0
    counts.set(code, count + 1)
    if (count < MESSAGES_OF_A_KIND) messages.push({ version, code, payload: fromHex(match[2]!) })
  }
  return messages
}

const madeMessages = (): ReadonlyArray<MaterialMessage> =>
  ETH_VERSIONS.flatMap((version) => {
    const hashes = [1, 2, 3].map((number) => madeChain.hashAt(number)!)
    const forkId = { forkHash: Uint8Array.of(1, 2, 3, 4), forkNext: 1_150_000n }
    const common = { networkId: 1n, genesisHash: hashes[0]!, ...forkId }
    const range = { earliestBlock: 0, latestBlock: 300, latestBlockHash: hashes[2]! }
    const lists = [1, 2].map((number) =>
      version === 68 ? madeChain.receipts68At(number)! : madeChain.receipts69At(number)!,
    )
    const payloads: ReadonlyArray<readonly [number, Uint8Array]> = [
      [
        ETH.status,
        encodeStatus(
          version === 68
            ? { version, ...common, totalDifficulty: 2n ** 70n, bestHash: hashes[1]! }
            : { version, ...common, ...range },
        ),
      ],
      [ETH.blockRangeUpdate, encodeBlockRangeUpdate(range)],
      [ETH.getBlockHeaders, encodeGetBlockHeaders(7n, query(1))],
      [ETH.getBlockHeaders, encodeGetBlockHeaders(2n ** 64n - 1n, query(hashes[1]!))],
      [ETH.getBlockBodies, encodeGetBlockBodies(8n, hashes)],
      [ETH.getReceipts, encodeGetReceipts(version, 9n, hashes, 2)],
      [
        ETH.blockHeaders,
        encodeItems(
          7n,
          [1, 2].map((number) => madeChain.headerAt(number)!),
        ),
      ],
      [ETH.blockBodies, encodeItems(8n, [madeChain.bodyAt(1)!])],
      [ETH.receipts, encodeReceipts(version, 9n, lists, version === 70)],
    ]
    return payloads.map(([code, payload]) => ({ version, code, payload }))
  })

const query = (start: number | Uint8Array) => ({ start, limit: 5, skip: 1, reverse: true })
