/**
 * The rows of any derived table, by its name, and the way in which payloads lie in the store.
 */
import { keccak256 } from "../domain/keccak.ts"
import { packParts, unpackParts } from "./payloadCodec.ts"
import {
  blockRow,
  logRows,
  transactionRows,
  uncleRows,
  withdrawalRows,
  type BlockPayload,
} from "./rows.ts"
import type { BindValue } from "./rowValues.ts"
import { bytesAt, numberAt, type Row } from "./storedValues.ts"
import type { Senders } from "./transactionRow.ts"
import { columnNames, type RowTable, type TableName } from "./tables.ts"

/** Rows of one table, their values one row after the other. */
export interface TableRows {
  readonly table: TableName
  readonly count: number
  readonly values: ReadonlyArray<BindValue>
}

/**
 * All rows that a block has in a table; an `RlpError` when the payload is no block. Creations have
 * their contract's address, and with `all` every transaction its sender.
 */
export const tableRows = (
  table: RowTable,
  payload: BlockPayload,
  senders: Senders = "creations",
): TableRows => {
  const values: Array<BindValue> = []
  return { table, count: pushRows(table, payload, values, senders), values }
}

/** The block's row in `payloads`, packed at a level of `payloadCodec.ts`. */
export const payloadRows = (payload: BlockPayload, compressionLevel: number): TableRows => {
  const { body, receipts, codec } = packParts(payload, compressionLevel)
  const values = [payload.blockNumber, payload.header, body, receipts, codec]
  return { table: "payloads", count: 1, values }
}

/** The query for {@link payloadOfRow}, without its condition. */
export const PAYLOAD_QUERY = "SELECT block_number, header, body, receipts, codec FROM payloads"

/** A payload as the store has it; undefined when its codec is not known, or it does not unpack. */
export const payloadOfRow = (row: Row): BlockPayload | undefined => {
  const packed = { body: bytesAt(row, 2), receipts: bytesAt(row, 3), codec: numberAt(row, 4) }
  const parts = unpackParts(packed)
  if (parts === undefined) return undefined
  const header = bytesAt(row, 1)
  const { body, receipts } = parts
  return { blockNumber: numberAt(row, 0), hash: keccak256(header), header, body, receipts }
}

/** Bytes of a payload. */
export const payloadBytes = ({ header, body, receipts }: BlockPayload): number =>
  header.length + body.length + receipts.length

/** The values of each single row. */
export const splitRows = ({
  table,
  count,
  values,
}: TableRows): ReadonlyArray<ReadonlyArray<BindValue>> => {
  const width = columnNames(table).length
  return Array.from({ length: count }, (_, at) => values.slice(at * width, (at + 1) * width))
}

const pushRows = (
  table: RowTable,
  payload: BlockPayload,
  out: Array<BindValue>,
  senders: Senders,
): number => {
  switch (table) {
    case "blocks":
      return blockRow(payload, out)
    case "transactions":
      return transactionRows(payload, out, senders)
    case "logs":
      return logRows(payload, out)
    case "withdrawals":
      return withdrawalRows(payload, out)
    case "uncles":
      return uncleRows(payload, out)
  }
}

const TRANSACTION_COUNT_AT = columnNames("blocks").indexOf("transaction_count")
const LOG_COUNT_AT = columnNames("blocks").indexOf("log_count")

/** How many transactions and logs a block has, from its row in `blocks`. */
export const countsOf = (
  blocks: TableRows,
): { readonly transactions: number; readonly logs: number } => ({
  transactions: Number(blocks.values[TRANSACTION_COUNT_AT]),
  logs: Number(blocks.values[LOG_COUNT_AT]),
})
