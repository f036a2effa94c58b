/**
 * The long questions: logs of a range, and where a transaction stands.
 *
 * In: a {@link ChainView} and the question. Out: generators that stop after each piece of work that
 * may take a millisecond, and give the answer at the end: whoever runs them decides when to go on.
 *
 * A sealed part of a range is asked of the index; of the other blocks the blooms are read. Each
 * block that is left is read whole, and each of its logs is held against the filter.
 *
 * Invariants: what they give is exact; what they cost grows with the matches, and with the blocks
 * that are not indexed. They throw what the questions fail with, and what a view throws.
 */
import { BlockRanges, type BlockRange } from "../domain/blockRanges.ts"
import { equalBytes } from "../domain/hex.ts"
import { RlpError } from "../domain/rlp.ts"
import {
  IndexBehind,
  type LogFilter,
  NotStored,
  type StoredLog,
  TooManyLogs,
  type TransactionPlace,
} from "../rpc/ChainReader.ts"
import { logTextBytes } from "../rpc/logObject.ts"
import { placesOf } from "./chainIndex/chainIndexRuns.ts"
import {
  compileFilter,
  type CompiledFilter,
  matchLogs,
  mayMatch,
  transactionHashAt,
} from "./chainReaderMatch.ts"
import type { RecentTransactions } from "./chainReaderRecent.ts"
import { type ChainView, damagedPayload, passingRoom, unpackBlock } from "./ChainReaderView.ts"
import { numberAt } from "./storedValues.ts"

/** A question that is answered in slices. */
export type Sliced<A> = Generator<void, A>

/** Packed blocks that are read with one statement: some 1.6 MB of mainnet's shape. */
const BLOCKS_AT_ONCE = 16
const BLOOMS_AT_ONCE = 256

/** The matching logs of a range, in the order of the chain. */
export function* scanLogs(
  view: ChainView,
  filter: LogFilter,
  range: BlockRange,
  most: { readonly results: number; readonly bytes: number },
): Sliced<ReadonlyArray<StoredLog>> {
  const missing = view.firstMissing(range)
  if (missing !== undefined) throw new NotStored({ blockNumber: missing })
  const compiled = compileFilter(filter)
  const found: Array<StoredLog> = []
  let bytes = 0
  for (const blockNumbers of candidates(view, compiled, range)) {
    yield
    for (let at = 0; at < blockNumbers.length; at += BLOCKS_AT_ONCE) {
      for (const row of view.packed(blockNumbers.slice(at, at + BLOCKS_AT_ONCE))) {
        const before = found.length
        soundly(numberAt(row, 0), () => matchLogs(unpackBlock(row, passingRoom), compiled, found))
        for (let log = before; log < found.length; log++) bytes += logTextBytes(found[log]!)
        if (found.length > most.results || bytes > most.bytes) {
          const limit = found.length > most.results ? most.results : before
          refuse(range, numberAt(row, 0), before, limit)
        }
        yield
      }
    }
  }
  return found
}

/**
 * Too much with the logs of `blockNumber`. A single block is never too much: there is no smaller
 * query, and what a block holds is bounded.
 */
const refuse = (
  [from, to]: BlockRange,
  blockNumber: number,
  before: number,
  limit: number,
): void => {
  if (from === to) return
  const fits = [from, Math.max(from, blockNumber - 1)] as const
  throw new TooManyLogs({ limit: before === 0 ? Math.max(1, limit) : limit, fits })
}

/** Blocks whose segments are looked up at a time: a few hundred segments at most. */
const WINDOW_BLOCKS = 131_072

/** Blocks that may have matches, rising, some at a time. */
function* candidates(
  view: ChainView,
  filter: CompiledFilter,
  [from, to]: BlockRange,
): Generator<ReadonlyArray<number>, void> {
  let next = from
  for (let start = from; start <= to; start += WINDOW_BLOCKS) {
    const end = Math.min(start + WINDOW_BLOCKS - 1, to)
    for (const segment of view.segments([next, end])) {
      if (segment.from > next) yield* byBlooms(view, filter, [next, segment.from - 1])
      yield view.index?.blocksOf(segment, filter.keys, [next, to]) ?? []
      next = segment.to + 1
    }
    if (next <= end) yield* byBlooms(view, filter, [next, end])
    next = Math.max(next, end + 1)
  }
}

function* byBlooms(
  view: ChainView,
  filter: CompiledFilter,
  [from, to]: BlockRange,
): Generator<ReadonlyArray<number>, void> {
  for (let next = from; next <= to;) {
    const rows = view.blooms([next, to], BLOOMS_AT_ONCE)
    yield rows.filter(([, bloom]) => mayMatch(bloom, filter)).map(([blockNumber]) => blockNumber)
    next = rows.length < BLOOMS_AT_ONCE ? to + 1 : rows.at(-1)![0] + 1
  }
}

/** Reads a payload: what breaks its form was damaged in the store. */
const soundly = <A>(blockNumber: number, read: () => A): A => {
  try {
    return read()
  } catch (error) {
    if (error instanceof RlpError) throw damagedPayload(blockNumber)
    throw error
  }
}

/** As many blocks that are not indexed are looked through for a transaction, the newest ones. */
export const LOOKED_THROUGH = 256

/** Where a transaction stands; undefined where no stored block has it. */
export function* scanTransactions(
  view: ChainView,
  recent: RecentTransactions,
  hash: Uint8Array,
): Sliced<TransactionPlace | undefined> {
  for (const { blockNumber, index } of view.index?.placesOf(hash) ?? []) {
    const place = placeIn(view, hash, blockNumber, index)
    if (place !== undefined) return place
    yield
  }
  const open = view.stored().subtract(yield* view.indexed())
  yield
  const newest = newestOf(open, LOOKED_THROUGH)
  for (let at = 0; at < newest.length; at += BLOCKS_AT_ONCE) {
    const some = newest.slice(at, at + BLOCKS_AT_ONCE)
    for (const [blockNumber, blockHash] of view.hashes(some)) {
      if (!recent.has(blockHash)) {
        remember(view, recent, blockNumber, blockHash)
        yield
      }
      for (const index of recent.find(blockHash, hash)) {
        const place = placeIn(view, hash, blockNumber, index)
        if (place !== undefined) return place
      }
    }
    yield
  }
  if (open.count > newest.length) throw new IndexBehind({ blocks: open.count })
  return undefined
}

/** The place of a transaction in a block that may have it at `index`. */
const placeIn = (
  view: ChainView,
  hash: Uint8Array,
  blockNumber: number,
  index: number,
): TransactionPlace | undefined => {
  // Of an entry whose block is gone nothing need be there.
  const block = view.block(blockNumber)
  if (block === undefined) return undefined
  return soundly(blockNumber, () => {
    for (const transactionIndex of placesOf(index, block.body.length)) {
      const found = transactionHashAt(block.body, transactionIndex)
      if (found === undefined) return undefined
      if (equalBytes(found, hash)) return { blockNumber, transactionIndex }
    }
    return undefined
  })
}

const remember = (
  view: ChainView,
  recent: RecentTransactions,
  blockNumber: number,
  blockHash: Uint8Array,
): void => {
  const block = view.block(blockNumber)
  if (block === undefined) throw damagedPayload(blockNumber)
  soundly(blockNumber, () => recent.add(blockHash, block.body))
}

/** The highest blocks of a set, falling. */
const newestOf = (blocks: BlockRanges, most: number): ReadonlyArray<number> => {
  const newest: Array<number> = []
  for (const [from, to] of [...blocks.ranges()].toReversed()) {
    for (let block = to; block >= from; block--) {
      if (newest.length === most) return newest
      newest.push(block)
    }
  }
  return newest
}
