import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { assignable, servesKind } from "../../src/peers/Peer.ts"
import {
  afterFailedMeasurement,
  afterFloor,
  afterHead,
  beginMeasurement,
  FLOOR_PAUSE_MS,
  HEAD_AGE_MS,
  HEAD_PAUSE_MS,
  measurementAfterMiss,
  measurementDue,
  startUpkeep,
  type Upkeep,
} from "../../src/peers/upkeep.ts"
import type { RequestKind } from "../../src/wire/WireError.ts"

const START = 1_000_000
const everything = startUpkeep(5_000, { earliest: 0, latest: 5_000 }, START)

/** Measures until nothing is due, as a peer that serves from `floors` up to `head` would answer. */
const settle = (
  upkeep: Upkeep,
  nowMs: number,
  floors: Record<"headers" | "bodies" | "receipts", number>,
  head: number,
): { readonly upkeep: Upkeep; readonly measured: number } => {
  const announced = { earliest: 0, latest: head }
  let state = upkeep
  for (let measured = 0; ; measured++) {
    assert.isBelow(measured, 10, "measures without end")
    const next = measurementDue(state, announced, nowMs)
    if (next === undefined) return { upkeep: state, measured }
    state =
      next._tag === "Head"
        ? afterHead(state, head, announced, nowMs)
        : afterFloor(
            state,
            next.kind,
            floors[next.kind] > head ? undefined : floors[next.kind],
            nowMs,
          )
  }
}

describe("the upkeep of a peer", () => {
  it("has nothing to measure of a peer that announces everything, for ten minutes", () => {
    const announced = { earliest: 0, latest: 5_000 }
    assert.isUndefined(measurementDue(everything, announced, START + HEAD_AGE_MS - 1))
    assert.deepStrictEqual(measurementDue(everything, announced, START + HEAD_AGE_MS), {
      _tag: "Head",
      hint: 5_000,
    })
  })

  it("believes an announced earliest block until it is measured, which is next", () => {
    const pruned = startUpkeep(5_000, { earliest: 3_000, latest: 5_000 }, START)
    assert.deepStrictEqual(pruned.serves.receipts, { from: 3_000, to: 5_000 })
    assert.deepStrictEqual(pruned.serves.headers, { from: 0, to: 5_000 })
    const { upkeep } = settle(pruned, START, { headers: 0, bodies: 0, receipts: 4_000 }, 5_000)
    assert.deepStrictEqual(upkeep.serves.bodies, { from: 0, to: 5_000 })
    assert.deepStrictEqual(upkeep.serves.receipts, { from: 4_000, to: 5_000 })
  })

  it("gives no block below a miss from the moment of the miss", () => {
    const miss = { kind: "receipts", block: 1_000 } as const
    const floor = measurementAfterMiss(everything, miss, undefined, START)
    assert.deepStrictEqual(floor, {
      _tag: "Floor",
      kind: "receipts",
      missing: -1,
      hint: 1_000,
      missed: 1_000,
    })
    const begun = beginMeasurement(everything, floor!)
    assert.isFalse(servesKind(begun.serves, "receipts", 1_000))
    assert.isTrue(servesKind(begun.serves, "receipts", 1_001))
    assert.isTrue(servesKind(begun.serves, "bodies", 0))
    // What else was missed below is known by then.
    assert.isUndefined(
      measurementAfterMiss(begun, { kind: "receipts", block: 900 }, undefined, START),
    )
  })

  it("measures the head first when something near it is missed, and the floor when it is there", () => {
    const later = START + HEAD_PAUSE_MS
    const miss = { kind: "bodies", block: 4_990 } as const
    assert.strictEqual(measurementAfterMiss(everything, miss, undefined, later)?._tag, "Head")
    const fallen = afterHead(everything, 4_900, undefined, later)
    assert.isUndefined(measurementAfterMiss(fallen, miss, undefined, later))
    const same = afterHead(everything, 5_000, undefined, later)
    assert.strictEqual(measurementAfterMiss(same, miss, undefined, later)?._tag, "Floor")
  })

  it("follows a head that is announced higher, once an announcement", () => {
    const announced = { earliest: 0, latest: 5_100 }
    assert.isUndefined(measurementDue(everything, announced, START + HEAD_PAUSE_MS - 1))
    const later = START + HEAD_PAUSE_MS
    assert.deepStrictEqual(measurementDue(everything, announced, later), {
      _tag: "Head",
      hint: 5_100,
    })
    // It has not got what it announces: that is not asked for again and again.
    const boaster = afterHead(everything, 5_000, announced, later)
    assert.isUndefined(measurementDue(boaster, announced, later + HEAD_PAUSE_MS))
  })

  it("looks at a floor again and again, at growing intervals, and forgets it when it is gone", () => {
    let upkeep = afterFloor(everything, "receipts", 2_000, START)
    let nowMs = START
    const waits: Array<number> = []
    for (let look = 0; look < 8; look++) {
      const before = nowMs
      for (let next = measurementDue(upkeep, undefined, nowMs); next?._tag !== "Floor";) {
        if (next?._tag === "Head") upkeep = afterHead(upkeep, 5_000, undefined, nowMs)
        else nowMs += 1_000
        assert.isBelow(nowMs - before, 2 * HEAD_AGE_MS, "is never looked at again")
        next = measurementDue(upkeep, undefined, nowMs)
      }
      waits.push(nowMs - before)
      upkeep = afterFloor(upkeep, "receipts", 2_000, nowMs)
    }
    assert.strictEqual(waits[0], FLOOR_PAUSE_MS)
    assert.isTrue(waits.every((wait, index) => index === 0 || wait >= waits[index - 1]!))
    assert.isAtMost(waits.at(-1)!, HEAD_AGE_MS)
    upkeep = afterHead(afterFloor(upkeep, "receipts", 0, nowMs), 5_000, undefined, nowMs)
    assert.isUndefined(measurementDue(upkeep, undefined, nowMs + HEAD_AGE_MS - 1))
  })

  it("does not try again at once what failed", () => {
    const floor = { _tag: "Floor", kind: "bodies", missing: -1, hint: 10, missed: 10 } as const
    const failed = afterFailedMeasurement(beginMeasurement(everything, floor), floor, START)
    assert.isUndefined(measurementDue(failed, undefined, START + FLOOR_PAUSE_MS - 1))
    assert.strictEqual(measurementDue(failed, undefined, START + FLOOR_PAUSE_MS)?._tag, "Floor")
  })

  it("settles on what any peer serves, after any misses", () => {
    const floors = fc.record({
      headers: fc.integer({ min: 0, max: 1_200 }),
      bodies: fc.integer({ min: 0, max: 1_200 }),
      receipts: fc.integer({ min: 0, max: 1_200 }),
    })
    const misses = fc.array(
      fc.record({
        kind: fc.constantFrom<RequestKind>("headers", "bodies", "receipts"),
        block: fc.integer({ min: 0, max: 1_000 }),
        afterMs: fc.integer({ min: 0, max: 100_000 }),
      }),
      { maxLength: 8 },
    )
    const settles = fc.property(floors, misses, (truth, missed) => {
      let nowMs = START
      let upkeep = startUpkeep(1_000, { earliest: 0, latest: 1_000 }, nowMs)
      for (const miss of missed) {
        nowMs += miss.afterMs
        if (miss.block >= truth[miss.kind]) continue
        for (let step = 0; step < 3; step++) {
          const next = measurementAfterMiss(upkeep, miss, undefined, nowMs)
          if (next === undefined) break
          upkeep = beginMeasurement(upkeep, next)
          upkeep =
            next._tag === "Head"
              ? afterHead(upkeep, 1_000, undefined, nowMs)
              : afterFloor(
                  upkeep,
                  next.kind,
                  truth[next.kind] > 1_000 ? undefined : truth[next.kind],
                  nowMs,
                )
        }
      }
      for (const kind of ["headers", "bodies", "receipts"] as const) {
        const known = upkeep.serves[kind]?.from ?? Infinity
        // Either nothing is known of the floor yet, or it is known as it is.
        const wrong = known !== 0 && known !== (truth[kind] > 1_000 ? Infinity : truth[kind])
        if (wrong) return false
      }
      return true
    })
    assert.doesNotThrow(() => fc.assert(settles))
  })
})

describe("what a peer may be given", () => {
  it("is what it has the header and some wanted part of", () => {
    const headers = { from: 10, to: 100 }
    const serves = { headers, bodies: { from: 0, to: 50 }, receipts: { from: 70, to: 200 } }
    assert.deepStrictEqual(assignable(serves, ["bodies", "receipts"]), { from: 10, to: 100 })
    assert.deepStrictEqual(assignable(serves, ["receipts"]), { from: 70, to: 100 })
    const none = { headers, bodies: undefined, receipts: undefined }
    assert.isBelow(assignable(none, ["bodies", "receipts"]).to, 0)
    assert.isBelow(assignable({ ...serves, headers: undefined }, ["bodies"]).to, 0)
  })
})
