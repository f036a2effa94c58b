/**
 * How much has come by a WebSocket that is no whole message yet, and so waits in memory. Pure.
 *
 * In: sizes of chunks as the socket gives them, then of what is whole after each. Out: what is held of
 * the budget that all connections share.
 *
 * Invariants: never less is held than the payload that waits. Of a message in many frames the heads
 * may be counted a while longer; never more than the last chunk is left over.
 */
import type { ByteBudget } from "./byteBudget.ts"

/** See the module. */
export class IncomingBytes {
  readonly #budget: ByteBudget
  #held = 0
  #lastChunk = 0

  constructor(budget: ByteBudget) {
    this.#budget = budget
  }

  /** What is held now. */
  get held(): number {
    return this.#held
  }

  /** A chunk came; false: there is no room for it. */
  came(bytes: number): boolean {
    this.#lastChunk = bytes
    return this.#holds(this.#held + bytes)
  }

  /** A message of so many bytes is whole. What came before it is over. */
  message(bytes: number): void {
    this.#holds(Math.min(this.#held - frameBytes(bytes), this.#lastChunk))
  }

  /** A ping, or the answer to one, may come within a message. */
  control(bytes: number): void {
    this.#holds(this.#held - frameBytes(bytes))
  }

  /** The connection is gone. */
  ended(): void {
    this.#holds(0)
  }

  #holds(bytes: number): boolean {
    const held = Math.max(0, bytes)
    if (!this.#budget.resize(this.#held, held)) return false
    this.#held = held
    return true
  }
}

/** Of a client's frame with this payload, mask and all (RFC 6455, 5.2). */
const frameBytes = (payload: number): number => {
  if (payload <= MOST_SHORT) return 6 + payload
  return (payload <= MOST_MEDIUM ? 8 : 14) + payload
}

const MOST_SHORT = 125
const MOST_MEDIUM = 65_535
