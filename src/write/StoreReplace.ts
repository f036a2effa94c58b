/**
 * Replaces the top of the stored chain: blocks of the chain that won take the place of all that is
 * stored above their ancestor.
 *
 * In: a {@link Replacement}, in a transaction that the caller opened and commits. Out: what became of
 * it. Everything that can be wrong with it is found before the first row goes, so that a refusal
 * leaves the store as it was; a kill leaves the one branch or the other. A block that is stored already
 * stays as it is, anchored or not, and is not written again.
 */
import { Effect } from "effect"
import { type BlockRange, BlockRanges } from "../domain/blockRanges.ts"
import { equalBytes } from "../domain/hex.ts"
import type { Coverage } from "./coverage.ts"
import { checksText, type DecodedBlock, decodeBlock } from "./decodedBlock.ts"
import { DEFAULT_COMPRESSION_LEVEL } from "./payloadCodec.ts"
import type { BlockPayload } from "./rows.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import { StoreError } from "./StoreError.ts"
import type { Replacement, ReplaceResult, SyncPurpose, TrustedMarks } from "./storeProtocol.ts"
import {
  checksLinks,
  type Counts,
  dropMarksAbove,
  insertRows,
  writeMark,
  writeReorg,
} from "./StoreRows.ts"
import { payloadBytes, payloadRows } from "./tableRows.ts"

/** The open transaction: what counts rows that come and takes blocks out. */
export interface RowsInHand {
  readonly added: (blockBytes: number, counts: Counts) => void
  readonly remove: (from: number, to: number) => Effect.Effect<void, StoreError>
}

/** A block and what was read of it. */
interface Ready {
  readonly block: BlockPayload
  readonly decoded: DecodedBlock
}

type Refused = Extract<ReplaceResult, { readonly outcome: "refused" }>

/** See the module; to be run in a transaction of its own. */
export const replaceBlocks = Effect.fnUntraced(function* (
  database: StoreDatabase,
  coverage: Coverage,
  commits: RowsInHand,
  sync: SyncPurpose,
  replacement: Replacement,
): Effect.fn.Return<ReplaceResult, StoreError> {
  const { ancestor, blocks, noticedAtMs } = replacement
  const { segments } = coverage
  const first = ancestor + 1
  const ready = decodeAll(replacement, sync)
  if ("outcome" in ready) return ready
  const there = storedAlready(coverage, blocks)
  const going = toReplace(coverage, replacement, there)
  const refusal = refusalOf(coverage, replacement, going)
  if (refusal !== undefined) return refusal

  const storedTo = segments.runEnd(first)
  const oldHash = blocks.length > 0 ? segments.hashAt(storedTo)?.slice() : undefined
  const gone: Array<BlockRange> = []
  let transactions = 0
  let logs = 0
  for (const [lowest, highest] of going.ranges()) {
    // The segments ask for the hashes where they are cut: before the rows go.
    for (const { from, to } of segments.removeRange(lowest, highest)) {
      yield* commits.remove(from, to)
      gone.push([from, to])
    }
  }
  for (const { block, decoded } of ready) {
    if (there.has(block.blockNumber)) continue
    yield* insertBlock(database, coverage, commits, sync, block, decoded)
    transactions += decoded.counts.transactions
    logs += decoded.counts.logs
  }
  const lost = gone[0]?.[0] ?? Infinity
  const removed = lost <= storedTo ? ([lost, storedTo] as const) : undefined
  if (removed !== undefined) yield* dropMarksAbove(database, lost - 1)
  const newHash = blocks[lost - first]?.hash
  const known = oldHash !== undefined && newHash !== undefined
  if (noticedAtMs !== undefined && removed !== undefined && known) {
    yield* writeReorg(database, { noticedAtMs, from: lost, to: storedTo, oldHash, newHash })
  }
  yield* noteMarks(database, coverage, replacement.marks)
  return {
    outcome: "done",
    removed,
    gone,
    transactions,
    logs,
    databaseBytes: yield* database.sizeBytes,
  }
})

/** Reads every block and holds each against the one before. */
const decodeAll = (
  { ancestor, ancestorHash, blocks }: Replacement,
  sync: SyncPurpose,
): ReadonlyArray<Ready> | Refused => {
  const ready: Array<Ready> = []
  let parent = ancestorHash
  for (const [index, block] of blocks.entries()) {
    const { blockNumber } = block
    const decoded = decodeBlock(block, sync)
    if (decoded === undefined) return { outcome: "refused", reason: "unreadable", blockNumber }
    const linked = parent === undefined || equalBytes(decoded.parentHash, parent)
    if (blockNumber !== ancestor + 1 + index || !linked) {
      return { outcome: "refused", reason: "links", blockNumber }
    }
    parent = block.hash
    ready.push({ block, decoded })
  }
  return ready
}

/** The blocks that are stored with the same hash. */
const storedAlready = (
  { segments }: Coverage,
  blocks: ReadonlyArray<BlockPayload>,
): BlockRanges => {
  let there = BlockRanges.empty
  for (const { blockNumber, hash } of blocks) {
    const stored = segments.hashAt(blockNumber)
    if (stored !== undefined && equalBytes(stored, hash))
      there = there.add(blockNumber, blockNumber)
  }
  return there
}

/**
 * What makes way: of the run above the ancestor and of what lies where the new blocks go all that is
 * another block than theirs, and the rest of a piece above that is not their child.
 */
const toReplace = (
  { segments }: Coverage,
  { ancestor, blocks }: Replacement,
  there: BlockRanges,
): BlockRanges => {
  const head = blocks.at(-1)
  if (head === undefined) return BlockRanges.empty
  const newTop = ancestor + blocks.length
  const oldTop = segments.runEnd(ancestor + 1)
  const above = segments.list().find(({ from, to }) => from <= newTop + 1 && to > newTop)
  const isChild =
    above !== undefined &&
    (above.from > newTop ? equalBytes(above.firstParentHash, head.hash) : there.has(newTop))
  const stray = above !== undefined && !isChild
  const last = Math.max(newTop, oldTop, stray ? above.to : newTop)
  const within = segments.ranges().flatMap(([from, to]): ReadonlyArray<BlockRange> => {
    const lowest = Math.max(from, ancestor + 1)
    const highest = Math.min(to, last)
    return lowest <= highest ? [[lowest, highest]] : []
  })
  return BlockRanges.fromRanges(within).subtract(there)
}

const refusalOf = (
  { segments }: Coverage,
  { ancestor, ancestorHash, blocks }: Replacement,
  going: BlockRanges,
): Refused | undefined => {
  const stored = segments.hashAt(ancestor)
  const fits =
    ancestorHash === undefined
      ? stored === undefined
      : stored !== undefined && equalBytes(stored, ancestorHash)
  if (!fits) return { outcome: "refused", reason: "ancestor", blockNumber: ancestor }
  if (blocks.length === 0) return undefined
  for (const [from, to] of going.ranges()) {
    const anchored = segments.anchoredWithin(from, to)
    if (anchored !== undefined) {
      return { outcome: "refused", reason: "anchored", blockNumber: anchored }
    }
  }
  for (const { blockNumber, hash } of blocks) {
    const trusted = segments.trustedAt(blockNumber)
    if (trusted !== undefined && !equalBytes(trusted, hash)) {
      return { outcome: "refused", reason: "trusted_hash", blockNumber }
    }
  }
  return undefined
}

const insertBlock = Effect.fnUntraced(function* (
  database: StoreDatabase,
  coverage: Coverage,
  commits: RowsInHand,
  sync: SyncPurpose,
  block: BlockPayload,
  { parentHash, rows, counts }: DecodedBlock,
) {
  const { blockNumber, hash } = block
  const checks = checksText(sync.checks)
  const how = { checks, linked: checksLinks(checks) }
  const insertion = coverage.segments.insert({ blockNumber, hash, parentHash }, how)
  // All that could stand in its way was looked at, or has gone.
  if (insertion.outcome !== "accepted") {
    return yield* Effect.dieMessage(`block ${blockNumber} of a replacement was not taken in`)
  }
  for (const { from, to } of insertion.removed) yield* commits.remove(from, to)
  yield* insertRows(
    database,
    payloadRows(block, sync.compressionLevel ?? DEFAULT_COMPRESSION_LEVEL),
  )
  for (const table of rows) yield* insertRows(database, table)
  for (const table of sync.tables) coverage.add(table, blockNumber)
  commits.added(payloadBytes(block), counts)
})

/** Notes what a trusted head says of blocks that are stored as it knows them. */
const noteMarks = Effect.fnUntraced(function* (
  database: StoreDatabase,
  { segments }: Coverage,
  marks: TrustedMarks,
) {
  for (const name of ["safe", "finalized"] as const) {
    const mark = marks[name]
    if (mark === undefined) continue
    const stored = segments.hashAt(mark.blockNumber)
    if (stored === undefined || !equalBytes(stored, mark.hash)) continue
    yield* writeMark(database, name, mark.blockNumber)
  }
})
