/**
 * A query that is answered at once: for code that reads the database in the middle of plain
 * functions. SQLite answers on the calling thread, so there is nothing to wait for.
 */
import { Cause, Effect, Exit } from "effect"
import type { BindValue } from "./rowValues.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import type { StoreError } from "./StoreError.ts"
import type { Row } from "./storedValues.ts"

/** The rows of a query. Throws the StoreError that it fails with. */
export const rowsNow = (
  database: StoreDatabase,
  sql: string,
  values: ReadonlyArray<BindValue | string> = [],
): ReadonlyArray<Row> => now(database.rows(sql, values))

/** Runs a statement for its effect. Throws the StoreError that it fails with. */
export const runNow = (database: StoreDatabase, sql: string): void => now(database.run(sql))

const now = <A>(effect: Effect.Effect<A, StoreError>): A => {
  const answer = Effect.runSyncExit(effect)
  if (Exit.isSuccess(answer)) return answer.value
  throw Cause.squash(answer.cause)
}

/** `(?, ?, …)` with so many places. */
export const placeholders = (count: number): string => `(${Array(count).fill("?").join(", ")})`
