import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ExitCode } from "../../src/cli/exitCodes.ts"
import { runStatus } from "../../src/modes/status.ts"
import {
  chain,
  payloads,
  syncOptions,
  temporaryDirectory,
  withStore,
  writeNow,
} from "../write/support.ts"
import { runMode } from "./storeModes.ts"

const trusted = [{ blockNumber: 12, hash: chain.hashAt(12)! }]

const filled = Effect.gen(function* () {
  const dataDir = yield* temporaryDirectory
  yield* withStore(syncOptions(dataDir, { trusted, tables: ["logs"] }), (store) =>
    Effect.gen(function* () {
      yield* writeNow(store, payloads(chain, 5, 14))
      yield* writeNow(store, payloads(chain, 30, 30))
    }),
  )
  return dataDir
})

describe("annals status", () => {
  it.scoped("prints the ranges, gaps, counts and trust of a store as JSON", () =>
    Effect.gen(function* () {
      const dataDir = yield* filled
      const { code, stdout, stderr } = yield* runMode(runStatus({ dataDir, json: true }))
      assert.strictEqual(code, ExitCode.complete)
      assert.strictEqual(stderr, "")
      const status: unknown = JSON.parse(stdout)
      const blocks = {
        blocks: 11,
        ranges: [
          [5, 14],
          [30, 30],
        ],
        gaps: [[15, 29]],
      }
      assert.deepInclude(status, {
        network: "devnet",
        chain_id: "1337",
        blocks: 11,
        anchored: 8,
        linked: 2,
        alone: 1,
        datasets: { payloads: blocks, blocks, logs: blocks },
      })
      const keys =
        "network chain_id genesis_hash schema blocks anchored linked alone transactions receipts logs db_bytes datasets"
      assert.hasAllKeys(status, keys.split(" "))
    }),
  )

  it.scoped("prints it for people", () =>
    Effect.gen(function* () {
      const dataDir = yield* filled
      const { stdout } = yield* runMode(runStatus({ dataDir, json: false }))
      assert.match(stdout, /^blocks {8}11: 8 anchored, 2 linked, 1 alone$/m)
      assert.match(stdout, /^logs: 11 blocks, 5-14, 30-30\n {2}missing: 15-29$/m)
    }),
  )

  it.scoped("shows what is committed while a sync writes", () =>
    Effect.gen(function* () {
      const dataDir = yield* filled
      const { stdout } = yield* withStore(syncOptions(dataDir), (store) =>
        Effect.gen(function* () {
          yield* Effect.fork(store.write(payloads(chain, 40, 45)))
          yield* Effect.repeatN(Effect.yieldNow(), 20)
          return yield* runMode(runStatus({ dataDir, json: true }))
        }),
      )
      assert.deepInclude(JSON.parse(stdout), { blocks: 11 })
    }),
  )

  it.scoped("ends with 7 and one line where there is no store", () =>
    Effect.gen(function* () {
      const dataDir = yield* temporaryDirectory
      const { code, stdout, stderr } = yield* runMode(runStatus({ dataDir, json: true }))
      assert.strictEqual(code, ExitCode.store)
      assert.strictEqual(stdout, "")
      assert.match(stderr, /^annals: the store \S+annals\.db does not exist; [^\n]+\n$/)
    }),
  )
})
