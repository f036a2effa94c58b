/**
 * The wait for something to end, in a finalizer.
 *
 * A finalizer may not be interrupted, and neither may what it runs: `Effect.timeout` alone notices that
 * the time is over and then waits for as long as it takes all the same.
 */
import { Duration, Effect } from "effect"

/** Waits until `over` ends, however it does, or for `mostMs` milliseconds. */
export const endWithin = <A, E>(over: Effect.Effect<A, E>, mostMs: number): Effect.Effect<void> =>
  Effect.interruptible(over).pipe(Effect.timeout(Duration.millis(mostMs)), Effect.ignore)
