/**
 * Turns of Node's loop between two calls.
 *
 * A call reads and writes for milliseconds without a pause, and fibers that yield go on before any
 * socket or timer is looked at. The loop takes one new connection a round: were all calls that wait
 * worked on in each round, those who connect while the server is busy would be kept out for long.
 *
 * Invariants: one call a round goes on, first come, first served; before it are
 * {@link ROUNDS_BETWEEN} rounds for sockets and timers alone.
 */
import { Effect } from "effect"

/** What an empty round costs is microseconds; each lets a connection in. */
export const ROUNDS_BETWEEN = 4

/** See the module. */
export class LoopTurns {
  readonly #waiting = new Set<() => void>()
  #turning = false

  /** Waits for a turn. */
  readonly turn: Effect.Effect<void> = Effect.async((resume) => {
    const go = (): void => resume(Effect.void)
    this.#waiting.add(go)
    if (!this.#turning) this.#round(ROUNDS_BETWEEN)
    return Effect.sync(() => this.#waiting.delete(go))
  })

  #round(left: number): void {
    this.#turning = true
    setImmediate(() => {
      if (left > 0) return this.#round(left - 1)
      const [next] = this.#waiting
      this.#turning = false
      if (next === undefined) return
      this.#waiting.delete(next)
      next()
      if (this.#waiting.size > 0) this.#round(ROUNDS_BETWEEN)
    })
  }
}
