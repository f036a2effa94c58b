/**
 * A chain held in memory, as devnet's peers serve it.
 *
 * In: blocks from a file or a generator ({@link SourceBlock}), in any order, in one unbroken piece
 * or several. Out: a {@link ServedChain}, the raw RLP of headers, bodies and receipts by number.
 *
 * Invariants: a height has one block; a block whose parent is there too links to it; a block whose
 * receipts are there has as many of them as transactions. Roots are not checked: serving a chain
 * is no proof of it. What breaks an invariant is a {@link ChainFileInvalid} that names the file.
 */
import { EMPTY_TRIE_ROOT, type Header, readHeader } from "../domain/header.ts"
import { equalBytes, toHex, toHex0x } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { countReceipts } from "../domain/receiptList.ts"
import { receipts68To69 } from "../domain/receipts.ts"
import { RlpError, RlpReader } from "../domain/rlp.ts"

/** A file that cannot be read or holds no chain that could be served; its giver is to blame. */
export class ChainFileInvalid extends Error {
  readonly _tag = "ChainFileInvalid"
  override readonly name = "ChainFileInvalid"
  /** The file, as it was named by the user; the generator's name for a made chain. */
  readonly path: string
  /** The byte in the file (unpacked, if it is gzip) where the trouble is. */
  readonly offset: number
  /** What is wrong, in one line. */
  readonly reason: string

  constructor(fields: { readonly path: string; readonly offset: number; readonly reason: string }) {
    super(`${fields.path}, byte ${fields.offset}: ${fields.reason}`)
    this.path = fields.path
    this.offset = fields.offset
    this.reason = fields.reason
  }
}

/**
 * What was thrown while the block at `at` was read: an `RlpError` becomes a {@link ChainFileInvalid},
 * anything else stays what it is.
 */
export const asChainFileInvalid = (
  at: Pick<SourceBlock, "path" | "offset">,
  error: unknown,
): unknown =>
  error instanceof RlpError
    ? new ChainFileInvalid({ path: at.path, offset: at.offset, reason: error.message })
    : error

/** A block as a source gives it; everything is raw RLP. */
export interface SourceBlock {
  readonly header: Uint8Array
  /** `[transactions, uncles, withdrawals?]`. */
  readonly body: Uint8Array
  /** The list in form 68; undefined where the source has none. */
  readonly receipts: Uint8Array | undefined
  /** Up to and with this block; undefined where the source does not say. */
  readonly totalDifficulty?: bigint
  /** Where it came from, for {@link ChainFileInvalid}. */
  readonly path: string
  readonly offset: number
}

/** The last block of a chain. */
export interface ChainHead {
  readonly number: number
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** Unix seconds. */
  readonly time: number
}

/** What a peer serves. Every `…At` gives undefined for a block that is not there. */
export interface ServedChain {
  readonly firstBlock: number
  readonly lastBlock: number
  readonly head: ChainHead
  /** Every number that is there, rising; there may be gaps. */
  readonly numbers: ReadonlyArray<number>
  has(blockNumber: number): boolean
  /** The number of the block with this hash (hex, lower case, without 0x). */
  numberOf(hashHex: string): number | undefined
  /** 32 bytes. */
  hashAt(blockNumber: number): Uint8Array | undefined
  /** RLP of the header. */
  headerAt(blockNumber: number): Uint8Array | undefined
  /** RLP of `[transactions, uncles, withdrawals?]`. */
  bodyAt(blockNumber: number): Uint8Array | undefined
  /** RLP of the receipts in form 68; undefined as well where the source has none. */
  receipts68At(blockNumber: number): Uint8Array | undefined
  /** RLP of the receipts in form 69; undefined as well where the source has none. */
  receipts69At(blockNumber: number): Uint8Array | undefined
  /** Up to and with the block; 0 where the source does not say, or the block is not there. */
  totalDifficultyAt(blockNumber: number): bigint
}

/** How a chain is made from its blocks. */
export interface ServedChainOptions {
  /** RLP of the header of block 0, to be put in front with an empty body and no receipts. */
  readonly genesisHeader?: Uint8Array
  /** How many bytes of receipts in form 69 are kept ready; 64 MiB when not given. */
  readonly receipts69CacheBytes?: number
}

/**
 * Makes a chain of `blocks`. Throws {@link ChainFileInvalid} when there is no block at all or an
 * invariant of this module is broken.
 */
export const makeServedChain = (
  blocks: Iterable<SourceBlock>,
  options: ServedChainOptions = {},
): ServedChain => {
  const byNumber = new Map<number, HeldBlock>()
  if (options.genesisHeader !== undefined) add(byNumber, genesisBlock(options.genesisHeader))
  for (const block of blocks) add(byNumber, block)
  const numbers = [...byNumber.keys()].sort((a, b) => a - b)
  for (const number of numbers) checkLink(byNumber, number)
  return new MemoryChain(byNumber, numbers, options.receipts69CacheBytes ?? 64 * 1024 * 1024)
}

/**
 * The chain of `blocks` and of what lies below the lowest of them in `main`. Throws as
 * {@link makeServedChain} does: the blocks have to link to `main`.
 */
export const branchOff = (main: ServedChain, blocks: ReadonlyArray<SourceBlock>): ServedChain => {
  const first = Math.min(...blocks.map((block) => headerOf(block).number))
  const shared = main.numbers.filter((number) => number < first)
  const path = "the chain below the fork"
  const below = shared.map((number): SourceBlock => ({
    header: main.headerAt(number)!,
    body: main.bodyAt(number)!,
    receipts: main.receipts68At(number),
    totalDifficulty: main.totalDifficultyAt(number),
    path,
    offset: 0,
  }))
  return makeServedChain([...below, ...blocks])
}

/** The chain as it was when `head` was its last block; `head` is one of its blocks. */
export const upTo = (chain: ServedChain, head: number): ServedChain => {
  const header = chain.headerAt(head)
  const hash = chain.hashAt(head)
  if (header === undefined || hash === undefined) throw new RangeError(`there is no block ${head}`)
  const has = (number: number): boolean => number <= head && chain.has(number)
  return {
    firstBlock: chain.firstBlock,
    lastBlock: head,
    head: { number: head, hash, time: readHeader(header).timestamp },
    get numbers() {
      return chain.numbers.filter((number) => number <= head)
    },
    has,
    numberOf: (hashHex) => {
      const number = chain.numberOf(hashHex)
      return number !== undefined && has(number) ? number : undefined
    },
    hashAt: (number) => (has(number) ? chain.hashAt(number) : undefined),
    headerAt: (number) => (has(number) ? chain.headerAt(number) : undefined),
    bodyAt: (number) => (has(number) ? chain.bodyAt(number) : undefined),
    receipts68At: (number) => (has(number) ? chain.receipts68At(number) : undefined),
    receipts69At: (number) => (has(number) ? chain.receipts69At(number) : undefined),
    totalDifficultyAt: (number) => (has(number) ? chain.totalDifficultyAt(number) : 0n),
  }
}

const EMPTY_LIST = Uint8Array.of(0xc0)

interface HeldBlock {
  readonly source: SourceBlock
  readonly receipts: Uint8Array | undefined
  readonly hash: Uint8Array
  readonly parentHash: Uint8Array
  readonly timestamp: number
}

const genesisBlock = (header: Uint8Array): SourceBlock => {
  const path = "genesis"
  const { withdrawalsRoot, number } = headerOf({ header, path, offset: 0 })
  if (number !== 0) {
    throw new ChainFileInvalid({ path, offset: 0, reason: `block ${number} given as genesis` })
  }
  // From Shanghai on a body has a third list, be it empty.
  const body = Uint8Array.from(
    withdrawalsRoot === undefined ? [0xc2, 0xc0, 0xc0] : [0xc3, 0xc0, 0xc0, 0xc0],
  )
  return { header, body, receipts: EMPTY_LIST, path, offset: 0 }
}

const headerOf = (at: Pick<SourceBlock, "header" | "path" | "offset">): Header => {
  try {
    return readHeader(at.header)
  } catch (error) {
    throw asChainFileInvalid(at, error)
  }
}

const add = (byNumber: Map<number, HeldBlock>, source: SourceBlock): void => {
  const header = headerOf(source)
  const hash = keccak256(source.header)
  const there = byNumber.get(header.number)
  if (there !== undefined && !equalBytes(there.hash, hash)) {
    throw new ChainFileInvalid({
      path: source.path,
      offset: source.offset,
      reason: `block ${header.number} is ${toHex0x(hash)}, but ${there.source.path} has ${toHex0x(there.hash)}`,
    })
  }
  // An empty root says that there are no receipts, whatever the source kept.
  const empty = equalBytes(header.receiptsRoot, EMPTY_TRIE_ROOT)
  const receipts = source.receipts ?? (empty ? EMPTY_LIST : undefined)
  checkCounts(source, header.number, receipts)
  // The same block from a second file may bring the receipts that the first one lacked.
  if (there?.receipts !== undefined) return
  const { parentHash, timestamp } = header
  byNumber.set(header.number, { source, receipts, hash, parentHash, timestamp })
}

const checkCounts = (
  source: SourceBlock,
  number: number,
  receipts: Uint8Array | undefined,
): void => {
  try {
    const transactions = RlpReader.list(source.body).nextList().countRest()
    if (receipts === undefined) return
    const count = countReceipts(receipts)
    if (count === transactions) return
    throw new ChainFileInvalid({
      path: source.path,
      offset: source.offset,
      reason: `block ${number} has ${transactions} transactions and ${count} receipts`,
    })
  } catch (error) {
    throw asChainFileInvalid(source, error)
  }
}

const checkLink = (byNumber: ReadonlyMap<number, HeldBlock>, number: number): void => {
  const block = byNumber.get(number)!
  const parent = byNumber.get(number - 1)
  if (parent === undefined || equalBytes(parent.hash, block.parentHash)) return
  throw new ChainFileInvalid({
    path: block.source.path,
    offset: block.source.offset,
    reason: `block ${number} has the parent ${toHex0x(block.parentHash)}, but block ${number - 1} is ${toHex0x(parent.hash)}`,
  })
}

class MemoryChain implements ServedChain {
  readonly firstBlock: number
  readonly lastBlock: number
  readonly head: ChainHead
  readonly numbers: ReadonlyArray<number>
  readonly #blocks: ReadonlyMap<number, HeldBlock>
  readonly #byHash: ReadonlyMap<string, number>
  /** In the order of their last use, the oldest first. */
  readonly #receipts69 = new Map<number, Uint8Array>()
  readonly #cacheBytes: number
  #cachedBytes = 0

  constructor(
    blocks: ReadonlyMap<number, HeldBlock>,
    numbers: ReadonlyArray<number>,
    cacheBytes: number,
  ) {
    const firstBlock = numbers[0]
    const lastBlock = numbers.at(-1)
    if (firstBlock === undefined || lastBlock === undefined) {
      throw new ChainFileInvalid({
        path: "(no file)",
        offset: 0,
        reason: "a chain without a block",
      })
    }
    const last = blocks.get(lastBlock)!
    this.firstBlock = firstBlock
    this.lastBlock = lastBlock
    this.head = { number: lastBlock, hash: last.hash, time: last.timestamp }
    this.numbers = numbers
    this.#blocks = blocks
    this.#byHash = new Map([...blocks].map(([number, block]) => [toHex(block.hash), number]))
    this.#cacheBytes = cacheBytes
  }

  has(blockNumber: number): boolean {
    return this.#blocks.has(blockNumber)
  }

  numberOf(hashHex: string): number | undefined {
    return this.#byHash.get(hashHex)
  }

  hashAt(blockNumber: number): Uint8Array | undefined {
    return this.#blocks.get(blockNumber)?.hash
  }

  headerAt(blockNumber: number): Uint8Array | undefined {
    return this.#blocks.get(blockNumber)?.source.header
  }

  bodyAt(blockNumber: number): Uint8Array | undefined {
    return this.#blocks.get(blockNumber)?.source.body
  }

  receipts68At(blockNumber: number): Uint8Array | undefined {
    return this.#blocks.get(blockNumber)?.receipts
  }

  receipts69At(blockNumber: number): Uint8Array | undefined {
    const block = this.#blocks.get(blockNumber)
    if (block?.receipts === undefined) return undefined
    const cached = this.#receipts69.get(blockNumber)
    if (cached !== undefined) {
      this.#receipts69.delete(blockNumber)
      this.#receipts69.set(blockNumber, cached)
      return cached
    }
    const receipts = this.#convert(block.source, block.receipts)
    this.#keep(blockNumber, receipts)
    return receipts
  }

  totalDifficultyAt(blockNumber: number): bigint {
    return this.#blocks.get(blockNumber)?.source.totalDifficulty ?? 0n
  }

  #convert(source: SourceBlock, receipts: Uint8Array): Uint8Array {
    try {
      return receipts68To69(receipts)
    } catch (error) {
      throw asChainFileInvalid(source, error)
    }
  }

  #keep(blockNumber: number, receipts: Uint8Array): void {
    if (receipts.length > this.#cacheBytes) return
    this.#receipts69.set(blockNumber, receipts)
    this.#cachedBytes += receipts.length
    for (const [oldest, bytes] of this.#receipts69) {
      if (this.#cachedBytes <= this.#cacheBytes) return
      this.#receipts69.delete(oldest)
      this.#cachedBytes -= bytes.length
    }
  }
}
