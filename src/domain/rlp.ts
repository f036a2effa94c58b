/**
 * RLP as spans: a reader that walks encoded bytes without making an object per item, and small
 * encoders. Source: Ethereum yellow paper, appendix B; EIP-7642 and the eth protocol use it for
 * every message.
 *
 * The reader is strict: lengths must be canonical and stay inside their parent. Whatever breaks
 * that is an {@link RlpError}; the sender of the bytes is to blame. Encoding and decoding are
 * tested against @ethereumjs/rlp.
 */

/** Why bytes are no valid RLP. `offset` counts from the start of the buffer that was read. */
export class RlpError extends Error {
  override readonly name = "RlpError"
  readonly reason: string
  readonly offset: number

  constructor(reason: string, offset: number) {
    super(`RLP: ${reason} at byte ${offset}`)
    this.reason = reason
    this.offset = offset
  }
}

/**
 * Walks the items of one list, or of a sequence of items. After {@link RlpReader.next} the fields
 * describe the item that was stepped onto; all offsets are into `bytes`.
 */
export class RlpReader {
  readonly bytes: Uint8Array
  /** First byte of the current item, its prefix included. */
  itemStart = 0
  /** First byte of the current item's payload. */
  start = 0
  /** One past the last byte of the current item. */
  end = 0
  /** Whether the current item is a list. */
  isList = false
  #cursor: number
  readonly #limit: number

  /** Reads the items that lie in `bytes[from, to)`. */
  constructor(bytes: Uint8Array, from = 0, to: number = bytes.length) {
    this.bytes = bytes
    this.#cursor = from
    this.#limit = to
  }

  /** A reader over the items of the one list that `bytes[from, to)` must be, to the last byte. */
  static list(bytes: Uint8Array, from = 0, to: number = bytes.length): RlpReader {
    const outer = new RlpReader(bytes, from, to)
    outer.next()
    if (!outer.isList) throw new RlpError("expected a list", from)
    outer.finish()
    return outer.enter()
  }

  /** Whether no item is left. */
  get done(): boolean {
    return this.#cursor >= this.#limit
  }

  /** Steps onto the next item. Throws {@link RlpError} when there is none or it is malformed. */
  next(): this {
    const { bytes } = this
    const at = this.#cursor
    const limit = this.#limit
    if (at >= limit) throw new RlpError("too few items", at)
    const prefix = bytes[at]!
    let start = at
    let end = at + 1
    if (prefix >= 0x80) {
      const short = prefix < 0xc0 ? prefix - 0x80 : prefix - 0xc0
      if (short <= 55) {
        start = at + 1
        end = start + short
        if (prefix === 0x81 && end <= limit && bytes[start]! < 0x80) {
          throw new RlpError("a single byte below 0x80 with a prefix", at)
        }
      } else {
        const width = short - 55
        start = at + 1 + width
        end = start + this.#length(at + 1, width)
      }
    }
    if (end > limit) throw new RlpError("an item reaches past its end", at)
    this.itemStart = at
    this.start = start
    this.end = end
    this.isList = prefix >= 0xc0
    this.#cursor = end
    return this
  }

  /** Demands that no item is left. */
  finish(): void {
    if (!this.done) throw new RlpError("too many items or bytes", this.#cursor)
  }

  /** Steps onto the next item, which must be a list, and gives a reader over its items. */
  nextList(): RlpReader {
    return this.next().enter()
  }

  /** Steps onto the next item, which must be a byte string, and gives a view of its payload. */
  nextBytes(): Uint8Array {
    this.next()
    if (this.isList) throw new RlpError("expected a byte string", this.itemStart)
    return this.payload()
  }

  /** As {@link RlpReader.nextBytes}, of exactly `length` bytes. */
  nextFixed(length: number): Uint8Array {
    const bytes = this.nextBytes()
    if (bytes.length !== length) {
      throw new RlpError(`expected ${length} bytes, got ${bytes.length}`, this.itemStart)
    }
    return bytes
  }

  /** Steps onto the next item, a canonical unsigned integer of at most 2^53 - 1. */
  nextUint(): number {
    this.next()
    const { bytes, start, end } = this
    if (this.isList) throw new RlpError("expected a byte string", this.itemStart)
    if (end - start > 7) throw new RlpError("integer above 2^53 - 1", this.itemStart)
    if (start < end && bytes[start] === 0) {
      throw new RlpError("integer with a leading zero", this.itemStart)
    }
    let value = 0
    for (let at = start; at < end; at++) value = value * 256 + bytes[at]!
    // Seven bytes may round on the way, but never to a value below 2^53.
    if (value > Number.MAX_SAFE_INTEGER) {
      throw new RlpError("integer above 2^53 - 1", this.itemStart)
    }
    return value
  }

  /** Steps onto the next item, a canonical unsigned integer of at most `maxBytes` bytes. */
  nextBigUint(maxBytes = 32): bigint {
    const bytes = this.nextBytes()
    if (bytes.length > maxBytes) {
      throw new RlpError(`integer of more than ${maxBytes} bytes`, this.itemStart)
    }
    if (bytes[0] === 0) throw new RlpError("integer with a leading zero", this.itemStart)
    let value = 0n
    for (const byte of bytes) value = (value << 8n) | BigInt(byte)
    return value
  }

  /** A reader over the items of the current item, which must be a list. */
  enter(): RlpReader {
    if (!this.isList) throw new RlpError("expected a list", this.itemStart)
    return new RlpReader(this.bytes, this.start, this.end)
  }

  /** A view of the current item's payload. */
  payload(): Uint8Array {
    return this.bytes.subarray(this.start, this.end)
  }

  /** A view of the current item, its prefix included. */
  item(): Uint8Array {
    return this.bytes.subarray(this.itemStart, this.end)
  }

  /** Steps over all items that are left and gives views of them, prefixes included. */
  restItems(): Array<Uint8Array> {
    const items: Array<Uint8Array> = []
    while (!this.done) items.push(this.next().item())
    return items
  }

  /** A view of all that is left, unread: the concatenation of the items. */
  rest(): Uint8Array {
    return this.bytes.subarray(this.#cursor, this.#limit)
  }

  /** How many items are left, by walking over them; the reader itself does not move. */
  countRest(): number {
    const ahead = new RlpReader(this.bytes, this.#cursor, this.#limit)
    let count = 0
    while (!ahead.done) {
      ahead.next()
      count += 1
    }
    return count
  }

  #length(at: number, width: number): number {
    if (at + width > this.#limit) throw new RlpError("a length reaches past its end", at)
    if (this.bytes[at] === 0) throw new RlpError("a length with a leading zero", at)
    // Six bytes are past any buffer and still exact in a double.
    if (width > 6) throw new RlpError("a length of more than 48 bits", at)
    let length = 0
    for (let i = 0; i < width; i++) length = length * 256 + this.bytes[at + i]!
    if (length <= 55) throw new RlpError("a long form for a short length", at)
    return length
  }
}

const EMPTY_STRING = Uint8Array.of(0x80)

/** The prefix of an item of `length` payload bytes; `base` is 0x80 for strings, 0xc0 for lists. */
const prefixOf = (length: number, base: 0x80 | 0xc0): Uint8Array => {
  if (length <= 55) return Uint8Array.of(base + length)
  const digits: Array<number> = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return Uint8Array.of(base + 55 + digits.length, ...digits)
}

/** How many bytes the prefix of an item of `length` payload bytes takes; `length` is below 2^32. */
export const prefixBytes = (length: number): number => {
  if (length <= 55) return 1
  if (length < 0x100) return 2
  if (length < 0x10000) return 3
  return length < 0x1000000 ? 4 : 5
}

/**
 * Writes the prefix of an item of `length` payload bytes at `bytes[at]` and gives the offset behind
 * it; `base` is 0x80 for strings, 0xc0 for lists.
 */
export const writePrefix = (
  bytes: Uint8Array,
  at: number,
  length: number,
  base: 0x80 | 0xc0,
): number => {
  const width = prefixBytes(length) - 1
  let cursor = at
  bytes[cursor++] = base + (width === 0 ? length : 55 + width)
  for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) {
    bytes[cursor++] = (length >>> shift) & 255
  }
  return cursor
}

/** Joins byte arrays. */
export const concatBytes = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  let length = 0
  for (const part of parts) length += part.length
  const joined = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** A byte string as an RLP item. */
export const encodeBytes = (payload: Uint8Array): Uint8Array => {
  if (payload.length === 0) return EMPTY_STRING
  if (payload.length === 1 && payload[0]! < 0x80) return payload
  return concatBytes([prefixOf(payload.length, 0x80), payload])
}

/** An unsigned integer as its shortest big-endian bytes; zero is no bytes. */
export const uintBytes = (value: number | bigint): Uint8Array => {
  const digits: Array<number> = []
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  } else {
    for (let rest = BigInt(value); rest > 0n; rest >>= 8n) digits.unshift(Number(rest & 0xffn))
  }
  return Uint8Array.from(digits)
}

/** An unsigned integer as an RLP item. */
export const encodeUint = (value: number | bigint): Uint8Array => encodeBytes(uintBytes(value))

/** A list of items that are already encoded. */
export const encodeList = (items: ReadonlyArray<Uint8Array>): Uint8Array =>
  concatBytes([listPrefix(items), ...items])

/** What is written before `items` to make a list of them, where a copy less is worth it. */
export const listPrefix = (items: ReadonlyArray<Uint8Array>): Uint8Array => {
  let length = 0
  for (const item of items) length += item.length
  return prefixOf(length, 0xc0)
}
