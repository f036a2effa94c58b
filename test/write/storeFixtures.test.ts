/** Real blocks through the store: what is kept of them, and that it can be verified from there. */
import { readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readChainFiles } from "../../src/devnet/chainFiles.ts"
import { optionalTables } from "../../src/write/tables.ts"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import {
  payloadOf,
  query,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "./support.ts"

const files =
  fixturesDir === undefined
    ? []
    : [
        ...readdirSync(fixture("mainnet")).map((name) => `mainnet/${name}`),
        ...readdirSync(fixture("chains")).map((name) => `chains/${name}/full.rlp.gz`),
      ]

/** Stores all blocks of a file that have receipts, with all tables. */
const stored = (file: string) =>
  Effect.gen(function* () {
    const directory = yield* temporaryDirectory
    const chain = readChainFiles([fixture(file)])
    const numbers = chain.numbers.filter((n) => chain.receipts69At(n) !== undefined)
    const options = syncOptions(directory, { tables: [...optionalTables] })
    const result = yield* withStore(options, (store) =>
      writeNow(
        store,
        numbers.map((n) => payloadOf(chain, n)),
      ),
    )
    return { directory, result, blocks: numbers.length }
  })

describe.skipIf(fixturesDir === undefined)("the store", () => {
  it.scopedLive.each(files)("keeps all of %s and can verify it", (file) =>
    Effect.gen(function* () {
      const { directory, result, blocks } = yield* stored(file)
      assert.deepEqual(result.refused, [])
      const report = yield* withStore(readOptions(directory), (store) => store.verify())
      // Pieces of other chains than the tests': only their genesis is not this store's.
      const damages = report.damages.filter(({ what }) => what !== "genesis hash")
      assert.deepEqual(damages, [])
      assert.strictEqual(report.blocks, blocks)
      assert.isAbove(report.blocks, 0)
      // chains/nimb has 25,344 logs.
      if (file.includes("nimb")) {
        assert.deepEqual(yield* query(directory, "SELECT count(*) FROM logs"), [[25_344]])
        assert.strictEqual(result.logs, 25_344)
      }
    }),
  )
})
