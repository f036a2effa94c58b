/** A store keeps its chain's rules, for whoever reads it without the genesis.json. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { chainRulesText } from "../../src/chain/chainRules.ts"
import { query, syncOptions, temporaryDirectory, withStore } from "./support.ts"

const text = (fraction: bigint) =>
  chainRulesText({ blobSchedule: [{ fromTime: 5, baseFeeUpdateFraction: fraction }] })

const NOTE = "SELECT value FROM meta WHERE key = 'chain_rules'"

describe("the store's note of its chain's rules", () => {
  it.scopedLive("is what the last sync knew", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const open = (chainRules?: string) =>
        withStore(syncOptions(directory, chainRules === undefined ? {} : { chainRules }), () =>
          query(directory, NOTE),
        )
      assert.deepEqual(yield* open(), [])
      assert.deepEqual(yield* open(text(7n)), [[text(7n)]])
      assert.deepEqual(yield* open(text(9n)), [[text(9n)]])
      // Who knows nothing of rules takes none away.
      assert.deepEqual(yield* open(), [[text(9n)]])
    }),
  )
})
