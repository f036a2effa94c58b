/**
 * The progress line as text. Pure: readings in, a line out.
 */
import type { Percentiles } from "./histogram.ts"

/** What the line shows. Rates are over the last seconds. */
export interface ProgressReading {
  readonly done: number
  readonly total: number
  /** Blocks that a peer was asked for. */
  readonly inFlight: number
  /** Blocks that wait to be asked for. */
  readonly queued: number
  readonly blocksPerSec: number
  readonly mibPerSec: number
  /** Peers in the pool, and peers that were ever connected. */
  readonly peersActive: number
  readonly peersKnown: number
  /** Of receipts requests so far, in milliseconds; of headers where there were no others. */
  readonly latency: Percentiles
  readonly requeued: number
  /** Of an ingest: blocks that passed their checks, and that are committed, in this run. */
  readonly kept: { readonly checked: number; readonly written: number } | undefined
}

/** One line, without a line end. */
export const progressLine = (reading: ProgressReading): string => {
  const { done, total, blocksPerSec, latency, kept } = reading
  const percent = total === 0 ? 100 : Math.floor((done / total) * 100)
  const etaSec = blocksPerSec > 0 ? (total - done) / blocksPerSec : undefined
  return [
    `${done}/${total} blocks (${percent}%)`,
    ...(kept === undefined ? [] : [`${kept.checked} checked, ${kept.written} written`]),
    `${reading.inFlight} in flight, ${reading.queued} queued`,
    `${blocksPerSec.toFixed(blocksPerSec < 10 ? 1 : 0)} blocks/s, ${reading.mibPerSec.toFixed(1)} MiB/s`,
    `peers ${reading.peersActive}/${reading.peersKnown}`,
    `p50 ${Math.round(latency.p50)} ms, p95 ${Math.round(latency.p95)} ms`,
    `${reading.requeued} retries`,
    `ETA ${etaSec === undefined ? "unknown" : duration(etaSec)}`,
  ].join(" · ")
}

/** How a run stands that follows the head. */
export interface FollowReading {
  /** The last block that is stored; the head as it was measured, where it was. */
  readonly storedBlock: number
  readonly headBlock: number | undefined
  /** How far the one is behind the other, and since when, in Unix ms; undefined: not behind. */
  readonly blocksBehind: number | undefined
  readonly behindSinceMs: number | undefined
  readonly nowMs: number
  readonly peersActive: number
  readonly peersKnown: number
  readonly reorgs: number
  /** Why nothing moves; undefined while it does, or need not. */
  readonly stalled: string | undefined
}

/** One line, without a line end: how far behind, and since when. */
export const followLine = (reading: FollowReading): string => {
  const { storedBlock, headBlock, blocksBehind, behindSinceMs, reorgs, stalled } = reading
  const behind =
    behindSinceMs === undefined
      ? "not behind"
      : `${blocksBehind ?? 0} behind since ${clockTime(behindSinceMs)} (${duration((reading.nowMs - behindSinceMs) / 1000)})`
  return [
    `following: block ${storedBlock} of ${headBlock ?? "?"}`,
    headBlock === undefined ? "head not known" : behind,
    `peers ${reading.peersActive}/${reading.peersKnown}`,
    `${reorgs} ${reorgs === 1 ? "reorganisation" : "reorganisations"}`,
    ...(stalled === undefined ? [] : [`waiting: ${stalled}`]),
  ].join(" · ")
}

/** Of a Unix time in ms, hours to seconds in UTC. */
const clockTime = (ms: number): string => `${new Date(ms).toISOString().slice(11, 19)}Z`

const two = (value: number): string => String(value).padStart(2, "0")

/** Seconds as people say them: `42s`, `3m07s`, `5h02m`, `12d04h`. */
export const duration = (seconds: number): string => {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole}s`
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h${two(Math.floor(whole / 60) % 60)}m`
  return `${Math.floor(whole / 86_400)}d${two(Math.floor(whole / 3600) % 24)}h`
}
