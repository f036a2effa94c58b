import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { GRACE_MS, Rotation, ROTATE_EVERY_MS, type Seat } from "../../src/peers/rotation.ts"

const seat = (peerId: string, fields: Partial<Seat> = {}): Seat => ({
  peerId,
  sinceMs: 0,
  named: false,
  blocks: 0,
  ...fields,
})

describe("the rotation of peers", () => {
  it("lets the slowest of the useless go, not who serves", () => {
    const rotation = new Rotation()
    const look = (nowMs: number, useful: number, former: number) =>
      rotation.victim(
        [seat("useful", { blocks: useful }), seat("former", { blocks: former }), seat("never")],
        nowMs,
      )
    assert.isUndefined(look(1_000, 0, 0))
    assert.isUndefined(look(2_000, 50, 50))
    assert.isUndefined(look(GRACE_MS - 1, 100, 50))
    assert.strictEqual(look(GRACE_MS, 150, 50), "never")
  })

  it("lets nobody go for what kept them all from serving", () => {
    const rotation = new Rotation()
    const seats = [seat("a"), seat("b")]
    rotation.observe(seats, 0)
    rotation.observe(seats, GRACE_MS - 1, true)
    assert.isUndefined(rotation.victim(seats, GRACE_MS))
    assert.strictEqual(rotation.victim(seats, 2 * GRACE_MS), "a")
  })

  it("lets one go at a time", () => {
    const rotation = new Rotation()
    const seats = [seat("a"), seat("b")]
    rotation.observe(seats, 0)
    assert.strictEqual(rotation.victim(seats, GRACE_MS), "a")
    assert.isUndefined(rotation.victim(seats.slice(1), GRACE_MS + ROTATE_EVERY_MS - 1))
    assert.strictEqual(rotation.victim(seats.slice(1), GRACE_MS + ROTATE_EVERY_MS), "b")
  })

  it("never lets go whom the user named, who is new, or who served lately", () => {
    const seats = fc.uniqueArray(
      fc.record({
        peerId: fc.constantFrom("a", "b", "c", "d", "e"),
        sinceMs: fc.integer({ min: 0, max: 200_000 }),
        named: fc.boolean(),
        everyMs: fc.option(fc.integer({ min: 1_000, max: 100_000 }), { nil: undefined }),
      }),
      { selector: ({ peerId }) => peerId },
    )
    const keeps = fc.property(seats, (peers) => {
      const rotation = new Rotation()
      const gone = new Set<string>()
      const servedMs = new Map<string, number>()
      for (let nowMs = 0; nowMs < 400_000; nowMs += 1_000) {
        const here = peers.filter(({ peerId, sinceMs }) => sinceMs <= nowMs && !gone.has(peerId))
        const sitting = here.map(({ peerId, sinceMs, named, everyMs }) => {
          const blocks = everyMs === undefined ? 0 : Math.floor((nowMs - sinceMs) / everyMs)
          const before = everyMs === undefined ? 0 : Math.floor((nowMs - 1_000 - sinceMs) / everyMs)
          if (blocks > Math.max(0, before)) servedMs.set(peerId, nowMs)
          return { peerId, sinceMs, named, blocks }
        })
        const victim = rotation.victim(sitting, nowMs)
        if (victim === undefined) continue
        const peer = sitting.find(({ peerId }) => peerId === victim)
        if (peer === undefined || peer.named || nowMs - peer.sinceMs < GRACE_MS) return false
        if (nowMs - (servedMs.get(victim) ?? -Infinity) < GRACE_MS) return false
        gone.add(victim)
      }
      // Who never serves is gone in the end.
      return peers.every(
        ({ peerId, named, everyMs }) => named || everyMs !== undefined || gone.has(peerId),
      )
    })
    assert.doesNotThrow(() => fc.assert(keeps))
  })
})
