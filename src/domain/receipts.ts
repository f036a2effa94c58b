/**
 * The receipts of one block, in the two forms in which peers send them.
 *
 * In: the RLP of a block's whole list of receipts, its prefix included. Out: counts, gas, roots,
 * blooms, or the same list in the other form.
 *
 * - form 68, the consensus form (EIP-658, EIP-2718): a receipt is
 *   `[postStateOrStatus, cumulativeGas, bloom, logs]`; a typed one is the byte string
 *   `type ‖ rlp(that)`. eth/68 sends it, era1 files hold it.
 * - form 69 (EIP-7642), flat and without bloom: `[type, postStateOrStatus, cumulativeGas, logs]`;
 *   eth/69 and later send it.
 *
 * Invariants: the first field is kept as it came (a 32-byte state root before Byzantium);
 * `receipts69To68(receipts68To69(list))` is `list` whenever its blooms are right. Spans are walked;
 * nothing is allocated per log. Whatever breaks a form is an `RlpError`, and who sent the bytes is
 * to blame. The data of logs is not looked into: the root vouches for it.
 */
import { addSpanToBloom, BLOOM_BYTES, orBloom } from "./bloom.ts"
import { countReceipts, flattenReceipts, ReceiptCursor, type ReceiptsForm } from "./receiptList.ts"
import { encodeBytes, encodeList, RlpError, RlpReader, writePrefix } from "./rlp.ts"
import { orderedTrieRoot } from "./trieRoot.ts"

/** The list in form 69, from form 68. The blooms are dropped unchecked. Source: EIP-7642. */
export const receipts68To69 = (list: Uint8Array): Uint8Array => {
  // Not `slice`: a Buffer's gives a view.
  const copy = new Uint8Array(list)
  return copy.slice(0, flattenReceipts(copy))
}

/** The list in form 68, from form 69, with each bloom computed from the logs. Source: EIP-7642. */
export const receipts69To68 = (list: Uint8Array): Uint8Array =>
  encodeList(
    consensusReceipts(list, 69).map((value) => (value[0]! >= 0xc0 ? value : encodeBytes(value))),
  )

/** Each receipt as the receipts trie holds it: `rlp(receipt)` or `type ‖ rlp(receipt)`. */
export const consensusReceipts = (
  list: Uint8Array,
  form: ReceiptsForm,
): ReadonlyArray<Uint8Array> => (form === 68 ? storedReceipts(list) : rebuiltReceipts(list))

/** The receiptsRoot that belongs to the list, 32 bytes. Source: yellow paper 4.3.1, EIP-2718. */
export const receiptsRoot = (list: Uint8Array, form: ReceiptsForm): Uint8Array =>
  orderedTrieRoot(consensusReceipts(list, form))

/**
 * The 256-byte logsBloom that belongs to the list, computed from its logs in either form; blooms
 * that the list carries are not believed.
 */
export const receiptsBloom = (list: Uint8Array, form: ReceiptsForm): Uint8Array => {
  const receipts = new ReceiptCursor(RlpReader.list(list), form)
  const bloom = new Uint8Array(BLOOM_BYTES)
  while (receipts.next()) addLogs(bloom, list, receipts.logsStart, receipts.logsEnd)
  return bloom
}

/**
 * ORs the blooms that a list in form 68 carries into a fresh 256-byte filter, without computing
 * them: what a header's logsBloom must equal when every bloom is right.
 */
export const carriedBloom = (list: Uint8Array): Uint8Array => {
  const receipts = new ReceiptCursor(RlpReader.list(list), 68)
  const bloom = new Uint8Array(BLOOM_BYTES)
  while (receipts.next()) {
    orBloom(bloom, list.subarray(receipts.bloomStart, receipts.bloomStart + BLOOM_BYTES))
  }
  return bloom
}

/** The trie's values in a list of form 68: views. */
const storedReceipts = (list: Uint8Array): ReadonlyArray<Uint8Array> => {
  const items = RlpReader.list(list)
  const values: Array<Uint8Array> = []
  while (!items.done) values.push(items.next().isList ? items.item() : items.payload())
  return values
}

/** The item prefix of a bloom: a byte string of 256 bytes. */
export const BLOOM_PREFIX = Uint8Array.of(0xb9, 0x01, 0x00)
const BLOOM_ITEM_BYTES = BLOOM_PREFIX.length + BLOOM_BYTES
/** A bloom more, and two bytes more for the prefix of a list that was short before. */
const GROWTH_BYTES = BLOOM_ITEM_BYTES + 2

/** The trie's values of a list in form 69: written one after the other into a single buffer. */
const rebuiltReceipts = (list: Uint8Array): ReadonlyArray<Uint8Array> => {
  const receipts = new ReceiptCursor(RlpReader.list(list), 69)
  const out = new Uint8Array(list.length + GROWTH_BYTES * countReceipts(list))
  const values: Array<Uint8Array> = []
  let at = 0
  while (receipts.next()) {
    const { headStart, headEnd, logsItem, logsStart, logsEnd } = receipts
    const valueStart = at
    if (receipts.type !== 0) out[at++] = receipts.type
    const payload = headEnd - headStart + BLOOM_ITEM_BYTES + logsEnd - logsItem
    at = writePrefix(out, at, payload, 0xc0)
    out.set(list.subarray(headStart, headEnd), at)
    at += headEnd - headStart
    out.set(BLOOM_PREFIX, at)
    at += BLOOM_ITEM_BYTES
    if (logsStart < logsEnd) {
      addLogs(out.subarray(at - BLOOM_BYTES, at), list, logsStart, logsEnd)
    }
    out.set(list.subarray(logsItem, logsEnd), at)
    at += logsEnd - logsItem
    values.push(out.subarray(valueStart, at))
  }
  return values
}

const ADDRESS_PREFIX = 0x94
const TOPIC_PREFIX = 0xa0
const TOPIC_ITEM_BYTES = 33

/**
 * Adds the logs `[address, topics, data]` that lie in `bytes[from, to)` to a filter. Addresses and
 * topics have fixed widths, so their places are known and are only checked.
 */
const addLogs = (bloom: Uint8Array, bytes: Uint8Array, from: number, to: number): void => {
  const logs = new RlpReader(bytes, from, to)
  while (!logs.done) {
    logs.next()
    const topicsAt = logs.start + 21
    if (!logs.isList || topicsAt >= logs.end || bytes[logs.start] !== ADDRESS_PREFIX) {
      throw new RlpError("a log without an address", logs.itemStart)
    }
    addSpanToBloom(bloom, bytes, logs.start + 1, topicsAt)
    const first = topicsAt + (bytes[topicsAt] === 0xf8 ? 2 : 1)
    const end = first + topicsBytes(bytes, topicsAt)
    if (end >= logs.end) throw new RlpError("a log without data", logs.itemStart)
    for (let topic = first; topic < end; topic += TOPIC_ITEM_BYTES) {
      if (bytes[topic] !== TOPIC_PREFIX) throw new RlpError("no topic of 32 bytes", topic)
      addSpanToBloom(bloom, bytes, topic + 1, topic + TOPIC_ITEM_BYTES)
    }
  }
}

/** The payload bytes of the list of topics at `at`: 33 each, at most four (yellow paper 4.3.1). */
const topicsBytes = (bytes: Uint8Array, at: number): number => {
  const prefix = bytes[at]!
  if (prefix === 0xc0) return 0
  if (prefix === 0xc0 + TOPIC_ITEM_BYTES) return TOPIC_ITEM_BYTES
  const length = bytes[at + 1]!
  const topics = length / TOPIC_ITEM_BYTES
  if (prefix !== 0xf8 || !Number.isInteger(topics) || topics < 2 || topics > 4) {
    throw new RlpError("no list of topics", at)
  }
  return length
}
