/**
 * What is known of what a connected peer serves, and when to measure it again. Pure: the account of
 * one session; times come in. The driver is `PeerKeeper.ts`.
 *
 * Rules:
 * - the head is measured again {@link HEAD_AGE_MS} after the last time, when the peer announces a
 *   higher one, and when it had nothing near it;
 * - a miss elsewhere moves the floor of its kind above the missed block at once, and has it measured;
 * - what is limited is looked at again and again, at growing intervals: a peer that was busy, or
 *   that fills its history, is not written off;
 * - nothing is measured again within {@link HEAD_PAUSE_MS} or {@link FLOOR_PAUSE_MS}: single gaps are
 *   the scheduler's to remember.
 */
import type { RequestKind } from "../wire/WireError.ts"
import type { ServedRange, Serves } from "./Peer.ts"

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
      /** The block that was missed, where the measurement is about one. */
      readonly missed: number | undefined
    }

interface FloorAccount {
  readonly checkedMs: number
  readonly pauseMs: number
}

/** The account of a session. */
export interface Upkeep {
  readonly serves: Serves
  readonly head: number
  readonly headAtMs: number
  /** The highest head that it announced so far. */
  readonly announcedHead: number
  readonly floors: Readonly<Record<RequestKind, FloorAccount>>
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
  const whole: ServedRange = { from: 0, to: head }
  const earliest = announced?.earliest ?? 0
  const parts = earliest <= head ? { from: earliest, to: head } : whole
  const unchecked: FloorAccount = { checkedMs: -Infinity, pauseMs: FLOOR_PAUSE_MS }
  return {
    serves: { headers: whole, bodies: parts, receipts: parts },
    head,
    headAtMs: nowMs,
    announcedHead: announced?.latest ?? 0,
    floors: { headers: unchecked, bodies: unchecked, receipts: unchecked },
  }
}

/** What a miss asks for; undefined when nothing: it was known, or measured a moment ago. */
export const measurementAfterMiss = (
  upkeep: Upkeep,
  { kind, block }: Miss,
  announced: Announced | undefined,
  nowMs: number,
): Measurement | undefined => {
  const { serves, head, headAtMs, floors } = upkeep
  const range = serves[kind]
  if (range === undefined || block < range.from || block > range.to) return undefined
  const near = kind === "headers" || head - block < NEAR_HEAD_BLOCKS
  if (near && nowMs - headAtMs >= HEAD_PAUSE_MS) return { _tag: "Head", hint: head }
  if (nowMs - floors[kind].checkedMs < FLOOR_PAUSE_MS) return undefined
  const earliest = announced?.earliest ?? 0
  // A miss that fits the announcement is believed; any other is asked for once more.
  return earliest > block
    ? { _tag: "Floor", kind, missing: block, hint: earliest, missed: block }
    : { _tag: "Floor", kind, missing: -1, hint: block, missed: block }
}

/** What is to be measured now without any miss. */
export const measurementDue = (
  upkeep: Upkeep,
  announced: Announced | undefined,
  nowMs: number,
): Measurement | undefined => {
  const { head, headAtMs, announcedHead, floors, serves } = upkeep
  const latest = announced?.latest ?? 0
  const risen = latest > Math.max(head, announcedHead) && nowMs - headAtMs >= HEAD_PAUSE_MS
  if (risen) return { _tag: "Head", hint: latest }
  if (nowMs - headAtMs >= HEAD_AGE_MS) return { _tag: "Head", hint: head }
  for (const kind of kinds) {
    const range = serves[kind]
    if (range?.from === 0) continue
    const { checkedMs, pauseMs } = floors[kind]
    if (nowMs - checkedMs < pauseMs) continue
    return { _tag: "Floor", kind, missing: -1, hint: range?.from ?? head, missed: undefined }
  }
  return undefined
}

/** The account when a measurement begins: what was missed is not asked for meanwhile. */
export const beginMeasurement = (upkeep: Upkeep, measurement: Measurement): Upkeep => {
  if (measurement._tag === "Head" || measurement.missed === undefined) return upkeep
  return withFloor(upkeep, measurement.kind, measurement.missed + 1)
}

/** The account after the head was measured. */
export const afterHead = (
  upkeep: Upkeep,
  head: number,
  announced: Announced | undefined,
  nowMs: number,
): Upkeep => {
  const { serves } = upkeep
  const ending = (range: ServedRange | undefined): ServedRange | undefined =>
    range && { from: range.from, to: head }
  return {
    ...upkeep,
    serves: {
      headers: ending(serves.headers),
      bodies: ending(serves.bodies),
      receipts: ending(serves.receipts),
    },
    head,
    headAtMs: nowMs,
    announcedHead: Math.max(upkeep.announcedHead, announced?.latest ?? 0),
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
  const same = floor !== undefined && upkeep.serves[kind]?.from === floor
  const stillNothing = floor === undefined && upkeep.serves[kind] === undefined
  const pauseMs =
    same || stillNothing ? Math.min(before.pauseMs * 2, LONGEST_FLOOR_PAUSE_MS) : FLOOR_PAUSE_MS
  const moved = withFloor(upkeep, kind, floor ?? Infinity)
  return { ...moved, floors: { ...upkeep.floors, [kind]: { checkedMs: nowMs, pauseMs } } }
}

/** The account after a measurement failed: it is not tried again at once. */
export const afterFailedMeasurement = (
  upkeep: Upkeep,
  measurement: Measurement,
  nowMs: number,
): Upkeep =>
  measurement._tag === "Head"
    ? { ...upkeep, headAtMs: nowMs }
    : {
        ...upkeep,
        floors: {
          ...upkeep.floors,
          [measurement.kind]: { checkedMs: nowMs, pauseMs: FLOOR_PAUSE_MS },
        },
      }

/** Whether two peers' ranges are the same. */
export const sameServes = (a: Serves, b: Serves): boolean =>
  kinds.every((kind) => a[kind]?.from === b[kind]?.from && a[kind]?.to === b[kind]?.to)

const withFloor = (upkeep: Upkeep, kind: RequestKind, from: number): Upkeep => {
  const { serves, head } = upkeep
  const range = from <= head ? { from, to: head } : undefined
  return { ...upkeep, serves: { ...serves, [kind]: range } }
}
