/**
 * The body of a block: `[transactions, uncles, withdrawals?]`.
 *
 * In: its RLP. Out: views of its items, or their counts. Sources: eth protocol, BlockBodies;
 * EIP-2718 (transactions), yellow paper 4.3 (uncles), EIP-4895 (withdrawals).
 *
 * Invariant: one body has one form. A transaction is a list (legacy) or a byte string that begins
 * with a type from 1 to 0x7f: a legacy transaction wrapped in a byte string would have the same
 * transactions root and is refused here. What breaks the form is an `RlpError`, and who sent the
 * body is to blame.
 */
import { nextQuantity, type Quantity } from "./quantity.ts"
import { RlpError, RlpReader } from "./rlp.ts"

/** The items of a body; views. */
export interface Body {
  /** Each as the trie and the hash take it: the RLP list, or `type ‖ payload`. */
  readonly transactions: ReadonlyArray<Uint8Array>
  /** Headers, RLP items. */
  readonly uncles: ReadonlyArray<Uint8Array>
  /** RLP items, for {@link readWithdrawal}; undefined before Shanghai. */
  readonly withdrawals: ReadonlyArray<Uint8Array> | undefined
}

/** Readers of the three lists of a body. */
export interface BodyParts {
  /** For {@link nextTransaction}. */
  readonly transactions: RlpReader
  readonly uncles: RlpReader
  /** Undefined before Shanghai. */
  readonly withdrawals: RlpReader | undefined
}

/** How many items each part of a body has. */
export interface BodyCounts {
  readonly transactions: number
  readonly uncles: number
  /** Undefined before Shanghai. */
  readonly withdrawals: number | undefined
}

/** A payment from the beacon chain (EIP-4895). */
export interface Withdrawal {
  /** Counted through the whole chain. */
  readonly index: Quantity
  readonly validatorIndex: Quantity
  /** 20 bytes. */
  readonly address: Uint8Array
  /** Gwei. */
  readonly amount: Quantity
}

/** Opens the body whose RLP is `bytes`, to the last byte; the items are not looked into. */
export const openBody = (bytes: Uint8Array): BodyParts => {
  const parts = RlpReader.list(bytes)
  const transactions = parts.nextList()
  const uncles = parts.nextList()
  const withdrawals = parts.done ? undefined : parts.nextList()
  parts.finish()
  return { transactions, uncles, withdrawals }
}

/** The items of the body whose RLP is `bytes`. */
export const readBody = (bytes: Uint8Array): Body => {
  const parts = openBody(bytes)
  const transactions: Array<Uint8Array> = []
  while (!parts.transactions.done) transactions.push(nextTransaction(parts.transactions))
  const withdrawals = parts.withdrawals?.restItems()
  return { transactions, uncles: parts.uncles.restItems(), withdrawals }
}

/** Counts the items of a body without looking into them. */
export const countBody = (bytes: Uint8Array): BodyCounts => {
  const { transactions, uncles, withdrawals } = openBody(bytes)
  return {
    transactions: transactions.countRest(),
    uncles: uncles.countRest(),
    withdrawals: withdrawals?.countRest(),
  }
}

/** Steps onto the next transaction of a body and gives a view of it, as the trie takes it. */
export const nextTransaction = (list: RlpReader): Uint8Array => {
  stepTransaction(list)
  return list.isList ? list.item() : list.payload()
}

/** As {@link nextTransaction}, without a view: what the trie takes is the item, or its payload. */
export const stepTransaction = (list: RlpReader): void => {
  list.next()
  if (list.isList) return
  const type = list.start < list.end ? list.bytes[list.start]! : 0
  if (type === 0 || type > 0x7f) throw new RlpError("no transaction type", list.itemStart)
}

/** Reads one withdrawal from its RLP item. */
export const readWithdrawal = (item: Uint8Array): Withdrawal => {
  const fields = RlpReader.list(item)
  const withdrawal = {
    index: nextQuantity(fields),
    validatorIndex: nextQuantity(fields),
    address: fields.nextFixed(20),
    amount: nextQuantity(fields),
  }
  fields.finish()
  return withdrawal
}
