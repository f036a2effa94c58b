/**
 * The messages of eth/68, eth/69 and eth/70 that history needs (devp2p `caps/eth.md`; EIP-7642 for
 * eth/69, EIP-7975 for eth/70). One place knows how a version differs from the others.
 *
 * In and out: payloads as RLP, without message code and compression. A decoded answer holds views
 * of its items into the payload, which are encoded RLP themselves; nothing below the items is
 * looked at, so that an answer costs one step per block. Whatever is wrong in a payload is an
 * {@link RlpError}, and its sender is to blame.
 */
import {
  encodeBytes,
  encodeList,
  encodeUint,
  listPrefix,
  RlpError,
  RlpReader,
} from "../domain/rlp.ts"
import { BreachError } from "./breach.ts"
import type { EthVersion } from "./hello.ts"

/** Message codes, relative to the offset of eth. */
export const ETH = {
  status: 0x00,
  newBlockHashes: 0x01,
  transactions: 0x02,
  getBlockHeaders: 0x03,
  blockHeaders: 0x04,
  getBlockBodies: 0x05,
  blockBodies: 0x06,
  newBlock: 0x07,
  newPooledTransactionHashes: 0x08,
  getPooledTransactions: 0x09,
  pooledTransactions: 0x0a,
  getReceipts: 0x0f,
  receipts: 0x10,
  blockRangeUpdate: 0x11,
} as const

/** The Status of eth/68. */
export interface Status68 {
  readonly version: 68
  readonly networkId: bigint
  readonly totalDifficulty: bigint
  /** 32 bytes. */
  readonly bestHash: Uint8Array
  /** 32 bytes. */
  readonly genesisHash: Uint8Array
  /** 4 bytes (EIP-2124). */
  readonly forkHash: Uint8Array
  readonly forkNext: bigint
}

/** The blocks that a peer says it serves: a hint, not a promise. */
export interface BlockRange {
  readonly earliestBlock: number
  readonly latestBlock: number
  /** 32 bytes. */
  readonly latestBlockHash: Uint8Array
}

/** The Status of eth/69 and eth/70. */
export interface Status69 extends BlockRange {
  readonly version: 69 | 70
  readonly networkId: bigint
  /** 32 bytes. */
  readonly genesisHash: Uint8Array
  /** 4 bytes (EIP-2124). */
  readonly forkHash: Uint8Array
  readonly forkNext: bigint
}

/** What both sides say of their chain before anything else. */
export type Status = Status68 | Status69

/** A Status payload. */
export const encodeStatus = (status: Status): Uint8Array => {
  const forkId = encodeList([encodeBytes(status.forkHash), encodeUint(status.forkNext)])
  const head = [encodeUint(status.version), encodeUint(status.networkId)]
  return status.version === 68
    ? encodeList([
        ...head,
        encodeUint(status.totalDifficulty),
        encodeBytes(status.bestHash),
        encodeBytes(status.genesisHash),
        forkId,
      ])
    : encodeList([...head, encodeBytes(status.genesisHash), forkId, ...rangeItems(status)])
}

/** Reads the Status that a peer sends on eth/`version`. */
export const decodeStatus = (version: EthVersion, payload: Uint8Array): Status => {
  const reader = RlpReader.list(payload)
  const said = reader.nextUint()
  if (said !== version) throw new RlpError(`status of eth/${said} on eth/${version}`, 0)
  const networkId = reader.nextBigUint()
  if (version === 68) {
    const totalDifficulty = reader.nextBigUint()
    const bestHash = reader.nextFixed(32).slice()
    const genesisHash = reader.nextFixed(32).slice()
    const forkId = decodeForkId(reader)
    reader.finish()
    return { version, networkId, totalDifficulty, bestHash, genesisHash, ...forkId }
  }
  const genesisHash = reader.nextFixed(32).slice()
  const forkId = decodeForkId(reader)
  const range = readRange(reader)
  reader.finish()
  return { version, networkId, genesisHash, ...forkId, ...range }
}

/** A BlockRangeUpdate payload (eth/69 and later). */
export const encodeBlockRangeUpdate = (range: BlockRange): Uint8Array =>
  encodeList(rangeItems(range))

/** Reads a BlockRangeUpdate. */
export const decodeBlockRangeUpdate = (payload: Uint8Array): BlockRange => {
  const reader = RlpReader.list(payload)
  const range = readRange(reader)
  reader.finish()
  return range
}

/** Which headers: `limit` of them from `start` on, `skip` blocks left out between two. */
export interface HeadersQuery {
  /** A block number, or a hash of 32 bytes. */
  readonly start: number | Uint8Array
  readonly limit: number
  readonly skip: number
  readonly reverse: boolean
}

/** A GetBlockHeaders payload. */
export const encodeGetBlockHeaders = (requestId: bigint, query: HeadersQuery): Uint8Array =>
  encodeList([
    encodeUint(requestId),
    encodeList([
      typeof query.start === "number" ? encodeUint(query.start) : encodeBytes(query.start),
      encodeUint(query.limit),
      encodeUint(query.skip),
      encodeUint(query.reverse ? 1 : 0),
    ]),
  ])

/** A GetBlockBodies payload. */
export const encodeGetBlockBodies = (
  requestId: bigint,
  hashes: ReadonlyArray<Uint8Array>,
): Uint8Array => encodeList([encodeUint(requestId), encodeList(hashes.map(encodeBytes))])

/**
 * A GetReceipts payload. `firstBlockReceiptIndex` says from which receipt of the first block on;
 * only eth/70 can say it.
 */
export const encodeGetReceipts = (
  version: EthVersion,
  requestId: bigint,
  hashes: ReadonlyArray<Uint8Array>,
  firstBlockReceiptIndex: number,
): Uint8Array =>
  version < 70
    ? encodeGetBlockBodies(requestId, hashes)
    : encodeList([
        encodeUint(requestId),
        encodeUint(firstBlockReceiptIndex),
        encodeList(hashes.map(encodeBytes)),
      ])

/** A request that a peer makes of us. Hashes are views of 32 bytes. */
export type EthRequest =
  | ({ readonly _tag: "GetBlockHeaders"; readonly requestId: bigint } & HeadersQuery)
  | {
      readonly _tag: "GetBlockBodies"
      readonly requestId: bigint
      readonly hashes: ReadonlyArray<Uint8Array>
    }
  | {
      readonly _tag: "GetReceipts"
      readonly requestId: bigint
      readonly hashes: ReadonlyArray<Uint8Array>
      readonly firstBlockReceiptIndex: number
    }

/** Reads a GetBlockHeaders. A limit above 2^53 - 1 or the like is broken RLP to us. */
export const decodeGetBlockHeaders = (payload: Uint8Array): EthRequest => {
  const reader = RlpReader.list(payload)
  const requestId = reader.nextBigUint(8)
  const query = reader.nextList()
  reader.finish()
  query.next()
  const isHash = !query.isList && query.end - query.start === 32
  const start = isHash ? query.payload() : startNumber(query)
  const limit = query.nextUint()
  const skip = query.nextUint()
  const reverse = query.nextUint() !== 0
  query.finish()
  return { _tag: "GetBlockHeaders", requestId, start, limit, skip, reverse }
}

/** Reads a GetBlockBodies. */
export const decodeGetBlockBodies = (payload: Uint8Array): EthRequest => {
  const reader = RlpReader.list(payload)
  const requestId = reader.nextBigUint(8)
  const hashes = readHashes(reader)
  return { _tag: "GetBlockBodies", requestId, hashes }
}

/** Reads a GetReceipts in the shape of eth/`version`. */
export const decodeGetReceipts = (version: EthVersion, payload: Uint8Array): EthRequest => {
  const reader = RlpReader.list(payload)
  const requestId = reader.nextBigUint(8)
  const firstBlockReceiptIndex = version < 70 ? 0 : reader.nextUint()
  const hashes = readHashes(reader)
  return { _tag: "GetReceipts", requestId, hashes, firstBlockReceiptIndex }
}

/** The id alone of any request or answer. */
export const decodeRequestId = (payload: Uint8Array): bigint =>
  RlpReader.list(payload).nextBigUint(8)

/** An answer: BlockHeaders, BlockBodies, or Receipts. */
export interface EthAnswer {
  readonly requestId: bigint
  /** A header, a body, or a list of a block's receipts each, as encoded RLP; views. */
  readonly items: Array<Uint8Array>
  /** The last list of receipts stops inside its block (eth/70); false for all else. */
  readonly lastBlockIncomplete: boolean
}

/** A BlockHeaders or BlockBodies payload, or one of PooledTransactions. */
export const encodeItems = (requestId: bigint, items: ReadonlyArray<Uint8Array>): Uint8Array =>
  encodeList([encodeUint(requestId), listPrefix(items), ...items])

/** A Receipts payload in the shape of eth/`version`; `lists` are encoded lists of receipts. */
export const encodeReceipts = (
  version: EthVersion,
  requestId: bigint,
  lists: ReadonlyArray<Uint8Array>,
  lastBlockIncomplete = false,
): Uint8Array =>
  version < 70
    ? encodeItems(requestId, lists)
    : encodeList([
        encodeUint(requestId),
        encodeUint(lastBlockIncomplete ? 1 : 0),
        listPrefix(lists),
        ...lists,
      ])

/** An answer of which only the id is read: who asked knows how much may follow. */
export interface AnswerHead {
  readonly requestId: bigint
  readonly lastBlockIncomplete: boolean
  /** Over the items. */
  readonly items: RlpReader
}

/** Reads the start of a BlockHeaders or a BlockBodies. */
export const beginItems = (payload: Uint8Array): AnswerHead => {
  const reader = RlpReader.list(payload)
  const requestId = reader.nextBigUint(8)
  return { requestId, lastBlockIncomplete: false, items: lastList(reader) }
}

/** Reads the start of a Receipts in the shape of eth/`version`. */
export const beginReceipts = (version: EthVersion, payload: Uint8Array): AnswerHead => {
  const reader = RlpReader.list(payload)
  const requestId = reader.nextBigUint(8)
  const lastBlockIncomplete = version < 70 ? false : reader.nextUint() !== 0
  return { requestId, lastBlockIncomplete, items: lastList(reader) }
}

/**
 * Reads the items of an answer. More than `mostItems` are a {@link BreachError}, before they take
 * memory: sixteen million empty lists fit an answer.
 */
export const readAnswer = (
  { requestId, lastBlockIncomplete, items: reader }: AnswerHead,
  mostItems: number,
): EthAnswer => {
  const items: Array<Uint8Array> = []
  while (!reader.done) {
    if (items.length >= mostItems) {
      throw new BreachError("wrong_answer", "more items than asked for")
    }
    reader.next()
    if (!reader.isList) throw new RlpError("expected a list", reader.itemStart)
    items.push(reader.item())
  }
  return { requestId, items, lastBlockIncomplete }
}

/** Reads a whole BlockHeaders or BlockBodies. */
export const decodeItems = (payload: Uint8Array, mostItems = Infinity): EthAnswer =>
  readAnswer(beginItems(payload), mostItems)

/** Reads a whole Receipts in the shape of eth/`version`. */
export const decodeReceipts = (
  version: EthVersion,
  payload: Uint8Array,
  mostItems = Infinity,
): EthAnswer => readAnswer(beginReceipts(version, payload), mostItems)

const rangeItems = (range: BlockRange): Array<Uint8Array> => [
  encodeUint(range.earliestBlock),
  encodeUint(range.latestBlock),
  encodeBytes(range.latestBlockHash),
]

const readRange = (reader: RlpReader): BlockRange => {
  const earliestBlock = reader.nextUint()
  const latestBlock = reader.nextUint()
  return { earliestBlock, latestBlock, latestBlockHash: reader.nextFixed(32).slice() }
}

const decodeForkId = (outer: RlpReader): { forkHash: Uint8Array; forkNext: bigint } => {
  const reader = outer.nextList()
  const forkHash = reader.nextFixed(4).slice()
  const forkNext = reader.nextBigUint(8)
  reader.finish()
  return { forkHash, forkNext }
}

/** The number in the item that `reader` stands on. */
const startNumber = (reader: RlpReader): number =>
  new RlpReader(reader.bytes, reader.itemStart, reader.end).nextUint()

const readHashes = (reader: RlpReader): Array<Uint8Array> => {
  const list = reader.nextList()
  reader.finish()
  const hashes: Array<Uint8Array> = []
  while (!list.done) hashes.push(list.nextFixed(32))
  return hashes
}

const lastList = (reader: RlpReader): RlpReader => {
  const list = reader.nextList()
  reader.finish()
  return list
}
