/**
 * The body of one request as it comes, in one buffer however it is cut into chunks. Pure.
 *
 * In: chunks. Out: the whole, or why it is not taken.
 *
 * Invariants: what the buffer takes is held of the budget that all connections share, never less; a
 * chunk costs no memory beside its bytes, so that a body of single bytes is as cheap as one of a
 * piece; nothing is taken after it was refused or given up.
 */
import type { ByteBudget } from "./byteBudget.ts"

/** Why a body is not taken: it is longer than it may be; there is no room for it now. */
export type BodyRefusal = "large" | "busy"

/** The least that is asked of the budget at once. */
const FIRST_BYTES = 4 * 1024

/** See the module. */
export class BodyBytes {
  readonly #budget: ByteBudget
  readonly #most: number
  #buffer: Buffer = Buffer.alloc(0)
  #size = 0

  /** `most`: bytes that a body may have. */
  constructor(budget: ByteBudget, most: number) {
    this.#budget = budget
    this.#most = most
  }

  /** Takes the next chunk; what it gives is a refusal. */
  add(chunk: Uint8Array): BodyRefusal | undefined {
    const size = this.#size + chunk.length
    if (size > this.#most) return "large"
    if (size > this.#buffer.length && !this.#grow(size)) return "busy"
    this.#buffer.set(chunk, this.#size)
    this.#size = size
    return undefined
  }

  /** What has come, as text in UTF-8. */
  get text(): string {
    return this.#buffer.toString("utf8", 0, this.#size)
  }

  /** Gives all that is held back; may be called again. */
  release(): void {
    this.#budget.resize(this.#buffer.length, 0)
    this.#buffer = Buffer.alloc(0)
    this.#size = 0
  }

  /** Makes room for `size` bytes, and for as many as there are to come beside. */
  #grow(size: number): boolean {
    const held = this.#buffer.length
    const capacity = Math.min(this.#most, Math.max(size, 2 * held, FIRST_BYTES))
    if (!this.#budget.resize(held, capacity)) return false
    const buffer = Buffer.allocUnsafeSlow(capacity)
    buffer.set(this.#buffer.subarray(0, this.#size))
    this.#buffer = buffer
    return true
  }
}
