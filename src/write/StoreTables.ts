/**
 * Builds tables later, from the payloads alone.
 *
 * In: which tables, a filter for logs, a range. Out: the rows that were missing, in transactions of
 * a bounded size, each with its coverage: when it is stopped, the next run goes on from there.
 *
 * A filtered `logs` is a dataset of its own name (`datasets.ts`), so that the table never looks
 * fuller than it is. In a block that several filters cover, the table has the union of what they
 * let through, each log once; once all logs of a block are there, no filter adds anything to it.
 */
import { Effect } from "effect"
import { BlockRanges, and, or, type BlockView } from "../domain/blockRanges.ts"
import { RlpError } from "../domain/rlp.ts"
import type { Coverage } from "./coverage.ts"
import { datasetName, isFilter, sendersDataset } from "./datasets.ts"
import { logRows, type BlockPayload, type LogFilter } from "./rows.ts"
import type { BindValue } from "./rowValues.ts"
import type { StoreDatabase } from "./StoreDatabase.ts"
import { StoreError } from "./StoreError.ts"
import type { OpenOptions, StoreProgress, TablesReport, TablesRequest } from "./storeProtocol.ts"
import { insertRows } from "./StoreRows.ts"
import type { StoreWriting } from "./StoreWriting.ts"
import {
  PAYLOAD_QUERY,
  payloadBytes,
  payloadOfRow,
  splitRows,
  tableRows,
  type TableRows,
} from "./tableRows.ts"
import { columnNames, type OptionalTable } from "./tables.ts"

/** Lets timers and messages through between two transactions. */
export const breathe: Effect.Effect<void> = Effect.async((resume) => {
  const timer = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(timer))
})

/** Builds what `request` asks for; see the module. */
export const buildTables = Effect.fn("Store.buildTables")(function* (
  database: StoreDatabase,
  writing: StoreWriting,
  options: Pick<OpenOptions, "commitBlocks" | "commitBytes">,
  request: TablesRequest,
  onProgress: (progress: StoreProgress) => void,
) {
  const { coverage } = writing
  const payloads = coverage.of("payloads")
  const lastStored = [...payloads.ranges()].at(-1)?.[1] ?? -1
  const range = BlockRanges.of(request.startBlock, Math.min(request.endBlock, lastStored))
  const steps = makeSteps(database, coverage, request)
  const wanted = and(and(payloads, range), or(steps.map((step) => step.missing)))
  const total = countOf(wanted)
  const report = { blocks: 0, rows: 0, senders: 0 }

  const buildBlock = Effect.fnUntraced(function* (blockNumber: number) {
    const payload = yield* readPayload(database, blockNumber)
    for (const step of steps) {
      if (!step.missing.has(blockNumber)) continue
      const done = yield* step.build(payload)
      report[step.counts] += done
      coverage.add(step.dataset, blockNumber)
    }
    return payloadBytes(payload)
  })

  /** One transaction's worth; gives where the next one starts. */
  const buildSome = Effect.fnUntraced(function* (from: number) {
    let next = wanted.next(from)
    let bytes = 0
    for (
      let blocks = 0;
      next !== undefined && blocks < options.commitBlocks && bytes < options.commitBytes;
      blocks++
    ) {
      bytes += yield* buildBlock(next)
      report.blocks += 1
      next = wanted.next(next + 1)
    }
    return next
  })

  for (let at = wanted.next(0); at !== undefined;) {
    at = yield* writing.transact(buildSome(at))
    onProgress({ done: report.blocks, total })
    yield* breathe
  }
  const asked = Number.isFinite(request.endBlock)
    ? BlockRanges.of(request.startBlock, request.endBlock)
    : BlockRanges.empty
  const missing = [...asked.subtract(payloads).ranges()]
  const whole: TablesReport = { ...report, missing }
  return whole
})

/** What is to be done to each block that lacks it. */
interface BuildStep {
  readonly dataset: string
  /** Blocks that lack it, as it was at the start; blocks without a payload among them. */
  readonly missing: BlockView
  /** Which count of the report its result goes to. */
  readonly counts: "rows" | "senders"
  /** Gives how many rows it wrote. */
  readonly build: (payload: BlockPayload) => Effect.Effect<number, StoreError>
}

const makeSteps = (
  database: StoreDatabase,
  coverage: Coverage,
  { tables, addresses, topic0s, senders }: TablesRequest,
): ReadonlyArray<BuildStep> => {
  const filter = { addresses: new Set(addresses), topic0s: new Set(topic0s) }
  const everything = BlockRanges.of(0, Number.MAX_SAFE_INTEGER - 1)
  const lacking = (...datasets: ReadonlyArray<string>): BlockView =>
    datasets.reduce((rest, dataset) => rest.subtract(coverage.of(dataset)), everything)
  const steps = tables.map((table): BuildStep => {
    if (table === "logs" && isFilter(filter)) {
      const dataset = datasetName({ kind: "filtered", table, filter })
      const build = addFilteredLogs(database, filter)
      return { dataset, missing: lacking(dataset, table), counts: "rows", build }
    }
    return {
      dataset: table,
      missing: lacking(table),
      counts: "rows",
      build: fillTable(database, table, table === "logs"),
    }
  })
  if (!senders) return steps
  const within: BlockView = tables.includes("transactions")
    ? everything
    : coverage.of("transactions")
  const missing = and(within, lacking(sendersDataset))
  return [
    ...steps,
    { dataset: sendersDataset, missing, counts: "senders", build: fillSenders(database) },
  ]
}

/** Puts all rows of a block into a table; where filters have put some, they make way. */
const fillTable = (database: StoreDatabase, table: OptionalTable, clear: boolean) =>
  Effect.fnUntraced(function* (payload: BlockPayload) {
    const rows = yield* decode(database, payload, () => tableRows(table, payload))
    if (clear) yield* clearBlock(database, payload.blockNumber)
    yield* insertRows(database, rows)
    return rows.count
  })

const clearBlock = (database: StoreDatabase, blockNumber: number) =>
  database.run("DELETE FROM logs WHERE block_number = ?", [blockNumber])

const addFilteredLogs = (database: StoreDatabase, filter: LogFilter) =>
  Effect.fnUntraced(function* (payload: BlockPayload) {
    const { blockNumber } = payload
    const wanted = yield* decode(database, payload, () => filteredRows(payload, filter))
    if (wanted.count === 0) return 0
    const present = yield* database.rows("SELECT log_index FROM logs WHERE block_number = ?", [
      blockNumber,
    ])
    const there = new Set(present.map(([logIndex]) => logIndex))
    const rows = splitRows(wanted).filter((row) => !there.has(row[LOG_INDEX_AT]))
    yield* insertRows(database, { table: "logs", count: rows.length, values: rows.flat() })
    return rows.length
  })

const LOG_INDEX_AT = columnNames("logs").indexOf("log_index")

/** The logs of a block that a filter lets through. */
export const filteredRows = (payload: BlockPayload, filter: LogFilter): TableRows => {
  const values: Array<BindValue> = []
  return { table: "logs", count: logRows(payload, values, filter), values }
}

const fillSenders = (database: StoreDatabase) =>
  Effect.fnUntraced(function* (payload: BlockPayload) {
    const rows = yield* decode(database, payload, () =>
      splitRows(tableRows("transactions", payload, "all")),
    )
    for (const row of rows) {
      yield* database.run(
        "UPDATE transactions SET from_address = ? WHERE block_number = ? AND transaction_index = ?",
        [row[SENDER_AT]!, row[0]!, row[1]!],
      )
    }
    return rows.filter((row) => row[SENDER_AT] !== null).length
  })

const SENDER_AT = columnNames("transactions").indexOf("from_address")

const readPayload = Effect.fnUntraced(function* (database: StoreDatabase, blockNumber: number) {
  const [row] = yield* database.rows(`${PAYLOAD_QUERY} WHERE block_number = ?`, [blockNumber])
  const payload = row && payloadOfRow(row)
  return payload ?? (yield* damaged(database, blockNumber))
})

/** A payload that passed its checks can be read; one that cannot was damaged since. */
const decode = <A>(
  database: StoreDatabase,
  { blockNumber }: BlockPayload,
  read: () => A,
): Effect.Effect<A, StoreError> =>
  Effect.try({ try: read, catch: (error) => error }).pipe(
    Effect.catchAll((error) =>
      error instanceof RlpError ? damaged(database, blockNumber) : Effect.die(error),
    ),
  )

const damaged = (
  database: StoreDatabase,
  blockNumber: number,
): Effect.Effect<never, StoreError> => {
  const failure = { kind: "damaged", code: `the payload of block ${blockNumber}` } as const
  return Effect.fail(new StoreError({ path: database.file, failure }))
}

const countOf = (view: BlockView): number => {
  let count = 0
  for (let at = view.next(0); at !== undefined;) {
    const to = view.runEnd(at)
    count += to - at + 1
    at = view.next(to + 1)
  }
  return count
}
