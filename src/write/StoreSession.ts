/**
 * An open store on the calling thread: the database and all that can be done with it, by what it
 * was opened for. `Store.ts` gives it to the program, here or from a thread of its own.
 */
import { Effect, type Scope } from "effect"
import type { BlockRange } from "../domain/blockRanges.ts"
import type { PeerRecord } from "../peers/peerCacheFile.ts"
import type { BlockPayload } from "./rows.ts"
import { openDatabase } from "./StoreDatabase.ts"
import type { StoreError } from "./StoreError.ts"
import type {
  OpenOptions,
  Opened,
  Replacement,
  ReplaceResult,
  StoreProgress,
  StoreStatus,
  TablesReport,
  TablesRequest,
  TrustedHash,
  VerifyReport,
  WriteResult,
} from "./storeProtocol.ts"
import { readPeers, writePeers } from "./StorePeers.ts"
import { readHashes } from "./StoreRows.ts"
import { readStatus } from "./StoreStatus.ts"
import { buildTables } from "./StoreTables.ts"
import { verifyStore } from "./StoreVerify.ts"
import { makeWriting } from "./StoreWriting.ts"

/** Is told how far a long request is. */
export type OnProgress = (progress: StoreProgress) => void

/** See the module. A store that was opened to be read can neither write nor build. */
export interface StoreSession {
  readonly opened: Opened
  readonly write: (blocks: ReadonlyArray<BlockPayload>) => Effect.Effect<WriteResult, StoreError>
  readonly replace: (replacement: Replacement) => Effect.Effect<ReplaceResult, StoreError>
  readonly hashes: (range: BlockRange) => Effect.Effect<ReadonlyArray<TrustedHash>, StoreError>
  readonly flush: Effect.Effect<void, StoreError>
  readonly status: Effect.Effect<StoreStatus, StoreError>
  readonly verify: (onProgress: OnProgress) => Effect.Effect<VerifyReport, StoreError>
  readonly buildTables: (
    request: TablesRequest,
    onProgress: OnProgress,
  ) => Effect.Effect<TablesReport, StoreError>
  readonly readPeers: Effect.Effect<ReadonlyArray<PeerRecord>, StoreError>
  readonly writePeers: (peers: ReadonlyArray<PeerRecord>) => Effect.Effect<void, StoreError>
}

/** Opens a store until the scope ends, which commits, checkpoints and closes it. */
export const openSession = Effect.fn("Store.open")(function* (
  options: OpenOptions,
): Effect.fn.Return<StoreSession, StoreError, Scope.Scope> {
  const database = yield* openDatabase(options)
  const readers = {
    status: readStatus(database),
    readPeers: readPeers(database),
    verify: (onProgress: OnProgress) => verifyStore(database, onProgress),
  }
  if (options.purpose.kind === "read") {
    const refuse = Effect.dieMessage("this store was opened to be read")
    const databaseBytes = yield* database.sizeBytes
    return {
      ...readers,
      opened: { covered: {}, lessChecked: [], removed: [], databaseBytes },
      write: () => refuse,
      replace: () => refuse,
      hashes: (range) => readHashes(database, range),
      flush: refuse,
      buildTables: () => refuse,
      writePeers: () => refuse,
    }
  }
  const writing = yield* makeWriting(database, options)
  const { opened, write, replace, flush, outsideTransactions, transact } = writing
  return {
    opened,
    write,
    replace,
    hashes: (range) => outsideTransactions(readHashes(database, range)),
    flush,
    status: outsideTransactions(readers.status),
    readPeers: readers.readPeers,
    writePeers: (peers) => transact(writePeers(database, peers)),
    verify: (onProgress) => outsideTransactions(readers.verify(onProgress)),
    buildTables: (request, onProgress) =>
      buildTables(database, writing, options, request, onProgress),
  }
})
