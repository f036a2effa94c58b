/**
 * How long a peer is waited for: a few of its own round trips, never less than the floor; and how
 * many requests it is worth having under way at it. Pure.
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

/** How fast a round trip that was once short is forgotten: routes change, and seldom. */
const TRIP_FORGOTTEN = 1.005

/**
 * The least that an answer takes, after a short one that took `elapsedMs`; 0 while none came. Only one
 * that had the line to itself (`alone`) tells that the way has become longer: others wait behind what
 * was asked for before.
 */
export const afterTrip = (tripMs: number, elapsedMs: number, alone: boolean): number =>
  tripMs === 0 ? elapsedMs : Math.min(elapsedMs, alone ? tripMs * TRIP_FORGOTTEN : tripMs)

/**
 * How many requests of one kind are to be under way at once, from 1 to `most`: as many as fill the
 * round trip `tripMs` with what an answer takes beyond it. Where the link, the peer or we are busy all
 * the time answers take long, and one is enough.
 */
export const usefulAtOnce = (tripMs: number, { answerMs }: Pace, most: number): number => {
  if (tripMs === 0 || answerMs === 0) return 1
  const ownMs = Math.max(answerMs - tripMs, 1)
  return Math.min(most, Math.max(1, Math.round(1 + tripMs / ownMs)))
}
