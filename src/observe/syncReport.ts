/**
 * How a sync stands, in plain data: what it tells those who ask over HTTP, across a thread's border.
 */

/** A sync at one instant. */
export interface SyncReport {
  /** `starting` until there is a peer; then the backfill; then at the head, if it follows. */
  readonly phase: "starting" | "backfill" | "following" | "ended"
  /** The first and the last block that the run wants stored; undefined before the head is known. */
  readonly startBlock: number
  readonly targetBlock: number | undefined
  /** The highest block that the measured head of the network reached; undefined before. */
  readonly headBlock: number | undefined
  /** How far what is stored lags behind that head; undefined before it is known. */
  readonly blocksBehind: number | undefined
  /** Unix time in ms since when it lags; undefined while it does not. */
  readonly behindSinceMs: number | undefined
  readonly reorgs: number
  /** Why it goes on no further, in a few words, once that has lasted; undefined while it does. */
  readonly stalled?: string | undefined
}
