/**
 * Bloom filters of many receipts by this project's addon: every item is hashed, four or eight at
 * once, which takes less time than to look up whether it was hashed before.
 *
 * In and out: as {@link BloomFiller} says. Items are only noted down; the addon hashes them and sets
 * their bits when the table is full, and when the filters are settled.
 */
import type { BloomFiller } from "./bloom.ts"
import type { Native } from "./native.ts"

/** Items that are noted down at a time. */
const TABLE_ITEMS = 2_048
const ITEM_WORDS = 3

/** See the module. */
export class NativeBloomFiller implements BloomFiller {
  readonly total = new Uint8Array(256)
  readonly #native: Native
  readonly #lanes: number
  readonly #table = new Int32Array(TABLE_ITEMS * ITEM_WORDS)
  readonly #tableBytes = new Uint8Array(this.#table.buffer)
  #source: Uint8Array = new Uint8Array(0)
  /** Words of the table that are in use. */
  #used = 0

  /** `lanes` is 8 or 4, and no more than the addon has. */
  constructor(native: Native, lanes: number = native.lanes) {
    this.#native = native
    this.#lanes = lanes
  }

  start(bytes: Uint8Array): void {
    this.#source = bytes
    this.#used = 0
    this.total.fill(0)
  }

  add(target: Uint8Array, at: number, from: number, length: number): void {
    if (this.#used === this.#table.length) this.settle(target)
    const item = this.#used
    this.#table[item] = from
    this.#table[item + 1] = length
    this.#table[item + 2] = at
    this.#used = item + ITEM_WORDS
  }

  settle(target: Uint8Array): void {
    const tableEnd = 4 * this.#used
    this.#native.blooms(this.#source, this.#tableBytes, tableEnd, target, this.total, this.#lanes)
    this.#used = 0
  }
}
