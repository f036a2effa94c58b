/**
 * When a batch is overdue: its blocks are then offered to idle peers too, so that the end of a range
 * does not wait for the slowest of those that work on it. Pure.
 */

/** geth's downloader forgets at this rate too: steady against one slow batch. */
const NEW_SHARE = 0.1
/** A batch may well take twice as long as others: they differ in size. */
const TIMES = 3
/** A stall of the whole process is no reason to ask twice. */
const LEAST_MS = 1_000

/** How long a batch takes, in milliseconds, after one that took `tookMs`; 0 while none was through. */
export const afterBatch = (usualMs: number, tookMs: number): number =>
  usualMs === 0 ? Math.max(1, tookMs) : usualMs + (tookMs - usualMs) * NEW_SHARE

/** The age in milliseconds at which a batch is overdue; undefined while nothing is known of batches. */
export const overdueAfterMs = (usualMs: number): number | undefined =>
  usualMs === 0 ? undefined : Math.max(LEAST_MS, usualMs * TIMES)
