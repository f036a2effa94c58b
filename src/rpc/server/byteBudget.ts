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
