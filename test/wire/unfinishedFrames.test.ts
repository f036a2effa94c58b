import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { type FrameHolder, UnfinishedFrames } from "../../src/wire/unfinishedFrames.ts"

const MIB = 2 ** 20

/** A holder whose frame grows as the test says. */
class Holder implements FrameHolder {
  frameBytes = 0
  frameSinceMs: number
  givenUp = false
  readonly #frames: UnfinishedFrames

  constructor(frames: UnfinishedFrames, frameSinceMs = 0) {
    this.#frames = frames
    this.frameSinceMs = frameSinceMs
  }

  giveUpFrame(): void {
    this.givenUp = true
    this.frameBytes = 0
    this.#frames.book(this, 0)
  }
}

describe("frames under way", () => {
  it("weigh nothing where they are small, and only what has come where they are large", () => {
    const frames = new UnfinishedFrames(MIB)
    const holder = new Holder(frames)
    holder.frameBytes = 10_000
    frames.book(holder, 5)
    assert.strictEqual(frames.bytes, 0)
    holder.frameBytes = 100_000
    frames.book(holder, 5)
    assert.strictEqual(frames.bytes, 100_000)
    holder.frameBytes = 0
    frames.book(holder, 5)
    assert.strictEqual(frames.bytes, 0)
  })

  it("are given up the slowest first where they weigh too much together", () => {
    const frames = new UnfinishedFrames(4 * MIB)
    const held = new Holder(frames, 0)
    const quick = new Holder(frames, 9_000)
    held.frameBytes = 3 * MIB
    frames.book(held, 1_000)
    quick.frameBytes = MIB
    frames.book(quick, 9_500)
    assert.isFalse(held.givenUp)
    quick.frameBytes = 2 * MIB
    frames.book(quick, 10_000)
    assert.deepEqual([held.givenUp, quick.givenUp], [true, false])
    assert.strictEqual(frames.bytes, 2 * MIB)
  })

  it("weigh at most what they may together after every step, whatever they do", () => {
    const step = fc.record({
      holder: fc.integer({ min: 0, max: 9 }),
      bytes: fc.integer({ min: 0, max: 2 * MIB }),
      ms: fc.integer({ min: 0, max: 100 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const frames = new UnfinishedFrames(4 * MIB)
        const holders = Array.from({ length: 10 }, () => new Holder(frames))
        let nowMs = 0
        for (const { holder, bytes, ms } of steps) {
          nowMs += ms
          const one = holders[holder]!
          one.frameBytes = bytes
          frames.book(one, nowMs)
          assert.isAtMost(frames.bytes, 4 * MIB)
          const weighed = holders.filter(({ frameBytes }) => frameBytes >= 64 * 1024)
          assert.strictEqual(
            frames.bytes,
            weighed.reduce((sum, { frameBytes }) => sum + frameBytes, 0),
          )
        }
      }),
    )
  })
})
