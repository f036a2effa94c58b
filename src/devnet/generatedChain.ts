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
import { addSpanToBloom, addToBloom, BLOOM_BYTES, orBloom } from "../domain/bloom.ts"
import { EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, readHeader } from "../domain/header.ts"
import { fromHex } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { encodeBytes, encodeList, encodeUint } from "../domain/rlp.ts"
import { orderedTrieRoot } from "../domain/trieRoot.ts"
import { makeServedChain, type ServedChain, type SourceBlock } from "./servedChain.ts"

/**
 * - `mainnet`: 200 transactions, 800 logs, 16 withdrawals, about 273 kB a block;
 * - `light`: 10 transactions, 20 logs, 2 withdrawals;
 * - `tiny`: none to 2 transactions with a log or two each, no withdrawals.
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

interface ShapeSizes {
  readonly transactions: number
  /** Whether blocks have fewer transactions than that, now and then none. */
  readonly uneven: boolean
  readonly logs: number
  readonly withdrawals: number
}

const SHAPES: Readonly<Record<ChainShape, ShapeSizes>> = {
  tiny: { transactions: 2, uneven: true, logs: 2, withdrawals: 0 },
  light: { transactions: 10, uneven: false, logs: 20, withdrawals: 2 },
  mainnet: { transactions: 200, uneven: false, logs: 800, withdrawals: 16 },
}

// ---------------------------------------------------------------------------------- randomness

/** The sfc32 generator (Chris Doty-Humphrey, PractRand): 128 bits of state, three adds a draw. */
class Random {
  #a: number
  #b: number
  #c = 0x9e3779b9
  #counter = 1

  constructor(seed: number) {
    this.#a = seed >>> 0
    this.#b = Math.floor(seed / 2 ** 32) >>> 0
    for (let i = 0; i < 15; i++) this.next()
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor((this.next() / 2 ** 32) * bound)
  }

  /** Overwrites `bytes[from, to)`. */
  write(bytes: Uint8Array, from: number, to: number): void {
    let at = from
    for (; at + 4 <= to; at += 4) {
      const word = this.next()
      bytes[at] = word
      bytes[at + 1] = word >>> 8
      bytes[at + 2] = word >>> 16
      bytes[at + 3] = word >>> 24
    }
    for (; at < to; at++) bytes[at] = this.next()
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    this.write(bytes, 0, length)
    return bytes
  }
}

const ADDRESSES = 200_000
const ADDRESS_BYTES = 20
const GUIDE_SLOTS = 1 << 16

/** Accounts and contracts of a chain; the k-th is drawn with a weight of 1/k (Zipf's law). */
class AddressBook {
  readonly #addresses: Uint8Array
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
    this.#addresses = random.bytes(ADDRESSES * ADDRESS_BYTES)
  }

  /** A view of 20 bytes; not to be written to. */
  draw(): Uint8Array {
    const { cumulative, guide, total } = zipf()
    const unit = this.#random.next() / 2 ** 32
    const wanted = unit * total
    let rank = guide[Math.floor(unit * GUIDE_SLOTS)]!
    while (cumulative[rank]! <= wanted) rank += 1
    return this.#addresses.subarray(rank * ADDRESS_BYTES, (rank + 1) * ADDRESS_BYTES)
  }
}

interface Zipf {
  /** Sum of the weights up to and with each rank. */
  readonly cumulative: Float64Array
  /** The first rank that a draw in each of the equal slices of the unit interval can have. */
  readonly guide: Uint32Array
  readonly total: number
}

let zipfTables: Zipf | undefined

const zipf = (): Zipf => (zipfTables ??= makeZipf())

const makeZipf = (): Zipf => {
  const cumulative = new Float64Array(ADDRESSES)
  let total = 0
  for (let rank = 0; rank < ADDRESSES; rank++) cumulative[rank] = total += 1 / (rank + 1)
  const guide = new Uint32Array(GUIDE_SLOTS)
  let rank = 0
  for (let slot = 0; slot < GUIDE_SLOTS; slot++) {
    while (cumulative[rank]! <= (slot / GUIDE_SLOTS) * total) rank += 1
    guide[slot] = rank
  }
  return { cumulative, guide, total }
}

// --------------------------------------------------------------------------------------- output

/**
 * Writes RLP from its end to its beginning, so that the length of a list is known when its prefix
 * is due. Items of a list are therefore written last to first.
 */
class BackwardWriter {
  readonly bytes: Uint8Array
  /** Where the last written item starts. */
  at: number

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.at = size
  }

  /** Makes room for `length` bytes, to be filled by the caller, and gives where it starts. */
  room(length: number): number {
    if (this.at < length + 16) throw new RangeError("the block outgrows its buffer")
    return (this.at -= length)
  }

  /** Bytes as they are: encoded items, or a part of a payload. */
  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.room(bytes.length))
  }

  /** A byte string of two bytes or more. */
  string(payload: Uint8Array): void {
    const end = this.at
    this.raw(payload)
    this.close(end, 0x80)
  }

  uint(value: number): void {
    const end = this.at
    let rest = value
    while (rest >= 1) {
      this.bytes[this.room(1)] = rest % 256
      rest = Math.floor(rest / 256)
    }
    if (end - this.at !== 1 || this.bytes[this.at]! >= 0x80) this.close(end, 0x80)
  }

  /** Puts the prefix before all that was written since `at` was `end`. */
  close(end: number, base: 0x80 | 0xc0): void {
    const length = end - this.at
    if (length <= 55) {
      this.bytes[this.room(1)] = base + length
      return
    }
    let digits = 0
    for (let rest = length; rest > 0; rest >>>= 8) {
      this.bytes[this.room(1)] = rest
      digits += 1
    }
    this.bytes[this.room(1)] = base + 55 + digits
  }

  /** What was written since `at` was `end`: a view, good until the next reset. */
  since(end: number): Uint8Array {
    return this.bytes.subarray(this.at, end)
  }

  /** A copy of all that was written; the buffer is free again. */
  take(): Uint8Array {
    const taken = this.bytes.slice(this.at)
    this.at = this.bytes.length
    return taken
  }
}

// ---------------------------------------------------------------------------------- what to make

type TransactionType = 0 | 1 | 2 | 3 | 4

/** What is decided of a transaction before its bytes are written. */
interface TransactionPlan {
  readonly type: TransactionType
  /** 32-byte words of calldata behind the selector; 0 for a plain transfer. */
  readonly words: number
  readonly succeeded: boolean
  readonly blobs: number
  logs: number
  gasUsed: number
}

const BLOB_GAS = 131_072

/** Types as mainnet has them in 2025, in per cent; the rest is type 2. */
const drawType = (random: Random): TransactionType => {
  const percent = random.below(100)
  if (percent < 15) return 0
  if (percent < 17) return 1
  if (percent < 20) return 3
  return percent < 24 ? 4 : 2
}

const planTransaction = (random: Random, first: boolean): TransactionPlan => {
  const type = drawType(random)
  const called = first || random.below(100) < 65
  const unit = random.next() / 2 ** 32
  return {
    type,
    // Squared: many short calls, few long ones.
    words: called ? 2 + Math.floor(41 * unit * unit) : 0,
    succeeded: first || random.below(100) >= 3,
    blobs: type === 3 ? 1 + random.below(2) : 0,
    logs: first ? 1 : 0,
    gasUsed: 21_000,
  }
}

const planBlock = (random: Random, sizes: ShapeSizes): ReadonlyArray<TransactionPlan> => {
  const count = sizes.uneven ? random.below(sizes.transactions + 1) : sizes.transactions
  const plans: Array<TransactionPlan> = []
  for (let i = 0; i < count; i++) plans.push(planTransaction(random, i === 0))
  const logging = plans.filter((plan) => plan.words > 0 && plan.succeeded)
  // The first transaction has its log already.
  const more = count > 0 ? sizes.logs - 1 : 0
  for (let log = 0; log < more; log++) logging[random.below(logging.length)]!.logs += 1
  for (const plan of plans) {
    if (plan.words > 0) plan.gasUsed += 8_000 + plan.words * 350 + random.below(60_000)
    plan.gasUsed += plan.logs * 25_000
  }
  return plans
}

// --------------------------------------------------------------------------------- transactions

const SELECTORS = [
  "a9059cbb", // transfer(address,uint256)
  "23b872dd", // transferFrom(address,address,uint256)
  "095ea7b3", // approve(address,uint256)
  "3593564c", // execute(bytes,bytes[],uint256)
  "5ae401dc", // multicall(uint256,bytes[])
  "b6f9de95", // swapExactETHForTokensSupportingFeeOnTransferTokens(…)
  "765e827f", // handleOps(…)
  "1fad948c",
].map((selector) => fromHex(selector))

/** All that writing a block needs. */
interface Press {
  readonly random: Random
  readonly book: AddressBook
  readonly out: BackwardWriter
  readonly chainId: number
}

/** Calldata: a selector and words as the ABI has them. Compresses about 2:1. */
const writeCalldata = ({ random, book, out }: Press, words: number): void => {
  if (words === 0) return out.uint(0)
  const end = out.at
  for (let word = 0; word < words; word++) {
    const start = out.room(32)
    out.bytes.fill(0, start, start + 32)
    const kind = random.below(100)
    if (kind < 30) out.bytes.set(book.draw(), start + 12)
    else if (kind < 60) random.write(out.bytes, start + 32 - 4 - random.below(6), start + 32)
    else if (kind < 72) out.bytes[start + 31] = 32 * (1 + random.below(7))
    else random.write(out.bytes, start, start + 32)
  }
  out.raw(SELECTORS[random.below(SELECTORS.length)]!)
  out.close(end, 0x80)
}

/** r and s: 32 bytes without a leading zero; r below the curve's order, s in its lower half. */
const writeSignature = ({ random, out }: Press): void => {
  for (const topBytes of [0x7e, 0xfe]) {
    const start = out.room(32)
    random.write(out.bytes, start, start + 32)
    out.bytes[start] = 1 + random.below(topBytes)
    out.close(start + 32, 0x80)
  }
}

/** EIP-2930: one contract and one storage key. */
const writeAccessList = ({ random, book, out }: Press, filled: boolean): void => {
  const end = out.at
  if (filled) {
    out.string(random.bytes(32))
    out.close(end, 0xc0)
    out.string(book.draw())
    out.close(end, 0xc0)
  }
  out.close(end, 0xc0)
}

/** EIP-7702: one authorization `[chainId, address, nonce, yParity, r, s]`. */
const writeAuthorizations = (press: Press): void => {
  const { random, book, out, chainId } = press
  const end = out.at
  writeSignature(press)
  out.uint(random.below(2))
  out.uint(random.below(500))
  out.string(book.draw())
  out.uint(chainId)
  out.close(end, 0xc0)
  out.close(end, 0xc0)
}

/** EIP-4844: the versioned hashes and, in front of them, the highest fee for blob gas. */
const writeBlobFields = ({ random, out }: Press, blobs: number): void => {
  const end = out.at
  for (let blob = 0; blob < blobs; blob++) {
    const hash = random.bytes(32)
    hash[0] = 0x01
    out.string(hash)
  }
  out.close(end, 0xc0)
  out.uint(1 + random.below(5_000_000_000))
}

/** Wei, from 0.001 to a few ether, or none: most calls carry no value. */
const drawValue = (random: Random, words: number): number =>
  words > 0 && random.below(4) > 0 ? 0 : 1_000_000 * (1 + random.below(2 ** 32 - 1))

/** Writes a transaction as the trie and its hash take it: `rlp`, or `type ‖ rlp` (EIP-2718). */
const writeTransaction = (press: Press, plan: TransactionPlan): void => {
  const { random, book, out, chainId } = press
  const { type, words } = plan
  const end = out.at
  writeSignature(press)
  // EIP-155 for legacy transactions, the parity alone for typed ones.
  out.uint(type === 0 ? chainId * 2 + 35 + random.below(2) : random.below(2))
  if (type === 4) writeAuthorizations(press)
  if (type === 3) writeBlobFields(press, plan.blobs)
  if (type !== 0) writeAccessList(press, type === 1)
  writeCalldata(press, words)
  out.uint(drawValue(random, words))
  out.string(book.draw())
  out.uint(plan.gasUsed + random.below(plan.gasUsed))
  const fee = 1_000_000_000 + random.below(30) * 1_000_000_000 + random.below(1_000_000_000)
  out.uint(fee)
  if (type >= 2) out.uint(Math.min(fee, random.below(2_000_000_000)))
  out.uint(random.below(100_000))
  if (type !== 0) out.uint(chainId)
  out.close(end, 0xc0)
  if (type !== 0) out.bytes[out.room(1)] = type
}

/** Writes `items` items last to first and gives views of them, first to last. */
const writeItems = (
  out: BackwardWriter,
  items: number,
  write: (index: number) => void,
): ReadonlyArray<Uint8Array> => {
  const values: Array<Uint8Array> = []
  for (let index = items - 1; index >= 0; index--) {
    const end = out.at
    write(index)
    values.push(out.since(end))
    // What starts with a type byte is a byte string in its list.
    if (out.bytes[out.at]! < 0x80) out.close(end, 0x80)
  }
  return values.toReversed()
}

interface Body {
  readonly body: Uint8Array
  readonly transactionsRoot: Uint8Array
  readonly withdrawalsRoot: Uint8Array
}

const writeBody = (
  press: Press,
  plans: ReadonlyArray<TransactionPlan>,
  withdrawals: number,
  number: number,
): Body => {
  const { random, book, out } = press
  const end = out.at
  const paid = writeItems(out, withdrawals, (index) => {
    const end = out.at
    out.uint(10_000_000 + random.below(20_000_000)) // gwei
    out.string(book.draw())
    out.uint(random.below(1_000_000))
    out.uint(number * withdrawals + index)
    out.close(end, 0xc0)
  })
  out.close(end, 0xc0)
  out.close(out.at, 0xc0) // uncles
  const transactionsEnd = out.at
  const values = writeItems(out, plans.length, (index) => writeTransaction(press, plans[index]!))
  out.close(transactionsEnd, 0xc0)
  out.close(end, 0xc0)
  const roots = {
    transactionsRoot: orderedTrieRoot(values),
    withdrawalsRoot: orderedTrieRoot(paid),
  }
  return { body: out.take(), ...roots }
}

// ------------------------------------------------------------------------------------- receipts

/** A kind of event: its signature's hash, how many topics are addresses, words of data. */
interface EventKind {
  readonly signature: Uint8Array
  readonly addresses: number
  /** Whether an id follows as the last topic. */
  readonly id: boolean
  readonly words: number
}

const event = (signature: string, addresses: number, id: boolean, words: number): EventKind => ({
  signature: fromHex(signature),
  addresses,
  id,
  words,
})

const TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
const ERC20_TRANSFER = event(TRANSFER, 2, false, 1)
const ERC721_TRANSFER = event(TRANSFER, 2, true, 0)
const APPROVAL = event(
  "8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925",
  2,
  false,
  1,
)
const WETH_DEPOSIT = event(
  "e1fffcc4923d04b559f4d29a8bfc6cda04eb5b0d3c460751c2402c5c5cc9109c",
  1,
  false,
  1,
)
const SYNC = event("1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1", 0, false, 2)
const SWAP = event("d78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822", 2, false, 4)

const drawEvent = (random: Random): EventKind => {
  const percent = random.below(100)
  if (percent < 68) return ERC20_TRANSFER
  if (percent < 75) return APPROVAL
  if (percent < 81) return WETH_DEPOSIT
  if (percent < 87) return SYNC
  return percent < 95 ? SWAP : ERC721_TRANSFER
}

/** Writes one log `[address, topics, data]` and adds it to `bloom`. */
const writeLog = ({ random, book, out }: Press, bloom: Uint8Array, kind: EventKind): void => {
  const end = out.at
  for (let word = 0; word < kind.words; word++) {
    const start = out.room(32)
    out.bytes.fill(0, start, start + 32)
    random.write(out.bytes, start + 32 - 7 - random.below(5), start + 32)
  }
  out.close(end, 0x80)
  const topicsEnd = out.at
  const topics = 1 + kind.addresses + (kind.id ? 1 : 0)
  for (let topic = topics - 1; topic >= 0; topic--) {
    const start = out.room(32)
    if (topic === 0) out.bytes.set(kind.signature, start)
    else {
      out.bytes.fill(0, start, start + 32)
      if (topic <= kind.addresses) out.bytes.set(book.draw(), start + 12)
      else random.write(out.bytes, start + 29, start + 32)
    }
    addSpanToBloom(bloom, out.bytes, start, start + 32)
    out.close(start + 32, 0x80)
  }
  out.close(topicsEnd, 0xc0)
  const address = book.draw()
  addToBloom(bloom, address)
  out.string(address)
  out.close(end, 0xc0)
}

/** The first log of a block: a transfer of as many units as the block has in its number. */
const writeFirstLog = (press: Press, bloom: Uint8Array, number: number): void => {
  const end = press.out.at
  writeLog(press, bloom, ERC20_TRANSFER)
  // The data ends the log; no bloom depends on it.
  let rest = number
  for (let at = end - 1; at >= end - 7; at--) {
    press.out.bytes[at] = rest % 256
    rest = Math.floor(rest / 256)
  }
}

interface Receipts {
  readonly receipts: Uint8Array
  readonly receiptsRoot: Uint8Array
  readonly logsBloom: Uint8Array
  readonly gasUsed: number
}

const writeReceipts = (
  press: Press,
  plans: ReadonlyArray<TransactionPlan>,
  number: number,
): Receipts => {
  const { out } = press
  const logsBloom = new Uint8Array(BLOOM_BYTES)
  const bloom = new Uint8Array(BLOOM_BYTES)
  const gasUsed = plans.reduce((sum, plan) => sum + plan.gasUsed, 0)
  let cumulativeGas = gasUsed
  const end = out.at
  const values = writeItems(out, plans.length, (index) => {
    const plan = plans[index]!
    const end = out.at
    bloom.fill(0)
    for (let log = plan.logs - 1; log >= 0; log--) {
      if (index === 0 && log === 0) writeFirstLog(press, bloom, number)
      else writeLog(press, bloom, drawEvent(press.random))
    }
    out.close(end, 0xc0)
    out.string(bloom)
    out.uint(cumulativeGas)
    out.uint(plan.succeeded ? 1 : 0)
    out.close(end, 0xc0)
    if (plan.type !== 0) out.bytes[out.room(1)] = plan.type
    orBloom(logsBloom, bloom)
    cumulativeGas -= plan.gasUsed
  })
  out.close(end, 0xc0)
  const root = orderedTrieRoot(values)
  return { receipts: out.take(), receiptsRoot: root, logsBloom, gasUsed }
}

// --------------------------------------------------------------------------------------- blocks

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
): ReadonlyArray<SourceBlock> => {
  const sizes = SHAPES[options.shape]
  const random = new Random(options.seed)
  const press: Press = {
    random,
    book: new AddressBook(random),
    out: new BackwardWriter(BUFFER_BYTES),
    chainId: options.chainId ?? CHAIN_ID,
  }
  const genesisTime = readHeader(genesisHeader).timestamp
  const blocks: Array<SourceBlock> = []
  let parentHash = keccak256(genesisHeader)
  for (let number = 1; number <= options.blocks; number++) {
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
