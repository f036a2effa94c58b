/**
 * Rows by the names of their columns, and the way back from them to the bytes that they were
 * decoded from. What that gives differs from the payload as soon as a row loses anything.
 */
import {
  concatBytes,
  encodeBytes,
  encodeList,
  encodeUint,
  uintBytes,
} from "../../src/domain/rlp.ts"
import { encodeTransaction, type TransactionType } from "../../src/domain/transactions.ts"
import {
  type BlockPayload,
  blockRow,
  logRows,
  transactionRows,
  uncleRows,
  withdrawalRows,
} from "../../src/write/rows.ts"
import type { BindValue } from "../../src/write/rowValues.ts"
import { columnNames, type RowTable } from "../../src/write/tables.ts"
import type { Senders } from "../../src/write/transactionRow.ts"
import { encodeBody } from "./arbitraryBlocks.ts"

/** A row by the names of its columns. */
export type Row = Readonly<Record<string, BindValue>>

/** The rows of a block in every table, each in the order of its index. */
export type BlockRows = Readonly<Record<RowTable, ReadonlyArray<Row>>>

/** Cuts flat bind values into rows; throws when they are no whole number of them. */
const toRows = (table: RowTable, values: ReadonlyArray<BindValue>): ReadonlyArray<Row> => {
  const names = columnNames(table)
  if (values.length % names.length !== 0) throw new Error(`${table}: values and columns differ`)
  const rows: Array<Row> = []
  for (let at = 0; at < values.length; at += names.length) {
    rows.push(Object.fromEntries(names.map((name, column) => [name, values[at + column]!])))
  }
  return rows
}

/** The rows that `fill` appends to a table; throws when it miscounts them. */
export const rowsOf = (
  table: RowTable,
  fill: (out: Array<BindValue>) => number,
): ReadonlyArray<Row> => {
  const values: Array<BindValue> = []
  const count = fill(values)
  const rows = toRows(table, values)
  if (rows.length !== count) throw new Error(`${table}: ${count} rows told, ${rows.length} made`)
  return rows
}

/** The rows of a block in every table. */
export const decode = (payload: BlockPayload, senders: Senders = "creations"): BlockRows => ({
  blocks: rowsOf("blocks", (out) => blockRow(payload, out)),
  transactions: rowsOf("transactions", (out) => transactionRows(payload, out, senders)),
  logs: rowsOf("logs", (out) => logRows(payload, out)),
  withdrawals: rowsOf("withdrawals", (out) => withdrawalRows(payload, out)),
  uncles: rowsOf("uncles", (out) => uncleRows(payload, out)),
})

/** Header, body and receipts of a block from its rows alone. */
export const payloadFromRows = (
  rows: BlockRows,
): Pick<BlockPayload, "header" | "body" | "receipts"> => {
  const block = rows.blocks[0]!
  const withdrawals = rows.withdrawals.map((row) =>
    encodeList([
      integer(row, "withdrawal_index"),
      integer(row, "validator_index"),
      encodeBytes(blob(row, "address")),
      integer(row, "amount"),
    ]),
  )
  return {
    header: headerFromRow(block, "block_number"),
    body: encodeBody(
      rows.transactions.map(transactionFromRow),
      rows.uncles.map((row) => headerFromRow(row, "uncle_number")),
      block["withdrawal_count"] === null ? undefined : withdrawals,
    ),
    receipts: encodeList(rows.transactions.map((row) => receiptFromRow(row, rows.logs))),
  }
}

const blob = (row: Row, name: string): Uint8Array => {
  const value = row[name]
  if (!(value instanceof Uint8Array)) throw new Error(`${name} is no blob`)
  return value
}

/** The shortest form of an integer that is kept as an INTEGER or as a BLOB. */
const quantity = (row: Row, name: string): Uint8Array => {
  const value = row[name]
  if (typeof value === "number" || typeof value === "bigint") return uintBytes(BigInt(value))
  const bytes = blob(row, name)
  let zeros = 0
  while (bytes[zeros] === 0) zeros += 1
  return bytes.subarray(zeros)
}

const integer = (row: Row, name: string): Uint8Array => encodeBytes(quantity(row, name))

const BLOB_FIELDS = ["parent_hash", "uncles_hash", "author", "state_root", "transactions_root"]
const LATER_FIELDS = [
  "base_fee_per_gas",
  "withdrawals_root",
  "blob_gas_used",
  "excess_blob_gas",
  "parent_beacon_block_root",
  "requests_hash",
] as const
const LATER_HASHES: ReadonlySet<string> = new Set([
  "withdrawals_root",
  "parent_beacon_block_root",
  "requests_hash",
])

const headerFromRow = (row: Row, number: string): Uint8Array => {
  const bytes = (name: string): Uint8Array => encodeBytes(blob(row, name))
  const later = LATER_FIELDS.filter((name) => row[name] !== null)
  return encodeList([
    ...[...BLOB_FIELDS, "receipts_root", "logs_bloom"].map(bytes),
    ...["difficulty", number, "gas_limit", "gas_used", "timestamp"].map((name) =>
      integer(row, name),
    ),
    ...["extra_data", "mix_hash", "nonce"].map(bytes),
    ...later.map((name) => (LATER_HASHES.has(name) ? bytes(name) : integer(row, name))),
    row["extra_fields"] === null ? new Uint8Array(0) : blob(row, "extra_fields"),
  ])
}

const transactionFromRow = (row: Row): Uint8Array => {
  if (row["raw"] !== null) return blob(row, "raw")
  const type = typeOf(row)
  const present = (name: string): Uint8Array | undefined =>
    row[name] === null ? undefined : quantity(row, name)
  const list = (name: string): Uint8Array | undefined =>
    row[name] === null ? undefined : blob(row, name)
  return encodeTransaction({
    type,
    chainId: type === 0 ? undefined : quantity(row, "chain_id"),
    nonce: quantity(row, "nonce"),
    gasPrice: type < 2 ? quantity(row, "gas_price") : undefined,
    maxPriorityFeePerGas: present("max_priority_fee_per_gas"),
    maxFeePerGas: present("max_fee_per_gas"),
    gasLimit: quantity(row, "gas_limit"),
    to: list("to_address") ?? new Uint8Array(0),
    value: quantity(row, "value"),
    input: blob(row, "input"),
    accessList: list("access_list"),
    maxFeePerBlobGas: present("max_fee_per_blob_gas"),
    blobVersionedHashes: list("blob_versioned_hashes"),
    authorizationList: list("authorization_list"),
    v: quantity(row, "v"),
    r: quantity(row, "r"),
    s: quantity(row, "s"),
  })
}

const typeOf = (row: Row): TransactionType => {
  const type = Number(row["transaction_type"])
  if (type !== 0 && type !== 1 && type !== 2 && type !== 3 && type !== 4) {
    throw new Error(`type ${type} and not raw`)
  }
  return type
}

const receiptFromRow = (row: Row, logs: ReadonlyArray<Row>): Uint8Array => {
  const own = logs.filter((log) => log["transaction_index"] === row["transaction_index"])
  const outcome = row["success"] === null ? blob(row, "post_state") : quantity(row, "success")
  return encodeList([
    encodeUint(Number(row["transaction_type"])),
    encodeBytes(outcome),
    integer(row, "cumulative_gas_used"),
    encodeList(own.map(logFromRow)),
  ])
}

const logFromRow = (row: Row): Uint8Array => {
  const topics = ["topic0", "topic1", "topic2", "topic3"].filter((name) => row[name] !== null)
  return encodeList([
    encodeBytes(blob(row, "address")),
    encodeList(topics.map((name) => encodeBytes(blob(row, name)))),
    encodeBytes(blob(row, "data")),
  ])
}

/** Whether two byte arrays are equal; quicker than a deep comparison. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** The three parts as one, to be compared at once. */
export const wholeOf = (payload: Pick<BlockPayload, "header" | "body" | "receipts">): Uint8Array =>
  concatBytes([payload.header, payload.body, payload.receipts])
