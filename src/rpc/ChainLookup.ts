/**
 * From what a client calls a block or a transaction to what the store holds of it.
 *
 * In: names, hashes. Out: stored blocks; undefined for what is unknown: a hash, a number above the
 * highest stored block. An {@link RpcError} for what is part of the chain and not stored (4444), for
 * tags that stand for no block, and for a store that cannot be read.
 *
 * Invariant: what is found by a hash has that hash, also when the chain was changed between two
 * looks at the store.
 */
import { Effect } from "effect"
import { equalBytes } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { RlpError } from "../domain/rlp.ts"
import { transactionBytes } from "./blockObject.ts"
import {
  type ChainExtent,
  ChainReader,
  type IndexBehind,
  type ReadFailed,
  type StoredBlock,
  type TransactionPlace,
} from "./ChainReader.ts"
import type { BlockName, BlockRef } from "./params.ts"
import { prunedHistory, rpcCodes, RpcError, unknownBlock } from "./rpcError.ts"

/** A transaction that was found. */
export interface FoundTransaction {
  readonly block: StoredBlock
  readonly index: number
  /** As its hash takes them (EIP-2718). */
  readonly bytes: Uint8Array
}

/**
 * What `run` gives; an {@link RpcError} when it throws one, or when it meets stored bytes that are
 * none of a block. Anything else that it throws is a defect.
 */
export const attempt = <A>(run: () => A): Effect.Effect<A, RpcError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (error) {
      if (error instanceof RpcError) return Effect.fail(error)
      if (error instanceof RlpError) return Effect.fail(unreadable())
      throw error
    }
  })

/** A look at the store, its failures in the client's words. */
export const reading = <A, R>(
  effect: Effect.Effect<A, ReadFailed, R>,
): Effect.Effect<A, RpcError, R> => Effect.mapError(effect, unreadable)

/** The number that a name stands for now. Source: execution-apis, `BlockTag`. */
export const numberNamed = (
  name: BlockName,
  extent: ChainExtent,
): Effect.Effect<number, RpcError> => {
  if (typeof name === "number") return Effect.succeed(name)
  // What would be mined next is nothing that a store of history has.
  const number = extent[name === "pending" ? "latest" : name]
  return number === undefined ? Effect.fail(unknownBlock()) : Effect.succeed(number)
}

/** The block that a client means. */
export const findBlock = (
  ref: BlockRef,
): Effect.Effect<StoredBlock | undefined, RpcError, ChainReader> =>
  Effect.flatMap(ChainReader, (reader) => find(ref, reader.blockAt))

/** As {@link findBlock}, where the header is enough. */
export const findHeader = (
  ref: BlockRef,
): Effect.Effect<Pick<StoredBlock, "hash" | "header"> | undefined, RpcError, ChainReader> =>
  Effect.flatMap(ChainReader, (reader) => find(ref, reader.headerAt))

/** The transaction with this hash; undefined when no stored block has it. */
export const findTransaction = Effect.fnUntraced(function* (hash: Uint8Array) {
  // A block may be replaced between the index and the block: then the index knows better already.
  for (let look = 0; look < LOOKS; look++) {
    const place = yield* placeOf(hash)
    if (place === undefined) return undefined
    const found: FoundTransaction | undefined = yield* transactionAt(place)
    if (found !== undefined && equalBytes(keccak256(found.bytes), hash)) return found
  }
  return undefined
})

const LOOKS = 2

const unreadable = (): RpcError =>
  new RpcError(rpcCodes.internalError, "the stored history cannot be read")

const placeOf = (
  hash: Uint8Array,
): Effect.Effect<TransactionPlace | undefined, RpcError, ChainReader> =>
  Effect.flatMap(ChainReader, (reader) => reader.placeOf(hash)).pipe(
    Effect.mapError((error: ReadFailed | IndexBehind) =>
      error._tag === "IndexBehind"
        ? new RpcError(rpcCodes.serverError, "transaction indexing is in progress")
        : unreadable(),
    ),
  )

const transactionAt = Effect.fnUntraced(function* ({
  blockNumber,
  transactionIndex,
}: TransactionPlace) {
  const reader = yield* ChainReader
  const block = yield* reading(reader.blockAt(blockNumber))
  if (block === undefined) return undefined
  const bytes = yield* attempt(() => transactionBytes(block, transactionIndex))
  return bytes && { block, index: transactionIndex, bytes }
})

/** What `at` has of the block that a client means. */
const find = <A extends Pick<StoredBlock, "hash">>(
  ref: BlockRef,
  at: (blockNumber: number) => Effect.Effect<A | undefined, ReadFailed>,
): Effect.Effect<A | undefined, RpcError, ChainReader> =>
  "hash" in ref ? findHash(ref.hash, at) : findName(ref.name, at)

const findHash = Effect.fnUntraced(function* <A extends Pick<StoredBlock, "hash">>(
  hash: Uint8Array,
  at: (blockNumber: number) => Effect.Effect<A | undefined, ReadFailed>,
) {
  const reader = yield* ChainReader
  const number = yield* reading(reader.numberOf(hash))
  if (number === undefined) return undefined
  const found = yield* reading(at(number))
  return found !== undefined && equalBytes(found.hash, hash) ? found : undefined
})

const findName = Effect.fnUntraced(function* <A>(
  name: BlockName,
  at: (blockNumber: number) => Effect.Effect<A | undefined, ReadFailed>,
) {
  const reader = yield* ChainReader
  const number =
    typeof name === "number"
      ? name
      : yield* Effect.flatMap(reading(reader.extent), (extent) => numberNamed(name, extent))
  const found = yield* reading(at(number))
  if (found !== undefined) return found
  const { highest } = yield* reading(reader.extent)
  if (highest === undefined || number > highest) return undefined
  // It may have been stored since the first look.
  const since = yield* reading(at(number))
  return since ?? (yield* Effect.fail(prunedHistory()))
})
