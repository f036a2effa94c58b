/**
 * What is known of what a connected peer serves, and when to measure it again. Pure: the account of
 * one session; times come in. The driver is `PeerKeeper.ts`.
 *
 * Rules:
 * - the head is measured again {@link HEAD_AGE_MS} after the last time, when the peer announces a
 *   higher one, and when it had nothing near it;
 * - nothing of a kind is offered from a miss on until its floor is measured, which is within some
 *   round trips: a peer is asked only for what it has after the first miss;
 * - what is limited is looked at again and again, at growing intervals: a peer that was busy, or
 *   that fills its history, is not written off;
 * - nothing is measured again within {@link HEAD_PAUSE_MS} or {@link FLOOR_PAUSE_MS}: single gaps are
 *   the scheduler's to remember.
 */
import type { RequestKind } from "../wire/WireError.ts"
import { type ServedRange, type Serves, servesKind } from "./Peer.ts"

/** After so long a measured head is measured again. */
export const HEAD_AGE_MS = 600_000
/** Blocks below the head in which a miss says more of the head than of the floor. */
export const NEAR_HEAD_BLOCKS = 1_024
/** Shortest time between two measurements of the head: one block of mainnet. */
export const HEAD_PAUSE_MS = 12_000
/** Shortest time between two measurements of a floor; doubles while nothing changes. */
export const FLOOR_PAUSE_MS = 30_000
/** Longest time between two measurements of a floor above genesis. */
export const LONGEST_FLOOR_PAUSE_MS = HEAD_AGE_MS

/** What a peer announces to serve, both ends inclusive; undefined on eth/68. */
export interface Announced {
  readonly earliest: number
  readonly latest: number
}

/** A block of which the peer had nothing of a kind. */
export interface Miss {
  readonly kind: RequestKind
  readonly block: number
}

/** What to measure next. */
export type Measurement =
  | { readonly _tag: "Head"; readonly hint: number }
  | {
      readonly _tag: "Floor"
      readonly kind: RequestKind
      /** A block that is known not to be served; -1 where none is. */
      readonly missing: number
      readonly hint: number
    }

/** From which block on a peer serves a kind. */
interface Floor {
  /** Measured, or what the peer announces; Infinity: it does not serve the kind at all. */
  readonly at: number
  /** When it was measured. */
  readonly checkedMs: number
  /** How long it is not looked at again. */
  readonly pauseMs: number
  /** A block that was missed since, which is to be looked into; -1: none. */
  readonly missed: number
}

/** The account of a session. */
export interface Upkeep {
  readonly head: number
  readonly headAtMs: number
  /** The highest head that it announced so far. */
  readonly announcedHead: number
  readonly floors: Readonly<Record<RequestKind, Floor>>
}

const kinds: ReadonlyArray<RequestKind> = ["headers", "bodies", "receipts"]

/**
 * The account of a peer whose head was just measured. Its announced earliest block is believed of
 * bodies and receipts until it is measured, which is next.
 */
export const startUpkeep = (
  head: number,
  announced: Announced | undefined,
  nowMs: number,
): Upkeep => {
  const earliest = announced?.earliest ?? 0
  const unchecked = { checkedMs: -Infinity, pauseMs: FLOOR_PAUSE_MS, missed: -1 }
  const parts: Floor = { ...unchecked, at: earliest <= head ? earliest : 0 }
  return {
    head,
    headAtMs: nowMs,
    announcedHead: announced?.latest ?? 0,
    floors: { headers: { ...unchecked, at: 0 }, bodies: parts, receipts: parts },
  }
}

/** What the peer is taken to serve: nothing of a kind with a miss that was not looked into yet. */
export const servesOf = ({ head, floors }: Upkeep): Serves => {
  const rangeOf = ({ at, missed }: Floor): ServedRange | undefined =>
    missed < 0 && at <= head ? { from: at, to: head } : undefined
  return {
    headers: rangeOf(floors.headers),
    bodies: rangeOf(floors.bodies),
    receipts: rangeOf(floors.receipts),
  }
}

/** The account after a miss; the same when it was known, or its kind was measured a moment ago. */
export const afterMiss = (upkeep: Upkeep, { kind, block }: Miss, nowMs: number): Upkeep => {
  if (!servesKind(servesOf(upkeep), kind, block)) return upkeep
  const floor = upkeep.floors[kind]
  if (nowMs - floor.checkedMs < FLOOR_PAUSE_MS) return upkeep
  return withFloor(upkeep, kind, { ...floor, missed: block })
}

/** What is to be measured now; undefined when nothing is. */
export const nextMeasurement = (
  upkeep: Upkeep,
  announced: Announced | undefined,
  nowMs: number,
): Measurement | undefined => {
  const { head, headAtMs, announcedHead, floors } = upkeep
  for (const kind of kinds) {
    const { missed } = floors[kind]
    if (missed < 0) continue
    const near = kind === "headers" || head - missed < NEAR_HEAD_BLOCKS
    if (near && nowMs - headAtMs >= HEAD_PAUSE_MS) return { _tag: "Head", hint: head }
    return measurementOf(upkeep, kind, announced)
  }
  const latest = announced?.latest ?? 0
  const risen = latest > Math.max(head, announcedHead) && nowMs - headAtMs >= HEAD_PAUSE_MS
  if (risen) return { _tag: "Head", hint: latest }
  if (nowMs - headAtMs >= HEAD_AGE_MS) return { _tag: "Head", hint: head }
  for (const kind of kinds) {
    const { at, checkedMs, pauseMs } = floors[kind]
    if (at === 0 || nowMs - checkedMs < pauseMs) continue
    return { _tag: "Floor", kind, missing: -1, hint: Math.min(at, head) }
  }
  return undefined
}

/** How to look into a miss. */
const measurementOf = (
  { floors }: Upkeep,
  kind: RequestKind,
  announced: Announced | undefined,
): Measurement => {
  const { missed } = floors[kind]
  // A miss that fits the announcement, or another kind's floor, is believed; any other is asked for
  // once more.
  const thought = [announced?.earliest ?? 0, ...kinds.map((other) => floors[other].at)]
  const hint = thought.find((floor) => floor > missed && floor !== Infinity)
  return hint === undefined
    ? { _tag: "Floor", kind, missing: -1, hint: missed }
    : { _tag: "Floor", kind, missing: missed, hint }
}

/** The account after the head was measured. */
export const afterHead = (
  upkeep: Upkeep,
  head: number,
  announced: Announced | undefined,
  nowMs: number,
): Upkeep => {
  // What lies above the head was missed for that.
  const below = (floor: Floor): Floor => (floor.missed > head ? { ...floor, missed: -1 } : floor)
  const { headers, bodies, receipts } = upkeep.floors
  return {
    head,
    headAtMs: nowMs,
    announcedHead: Math.max(upkeep.announcedHead, announced?.latest ?? 0),
    floors: { headers: below(headers), bodies: below(bodies), receipts: below(receipts) },
  }
}

/** The account after a floor was measured; `floor` undefined: the kind is not served at all. */
export const afterFloor = (
  upkeep: Upkeep,
  kind: RequestKind,
  floor: number | undefined,
  nowMs: number,
): Upkeep => {
  const before = upkeep.floors[kind]
  const at = floor ?? Infinity
  const pauseMs =
    at === before.at ? Math.min(before.pauseMs * 2, LONGEST_FLOOR_PAUSE_MS) : FLOOR_PAUSE_MS
  return withFloor(upkeep, kind, { at, checkedMs: nowMs, pauseMs, missed: -1 })
}

/** The account after a measurement failed: it is not tried again at once. */
export const afterFailedMeasurement = (
  upkeep: Upkeep,
  measurement: Measurement,
  nowMs: number,
): Upkeep => {
  if (measurement._tag === "Head") return { ...upkeep, headAtMs: nowMs }
  const { at, missed } = upkeep.floors[measurement.kind]
  // What was missed is not offered until it is looked at again.
  return withFloor(upkeep, measurement.kind, {
    at: Math.max(at, missed + 1),
    checkedMs: nowMs,
    pauseMs: FLOOR_PAUSE_MS,
    missed: -1,
  })
}

/** Whether two peers' ranges are the same. */
export const sameServes = (a: Serves, b: Serves): boolean =>
  kinds.every((kind) => a[kind]?.from === b[kind]?.from && a[kind]?.to === b[kind]?.to)

const withFloor = (upkeep: Upkeep, kind: RequestKind, floor: Floor): Upkeep => ({
  ...upkeep,
  floors: { ...upkeep.floors, [kind]: floor },
})
