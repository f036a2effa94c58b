import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { giveBack, lendMemory, ownMemory } from "../../src/domain/answerMemory.ts"
import { native } from "../../src/domain/native.ts"

/** An answer with a few bytes before its parts, and its parts. */
const answerOf = (parts: number) => {
  const bytes = new Uint8Array(3 + parts * 1_024).fill(7)
  return {
    bytes,
    parts: Array.from({ length: parts }, (_, at) =>
      bytes.subarray(3 + at * 1_024, 3 + (at + 1) * 1_024),
    ),
  }
}

/** Whether the memory is gone; without an addon it never is. */
const isGone = (bytes: Uint8Array): boolean => bytes.buffer.byteLength === 0
const canGo = native !== undefined

describe("the memory of answers", () => {
  it("is gone after the last part was given back, and not before", () => {
    const answers = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(answers, fc.infiniteStream(fc.nat()), (sizes, dice) => {
        const all = sizes.map(answerOf)
        for (const { bytes } of all) ownMemory(bytes)
        for (const { parts } of all) lendMemory(parts[0]!, parts.length)
        const left = all.map(({ parts }) => [...parts])
        const out = (): Array<number> => [...left.keys()].filter((at) => left[at]!.length > 0)
        for (let open = out(); open.length > 0; open = out()) {
          const of = left[open[dice.next().value % open.length]!]!
          const [part] = of.splice(dice.next().value % of.length, 1)
          assert.lengthOf(part!, 1_024, "it is there as long as it is out")
          giveBack(part!)
          for (const [at, parts] of left.entries()) {
            assert.strictEqual(isGone(all[at]!.bytes), canGo && parts.length === 0)
          }
        }
      }),
    )
  })

  it("stays where it was never lent, or is not an answer's alone", () => {
    const unlent = answerOf(2)
    ownMemory(unlent.bytes)
    giveBack(unlent.parts[0]!)
    assert.isFalse(isGone(unlent.bytes))

    const inside = answerOf(3)
    ownMemory(inside.parts[1]!)
    lendMemory(inside.parts[1]!, 1)
    giveBack(inside.parts[1]!)
    assert.isFalse(isGone(inside.bytes))

    const foreign = answerOf(1)
    lendMemory(foreign.bytes, 1)
    giveBack(foreign.bytes)
    assert.isFalse(isGone(foreign.bytes))
  })

  it("is lent once, and given back once more without harm", () => {
    const { bytes, parts } = answerOf(2)
    ownMemory(bytes)
    lendMemory(bytes, 2)
    lendMemory(bytes, 1)
    giveBack(parts[0]!)
    assert.isFalse(isGone(bytes))
    giveBack(parts[1]!)
    assert.strictEqual(isGone(bytes), canGo)
    giveBack(parts[1]!)
    assert.lengthOf(parts[1]!, canGo ? 0 : 1_024)
  })
})

describe.runIf(canGo)("detach", () => {
  it("refuses what is no memory", () => {
    const wrong: Array<unknown> = [undefined, 1, "memory", {}, new Uint8Array(4)]
    for (const value of wrong) {
      assert.throws(() => Reflect.apply(native!.detach, undefined, [value]), TypeError)
    }
  })
})
