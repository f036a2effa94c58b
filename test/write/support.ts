/** Stores of tests: made chains as payloads, directories that are gone afterwards, a second reader. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import os from "node:os"
import path from "node:path"
import * as Reactivity from "@effect/experimental/Reactivity"
import { SqliteClient } from "@effect/sql-sqlite-node"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, type Scope } from "effect"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { checks } from "../../src/process/checks.ts"
import { Store, type StoreShape } from "../../src/write/Store.ts"
import type { BlockPayload } from "../../src/write/rows.ts"
import type { StoreError } from "../../src/write/StoreError.ts"
import {
  commitDefaults,
  DATABASE_FILE,
  type OpenOptions,
  type SyncPurpose,
} from "../../src/write/storeProtocol.ts"

export const chain = generateChain({ blocks: 60, shape: "tiny", seed: 5 })
export const light = generateChain({ blocks: 12, shape: "light", seed: 6 })
const spec = generatedChainSpec()

/** A block of a made chain as the store gets it. */
export const payloadOf = (from: ServedChain, blockNumber: number): BlockPayload => ({
  blockNumber,
  hash: from.hashAt(blockNumber)!,
  header: from.headerAt(blockNumber)!,
  body: from.bodyAt(blockNumber)!,
  receipts: from.receipts69At(blockNumber)!,
})

export const payloads = (from: ServedChain, first: number, last: number): Array<BlockPayload> =>
  Array.from({ length: last - first + 1 }, (_, i) => payloadOf(from, first + i))

/** A directory that is gone when the scope ends. */
export const temporaryDirectory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(os.tmpdir(), "annals-store-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
)

export const syncOptions = (
  directory: string,
  purpose: Partial<SyncPurpose> = {},
  limits: Partial<Readonly<Record<keyof typeof commitDefaults, number>>> = {},
): OpenOptions => ({
  directory,
  purpose: {
    kind: "sync",
    network: "devnet",
    chainId: spec.chainId,
    genesisHash: spec.genesisHash,
    tables: [],
    checks,
    trusted: [],
    ...purpose,
  },
  ...commitDefaults,
  ...limits,
})

export const readOptions = (directory: string, kind: "read" | "tables" = "read"): OpenOptions => ({
  directory,
  purpose: { kind },
  ...commitDefaults,
})

/** Opens a store on this thread for as long as `use` runs. */
export const withStore = <A, E, R>(
  options: OpenOptions,
  use: (store: StoreShape) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | StoreError, Exclude<R, Store>> =>
  Effect.provide(Effect.flatMap(Store, use), Store.layerInline(options))

/** Writes and commits at once. */
export const writeNow = Effect.fnUntraced(function* (
  store: StoreShape,
  blocks: ReadonlyArray<BlockPayload>,
) {
  const [result] = yield* Effect.all(
    [store.write(blocks), Effect.zipRight(Effect.yieldNow(), store.flush)],
    { concurrency: "unbounded" },
  )
  return result
})

export const fileIn = (directory: string): string => path.join(directory, DATABASE_FILE)

/** Asks, or changes, a store behind its back: the rows of one statement. */
export const query = (
  directory: string,
  statement: string,
  values: ReadonlyArray<unknown> = [],
  file = DATABASE_FILE,
): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const sql = yield* SqliteClient.make({
        filename: path.join(directory, file),
        disableWAL: true,
      })
      return yield* sql.unsafe(statement, values).values
    }),
  ).pipe(Effect.provide(Reactivity.layer))

/** The blocks that have rows in a table. */
export const blocksIn = (directory: string, table: string) =>
  Effect.map(query(directory, `SELECT DISTINCT block_number FROM ${table}`), (rows) =>
    BlockRanges.fromRanges(rows.map(([n]) => [Number(n), Number(n)])),
  )

/** The blocks that `coverage` says a dataset has. */
export const coverageOf = (directory: string, dataset: string) =>
  Effect.map(
    query(directory, "SELECT from_block, to_block FROM coverage WHERE dataset = ?", [dataset]),
    (rows) => BlockRanges.fromRanges(rows.map(([from, to]) => [Number(from), Number(to)])),
  )

/** Ranges as text, for comparing. */
export const rangesOf = (blocks: BlockRanges): string =>
  [...blocks.ranges()].map(([from, to]) => `${from}-${to}`).join(" ")

/** A copy of a store's files as a process that is killed now would leave them. */
export const copyAsKilled = (directory: string, into: string): void => {
  for (const name of [DATABASE_FILE, `${DATABASE_FILE}-wal`]) {
    const file = path.join(directory, name)
    if (existsSync(file)) copyFileSync(file, path.join(into, name))
  }
}
