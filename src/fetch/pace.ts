/**
 * How long a peer is waited for: a few of its own round trips, never less than the floor. Pure.
 */

/** What was seen of a peer's answers of one kind. */
export interface Pace {
  /** Moving average from request to answer; 0 while none came. */
  readonly answerMs: number
}

/** A peer of which no answer was seen. */
export const unknownPace: Pace = { answerMs: 0 }

/** geth's downloader forgets at this rate too: steady against one slow answer. */
const NEW_SHARE = 0.1
/** geth waits three round trips; answers here vary more in size. */
const TIMES = 4
/** However slow a peer was: after a minute its slot is better used for another. */
const MOST_MS = 60_000

/** The pace after an answer that took `elapsedMs`. */
export const afterPace = (pace: Pace, elapsedMs: number): Pace => ({
  answerMs:
    pace.answerMs === 0 ? elapsedMs : pace.answerMs + (elapsedMs - pace.answerMs) * NEW_SHARE,
})

/** The deadline of the next request, in milliseconds. */
export const deadlineMs = (pace: Pace, floorMs: number): number =>
  Math.max(floorMs, Math.min(MOST_MS, pace.answerMs * TIMES))
