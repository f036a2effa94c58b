/** Real chains: the place of every transaction, and every log, from the store and its index. */
import { readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readChainFiles } from "../../src/devnet/chainFiles.ts"
import { ChainReader } from "../../src/rpc/ChainReader.ts"
import { buildAll } from "../../src/write/chainIndex/ChainIndexing.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import { hashesOf, logsOf, plain, readerOf, storeOf } from "./chainReaderSupport.ts"

const chains = fixturesDir === undefined ? [] : readdirSync(fixture("chains"))
const limits = { results: 1_000_000, bytes: 1e12, ms: 60_000 }

describe.skipIf(fixturesDir === undefined)("the reader of real chains", () => {
  for (const name of chains) {
    it.scoped(`finds all transactions and logs of ${name}`, () =>
      Effect.gen(function* () {
        const chain = readChainFiles([fixture(`chains/${name}/full.rlp.gz`)])
        // Only what has its receipts can be stored.
        const numbers = chain.numbers.filter((n) => chain.receipts69At(n) !== undefined)
        const [first, last] = [numbers[0]!, numbers.at(-1)!]
        const directory = yield* storeOf(chain, first, last)
        yield* buildAll(directory)
        yield* readerOf(directory)(
          Effect.gen(function* () {
            const { placeOf, logs } = yield* ChainReader
            for (const blockNumber of numbers) {
              for (const [transactionIndex, hash] of hashesOf(chain, blockNumber).entries()) {
                const place = yield* placeOf(Uint8Array.from(Buffer.from(hash, "hex")))
                assert.deepEqual(place, { blockNumber, transactionIndex })
              }
            }
            const found = yield* logs({ addresses: [], topics: [] }, [first, last], limits)
            assert.deepEqual(
              found.map(plain),
              numbers.flatMap((n) => logsOf(chain, n)),
            )
            const rarest = found.at(-1)
            if (rarest === undefined) return
            const filter = { addresses: [rarest.address], topics: rarest.topics.map((t) => [t]) }
            const same = yield* logs(filter, [first, last], limits)
            const expected = found.filter(
              (log) =>
                plain(log).address === plain(rarest).address &&
                plain(rarest).topics.every((topic, at) => plain(log).topics[at] === topic),
            )
            assert.deepEqual(same.map(plain), expected.map(plain))
          }),
        )
      }),
    )
  }
})
