/**
 * Reads the stored chain for JSON-RPC: blocks by number and hash, transactions by hash, logs.
 *
 * In: numbers, hashes, filters. Out: the bytes of blocks as they were checked, and what follows from
 * them. The store's Layer is in `write/`; tests have one over blocks in memory.
 *
 * Invariants: each question is answered from one view of the store; what is not committed is not
 * there; nothing that is missing looks empty: who asks for logs of blocks that are not stored, or
 * for a transaction while some stored blocks are not indexed yet, is told so.
 */
import { Context, Data, type Effect } from "effect"
import type { ChainRules } from "../chain/chainRules.ts"
import type { BlockRange } from "../domain/blockRanges.ts"

/** A stored block: what the peers sent, and what it was checked against. */
export interface StoredBlock {
  readonly blockNumber: number
  /** keccak256 of `header`; 32 bytes. */
  readonly hash: Uint8Array
  /** RLP. */
  readonly header: Uint8Array
  /** RLP, `[transactions, uncles, withdrawals?]`. */
  readonly body: Uint8Array
  /** RLP, a list of receipts in the form of eth/69. */
  readonly receipts: Uint8Array
}

/** What the store holds now. */
export interface ChainExtent {
  /** All that is stored, rising, no two ranges touching. Empty: nothing is. */
  readonly ranges: ReadonlyArray<BlockRange>
  /** The lowest stored block; undefined in an empty store. */
  readonly earliest: number | undefined
  /** The end of the unbroken range that begins with `earliest`. */
  readonly latest: number | undefined
  /** The highest stored block, above a gap or not: what a client may call known. */
  readonly highest: number | undefined
  /** As a trusted head says, or the highest anchored block; undefined where there is neither. */
  readonly safe: number | undefined
  readonly finalized: number | undefined
}

/** Which logs: each condition holds when it is empty, or when one of its alternatives matches. */
export interface LogFilter {
  /** 20 bytes each. */
  readonly addresses: ReadonlyArray<Uint8Array>
  /** By position, at most 4; 32 bytes each. A log with fewer topics than conditions does not match. */
  readonly topics: ReadonlyArray<ReadonlyArray<Uint8Array>>
}

/** A log and where it stands. */
export interface StoredLog {
  readonly blockNumber: number
  readonly blockHash: Uint8Array
  /** Seconds. */
  readonly blockTimestamp: number
  readonly transactionHash: Uint8Array
  readonly transactionIndex: number
  /** Counted through the block. */
  readonly logIndex: number
  readonly address: Uint8Array
  readonly topics: ReadonlyArray<Uint8Array>
  readonly data: Uint8Array
}

/** Where a transaction stands. */
export interface TransactionPlace {
  readonly blockNumber: number
  readonly transactionIndex: number
}

/** A row of `reorgs`: blocks `fromBlock` to `toBlock` were replaced. */
export interface StoredReorg {
  readonly reorgId: number
  readonly fromBlock: number
  readonly toBlock: number
  readonly oldHash: Uint8Array
  readonly newHash: Uint8Array
}

/** The store cannot be read, or what is in it was damaged. Nobody who asks is to blame. */
export class ReadFailed extends Data.TaggedError("ReadFailed")<{
  /** One line. */
  readonly reason: string
}> {}

/** The answer is not known yet: some stored blocks are not indexed. */
export class IndexBehind extends Data.TaggedError("IndexBehind")<{
  /** Stored blocks that the index does not cover. */
  readonly blocks: number
}> {}

/** More logs match than may be given, or more bytes of them. */
export class TooManyLogs extends Data.TaggedError("TooManyLogs")<{
  /** So many and more match. */
  readonly limit: number
  /** A part of the range, from its start, that stays within the limit: at least one block. */
  readonly fits: BlockRange
}> {}

/** The query took longer than it may. */
export class QueryTooSlow extends Data.TaggedError("QueryTooSlow")<{
  readonly limitMs: number
}> {}

/** A block of the range is not stored. */
export class NotStored extends Data.TaggedError("NotStored")<{
  /** The first that is missing. */
  readonly blockNumber: number
}> {}

/** What a query of logs may give and take. */
export interface LogsLimits {
  readonly results: number
  readonly bytes: number
  readonly ms: number
}

/** See the module. */
export interface ChainReaderShape {
  /** Of the store's own notes. */
  readonly chain: {
    readonly chainId: number
    /** As the store was made for: `mainnet`, … */
    readonly network: string
    readonly genesisHash: Uint8Array
    /** As `chainRulesOf` takes them from the notes. */
    readonly rules: ChainRules
  }
  readonly extent: Effect.Effect<ChainExtent, ReadFailed>
  /** A number that rises with every commit of whoever writes; cheap enough to be asked often. */
  readonly version: Effect.Effect<number, ReadFailed>
  readonly numberOf: (hash: Uint8Array) => Effect.Effect<number | undefined, ReadFailed>
  readonly blockAt: (blockNumber: number) => Effect.Effect<StoredBlock | undefined, ReadFailed>
  /** Hash and RLP of a header alone. */
  readonly headerAt: (
    blockNumber: number,
  ) => Effect.Effect<Pick<StoredBlock, "blockNumber" | "hash" | "header"> | undefined, ReadFailed>
  readonly placeOf: (
    transactionHash: Uint8Array,
  ) => Effect.Effect<TransactionPlace | undefined, ReadFailed | IndexBehind>
  /**
   * The matching logs of a range, both ends inclusive, in the order of the chain. `bytes`: of their
   * texts, as `logTextBytes` counts them; `ms`: of the whole query. A single block is never too much.
   */
  readonly logs: (
    filter: LogFilter,
    range: BlockRange,
    limits: LogsLimits,
  ) => Effect.Effect<ReadonlyArray<StoredLog>, ReadFailed | NotStored | TooManyLogs | QueryTooSlow>
  /** Reorganisations with a higher id than the one given, in their order. */
  readonly reorgsAfter: (reorgId: number) => Effect.Effect<ReadonlyArray<StoredReorg>, ReadFailed>
}

/** See {@link ChainReaderShape}. */
export class ChainReader extends Context.Tag("annals/ChainReader")<
  ChainReader,
  ChainReaderShape
>() {}
