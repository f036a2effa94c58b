/**
 * A store that is open for reading, on the calling thread: blocks by number and by hash.
 *
 * Invariants: a connection of its own, which can write nothing, so that in WAL mode neither waits
 * for the writer; each question is answered from one view of the database, and no view outlives its
 * question, so that the write-ahead log can be reset; what is not committed is not there.
 */
import { Cause, Effect, Exit, type Scope } from "effect"
import { BlockRanges, type BlockRange } from "../domain/blockRanges.ts"
import { receipts69To68 } from "../domain/receipts.ts"
import { RlpError } from "../domain/rlp.ts"
import {
  type AnswerLimits,
  bodiesOf,
  headersFrom,
  type HistorySource,
  receiptsOf,
  type ReceiptsQuery,
} from "../serving/answers.ts"
import type { HeadersQuery } from "../wire/ethMessages.ts"
import { unpackParts } from "./payloadCodec.ts"
import { BLOCK_BY_HASH } from "./schema.ts"
import { openDatabase, type StoreDatabase } from "./StoreDatabase.ts"
import { StoreError } from "./StoreError.ts"
import { commitDefaults } from "./storeProtocol.ts"
import { bytesAt, numberAt, type Row } from "./storedValues.ts"

type Items = Effect.Effect<ReadonlyArray<Uint8Array>, StoreError>

/** See the module; what the calls mean is in `serving/HistoryReader.ts`. */
export interface ReaderSession {
  readonly headers: (query: HeadersQuery, limits: AnswerLimits) => Items
  readonly bodies: (hashes: ReadonlyArray<Uint8Array>, limits: AnswerLimits) => Items
  readonly receipts: (query: ReceiptsQuery, limits: AnswerLimits) => Items
  readonly held: Effect.Effect<ReadonlyArray<BlockRange>, StoreError>
}

/** Opens the store in a directory until the scope ends. Fails when there is none. */
export const openReaderSession = Effect.fn("StoreReader.open")(function* (
  directory: string,
): Effect.fn.Return<ReaderSession, StoreError, Scope.Scope> {
  const database = yield* openDatabase({ directory, purpose: { kind: "read" }, ...commitDefaults })
  const source = sourceOf(database)
  const read = <A>(body: () => A): Effect.Effect<A, StoreError> =>
    database.snapshot(
      Effect.try({ try: body, catch: (error) => error }).pipe(
        Effect.catchAll((error) =>
          error instanceof StoreError ? Effect.fail(error) : Effect.die(error),
        ),
      ),
    )
  return {
    headers: (query, limits) => read(() => headersFrom(source, query, limits)),
    bodies: (hashes, limits) => read(() => bodiesOf(source, hashes, limits)),
    receipts: (query, limits) => read(() => receiptsOf(source, query, limits)),
    held: Effect.map(
      database.rows("SELECT from_block, to_block FROM coverage WHERE dataset = 'payloads'"),
      (rows) => [
        ...BlockRanges.fromRanges(
          rows.map((row) => [numberAt(row, 0), numberAt(row, 1)] as const),
        ).ranges(),
      ],
    ),
  }
})

/** The database as a source that answers at once; what fails there is thrown. */
const sourceOf = (database: StoreDatabase): HistorySource => {
  const firstRow = (sql: string, values: ReadonlyArray<number | Uint8Array>): Row | undefined => {
    // SQLite answers on this very thread: there is nothing to wait for.
    const answer = Effect.runSyncExit(database.rows(sql, values))
    if (Exit.isSuccess(answer)) return answer.value[0]
    throw Cause.squash(answer.cause)
  }
  const header = (blockNumber: number): Uint8Array | undefined => {
    const row = firstRow("SELECT header FROM payloads WHERE block_number = ?", [blockNumber])
    return row && bytesAt(row, 0)
  }
  /** None where what is stored was damaged. */
  const part = (name: "body" | "receipts", blockNumber: number): Uint8Array | undefined => {
    const sql = "SELECT body, receipts, codec FROM payloads WHERE block_number = ?"
    const row = firstRow(sql, [blockNumber])
    if (row === undefined) return undefined
    const packed = { body: bytesAt(row, 0), receipts: bytesAt(row, 1), codec: numberAt(row, 2) }
    return unpackParts(packed)?.[name]
  }
  return {
    numberOf: (hash) => {
      const row = firstRow(BLOCK_BY_HASH, [hash, hash])
      return row && numberAt(row, 0)
    },
    headerAt: header,
    bodyAt: (blockNumber) => part("body", blockNumber),
    receiptsAt: (blockNumber, form) => {
      const receipts = part("receipts", blockNumber)
      return form === 69 || receipts === undefined ? receipts : inForm68(receipts)
    },
  }
}

/** None where what is stored was damaged since it was checked. */
const inForm68 = (receipts: Uint8Array): Uint8Array | undefined => {
  try {
    return receipts69To68(receipts)
  } catch (error) {
    if (error instanceof RlpError) return undefined
    throw error
  }
}
