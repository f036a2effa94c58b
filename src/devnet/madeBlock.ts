/**
 * The parts of a made block: what it is to have is decided first, then its transactions, withdrawals
 * and receipts are written, with their roots, bloom and gas.
 */
import { addSpanToBloom, addToBloom, BLOOM_BYTES, orBloom } from "../domain/bloom.ts"
import { fromHex } from "../domain/hex.ts"
import { concatBytes } from "../domain/rlp.ts"
import { decompress } from "../domain/secp256k1.ts"
import { orderedTrieRoot } from "../domain/trieRoot.ts"
import type { BackwardWriter } from "./backwardWriter.ts"
import { type AddressBook, Random } from "./madeRandom.ts"

/** How much a block has. */
export interface ShapeSizes {
  readonly transactions: number
  /** Whether blocks have fewer transactions than that, now and then none. */
  readonly uneven: boolean
  readonly logs: number
  readonly withdrawals: number
}

type TransactionType = 0 | 1 | 2 | 3 | 4

/** What is decided of a transaction before its bytes are written. */
export interface TransactionPlan {
  readonly type: TransactionType
  /** 32-byte words of calldata behind the selector; 0 for a plain transfer. */
  readonly words: number
  readonly succeeded: boolean
  readonly blobs: number
  logs: number
  gasUsed: number
}

/** Gas of one blob (EIP-4844). */
export const BLOB_GAS = 131_072

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

/** Decides what a block has. */
export const planBlock = (random: Random, sizes: ShapeSizes): ReadonlyArray<TransactionPlan> => {
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
export interface Press {
  readonly random: Random
  readonly book: AddressBook
  readonly out: BackwardWriter
  readonly chainId: number
  /** Whether each signature is somebody's, so that a sender can be recovered from it. */
  readonly recoverable: boolean
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

/**
 * r and s: 32 bytes without a leading zero; r below the curve's order, s in its lower half. Any such
 * pair signs any message for somebody, if r is the x of a point.
 */
const writeSignature = ({ random, out, recoverable }: Press): void => {
  for (const topBytes of [0x7e, 0xfe]) {
    const start = out.room(32)
    random.write(out.bytes, start, start + 32)
    out.bytes[start] = 1 + random.below(topBytes)
    const isR = topBytes === 0xfe
    if (isR && recoverable) out.bytes.set(pointXs()[random.below(POINTS)]!, start)
    out.close(start + 32, 0x80)
  }
}

/** To look for a point at each signature would take most of the time. */
const POINTS = 256

let points: ReadonlyArray<Uint8Array> | undefined

/** The x of some points of the curve, without a leading zero; always the same. */
const pointXs = (): ReadonlyArray<Uint8Array> => {
  if (points !== undefined) return points
  const random = new Random(POINTS)
  const found: Array<Uint8Array> = []
  while (found.length < POINTS) {
    const x = random.bytes(32)
    x[0] = 1 + random.below(0xfe)
    if (decompress(concatBytes([Uint8Array.of(2), x])) !== undefined) found.push(x)
  }
  return (points = found)
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

/** A body and the roots that its header has of it. */
export interface Body {
  readonly body: Uint8Array
  readonly transactionsRoot: Uint8Array
  readonly withdrawalsRoot: Uint8Array
}

/** Writes a block's body and gives its roots. */
export const writeBody = (
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

/** Receipts and what a header says of them. */
export interface Receipts {
  readonly receipts: Uint8Array
  readonly receiptsRoot: Uint8Array
  readonly logsBloom: Uint8Array
  readonly gasUsed: number
}

/** Writes a block's receipts, and gives what its header says of them. */
export const writeReceipts = (
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
