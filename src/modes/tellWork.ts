/** Says on stderr, before an ingest begins, what there is to do and what is not done again. */
import { Effect } from "effect"
import type { IngestOptions } from "../cli/syncOptions.ts"
import { BlockRanges } from "../domain/blockRanges.ts"
import { Terminal } from "../observe/Terminal.ts"
import { Store } from "../write/Store.ts"

/** What a block is taken to need on disk before any is stored: one of today's mainnet, packed. */
const GUESSED_BLOCK_BYTES = 110_000
/** The same with all tables. */
const GUESSED_BLOCK_BYTES_WITH_TABLES = 400_000
/** What a second is taken to bring: slow peers far away. */
const GUESSED_BLOCKS_PER_SEC = 200
/** Below this nobody needs a warning. */
const LARGE_RUN_BLOCKS = 1_000

/**
 * Says how many blocks are missing, and about how much room and time they will take; nothing where
 * they are few. A block is taken to need what the stored ones need, where there are many.
 */
export const tellWork = Effect.fnUntraced(function* (
  { tables }: Pick<IngestOptions, "tables">,
  work: BlockRanges,
  storedBlocks: number,
) {
  if (work.count < LARGE_RUN_BLOCKS) return
  const terminal = yield* Terminal
  const { databaseBytes } = (yield* Store).opened
  const guessedBytes = tables.length > 0 ? GUESSED_BLOCK_BYTES_WITH_TABLES : GUESSED_BLOCK_BYTES
  const known = storedBlocks >= LARGE_RUN_BLOCKS
  const blockBytes = known ? databaseBytes / storedBlocks : guessedBytes
  const gigabytes = (work.count * blockBytes) / 1e9
  const minutes = work.count / GUESSED_BLOCKS_PER_SEC / 60
  const size = `${known ? "about" : "at most about"} ${gigabytes.toPrecision(2)} GB`
  const time = `about ${minutes < 1 ? "a minute" : `${Math.ceil(minutes)} minutes`} at ${GUESSED_BLOCKS_PER_SEC} blocks/s`
  yield* terminal.log(`annals: ${work.count} blocks are missing: ${size}, ${time}`)
})

/** What is stored is not fetched again; whoever asks for more checks than it passed is told so. */
export const tellLessChecked = Effect.fnUntraced(function* ({
  startBlock,
  endBlock,
}: Pick<IngestOptions, "startBlock" | "endBlock">) {
  const { opened } = yield* Store
  const blocks = BlockRanges.fromRanges(
    opened.lessChecked.map(([from, to]) => [
      Math.max(from, startBlock),
      Math.min(to, endBlock ?? to),
    ]),
  )
  if (blocks.count === 0) return
  const terminal = yield* Terminal
  const line = `annals: ${blocks.count} stored blocks of the range have passed fewer checks than this run's --verify: annals verify checks them for everything`
  yield* terminal.log(line, "warning")
})
