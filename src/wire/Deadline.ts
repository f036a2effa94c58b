/**
 * The time that a peer has for an answer, in which what we did not read for our own reasons is not
 * counted.
 */
import { Duration, Effect } from "effect"

/** So many times its deadline a request may be prolonged: we do not read for ever either. */
const MOST_PROLONGED = 4

/**
 * Ends when `timeoutMs` milliseconds are over, and as many more as `heldMs` rose meanwhile:
 * milliseconds for which the session was not read (`Session.heldMs`).
 */
export const deadline = (timeoutMs: number, heldMs: () => number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const heldBeforeMs = heldMs()
    const mostMs = timeoutMs * MOST_PROLONGED
    const waitFor = (ms: number, givenMs: number): Effect.Effect<void> =>
      Effect.flatMap(Effect.sleep(Duration.millis(ms)), () => {
        const nowMs = Math.min(heldMs() - heldBeforeMs, mostMs)
        return nowMs > givenMs ? waitFor(nowMs - givenMs, nowMs) : Effect.void
      })
    return waitFor(timeoutMs, 0)
  })
