/**
 * A map that forgets: entries end after a lifetime, and the oldest goes when there are too many.
 * What strangers can make us remember is kept in one of these.
 *
 * Invariants: never more than `capacity` entries; an entry is never given after its lifetime.
 * Times are milliseconds and never run backwards.
 */

interface Entry<V> {
  readonly value: V
  readonly endsMs: number
}

/** See the module. Writing a key again makes it the youngest. */
export class AgeingMap<V> {
  readonly #entries = new Map<string, Entry<V>>()
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** Entries held, those included whose end nobody has noticed yet. */
  get size(): number {
    return this.#entries.size
  }

  /** The value, while it lives. */
  get(key: string, nowMs: number): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.endsMs > nowMs) return entry.value
    this.#entries.delete(key)
    return undefined
  }

  /** Keeps a value until `endsMs`. */
  set(key: string, value: V, endsMs: number): void {
    // Deleting first moves the key to the young end of the map's order.
    this.#entries.delete(key)
    if (this.#entries.size >= this.#capacity) {
      const oldest = this.#entries.keys().next()
      if (!oldest.done) this.#entries.delete(oldest.value)
    }
    this.#entries.set(key, { value, endsMs })
  }

  /** Forgets a key. */
  delete(key: string): void {
    this.#entries.delete(key)
  }
}
