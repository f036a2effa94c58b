/**
 * Made chains: as big and as shaped as wanted, for tests, benchmarks and the embedded devnet.
 *
 * In: a number of blocks, a shape and a seed. Out: a `ServedChain` from genesis on, with valid
 * links, roots, blooms and gas sums, in the form of Prague's blocks.
 *
 * Invariants:
 * - same seed, same bytes, on every machine: integer arithmetic and IEEE sums and quotients only;
 * - a chain of n blocks is the beginning of the chain of n + 1 blocks of the same seed and shape;
 * - every chain has the same genesis, so that its {@link generatedChainSpec} is known beforehand;
 * - no two blocks share a transaction, nor a receipts root unless both have no receipts: the first
 *   log of a block tells the block's number.
 *
 * What is not real: nothing was executed, so state roots, base fees and hashes of the consensus
 * layer are random, and signatures are random r and s in the valid range (real ones would cost
 * more than all the rest): senders recovered from them are nobody's.
 */
import type { ChainSpec } from "../chain/chainSpec.ts"
import { BLOOM_BYTES } from "../domain/bloom.ts"
import { EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, readHeader } from "../domain/header.ts"
import { fromHex } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { encodeBytes, encodeList, encodeUint } from "../domain/rlp.ts"
import { BackwardWriter } from "./backwardWriter.ts"
import {
  BLOB_GAS,
  planBlock,
  type Press,
  type ShapeSizes,
  writeBody,
  writeReceipts,
} from "./madeBlock.ts"
import { AddressBook, Random } from "./madeRandom.ts"
import { branchOff, makeServedChain, type ServedChain, type SourceBlock } from "./servedChain.ts"

/**
 * - `mainnet`: 200 transactions, 800 logs, 16 withdrawals, about 273 kB a block;
 * - `light`: 10 transactions, 20 logs, 2 withdrawals;
 * - `tiny`: none to 2 transactions with a log or two each, no withdrawals.
 *
 * Of `light` and `tiny` every transaction has a sender, whose key nobody has; in `mainnet`
 * signatures are random words, which stand for nobody half the time.
 */
export type ChainShape = "tiny" | "light" | "mainnet"

/** What chain to make. */
export interface GeneratedChainOptions {
  /** Blocks above genesis: the chain goes from 0 to this number. */
  readonly blocks: number
  readonly shape: ChainShape
  /** Any integer from 0 to 2^53 - 1. */
  readonly seed: number
  /** RLP of the header of block 0; the generator's own when not given. */
  readonly genesisHeader?: Uint8Array
  /** 1337 when not given. */
  readonly chainId?: number
}

const CHAIN_ID = 1337
const GENESIS_TIME = 1_750_000_000
const SECONDS_A_BLOCK = 12
const GAS_LIMIT = 45_000_000

/** Makes the chain. A shape of mainnet's size holds about 0.28 MB a block in memory. */
export const generateChain = (options: GeneratedChainOptions): ServedChain => {
  const genesisHeader = options.genesisHeader ?? generatedGenesisHeader()
  return makeServedChain(generateBlocks(options, genesisHeader), { genesisHeader })
}

/**
 * A second branch of a made chain: it shares the blocks below `forkAt` with `main`, and from there up
 * to `options.blocks` it has blocks of its own, drawn from `options.seed`. `forkAt` is 1 or more, and
 * `main` has the block below it.
 */
export const generateFork = (
  main: ServedChain,
  forkAt: number,
  options: GeneratedChainOptions,
): ServedChain => {
  const parent = main.hashAt(forkAt - 1)
  const genesisHeader = main.headerAt(0)
  if (parent === undefined || genesisHeader === undefined) {
    throw new RangeError(`the chain has no block ${forkAt - 1} to fork from`)
  }
  return branchOff(main, generateBlocks(options, genesisHeader, forkAt, parent))
}

/** RLP of the genesis header that generated chains have when no other is given. */
export const generatedGenesisHeader = (): Uint8Array =>
  encodeHeader({
    parentHash: new Uint8Array(32),
    beneficiary: new Uint8Array(20),
    stateRoot: EMPTY_TRIE_ROOT,
    transactionsRoot: EMPTY_TRIE_ROOT,
    receiptsRoot: EMPTY_TRIE_ROOT,
    logsBloom: new Uint8Array(BLOOM_BYTES),
    number: 0,
    gasUsed: 0,
    timestamp: GENESIS_TIME,
    prevRandao: new Uint8Array(32),
    baseFee: 1_000_000_000,
    withdrawalsRoot: EMPTY_TRIE_ROOT,
    blobGasUsed: 0,
    parentBeaconBlockRoot: new Uint8Array(32),
  })

/** The chain that generated blocks belong to: every fork up to Prague from genesis on. */
export const generatedChainSpec = (
  genesisHeader: Uint8Array = generatedGenesisHeader(),
  chainId: number = CHAIN_ID,
): ChainSpec => ({
  name: "devnet",
  networkId: BigInt(CHAIN_ID),
  chainId: BigInt(chainId),
  genesisHash: keccak256(genesisHeader),
  genesisHeader,
  genesisTime: readHeader(genesisHeader).timestamp,
  forkBlocks: [],
  forkTimes: [],
  // Prague's (EIP-7691).
  blobSchedule: [{ fromTime: 0, baseFeeUpdateFraction: 5_007_716n }],
  anchors: [],
  bootnodes: [],
  dnsTrees: [],
})

const SHAPES: Readonly<Record<ChainShape, ShapeSizes>> = {
  tiny: { transactions: 2, uneven: true, logs: 2, withdrawals: 0 },
  light: { transactions: 10, uneven: false, logs: 20, withdrawals: 2 },
  mainnet: { transactions: 200, uneven: false, logs: 800, withdrawals: 16 },
}

interface HeaderFields {
  readonly parentHash: Uint8Array
  readonly beneficiary: Uint8Array
  readonly stateRoot: Uint8Array
  readonly transactionsRoot: Uint8Array
  readonly receiptsRoot: Uint8Array
  readonly logsBloom: Uint8Array
  readonly number: number
  readonly gasUsed: number
  readonly timestamp: number
  readonly prevRandao: Uint8Array
  readonly baseFee: number
  readonly withdrawalsRoot: Uint8Array
  readonly blobGasUsed: number
  readonly parentBeaconBlockRoot: Uint8Array
}

const EXTRA_DATA = new TextEncoder().encode("annals devnet")
/** sha256 of nothing: no requests (EIP-7685). */
const EMPTY_REQUESTS_HASH = fromHex(
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
)

/** A header of Prague: the 15 old fields and those of EIP-1559, 4895, 4844, 4788 and 7685. */
const encodeHeader = (fields: HeaderFields): Uint8Array =>
  encodeList([
    encodeBytes(fields.parentHash),
    encodeBytes(EMPTY_OMMERS_HASH),
    encodeBytes(fields.beneficiary),
    encodeBytes(fields.stateRoot),
    encodeBytes(fields.transactionsRoot),
    encodeBytes(fields.receiptsRoot),
    encodeBytes(fields.logsBloom),
    encodeUint(0), // difficulty
    encodeUint(fields.number),
    encodeUint(GAS_LIMIT),
    encodeUint(fields.gasUsed),
    encodeUint(fields.timestamp),
    encodeBytes(EXTRA_DATA),
    encodeBytes(fields.prevRandao),
    encodeBytes(new Uint8Array(8)), // nonce
    encodeUint(fields.baseFee),
    encodeBytes(fields.withdrawalsRoot),
    encodeUint(fields.blobGasUsed),
    encodeUint(0), // excessBlobGas
    encodeBytes(fields.parentBeaconBlockRoot),
    encodeBytes(EMPTY_REQUESTS_HASH),
  ])

/** More than any block of the largest shape takes, for its body or its receipts. */
const BUFFER_BYTES = 1 << 20

const generateBlocks = (
  options: GeneratedChainOptions,
  genesisHeader: Uint8Array,
  first = 1,
  parent = keccak256(genesisHeader),
): ReadonlyArray<SourceBlock> => {
  const sizes = SHAPES[options.shape]
  const random = new Random(options.seed)
  const press: Press = {
    random,
    book: new AddressBook(random),
    out: new BackwardWriter(BUFFER_BYTES),
    chainId: options.chainId ?? CHAIN_ID,
    recoverable: options.shape !== "mainnet",
  }
  const genesisTime = readHeader(genesisHeader).timestamp
  const blocks: Array<SourceBlock> = []
  let parentHash = parent
  for (let number = first; number <= options.blocks; number++) {
    const timestamp = genesisTime + number * SECONDS_A_BLOCK
    const block = generateBlock(press, sizes, { number, parentHash, timestamp })
    parentHash = keccak256(block.header)
    blocks.push(block)
  }
  return blocks
}

const generateBlock = (
  press: Press,
  sizes: ShapeSizes,
  place: Pick<HeaderFields, "number" | "parentHash" | "timestamp">,
): SourceBlock => {
  const { random, book } = press
  const plans = planBlock(random, sizes)
  const { body, ...bodyRoots } = writeBody(press, plans, sizes.withdrawals, place.number)
  const { receipts, ...sums } = writeReceipts(press, plans, place.number)
  const header = encodeHeader({
    ...place,
    ...bodyRoots,
    ...sums,
    beneficiary: book.draw(),
    stateRoot: random.bytes(32),
    prevRandao: random.bytes(32),
    baseFee: 500_000_000 + random.below(2_000_000_000),
    blobGasUsed: plans.reduce((sum, plan) => sum + plan.blobs * BLOB_GAS, 0),
    parentBeaconBlockRoot: random.bytes(32),
  })
  return { header, body, receipts, path: "a generated chain", offset: 0 }
}
