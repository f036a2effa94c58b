/**
 * The columns that `blocks` and `uncles` have in common: every field of a header.
 *
 * In: the RLP of a header. Out: its values, appended in the order of `tables.ts`. Invariant:
 * nothing is lost. Fields that later forks append, or that are not what mainnet has at their
 * place, go into `extra_fields` from the first such field on. A header that breaks the form that
 * all headers have is an `RlpError`, and who sent it is to blame.
 * Sources: yellow paper 4.4; EIP-1559, 4895, 4844, 4788 and 7685 for what was appended.
 */
import { exactInteger, isQuantity, stepQuantity } from "../domain/quantity.ts"
import { RlpReader } from "../domain/rlp.ts"
import { type BindValue, payloadOf, viewOf, wideSpan } from "./rowValues.ts"

/** Appends the values of the header's columns and gives the header's number. */
export const pushHeader = (header: Uint8Array, out: Array<BindValue>): number | bigint => {
  const fields = RlpReader.list(header)
  for (const width of FIRST_WIDTHS) out.push(nextHash(fields, width))
  out.push(nextWide(fields)) // difficulty
  stepQuantity(fields)
  const number = exactInteger(header, fields.start, fields.end)
  out.push(nextWide(fields), nextWide(fields), nextWide(fields)) // gas limit, gas used, timestamp
  fields.nextBytes()
  out.push(payloadOf(fields)) // extra data
  out.push(nextHash(fields, 32), nextHash(fields, 8)) // mix hash, nonce
  pushLaterFields(fields, out)
  return number
}

/** The base fee of a header that went through {@link pushHeader}; undefined before London. */
export const baseFeeOf = (header: Uint8Array): number | bigint | undefined => {
  const fields = RlpReader.list(header)
  for (let field = 0; field < BASE_FEE_AT; field++) fields.next()
  if (fields.done || !isQuantity(fields.next())) return undefined
  return exactInteger(header, fields.start, fields.end)
}

/** Parent, ommers, beneficiary, state, transactions and receipts root, bloom. */
const FIRST_WIDTHS = [32, 32, 20, 32, 32, 32, 256]

/** How many fields are before the base fee. */
const BASE_FEE_AT = 15

/**
 * Base fee, withdrawals root, blob gas used, excess blob gas, parent beacon root, requests hash;
 * 0 stands for an integer.
 */
const LATER_WIDTHS = [0, 32, 0, 0, 32, 32]

const nextHash = (fields: RlpReader, width: number): Uint8Array => {
  fields.nextFixed(width)
  return payloadOf(fields)
}

const nextWide = (fields: RlpReader): BindValue => {
  stepQuantity(fields)
  return wideSpan(fields.bytes, fields.start, fields.end)
}

const fits = (fields: RlpReader, width: number): boolean =>
  width === 0 ? isQuantity(fields) : !fields.isList && fields.end - fields.start === width

const pushLaterFields = (fields: RlpReader, out: Array<BindValue>): void => {
  let extraFrom: number | undefined
  let known = 0
  while (known < LATER_WIDTHS.length && !fields.done) {
    const width = LATER_WIDTHS[known]!
    if (!fits(fields.next(), width)) {
      extraFrom = fields.itemStart
      break
    }
    out.push(width === 0 ? wideSpan(fields.bytes, fields.start, fields.end) : payloadOf(fields))
    known += 1
  }
  for (; known < LATER_WIDTHS.length; known++) out.push(null)
  extraFrom ??= fields.end
  while (!fields.done) fields.next()
  out.push(extraFrom < fields.end ? viewOf(fields.bytes, extraFrom, fields.end) : null)
}
