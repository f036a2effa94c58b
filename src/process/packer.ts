/**
 * Collects fetched blocks into packs that travel between threads together. Pure bookkeeping, for
 * one owner.
 *
 * Invariants: blocks come out in the order in which they went in, each once; a pack holds at least
 * one block, and only the block that fills it goes beyond the limit.
 */
import type { FetchedBlock } from "../domain/fetchedBlock.ts"

/** What a packer looks at of a block. */
type Packable = Pick<FetchedBlock, "heldBytes" | "header">

/** See the module. */
export class Packer<Block extends Packable> {
  readonly #fullBytes: number
  #blocks: Array<Block> = []
  #bytes = 0
  #sinceMs = 0

  /** Packs are full at `fullBytes`. */
  constructor(fullBytes: number) {
    this.#fullBytes = fullBytes
  }

  /** Takes blocks in at `nowMs`; gives the packs that are full. */
  add(blocks: ReadonlyArray<Block>, nowMs: number): ReadonlyArray<ReadonlyArray<Block>> {
    const full: Array<ReadonlyArray<Block>> = []
    for (const block of blocks) {
      if (this.#blocks.length === 0) this.#sinceMs = nowMs
      this.#blocks.push(block)
      this.#bytes += block.heldBytes + block.header.length
      if (this.#bytes >= this.#fullBytes) full.push(...this.take(Infinity))
    }
    return full
  }

  /** Gives what is collected, if there is anything and it has waited since `untilMs` or longer. */
  take(untilMs: number): ReadonlyArray<ReadonlyArray<Block>> {
    if (this.#blocks.length === 0 || this.#sinceMs > untilMs) return []
    const pack = this.#blocks
    this.#blocks = []
    this.#bytes = 0
    return [pack]
  }
}
