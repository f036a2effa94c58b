/**
 * Keeps the index of a store built, for as long as it runs.
 *
 * In: the store's directory. Out: the index, which follows the store: after each commit that brings
 * it a whole group of blocks, or lets a part grow enough. Warnings, where it cannot be built now.
 *
 * Invariants: one in the system builds; others wait for its lock, and take over when it ends. What
 * is damaged is thrown away and built again. Nothing that fails here ends anything else: it is tried
 * again after {@link RETRY_MS}.
 */
import { Duration, Effect } from "effect"
import { makeIndexBuilder, type IndexBuilder, turn } from "./ChainIndexBuilder.ts"
import {
  IndexDamaged,
  isDamageOfIndex,
  lockIndex,
  openIndexToBuild,
  throwIndexAway,
} from "./ChainIndexDatabase.ts"
import { openDatabase, type StoreDatabase } from "../StoreDatabase.ts"
import { StoreError } from "../StoreError.ts"
import { commitDefaults } from "../storeProtocol.ts"
import { textAt } from "../storedValues.ts"
import { metaKeys } from "../tables.ts"

/** How often the store is looked at for what is new. */
const LOOK_MS = 1_000
/** After a failure, and while another process builds. */
const RETRY_MS = 10_000

/** Tells the builder, in the middle of its work, that what it built was found to be damaged. */
export class DamageFlag {
  #reason: string | undefined

  /** To be thrown away. */
  raise(reason: string): void {
    this.#reason = reason
  }

  /** The reason, once. */
  take(): string | undefined {
    const reason = this.#reason
    this.#reason = undefined
    return reason
  }
}

/** See the module. */
export const keepIndexed = (
  directory: string,
  flag: DamageFlag,
  warn: (reason: string) => Effect.Effect<void>,
): Effect.Effect<never> => {
  let warned: string | undefined
  const tell = (reason: string): Effect.Effect<void> => {
    if (reason === warned) return Effect.void
    warned = reason
    return warn(reason)
  }
  return Effect.scoped(
    Effect.zipRight(lockIndex(directory), Effect.forever(openAndBuild(directory, flag, tell))),
  ).pipe(
    Effect.catchAll((error) =>
      // Another one builds: nothing is wrong with that.
      error.failure.kind === "locked" ? Effect.void : tell(error.message),
    ),
    Effect.zipRight(Effect.sleep(Duration.millis(RETRY_MS))),
    Effect.forever,
  )
}

/** Builds until what was built turns out to be damaged, which is thrown away then. */
const openAndBuild = (
  directory: string,
  flag: DamageFlag,
  tell: (reason: string) => Effect.Effect<void>,
): Effect.Effect<void, StoreError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const builder = yield* openBuilder(directory)
      return yield* follow(builder, flag)
    }),
  ).pipe(
    Effect.catchAll((error) => {
      if (error instanceof StoreError && !isDamageOfIndex(error)) return Effect.fail(error)
      const reason = error instanceof StoreError ? error.message : error.reason
      return Effect.zipRight(
        tell(`${reason}; it is built again`),
        Effect.sync(() => throwIndexAway(directory)),
      )
    }),
  )

/** Opens a store and its index, whose lock the caller holds, to build it step by step. */
export const openBuilder = Effect.fn("ChainIndex.open")(function* (directory: string) {
  const purpose = { kind: "read" } as const
  const store = yield* openDatabase({ directory, purpose, ...commitDefaults })
  const index = yield* openIndexToBuild(directory, yield* identityOf(store))
  return yield* makeIndexBuilder(store, index)
})

const identityOf = Effect.fnUntraced(function* (store: StoreDatabase) {
  const rows = yield* store.rows("SELECT key, value FROM meta")
  const meta = new Map(rows.map((row) => [textAt(row, 0), textAt(row, 1)]))
  return {
    storeId: meta.get(metaKeys.storeId) ?? "",
    chainId: meta.get(metaKeys.chainId) ?? "",
    genesisHash: meta.get(metaKeys.genesisHash) ?? "",
  }
})

/** Works, and waits for the store to change. */
const follow = Effect.fnUntraced(function* (
  builder: IndexBuilder,
  flag: DamageFlag,
): Effect.fn.Return<never, StoreError | IndexDamaged> {
  let finishedAt: number | undefined
  let lastVersion: number | undefined
  for (;;) {
    const reason = flag.take()
    if (reason !== undefined) return yield* new IndexDamaged({ reason })
    const version = yield* builder.storeVersion
    const quiet = version === lastVersion
    lastVersion = version
    if (version !== finishedAt && (yield* work(builder, quiet))) {
      yield* turn
      continue
    }
    if (quiet) finishedAt = version
    yield* Effect.sleep(Duration.millis(LOOK_MS))
  }
})

/** One piece: whole groups before parts, small growth only while nothing else changes. */
const work = Effect.fnUntraced(function* (builder: IndexBuilder, quiet: boolean) {
  if (yield* builder.step("whole")) return true
  if (yield* builder.step("grown")) return true
  return quiet && (yield* builder.step("all"))
})

/** Builds all that can be built now: for tests and measurements. */
export const buildAll = (directory: string): Effect.Effect<void, StoreError | IndexDamaged> =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* lockIndex(directory)
      const builder = yield* openBuilder(directory)
      while (yield* work(builder, true)) yield* turn
    }),
  )
