/** A stored chain of 1,300 blocks, its logs, and questions whose answers are known. */
import { assert } from "@effect/vitest"
import { Effect, FastCheck as fc, Runtime } from "effect"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import type { BlockRange } from "../../src/domain/blockRanges.ts"
import { ChainReader, type ChainReaderShape, type LogFilter } from "../../src/rpc/ChainReader.ts"
import {
  arbitraryFilter,
  logsOf,
  passes,
  plain,
  type PlainLog,
  readerOf,
} from "./chainReaderSupport.ts"

/** A whole group, a part of the next one, and blocks that are not settled. */
export const LAST = 1_300
/** The chain that is stored, and one that is not. */
export const chain = generateChain({ blocks: LAST, shape: "tiny", seed: 31 })
export const other = generateChain({ blocks: LAST, shape: "tiny", seed: 32 })
/** The numbers of its blocks. */
export const numbers = Array.from({ length: LAST + 1 }, (_, n) => n)
/** Its logs, in their order. */
export const allLogs = numbers.flatMap((n) => logsOf(chain, n))
/** What all logs pass. */
export const EVERYTHING: LogFilter = { addresses: [], topics: [] }
/** So wide that no question meets them. */
export const limits = { results: 1_000_000, bytes: 1e12, ms: 60_000 }

/** The logs of a range. */
export const within = ([from, to]: BlockRange, logs = allLogs) =>
  logs.filter(({ block }) => block >= from && block <= to)

/** Ranges of stored blocks. */
export const arbitraryRange = fc
  .tuple(fc.nat(LAST), fc.nat(LAST))
  .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)

/** Those of them that pass a filter. */
export const expected = (filter: LogFilter, range: BlockRange): ReadonlyArray<PlainLog> =>
  within(range).filter((log) => passes(filter, log))

/** Bytes of their hex. */
export const hashOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"))

/** Asks random questions and holds the answers against all logs. */
export const compare = Effect.fnUntraced(function* (reader: ChainReaderShape, runs: number) {
  const run = Runtime.runPromise(yield* Effect.runtime())
  yield* Effect.promise(() =>
    fc.assert(
      fc.asyncProperty(arbitraryFilter(allLogs), arbitraryRange, async (filter, range) => {
        const found = await run(reader.logs(filter, range, limits))
        assert.deepEqual(found.map(plain), expected(filter, range))
      }),
      { numRuns: runs },
    ),
  )
})

/** The same with a reader that ends with it. */
export const compareNow = (directory: string, runs: number) =>
  readerOf(directory)(Effect.flatMap(ChainReader, (reader) => compare(reader, runs)))

/** Holds that each log of a block is found among blocks 0 to 400 by its address. */
export const findsLogsOf = (directory: string, blockNumber: number) =>
  readerOf(directory)(
    Effect.gen(function* () {
      const { logs } = yield* ChainReader
      for (const log of within([blockNumber, blockNumber])) {
        const filter = { addresses: [hashOf(log.address)], topics: [] }
        const found = yield* logs(filter, [0, 400], limits)
        assert.deepEqual(found.map(plain), expected(filter, [0, 400]))
      }
    }),
  )
