/**
 * A budget of bytes that is taken without waiting: what clients have sent and not yet been answered,
 * and what they were answered and have not yet taken.
 */

/** See the module. */
export class ByteBudget {
  #free: number

  constructor(bytes: number) {
    this.#free = bytes
  }

  /** What is free now. */
  get free(): number {
    return this.#free
  }

  /**
   * Makes `to` bytes of the `from` bytes that somebody holds; false: so many are not free, and he
   * holds what he held.
   */
  resize(from: number, to: number): boolean {
    if (to - from > this.#free) return false
    this.#free -= to - from
    return true
  }

  /**
   * Takes `bytes`, if they are free; the answer gives them back, the first time that it is called.
   * Undefined: they are not free.
   */
  take(bytes: number): (() => void) | undefined {
    if (bytes > this.#free) return undefined
    this.#free -= bytes
    let held = bytes
    return () => {
      this.#free += held
      held = 0
    }
  }
}
