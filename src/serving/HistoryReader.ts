/**
 * Reads the history that this program holds, for the peers that ask for it.
 *
 * In: block numbers and hashes, with limits that the caller gives. Out: the bytes of headers,
 * bodies and receipts as the peers sent them and as they were checked. The store's Layers are in
 * `write/StoreReader.ts`; a program without a store has {@link HistoryReader.layerNone}.
 */
import { Context, Data, Effect, Layer } from "effect"
import type { BlockRange } from "../domain/blockRanges.ts"
import type { HeadersQuery } from "../wire/ethMessages.ts"
import {
  type AnswerLimits,
  bodiesOf,
  headersFrom,
  type HistorySource,
  receiptsOf,
  type ReceiptsQuery,
} from "./answers.ts"

/** What is held cannot be read (any more); no peer is to blame. */
export class HistoryUnavailable extends Data.TaggedError("HistoryUnavailable")<{
  /** One line. */
  readonly reason: string
}> {
  override get message(): string {
    return this.reason
  }
}

type Items = Effect.Effect<ReadonlyArray<Uint8Array>, HistoryUnavailable>

/** See the module. What is not held is left out of an answer; see `answers.ts`. */
export interface HistoryReaderShape {
  /** Headers by number or hash, forwards or backwards, up to the first that is not held. */
  readonly headers: (query: HeadersQuery, limits: AnswerLimits) => Items
  /** Bodies, `[transactions, uncles, withdrawals?]`, in the order of their hashes. */
  readonly bodies: (hashes: ReadonlyArray<Uint8Array>, limits: AnswerLimits) => Items
  /** One list of receipts a block, in the order of their hashes. */
  readonly receipts: (query: ReceiptsQuery, limits: AnswerLimits) => Items
  /** The blocks that are held, rising, no two ranges touching. */
  readonly held: Effect.Effect<ReadonlyArray<BlockRange>, HistoryUnavailable>
}

/** See {@link HistoryReaderShape}. */
export class HistoryReader extends Context.Tag("annals/HistoryReader")<
  HistoryReader,
  HistoryReaderShape
>() {
  /** Holds nothing. */
  static readonly layerNone: Layer.Layer<HistoryReader> = Layer.succeed(HistoryReader, {
    headers: () => Effect.succeed([]),
    bodies: () => Effect.succeed([]),
    receipts: () => Effect.succeed([]),
    held: Effect.succeed([]),
  })

  /** Reads from memory, for tests. */
  static readonly layerMemory = (
    source: HistorySource,
    held: ReadonlyArray<BlockRange>,
  ): Layer.Layer<HistoryReader> =>
    Layer.succeed(HistoryReader, {
      headers: (query, limits) => Effect.sync(() => headersFrom(source, query, limits)),
      bodies: (hashes, limits) => Effect.sync(() => bodiesOf(source, hashes, limits)),
      receipts: (query, limits) => Effect.sync(() => receiptsOf(source, query, limits)),
      held: Effect.succeed(held),
    })
}
