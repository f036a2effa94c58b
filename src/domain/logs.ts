/**
 * Cursors over the receipts of a block in form 69 (EIP-7642) and over their logs, for whoever
 * reads every field of every log: nothing is allocated per log.
 *
 * In: the RLP of a block's list of receipts, flat and without blooms:
 * `[type, postStateOrStatus, cumulativeGas, logs]` each, a log being `[address, topics, data]`
 * (yellow paper 4.3.1). Out: offsets into those bytes, after each step.
 *
 * Invariant: reading is strict, so that the fields written again are the same bytes. Whatever
 * breaks the form is an `RlpError`, and who sent the receipts is to blame.
 */
import { stepQuantity } from "./quantity.ts"
import { RlpError, RlpReader } from "./rlp.ts"

/** Steps through the receipts of a list in form 69. */
export class FlatReceiptCursor {
  readonly bytes: Uint8Array
  /** EIP-2718 type; 0 for a legacy receipt. */
  type = 0
  /** Payload of the first field: none (failed), 0x01 (succeeded), or a state root of 32 bytes. */
  outcomeStart = 0
  outcomeEnd = 0
  /** Payload of the cumulative gas: a canonical integer below 2^256. */
  gasStart = 0
  gasEnd = 0
  /** The logs, one after the other. */
  logsStart = 0
  logsEnd = 0
  readonly #items: RlpReader

  constructor(list: Uint8Array) {
    this.bytes = list
    this.#items = RlpReader.list(list)
  }

  /** Steps onto the next receipt; false when there is none. */
  next(): boolean {
    if (this.#items.done) return false
    const fields = this.#items.nextList()
    stepQuantity(fields)
    if (fields.end - fields.start > 1) throw new RlpError("a type of two bytes", fields.itemStart)
    this.type = fields.start === fields.end ? 0 : this.bytes[fields.start]!
    if (this.type > 0x7f) throw new RlpError("no transaction type", fields.itemStart)
    this.#stepOutcome(fields)
    stepQuantity(fields)
    this.gasStart = fields.start
    this.gasEnd = fields.end
    fields.next()
    if (!fields.isList) throw new RlpError("expected a list of logs", fields.itemStart)
    this.logsStart = fields.start
    this.logsEnd = fields.end
    fields.finish()
    return true
  }

  /** How many logs the current receipt has. */
  countLogs(): number {
    return new RlpReader(this.bytes, this.logsStart, this.logsEnd).countRest()
  }

  #stepOutcome(fields: RlpReader): void {
    fields.next()
    const length = fields.end - fields.start
    const status = length === 0 || (length === 1 && this.bytes[fields.start] === 1)
    if (fields.isList || (!status && length !== 32)) {
      throw new RlpError("neither a status nor a state root", fields.itemStart)
    }
    this.outcomeStart = fields.start
    this.outcomeEnd = fields.end
  }
}

const ADDRESS_PREFIX = 0x94
const ADDRESS_BYTES = 20
const TOPIC_PREFIX = 0xa0

/** From one topic to the next: its prefix and 32 bytes. */
export const TOPIC_STRIDE = 33

/** Steps through the logs that lie in `bytes[from, to)`. */
export class LogCursor {
  readonly bytes: Uint8Array
  /** The 20 bytes of the address. */
  addressStart = 0
  /** The 32 bytes of the first topic; the next ones follow every {@link TOPIC_STRIDE} bytes. */
  topicsStart = 0
  /** 0 to 4. */
  topicCount = 0
  dataStart = 0
  dataEnd = 0
  readonly #logs: RlpReader

  constructor(bytes: Uint8Array, from: number, to: number) {
    this.bytes = bytes
    this.#logs = new RlpReader(bytes, from, to)
  }

  /** Steps onto the next log; false when there is none. */
  next(): boolean {
    const logs = this.#logs
    if (logs.done) return false
    logs.next()
    // Addresses and topics have fixed widths: their places are known and are only checked.
    const topicsAt = logs.start + 1 + ADDRESS_BYTES
    if (!logs.isList || topicsAt >= logs.end || this.bytes[logs.start] !== ADDRESS_PREFIX) {
      throw new RlpError("a log without an address", logs.itemStart)
    }
    this.addressStart = logs.start + 1
    this.#enterData(this.#stepTopics(topicsAt, logs.end), logs.end)
    return true
  }

  /** Reads the list of topics at `at` and gives the offset behind it. */
  #stepTopics(at: number, end: number): number {
    const { bytes } = this
    const prefix = bytes[at]!
    const long = prefix === 0xf8
    const length = long ? (bytes[at + 1] ?? 0) : prefix - 0xc0
    const count = length / TOPIC_STRIDE
    const inForm = long ? count >= 2 && count <= 4 : count === 0 || count === 1
    if (!inForm || !Number.isInteger(count)) throw new RlpError("no list of topics", at)
    const first = at + (long ? 2 : 1)
    const behind = first + length
    if (behind >= end) throw new RlpError("a log without data", at)
    for (let topic = first; topic < behind; topic += TOPIC_STRIDE) {
      if (bytes[topic] !== TOPIC_PREFIX) throw new RlpError("no topic of 32 bytes", topic)
    }
    this.topicsStart = first + 1
    this.topicCount = count
    return behind
  }

  /** Reads the data, which must be the one byte string in `[at, end)`, in its canonical form. */
  #enterData(at: number, end: number): void {
    const prefix = this.bytes[at]!
    const length = end - at
    this.dataEnd = end
    if (prefix < 0x80 && length === 1) this.dataStart = at
    else if (prefix === 0x80 + length - 1 && length <= 56) this.#enterShort(at, length)
    else {
      const reader = new RlpReader(this.bytes, at, end)
      reader.nextBytes()
      reader.finish()
      this.dataStart = reader.start
    }
  }

  #enterShort(at: number, length: number): void {
    if (length === 2 && this.bytes[at + 1]! < 0x80) {
      throw new RlpError("a single byte below 0x80 with a prefix", at)
    }
    this.dataStart = at + 1
  }
}
