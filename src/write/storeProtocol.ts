/**
 * What the store is asked and what it answers, as plain data: the same whether it runs in a thread
 * of its own or in the caller's.
 *
 * Requests carry an id; each gets one reply with that id, in any order, and possibly progress
 * before it. The blocks of a write are views of buffers that go along with the message and do not
 * come back: what stays of them is in the database when the reply comes.
 */
import type { BlockRange } from "../domain/blockRanges.ts"
import type { PeerRecord } from "../peers/peerCacheFile.ts"
import type { RefusalReason, Removal } from "./segments.ts"
import type { BlockPayload } from "./rows.ts"
import type { StoreFailure } from "./StoreError.ts"
import type { OptionalTable } from "./tables.ts"

/** A hash that the user or the program trusts; 32 bytes. */
export interface TrustedHash {
  readonly blockNumber: number
  readonly hash: Uint8Array
}

/** How a store is opened. */
export interface OpenOptions {
  /** The directory that holds `annals.db`; made when it is not there and the store is written. */
  readonly directory: string
  /** What the store is opened for: to fetch into, to build tables from, or to read. */
  readonly purpose: SyncPurpose | { readonly kind: "tables" } | { readonly kind: "read" }
  /** When a transaction is committed: at the first of the three. */
  readonly commitBlocks: number
  readonly commitBytes: number
  readonly commitAfterMs: number
}

/** What a sync wants of a store. */
export interface SyncPurpose {
  readonly kind: "sync"
  /** `mainnet`, … or the path of a genesis.json; for the reader, not for comparison. */
  readonly network: string
  readonly chainId: bigint
  /** 32 bytes. */
  readonly genesisHash: Uint8Array
  /** What `chainRulesText` says of the chain, for whoever reads the store without its genesis.json. */
  readonly chainRules?: string
  /** Rows to keep beside payloads. */
  readonly tables: ReadonlyArray<OptionalTable>
  /** Names of the checks that every block passed before it comes. */
  readonly checks: ReadonlyArray<string>
  /** Beside genesis, which is always trusted. */
  readonly trusted: ReadonlyArray<TrustedHash>
  /** How hard payloads are packed, by `payloadCodec.ts`; its default where none is given. */
  readonly compressionLevel?: number
}

/** Limits of a transaction where nothing else is asked for: the contract's. */
export const commitDefaults = {
  commitBlocks: 100,
  commitBytes: 32 * 1024 * 1024,
  commitAfterMs: 1_000,
} as const

/** The name of the database in its directory. */
export const DATABASE_FILE = "annals.db"

/** What a store holds when it is opened: the ranges of each dataset, by its name. */
export interface Opened {
  readonly covered: Readonly<Record<string, ReadonlyArray<BlockRange>>>
  /** Stored blocks that were not checked for all that this run checks for. */
  readonly lessChecked: ReadonlyArray<BlockRange>
  /** Blocks that newly trusted hashes refuted; they are gone. */
  readonly removed: ReadonlyArray<Removal>
  readonly databaseBytes: number
}

/** A block that was not taken in. */
export interface Refusal {
  readonly blockNumber: number
  /**
   * As the segments say; `displaced`: it was in, and went before its transaction was committed,
   * since a later block showed it, or a neighbour, to be wrong; `unreadable`: what passed the
   * checks that were asked for is no block all the same.
   */
  readonly reason: RefusalReason | "displaced" | "unreadable"
  /** Whether its sender is to blame. */
  readonly proven: boolean
  /** Heights of the blocks that had to go for it although nobody knows who is right. */
  readonly putOut: ReadonlyArray<number>
  /** Hashes; none for `displaced` and `unreadable`. */
  readonly expected: Uint8Array | undefined
  readonly actual: Uint8Array | undefined
}

/** What became of the blocks of one write; it comes once those that stay are committed. */
export interface WriteResult {
  /** In the database now, those included that were there before. */
  readonly committed: ReadonlyArray<BlockRange>
  /** How many of them were there before. */
  readonly alreadyStored: number
  readonly refused: ReadonlyArray<Refusal>
  /** Blocks of earlier writes that had to go; they are to be fetched again. */
  readonly removed: ReadonlyArray<Removal>
  /** What it put in. */
  readonly transactions: number
  readonly logs: number
  readonly timings: WriteTimings
  /** The database with its write-ahead log. */
  readonly databaseBytes: number
}

/** Where the time of a write went, in milliseconds of the store's thread. */
export interface WriteTimings {
  readonly rowsMs: number
  readonly insertMs: number
  /** Its share of the transactions that it was in, by blocks. */
  readonly commitMs: number
}

/** What a trusted head says of blocks below it. */
export interface TrustedMarks {
  readonly safe: TrustedHash | undefined
  readonly finalized: TrustedHash | undefined
}

/**
 * Blocks that take the place of all that is stored above another one, in one transaction; those of them
 * that are stored already stay as they are. An extension is a replacement of nothing; without blocks only the marks are noted.
 */
export interface Replacement {
  /** The block that stays; one below the first of `blocks`. */
  readonly ancestor: number
  /** Its hash, 32 bytes; undefined where it is not to be stored: the blocks begin the store. */
  readonly ancestorHash: Uint8Array | undefined
  /** Checked, rising without a gap from the ancestor's child on, each the child of the one before. */
  readonly blocks: ReadonlyArray<BlockPayload>
  /** When it was noticed that the chain went another way, in Unix ms: a row of `reorgs` is written. */
  readonly noticedAtMs: number | undefined
  readonly marks: TrustedMarks
}

/** What became of a replacement. Refused: nothing has changed. */
export type ReplaceResult =
  | {
      readonly outcome: "done"
      /** What was taken out of the run above the ancestor; undefined when nothing was. */
      readonly removed: BlockRange | undefined
      /** All that was taken out, rising: with pieces above the run that did not fit the new blocks. */
      readonly gone: ReadonlyArray<BlockRange>
      /** What it put in. */
      readonly transactions: number
      readonly logs: number
      readonly databaseBytes: number
    }
  | {
      readonly outcome: "refused"
      /**
       * `ancestor`: it is not stored, or has another hash; `anchored`: a block that would go is
       * anchored; `trusted_hash`: another hash is trusted at that height; `links`: the blocks are not
       * each other's children; `unreadable`: a block is none.
       */
      readonly reason: "ancestor" | "anchored" | "trusted_hash" | "links" | "unreadable"
      readonly blockNumber: number
    }

/** How much a store holds. */
export interface StoreStatus {
  readonly network: string
  readonly chainId: string
  readonly genesisHash: string
  readonly schema: number
  readonly blocks: number
  /** Of `blocks`: a trusted hash links down to them; a stored neighbour links; neither. */
  readonly anchored: number
  readonly linked: number
  readonly alone: number
  readonly transactions: number
  readonly logs: number
  readonly databaseBytes: number
  readonly datasets: ReadonlyArray<DatasetStatus>
}

/** The blocks of one dataset. */
export interface DatasetStatus {
  readonly name: string
  readonly blocks: number
  /** What it has, neighbours joined whatever their checks. */
  readonly ranges: ReadonlyArray<BlockRange>
  /** Between the first and the last block that is stored. */
  readonly gaps: ReadonlyArray<BlockRange>
}

/** Something that is not as it must be. */
export interface Damage {
  readonly blockNumber: number
  /** The table, the root or the field that is wrong. */
  readonly what: string
  readonly expected: string
  readonly actual: string
}

/** What `verify` found. */
export interface VerifyReport {
  readonly blocks: number
  readonly transactions: number
  readonly logs: number
  /** Rows of tables that were held against their payloads. */
  readonly rows: number
  /** How much is wrong, and the first of it. */
  readonly damageCount: number
  readonly damages: ReadonlyArray<Damage>
}

/** Which tables to build from payloads. Hex is lower case without 0x. */
export interface TablesRequest {
  readonly tables: ReadonlyArray<OptionalTable>
  /** For `logs`; both empty: all logs. */
  readonly addresses: ReadonlyArray<string>
  readonly topic0s: ReadonlyArray<string>
  /** Recover the senders of the transactions whose rows are, or come to be, there. */
  readonly senders: boolean
  readonly startBlock: number
  /** Infinity: to the last one. */
  readonly endBlock: number
}

/** What was built. */
export interface TablesReport {
  /** Blocks whose rows were missing and are there now. */
  readonly blocks: number
  readonly rows: number
  /** Transactions whose sender was filled in. */
  readonly senders: number
  /** Blocks whose payload is not stored, of a range that was given an end. */
  readonly missing: ReadonlyArray<BlockRange>
}

/** How far a long request is. */
export interface StoreProgress {
  readonly done: number
  readonly total: number
}

/** What can be asked, by its name. */
export interface StoreCalls {
  readonly open: { readonly request: OpenOptions; readonly reply: Opened }
  readonly write: { readonly request: ReadonlyArray<BlockPayload>; readonly reply: WriteResult }
  readonly replace: { readonly request: Replacement; readonly reply: ReplaceResult }
  /** Numbers and hashes of the stored blocks of a range, rising; both ends inclusive. */
  readonly hashes: { readonly request: BlockRange; readonly reply: ReadonlyArray<TrustedHash> }
  readonly flush: { readonly request: null; readonly reply: null }
  readonly status: { readonly request: null; readonly reply: StoreStatus }
  readonly verify: { readonly request: null; readonly reply: VerifyReport }
  readonly buildTables: { readonly request: TablesRequest; readonly reply: TablesReport }
  /** The peer cache, in no order. */
  readonly readPeers: { readonly request: null; readonly reply: ReadonlyArray<PeerRecord> }
  /** Replaces the peer cache. */
  readonly writePeers: { readonly request: ReadonlyArray<PeerRecord>; readonly reply: null }
  readonly close: { readonly request: null; readonly reply: null }
}

/** The name of something that can be asked. */
export type StoreCallName = keyof StoreCalls

/** A message to the store's thread. */
export type StoreRequest =
  | {
      [Name in StoreCallName]: {
        readonly id: number
        readonly call: Name
        readonly argument: StoreCalls[Name]["request"]
      }
    }[StoreCallName]
  /** Nobody waits for the reply of `id` any longer: it may end early, and gets no reply. */
  | { readonly id: number; readonly call: "cancel" }

/** A message from the store's thread. */
export type StoreReply =
  | {
      readonly id: number
      readonly kind: "done"
      readonly value: StoreCalls[StoreCallName]["reply"]
    }
  | {
      readonly id: number
      readonly kind: "failed"
      readonly path: string
      readonly failure: StoreFailure
    }
  /** A bug: the thread can go on no longer. */
  | { readonly id: number; readonly kind: "died"; readonly message: string }
  | { readonly id: number; readonly kind: "progress"; readonly progress: StoreProgress }
