/**
 * Who waits for an answer from which node at which endpoint.
 *
 * Invariant: holds exactly those that were added and not yet cancelled; an endpoint that nobody
 * waits for takes no room.
 */

/** Ends a wait; a second time does nothing. */
export type Cancel = () => void

interface Waiter<A> {
  readonly nodeId: string
  readonly answered: (answer: A) => void
}

/** See the module. */
export class Waiters<A> {
  readonly #byEndpoint = new Map<string, Set<Waiter<A>>>()

  /** Endpoints that somebody waits for. */
  get size(): number {
    return this.#byEndpoint.size
  }

  /** Whether anything from this endpoint is waited for. */
  has(endpoint: string): boolean {
    return this.#byEndpoint.has(endpoint)
  }

  /** Runs `answered` for each answer until it is cancelled. */
  add(endpoint: string, nodeId: string, answered: (answer: A) => void): Cancel {
    const waiter = { nodeId, answered }
    const waiters = this.#byEndpoint.get(endpoint) ?? new Set()
    this.#byEndpoint.set(endpoint, waiters.add(waiter))
    return () => {
      const now = this.#byEndpoint.get(endpoint)
      if (now?.delete(waiter) === true && now.size === 0) this.#byEndpoint.delete(endpoint)
    }
  }

  /** An answer has come. */
  tell(endpoint: string, nodeId: string, answer: A): void {
    for (const waiter of this.#byEndpoint.get(endpoint) ?? []) {
      if (waiter.nodeId === nodeId) waiter.answered(answer)
    }
  }
}
