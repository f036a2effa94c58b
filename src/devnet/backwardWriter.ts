/**
 * RLP written from its end to its beginning, for made chains.
 */

/**
 * Writes RLP from its end to its beginning, so that the length of a list is known when its prefix
 * is due. Items of a list are therefore written last to first.
 */
export class BackwardWriter {
  readonly bytes: Uint8Array
  /** Where the last written item starts. */
  at: number

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.at = size
  }

  /** Makes room for `length` bytes, to be filled by the caller, and gives where it starts. */
  room(length: number): number {
    if (this.at < length + 16) throw new RangeError("the block outgrows its buffer")
    return (this.at -= length)
  }

  /** Bytes as they are: encoded items, or a part of a payload. */
  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.room(bytes.length))
  }

  /** A byte string of two bytes or more. */
  string(payload: Uint8Array): void {
    const end = this.at
    this.raw(payload)
    this.close(end, 0x80)
  }

  uint(value: number): void {
    const end = this.at
    let rest = value
    while (rest >= 1) {
      this.bytes[this.room(1)] = rest % 256
      rest = Math.floor(rest / 256)
    }
    if (end - this.at !== 1 || this.bytes[this.at]! >= 0x80) this.close(end, 0x80)
  }

  /** Puts the prefix before all that was written since `at` was `end`. */
  close(end: number, base: 0x80 | 0xc0): void {
    const length = end - this.at
    if (length <= 55) {
      this.bytes[this.room(1)] = base + length
      return
    }
    let digits = 0
    for (let rest = length; rest > 0; rest >>>= 8) {
      this.bytes[this.room(1)] = rest
      digits += 1
    }
    this.bytes[this.room(1)] = base + 55 + digits
  }

  /** What was written since `at` was `end`: a view, good until the next reset. */
  since(end: number): Uint8Array {
    return this.bytes.subarray(this.at, end)
  }

  /** A copy of all that was written; the buffer is free again. */
  take(): Uint8Array {
    const taken = this.bytes.slice(this.at)
    this.at = this.bytes.length
    return taken
  }
}
