/**
 * What must hold of a store after a run, whatever its peers did, by the true chain.
 *
 * In: the store's files, read by a connection of its own, the plan, and what the program itself had
 * said. Out: one line for each violation; none when all is well.
 */
import { BlockRanges, type BlockRange } from "../../src/domain/blockRanges.ts"
import { equalBytes } from "../../src/domain/hex.ts"
import { unpackParts } from "../../src/write/payloadCodec.ts"
import { trueChain } from "./chains.ts"
import { readStore } from "./disk.ts"
import { type Plan, sendsForgedHeaders } from "./plan.ts"

/** A violation, under the name of its invariant. */
export interface Violation {
  readonly invariant: string
  readonly detail: string
}

/** What a store holds. */
export interface Held {
  /** Blocks that have a payload. */
  readonly blocks: ReadonlySet<number>
  /** Those of them that are the true chain's, byte for byte. */
  readonly right: ReadonlySet<number>
  /** Those that the store says to be proven by a trusted hash. */
  readonly anchored: ReadonlySet<number>
  readonly violations: ReadonlyArray<Violation>
}

interface PayloadRow {
  readonly block_number: number
  readonly header: Uint8Array
  readonly body: Uint8Array
  readonly receipts: Uint8Array
  readonly codec: number
  readonly block_hash: Uint8Array | null
}

interface CoverageRow {
  readonly dataset: string
  readonly from_block: number
  readonly to_block: number
  readonly anchored: number
}

const PAYLOADS = `SELECT payloads.block_number, header, body, receipts, codec, block_hash
  FROM payloads LEFT JOIN blocks ON blocks.block_number = payloads.block_number
  ORDER BY payloads.block_number`
const STRAY_ROWS =
  "SELECT count(*) FROM blocks WHERE block_number NOT IN (SELECT block_number FROM payloads)"

/** Reads a store and holds it against the true chain and against its own account. */
export const inspectStore = (folder: string, plan: Plan): Held =>
  readStore(folder, (database) => {
    const rows = database.prepare<[], PayloadRow>(PAYLOADS).all()
    const coverage = database
      .prepare<[], CoverageRow>("SELECT dataset, from_block, to_block, anchored FROM coverage")
      .all()
    const stray = database.prepare(STRAY_ROWS).pluck().get()
    const violations: Array<Violation> = []
    const say = (invariant: string, detail: string): void => {
      violations.push({ invariant, detail })
    }
    if (stray !== 0) say("rows have a payload", `${String(stray)} rows of blocks without one`)
    const blocks = new Set(rows.map((row) => row.block_number))
    const covered = coverage.filter(({ dataset }) => dataset === "payloads")
    const account = BlockRanges.fromRanges(covered.map(rangeOf))
    const actual = BlockRanges.fromRanges([...blocks].map((block): BlockRange => [block, block]))
    if (textOf(account) !== textOf(actual)) {
      say("coverage is true", `payloads are ${textOf(actual)}, coverage says ${textOf(account)}`)
    }
    for (const table of plan.tables)
      checkTable(database.prepare.bind(database), table, coverage, say)
    const right = new Set(rows.filter((row) => isTrue(row, plan)).map((row) => row.block_number))
    const anchored = blocksOf(covered.filter((row) => row.anchored === 1))
    for (const block of blocks) {
      if (right.has(block)) continue
      const why = anchored.has(block) ? "anchored" : "and nobody forges headers"
      if (anchored.has(block) || !plan.peers.some(sendsForgedHeaders)) {
        say("no wrong row", `block ${block} is not the chain's, ${why}`)
      }
    }
    return { blocks, right, anchored, violations }
  })

const isTrue = (row: PayloadRow, { chain }: Plan): boolean => {
  const truth = trueChain(chain)
  const { block_number: number, block_hash: hash, header } = row
  const parts = unpackParts(row)
  return (
    parts !== undefined &&
    hash !== null &&
    equalBytes(hash, truth.hashAt(number)!) &&
    equalBytes(header, truth.headerAt(number)!) &&
    equalBytes(parts.body, truth.bodyAt(number)!) &&
    equalBytes(parts.receipts, truth.receipts69At(number)!)
  )
}

type Prepare = (sql: string) => { pluck: () => { get: () => unknown; all: () => Array<unknown> } }

/** A table's rows are of blocks that it covers. */
const checkTable = (
  prepare: Prepare,
  table: string,
  coverage: ReadonlyArray<CoverageRow>,
  say: (invariant: string, detail: string) => void,
): void => {
  const covered = blocksOf(coverage.filter(({ dataset }) => dataset === table))
  const found = prepare(`SELECT DISTINCT block_number FROM ${table}`).pluck().all()
  for (const block of found) {
    if (!covered.has(Number(block)))
      say("coverage is true", `${table} has rows of ${String(block)}`)
  }
}

const rangeOf = ({ from_block: from, to_block: to }: CoverageRow): BlockRange => [from, to]

const blocksOf = (rows: ReadonlyArray<CoverageRow>): ReadonlySet<number> => {
  const blocks = new Set<number>()
  for (const { from_block: from, to_block: to } of rows) {
    for (let block = from; block <= to; block++) blocks.add(block)
  }
  return blocks
}

const textOf = (ranges: BlockRanges): string =>
  [...ranges.ranges()].map(([from, to]) => `${from}-${to}`).join(" ")
