/**
 * Rows of the tables, decoded from a block's payload: the one way in which they are made, whether
 * while syncing or later from the store.
 *
 * In: a {@link BlockPayload}. Out: values appended to a flat array, row after row, in the order of
 * `tables.ts`, ready to be bound; each function gives the number of rows it appended.
 *
 * Invariants: rows lose nothing: header, body and receipts can be written again from them byte for
 * byte. Transactions of unknown types are kept raw. A payload that is no block throws `RlpError`
 * (with values of its first rows already appended); one that passed its checks never does, so who
 * sent it is to blame. Blobs are views of the payload: it must stay as it is until they are bound.
 */
import { countBody, nextTransaction, openBody, readWithdrawal } from "../domain/body.ts"
import { toHex } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { keccak256Many } from "../domain/keccakMany.ts"
import { FlatReceiptCursor, LogCursor, TOPIC_STRIDE } from "../domain/logs.ts"
import { RlpError, RlpReader } from "../domain/rlp.ts"
import { baseFeeOf, pushHeader } from "./headerRow.ts"
import { type BindValue, viewOf, wideInteger, wideOrNull } from "./rowValues.ts"
import { pushTransaction, type Senders } from "./transactionRow.ts"

/** A block as the store keeps it. */
export interface BlockPayload {
  readonly blockNumber: number
  /** keccak256 of `header`, 32 bytes. */
  readonly hash: Uint8Array
  /** RLP of the header. */
  readonly header: Uint8Array
  /** RLP of `[transactions, uncles, withdrawals?]`. */
  readonly body: Uint8Array
  /** RLP of the list of receipts in form 69. */
  readonly receipts: Uint8Array
}

/** Which logs are kept; an empty set keeps all. Members are lower-case hex without 0x. */
export interface LogFilter {
  readonly addresses: ReadonlySet<string>
  readonly topic0s: ReadonlySet<string>
}

/** Appends the block's row of `blocks`. */
export const blockRow = (payload: BlockPayload, out: Array<BindValue>): number => {
  const counts = countBody(payload.body)
  out.push(payload.blockNumber, payload.hash)
  const number = pushHeader(payload.header, out)
  if (number !== payload.blockNumber) throw new RlpError("a header of another block", 0)
  out.push(blockSize(payload), counts.transactions, countLogs(payload.receipts))
  out.push(counts.uncles, counts.withdrawals ?? null)
  return 1
}

/**
 * Appends the rows of `transactions`. `from_address` is filled when `senders` is `all`,
 * `contract_address` also when it is `creations`; what is not asked for is NULL.
 */
export const transactionRows = (
  payload: BlockPayload,
  out: Array<BindValue>,
  senders: Senders = "creations",
): number => {
  const { transactions } = openBody(payload.body)
  const receipts = new FlatReceiptCursor(payload.receipts)
  const { blockNumber } = payload
  const context = { blockNumber, baseFee: baseFeeOf(payload.header), senders }
  const all: Array<Uint8Array> = []
  while (!transactions.done) all.push(nextTransaction(transactions))
  const hashes = keccak256Many(all)
  let gas: number | bigint = 0
  for (const [index, bytes] of all.entries()) {
    if (!receipts.next()) throw new RlpError("fewer receipts than transactions", 0)
    const transaction = { bytes, hash: viewOf(hashes, 32 * index, 32 * (index + 1)) }
    gas = pushTransaction(context, index, transaction, receipts, gas, out)
  }
  if (receipts.next()) throw new RlpError("more receipts than transactions", 0)
  return all.length
}

/** Appends the rows of `logs`: all, or those that `filter` lets through. */
export const logRows = (
  payload: BlockPayload,
  out: Array<BindValue>,
  filter?: LogFilter,
): number => {
  const receipts = new FlatReceiptCursor(payload.receipts)
  let logIndex = 0
  let rows = 0
  for (let transactionIndex = 0; receipts.next(); transactionIndex++) {
    const logs = new LogCursor(payload.receipts, receipts.logsStart, receipts.logsEnd)
    for (; logs.next(); logIndex++) {
      if (filter !== undefined && !passes(logs, filter)) continue
      out.push(payload.blockNumber, transactionIndex, logIndex)
      pushLog(logs, out)
      rows += 1
    }
  }
  return rows
}

/** Appends the rows of `withdrawals`: none before Shanghai. */
export const withdrawalRows = (payload: BlockPayload, out: Array<BindValue>): number => {
  const { withdrawals } = openBody(payload.body)
  if (withdrawals === undefined) return 0
  let position = 0
  for (; !withdrawals.done; position++) {
    const { index, validatorIndex, address, amount } = readWithdrawal(withdrawals.next().item())
    out.push(payload.blockNumber, position, wideOrNull(index), wideOrNull(validatorIndex))
    out.push(address, wideOrNull(amount))
  }
  return position
}

/** Appends the rows of `uncles`: none from the Merge on. */
export const uncleRows = (payload: BlockPayload, out: Array<BindValue>): number => {
  const { uncles } = openBody(payload.body)
  let index = 0
  for (; !uncles.done; index++) {
    const header = uncles.next().item()
    out.push(payload.blockNumber, index, keccak256(header))
    const numberAt = out.push(null) - 1
    out[numberAt] = wideInteger(pushHeader(header, out))
  }
  return index
}

/** The length of `[header, transactions, uncles, withdrawals?]` as RLP. */
const blockSize = ({ header, body }: BlockPayload): number => {
  const outer = new RlpReader(body).next()
  const length = header.length + outer.end - outer.start
  if (length <= 55) return 1 + length
  let width = 1
  while (length >= 2 ** (8 * width)) width += 1
  return 1 + width + length
}

const countLogs = (list: Uint8Array): number => {
  const receipts = new FlatReceiptCursor(list)
  let count = 0
  while (receipts.next()) count += receipts.countLogs()
  return count
}

const passes = (log: LogCursor, { addresses, topic0s }: LogFilter): boolean =>
  (addresses.size === 0 || addresses.has(hexAt(log, log.addressStart, 20))) &&
  (topic0s.size === 0 || (log.topicCount > 0 && topic0s.has(hexAt(log, log.topicsStart, 32))))

const hexAt = ({ bytes }: LogCursor, from: number, length: number): string =>
  toHex(viewOf(bytes, from, from + length))

/** address, topic0 to topic3 and data. */
const pushLog = (log: LogCursor, out: Array<BindValue>): void => {
  const { bytes, addressStart, topicsStart, topicCount } = log
  out.push(viewOf(bytes, addressStart, addressStart + 20))
  for (let topic = 0; topic < 4; topic++) {
    const at = topicsStart + topic * TOPIC_STRIDE
    out.push(topic < topicCount ? viewOf(bytes, at, at + 32) : null)
  }
  out.push(viewOf(bytes, log.dataStart, log.dataEnd))
}
