/** Whatever is written, refused, removed, built, killed and opened again: coverage tells the truth. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc, TestClock, TestContext } from "effect"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { checks } from "../../src/process/checks.ts"
import type { StoreShape } from "../../src/write/Store.ts"
import type { TablesRequest, WriteResult } from "../../src/write/storeProtocol.ts"
import { optionalTables, type OptionalTable } from "../../src/write/tables.ts"
import {
  blocksIn,
  copyAsKilled,
  coverageOf,
  payloadOf,
  rangesOf,
  readOptions,
  syncOptions,
  temporaryDirectory,
  withStore,
} from "./support.ts"

const LAST = 20
const chains = [1, 2, 3].map((seed) => generateChain({ blocks: LAST, shape: "tiny", seed }))

/** An address and a first topic that logs of the honest chain have. */
const FILTERS = [
  { addresses: ["00".repeat(20)], topic0s: [] },
  { addresses: [], topic0s: ["00".repeat(32)] },
]

type Step =
  | {
      readonly kind: "write"
      readonly chain: number
      readonly from: number
      readonly count: number
    }
  | { readonly kind: "flush" | "wait" | "kill" }
  | {
      readonly kind: "reopen"
      readonly tables: ReadonlyArray<OptionalTable>
      readonly trusts: boolean
      readonly links: boolean
    }
  | {
      readonly kind: "build"
      readonly tables: ReadonlyArray<OptionalTable>
      readonly filter: number
      readonly senders: boolean
      readonly endBlock: number
    }

const tables = fc.subarray([...optionalTables])
const write = fc.record({
  kind: fc.constant("write" as const),
  chain: fc.constantFrom(0, 0, 0, 1, 2),
  from: fc.integer({ min: 0, max: LAST }),
  count: fc.integer({ min: 1, max: 6 }),
})
const reopen = fc.record({
  kind: fc.constant("reopen" as const),
  tables,
  trusts: fc.boolean(),
  links: fc.constantFrom(true, true, true, false),
})
const build = fc.record({
  kind: fc.constant("build" as const),
  tables,
  filter: fc.integer({ min: 0, max: FILTERS.length }),
  senders: fc.boolean(),
  endBlock: fc.integer({ min: 0, max: LAST }),
})
const simple = fc.record({
  kind: fc.constantFrom("flush" as const, "wait" as const, "kill" as const),
})
const script: fc.Arbitrary<ReadonlyArray<Step>> = fc.array(
  fc.oneof({ weight: 5, arbitrary: write }, { weight: 2, arbitrary: simple }, reopen, build),
  { maxLength: 25, size: "max" },
)

/** The steps between two openings. */
const sessions = (steps: ReadonlyArray<Step>): ReadonlyArray<ReadonlyArray<Step>> => {
  const found: Array<Array<Step>> = [[]]
  for (const step of steps) {
    if (step.kind === "reopen" || step.kind === "build") found.push([step])
    else found.at(-1)!.push(step)
  }
  return found
}

/** What the store has told to be in it. */
interface Told {
  blocks: BlockRanges
  /** Writes that are not answered yet. */
  waiting: number
}

const believe = (told: Told, result: WriteResult, blocks: ReadonlyArray<number>): void => {
  told.waiting -= 1
  const committed = BlockRanges.fromRanges(result.committed)
  const answered = result.refused.map((one) => one.blockNumber)
  for (const n of blocks) if (committed.has(n)) answered.push(n)
  // W3: each block of a write is answered for once.
  assert.deepEqual(
    answered.sort((a, b) => a - b),
    [...blocks],
  )
  for (const { from, to } of result.removed) {
    assert.strictEqual(BlockRanges.of(from, to).subtract(told.blocks).count, 0, "it was told of")
    told.blocks = told.blocks.remove(from, to)
  }
  told.blocks = told.blocks.union(committed)
}

const runSession = (
  steps: ReadonlyArray<Step>,
  directory: string,
  told: Told,
  check: (directory: string) => Effect.Effect<void, unknown>,
) =>
  Effect.gen(function* () {
    const [first] = steps
    if (first?.kind === "build") return yield* buildSome(first, directory)
    const reopened = first?.kind === "reopen" ? first : undefined
    const options = syncOptions(
      directory,
      {
        tables: reopened?.tables ?? ["logs"],
        checks: reopened?.links === false ? ["receipts"] : checks,
        trusted:
          reopened?.trusts === true ? [{ blockNumber: 15, hash: chains[0]!.hashAt(15)! }] : [],
      },
      { commitBlocks: 5 },
    )
    yield* withStore(options, (store) =>
      Effect.gen(function* () {
        for (const { from, to } of store.opened.removed) told.blocks = told.blocks.remove(from, to)
        for (const step of steps) yield* runStep(step, store, directory, told, check)
        yield* store.flush
        yield* Effect.repeatN(Effect.yieldNow(), 20)
      }),
    )
  })

const runStep = Effect.fnUntraced(function* (
  step: Step,
  store: StoreShape,
  directory: string,
  told: Told,
  check: (directory: string) => Effect.Effect<void, unknown>,
) {
  if (step.kind === "write") {
    const to = Math.min(LAST, step.from + step.count - 1)
    const numbers = Array.from({ length: to - step.from + 1 }, (_, i) => step.from + i)
    const blocks = numbers.map((n) => payloadOf(chains[step.chain]!, n))
    told.waiting += 1
    yield* Effect.fork(Effect.map(store.write(blocks), (result) => believe(told, result, numbers)))
    yield* Effect.repeatN(Effect.yieldNow(), 20)
  }
  if (step.kind === "flush") yield* store.flush
  if (step.kind === "wait") yield* TestClock.adjust("1 seconds")
  yield* Effect.repeatN(Effect.yieldNow(), 20)
  if (step.kind === "kill") {
    yield* Effect.scoped(
      Effect.gen(function* () {
        const copy = yield* temporaryDirectory
        copyAsKilled(directory, copy)
        yield* check(copy)
      }),
    )
  }
})

const buildSome = (step: Extract<Step, { readonly kind: "build" }>, directory: string) =>
  Effect.gen(function* () {
    const filter = FILTERS[step.filter] ?? { addresses: [], topic0s: [] }
    const request: TablesRequest = {
      tables: step.tables,
      ...(step.tables.includes("logs") ? filter : { addresses: [], topic0s: [] }),
      senders: step.senders,
      startBlock: 0,
      endBlock: step.endBlock,
    }
    yield* withStore(readOptions(directory, "tables"), (store) => store.buildTables(request))
  })

/** Coverage, rows and payloads agree, and what is told to be there is there. */
const checkStore = (told: Told) =>
  Effect.fnUntraced(function* (directory: string) {
    for (const table of ["payloads", "blocks"]) {
      const there = yield* blocksIn(directory, table)
      assert.strictEqual(rangesOf(yield* coverageOf(directory, table)), rangesOf(there), table)
      // While a write waits for its answer, part of what it did may be committed already.
      if (told.waiting === 0) assert.strictEqual(rangesOf(there), rangesOf(told.blocks), "told")
    }
    const report = yield* withStore(readOptions(directory), (store) => store.verify())
    // Chains that were taken in without their links need not link; that is not what is asked here.
    const damages = report.damages.filter(
      ({ what }) => what !== "parent_hash" && what !== "genesis hash",
    )
    assert.deepEqual(damages, [])
    assert.isBelow(report.damageCount, 100)
  })

describe("a store", () => {
  it("has in each dataset the blocks that coverage says, after any history", async () => {
    const property = fc.asyncProperty(script, (steps) =>
      Effect.runPromise(
        Effect.gen(function* () {
          const directory = yield* temporaryDirectory
          const told: Told = { blocks: BlockRanges.empty, waiting: 0 }
          const check = checkStore(told)
          for (const session of sessions(steps)) {
            yield* runSession(session, directory, told, check)
            yield* check(directory)
            assert.strictEqual(told.waiting, 0)
          }
        }).pipe(Effect.scoped, Effect.provide(TestContext.TestContext)),
      ),
    )
    await fc.assert(property, { numRuns: 150 })
  }, 120_000)
})
