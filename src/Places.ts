/**
 * A number of places for work, taken in the order of arrival.
 *
 * Where hundreds wait, `Effect.makeSemaphore` wakes all of them for each place that becomes free, and
 * all but one go back to sleep: its cost grows with who waits. Here a place is handed to the first.
 *
 * Invariants: at most so many work at once; whoever came first works first; a place that was handed to
 * somebody who is interrupted in the same instant goes on to the next.
 */
import { Effect } from "effect"

/** See the module. */
export interface Places {
  /** Waits for a place, works, and gives it back however the work ends. Interruptible in between. */
  readonly within: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** How many wait for a place. */
  readonly waiting: () => number
}

interface Turn {
  hasPlace: boolean
  /** Set while its fiber sleeps. */
  wake: (() => void) | undefined
}

/** Makes so many places, 1 or more. */
export const makePlaces = (count: number): Places => {
  let free = count
  const queue = new Set<Turn>()

  const come = (): Turn => {
    const turn: Turn = { hasPlace: free > 0, wake: undefined }
    if (turn.hasPlace) free -= 1
    else queue.add(turn)
    return turn
  }

  const leave = (turn: Turn): void => {
    if (queue.delete(turn)) return
    for (const next of queue) {
      queue.delete(next)
      next.hasPlace = true
      next.wake?.()
      return
    }
    free += 1
  }

  const placeOf = (turn: Turn): Effect.Effect<void> =>
    Effect.async<void>((resume) => {
      turn.wake = () => resume(Effect.void)
      if (turn.hasPlace) turn.wake()
    })

  return {
    within: (work) =>
      // Nothing may come between who comes and the promise to leave.
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const turn = come()
          const taken = turn.hasPlace ? work : Effect.zipRight(placeOf(turn), work)
          return Effect.ensuring(
            restore(taken),
            Effect.sync(() => leave(turn)),
          )
        }),
      ),
    waiting: () => queue.size,
  }
}
