import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { assignable, servesKind } from "../../src/peers/Peer.ts"
import {
  afterFailedMeasurement,
  afterFloor,
  afterHead,
  afterMiss,
  FLOOR_PAUSE_MS,
  HEAD_AGE_MS,
  HEAD_PAUSE_MS,
  nextMeasurement,
  servesOf,
  startUpkeep,
  type Upkeep,
} from "../../src/peers/upkeep.ts"
import type { RequestKind } from "../../src/wire/WireError.ts"

const START = 1_000_000
const announced = { earliest: 0, latest: 5_000 }
const everything = startUpkeep(5_000, announced, START)

type Truth = Readonly<Record<RequestKind, number>>

/** Measures until nothing is due, as a peer that serves from the floors of `truth` would answer. */
const settle = (upkeep: Upkeep, nowMs: number, truth: Truth, head: number): Upkeep => {
  let state = upkeep
  for (let measured = 0; ; measured++) {
    assert.isBelow(measured, 10, "measures without end")
    const next = nextMeasurement(state, { earliest: 0, latest: head }, nowMs)
    if (next === undefined) return state
    if (next._tag === "Head") state = afterHead(state, head, announced, nowMs)
    else {
      const floor = truth[next.kind]
      state = afterFloor(state, next.kind, floor > head ? undefined : floor, nowMs)
    }
  }
}

describe("the upkeep of a peer", () => {
  it("has nothing to measure of a peer that announces everything, for ten minutes", () => {
    assert.isUndefined(nextMeasurement(everything, announced, START + HEAD_AGE_MS - 1))
    assert.deepStrictEqual(nextMeasurement(everything, announced, START + HEAD_AGE_MS), {
      _tag: "Head",
      hint: 5_000,
    })
  })

  it("believes an announced earliest block until it is measured, which is next", () => {
    const pruned = startUpkeep(5_000, { earliest: 3_000, latest: 5_000 }, START)
    assert.deepStrictEqual(servesOf(pruned).receipts, { from: 3_000, to: 5_000 })
    assert.deepStrictEqual(servesOf(pruned).headers, { from: 0, to: 5_000 })
    const upkeep = settle(pruned, START, { headers: 0, bodies: 0, receipts: 4_000 }, 5_000)
    assert.deepStrictEqual(servesOf(upkeep).bodies, { from: 0, to: 5_000 })
    assert.deepStrictEqual(servesOf(upkeep).receipts, { from: 4_000, to: 5_000 })
  })

  it("gives nothing of a kind from a miss until its floor is measured", () => {
    const missing = afterMiss(everything, { kind: "receipts", block: 1_000 }, START)
    assert.isFalse(servesKind(servesOf(missing), "receipts", 1_000))
    assert.isFalse(servesKind(servesOf(missing), "receipts", 4_000))
    assert.isTrue(servesKind(servesOf(missing), "bodies", 0))
    assert.deepStrictEqual(nextMeasurement(missing, announced, START), {
      _tag: "Floor",
      kind: "receipts",
      missing: -1,
      hint: 1_000,
    })
    assert.strictEqual(afterMiss(missing, { kind: "receipts", block: 900 }, START), missing)
    const measured = afterFloor(missing, "receipts", 1_500, START)
    assert.deepStrictEqual(servesOf(measured).receipts, { from: 1_500, to: 5_000 })
  })

  it("starts at another kind's floor, or at what is announced, where the miss fits it", () => {
    const miss = { kind: "receipts", block: 1_000 } as const
    const bodies = afterFloor(everything, "bodies", 2_000, START)
    assert.deepStrictEqual(nextMeasurement(afterMiss(bodies, miss, START), announced, START), {
      _tag: "Floor",
      kind: "receipts",
      missing: 1_000,
      hint: 2_000,
    })
    const pruned = { earliest: 3_000, latest: 5_000 }
    assert.deepInclude(nextMeasurement(afterMiss(everything, miss, START), pruned, START), {
      missing: 1_000,
      hint: 3_000,
    })
  })

  it("measures the head first when something near it is missed, and the floor when it is there", () => {
    const later = START + HEAD_PAUSE_MS
    const missing = afterMiss(everything, { kind: "bodies", block: 4_990 }, later)
    assert.strictEqual(nextMeasurement(missing, announced, later)?._tag, "Head")
    const fallen = afterHead(missing, 4_900, announced, later)
    assert.isUndefined(nextMeasurement(fallen, announced, later))
    assert.deepStrictEqual(servesOf(fallen).bodies, { from: 0, to: 4_900 })
    const same = afterHead(missing, 5_000, announced, later)
    assert.strictEqual(nextMeasurement(same, announced, later)?._tag, "Floor")
  })

  it("follows a head that is announced higher, once an announcement", () => {
    const higher = { earliest: 0, latest: 5_100 }
    assert.isUndefined(nextMeasurement(everything, higher, START + HEAD_PAUSE_MS - 1))
    const later = START + HEAD_PAUSE_MS
    assert.deepStrictEqual(nextMeasurement(everything, higher, later), {
      _tag: "Head",
      hint: 5_100,
    })
    // It has not got what it announces: that is not asked for again and again.
    const boaster = afterHead(everything, 5_000, higher, later)
    assert.isUndefined(nextMeasurement(boaster, higher, later + HEAD_PAUSE_MS))
  })

  it("looks at a floor again and again, at growing intervals, and forgets it when it is gone", () => {
    let upkeep = afterFloor(everything, "receipts", 2_000, START)
    let nowMs = START
    const waits: Array<number> = []
    for (let look = 0; look < 8; look++) {
      const before = nowMs
      for (let next = nextMeasurement(upkeep, announced, nowMs); next?._tag !== "Floor";) {
        if (next?._tag === "Head") upkeep = afterHead(upkeep, 5_000, announced, nowMs)
        else nowMs += 1_000
        assert.isBelow(nowMs - before, 2 * HEAD_AGE_MS, "is never looked at again")
        next = nextMeasurement(upkeep, announced, nowMs)
      }
      waits.push(nowMs - before)
      upkeep = afterFloor(upkeep, "receipts", 2_000, nowMs)
    }
    assert.strictEqual(waits[0], FLOOR_PAUSE_MS)
    assert.isTrue(waits.every((wait, index) => index === 0 || wait >= waits[index - 1]!))
    assert.isAtMost(waits.at(-1)!, HEAD_AGE_MS)
    upkeep = afterHead(afterFloor(upkeep, "receipts", 0, nowMs), 5_000, announced, nowMs)
    assert.isUndefined(nextMeasurement(upkeep, announced, nowMs + HEAD_AGE_MS - 1))
  })

  it("does not try again at once what failed, nor offers what was missed meanwhile", () => {
    const missing = afterMiss(everything, { kind: "bodies", block: 10 }, START)
    const measurement = nextMeasurement(missing, announced, START)!
    const failed = afterFailedMeasurement(missing, measurement, START)
    assert.deepStrictEqual(servesOf(failed).bodies, { from: 11, to: 5_000 })
    assert.isUndefined(nextMeasurement(failed, announced, START + FLOOR_PAUSE_MS - 1))
    const again = nextMeasurement(failed, announced, START + FLOOR_PAUSE_MS)
    assert.strictEqual(again?._tag, "Floor")
  })

  it("settles on what any peer serves, after any misses", () => {
    const floor = fc.integer({ min: 0, max: 1_200 })
    const truths = fc.record({ headers: floor, bodies: floor, receipts: floor })
    const misses = fc.array(
      fc.record({
        kind: fc.constantFrom<RequestKind>("headers", "bodies", "receipts"),
        block: fc.integer({ min: 0, max: 1_000 }),
        afterMs: fc.integer({ min: 0, max: 100_000 }),
      }),
      { maxLength: 8 },
    )
    const settles = fc.property(truths, misses, (truth, missed) => {
      let nowMs = START
      let upkeep = startUpkeep(1_000, { earliest: 0, latest: 1_000 }, nowMs)
      for (const miss of missed) {
        nowMs += miss.afterMs
        if (miss.block >= truth[miss.kind]) continue
        upkeep = settle(afterMiss(upkeep, miss, nowMs), nowMs, truth, 1_000)
      }
      for (const kind of ["headers", "bodies", "receipts"] as const) {
        const known = servesOf(upkeep)[kind]?.from ?? Infinity
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
