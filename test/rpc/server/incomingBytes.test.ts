import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { ByteBudget } from "../../../src/rpc/server/byteBudget.ts"
import { IncomingBytes } from "../../../src/rpc/server/incomingBytes.ts"

const ROOM = 1_000_000

const headBytes = (payload: number): number => (payload <= 125 ? 6 : payload <= 65_535 ? 8 : 14)

/** What a socket gives of frames, and what is whole after each chunk. */
const arrivals = (payloads: ReadonlyArray<number>, chunkBytes: number) => {
  const ends: Array<{ readonly at: number; readonly payload: number }> = []
  let total = 0
  for (const payload of payloads) {
    total += headBytes(payload) + payload
    ends.push({ at: total, payload })
  }
  const chunks: Array<{ bytes: number; whole: ReadonlyArray<number>; waiting: number }> = []
  for (let from = 0; from < total; from += chunkBytes) {
    const to = Math.min(total, from + chunkBytes)
    const whole = ends.filter(({ at }) => at > from && at <= to).map(({ payload }) => payload)
    const begun = ends.findLast(({ at }) => at <= to)?.at ?? 0
    const next = ends.find(({ at }) => at > to)
    const waiting = next === undefined ? 0 : Math.max(0, to - begun - headBytes(next.payload))
    chunks.push({ bytes: to - from, whole, waiting })
  }
  return chunks
}

describe("IncomingBytes", () => {
  it("holds what waits, a frame's head at most besides, and nothing when all is whole", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 70_000 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 65_536 }),
        (payloads, chunkBytes) => {
          const budget = new ByteBudget(ROOM)
          const incoming = new IncomingBytes(budget)
          for (const { bytes, whole, waiting } of arrivals(payloads, Math.max(chunkBytes, 50))) {
            assert.isTrue(incoming.came(bytes))
            whole.forEach((payload) => incoming.message(payload))
            assert.isAtLeast(incoming.held, waiting)
            assert.isAtMost(incoming.held, waiting + 14)
            assert.strictEqual(budget.free, ROOM - incoming.held)
          }
          assert.strictEqual(incoming.held, 0)
        },
      ),
    )
  })

  it("counts pings for themselves", () => {
    const incoming = new IncomingBytes(new ByteBudget(ROOM))
    incoming.came(500)
    incoming.came(6 + 4)
    incoming.control(4)
    assert.strictEqual(incoming.held, 500)
  })

  it("keeps no more of a message in many frames than its last chunk", () => {
    const incoming = new IncomingBytes(new ByteBudget(ROOM))
    for (let frame = 0; frame < 100; frame++) incoming.came(6 + 10)
    assert.strictEqual(incoming.held, 1_600)
    incoming.message(1_000)
    assert.isAtMost(incoming.held, 16)
  })

  it("takes no more than there is, and gives it back with the connection", () => {
    const budget = new ByteBudget(100)
    const incoming = new IncomingBytes(budget)
    assert.isTrue(incoming.came(60))
    assert.isFalse(incoming.came(60))
    assert.strictEqual(budget.free, 40)
    incoming.ended()
    assert.strictEqual(budget.free, 100)
  })
})
