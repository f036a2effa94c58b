/**
 * The list of receipts of one block, walked: how many, how much gas, where the parts of each lie.
 * What computes roots and blooms of it is in `receipts.ts`: a probe needs neither and loads
 * neither.
 *
 * In: the RLP of a block's whole list of receipts, its prefix included, in one of the two forms in
 * which peers send it (see `receipts.ts`). Whatever breaks a form is an `RlpError`, and who sent
 * the bytes is to blame.
 */
import { prefixBytes, RlpError, RlpReader, writePrefix } from "./rlp.ts"

/** Bytes of a bloom (yellow paper 4.3.1). */
const BLOOM_BYTES = 256

/** Which of the two forms a list of receipts is in: that of eth/68, or that of eth/69 and later. */
export type ReceiptsForm = 68 | 69

/** How many receipts `list` holds. Either form; the receipts themselves are not looked into. */
export const countReceipts = (list: Uint8Array): number => RlpReader.list(list).countRest()

/** Whether `list` holds no receipt. Either form. */
export const isEmptyList = (list: Uint8Array): boolean => RlpReader.list(list).done

/** The cumulative gas of the last receipt, which is the block's gas used; 0 for an empty list. */
export const lastCumulativeGas = (list: Uint8Array, form: ReceiptsForm): number => {
  const items = RlpReader.list(list)
  if (items.done) return 0
  while (!items.done) items.next()
  const last = new ReceiptCursor(new RlpReader(list, items.itemStart, items.end), form)
  last.next()
  return last.cumulativeGas()
}

/**
 * Turns a list in form 68 into form 69 where it lies, from its first byte on, and gives its new
 * length, which is never more than the old one. Nothing is changed when it throws.
 */
export const flattenReceipts = (list: Uint8Array): number => {
  let payload = 0
  const sizes = new ReceiptCursor(RlpReader.list(list), 68)
  while (sizes.next()) {
    const length = flatPayload(sizes)
    payload += prefixBytes(length) + length
  }
  const receipts = new ReceiptCursor(RlpReader.list(list), 68)
  let at = writePrefix(list, 0, payload, 0xc0)
  while (receipts.next()) {
    const { type, headStart, headEnd, logsItem, logsEnd } = receipts
    const length = flatPayload(receipts)
    const head = at + prefixBytes(length) + 1
    // A legacy receipt's head may move up by the byte of its type, into its bloom: it goes first.
    list.copyWithin(head, headStart, headEnd)
    list[writePrefix(list, at, length, 0xc0)] = type === 0 ? 0x80 : type
    at = head + headEnd - headStart
    list.copyWithin(at, logsItem, logsEnd)
    at += logsEnd - logsItem
  }
  return at
}

/** Payload bytes of a receipt in form 69: the type's byte, the head, the logs. */
const flatPayload = ({ headStart, headEnd, logsItem, logsEnd }: ReceiptCursor): number =>
  1 + headEnd - headStart + logsEnd - logsItem

/** Steps through receipts; after each step the fields tell where its parts lie in the list. */
export class ReceiptCursor {
  /** What the receipts trie holds, in form 68 only: the list, or the payload of the byte string. */
  valueStart = 0
  itemEnd = 0
  /** EIP-2718 type; 0 for a legacy receipt. */
  type = 0
  /** The two items postStateOrStatus and cumulativeGas, prefixes included. */
  headStart = 0
  headEnd = 0
  /** The 256 bytes of the bloom; form 68 only. */
  bloomStart = 0
  /** The item of the logs with its prefix, and the start of its payload. */
  logsItem = 0
  logsStart = 0
  logsEnd = 0
  #gasItem = 0
  readonly #items: RlpReader
  readonly #form: ReceiptsForm

  constructor(items: RlpReader, form: ReceiptsForm) {
    this.#items = items
    this.#form = form
  }

  /** Steps onto the next receipt; false when there is none. */
  next(): boolean {
    if (this.#items.done) return false
    const fields = this.#form === 68 ? this.#enter68() : this.#enter69()
    this.valueStart = this.#items.isList ? this.#items.itemStart : this.#items.start
    this.itemEnd = this.#items.end
    this.#readString(fields)
    this.#checkOutcome(fields)
    this.headStart = fields.itemStart
    this.#readString(fields)
    this.#gasItem = fields.itemStart
    this.headEnd = fields.end
    if (this.#form === 68) {
      this.#readString(fields)
      if (fields.end - fields.start !== BLOOM_BYTES) {
        throw new RlpError("a bloom of the wrong length", fields.itemStart)
      }
      this.bloomStart = fields.start
    }
    fields.next()
    if (!fields.isList) throw new RlpError("expected a list of logs", fields.itemStart)
    this.logsItem = fields.itemStart
    this.logsStart = fields.start
    this.logsEnd = fields.end
    fields.finish()
    return true
  }

  /** The cumulative gas of the current receipt; above 2^53 - 1 it is an RlpError. */
  cumulativeGas(): number {
    return new RlpReader(this.#items.bytes, this.#gasItem, this.headEnd).nextUint()
  }

  #enter68(): RlpReader {
    const items = this.#items.next()
    if (items.isList) {
      this.type = 0
      return items.enter()
    }
    this.type = this.#typeByte(items, items.start)
    return RlpReader.list(items.bytes, items.start + 1, items.end)
  }

  #enter69(): RlpReader {
    const fields = this.#items.nextList()
    this.#readString(fields)
    if (fields.end - fields.start > 1) throw new RlpError("a type of two bytes", fields.itemStart)
    this.type = fields.start === fields.end ? 0 : this.#typeByte(fields, fields.start)
    return fields
  }

  /** EIP-2718: a type is 1 to 0x7f; 0 is never written as a byte. */
  #typeByte(reader: RlpReader, at: number): number {
    const type = at < reader.end ? reader.bytes[at]! : 0
    if (type === 0 || type > 0x7f) throw new RlpError("no transaction type", reader.itemStart)
    return type
  }

  /** No byte (failed), 0x01 (succeeded; EIP-658), or a state root of 32 bytes before that. */
  #checkOutcome(fields: RlpReader): void {
    const length = fields.end - fields.start
    const status = length === 0 || (length === 1 && fields.bytes[fields.start] === 1)
    if (status || length === 32) return
    throw new RlpError("neither a status nor a state root", fields.itemStart)
  }

  #readString(fields: RlpReader): void {
    fields.next()
    if (fields.isList) throw new RlpError("expected a byte string", fields.itemStart)
  }
}
