import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { Packer } from "../../src/process/packer.ts"

const block = (heldBytes: number) => ({ heldBytes, header: new Uint8Array(10) })
const weight = (pack: ReadonlyArray<{ readonly heldBytes: number }>) =>
  pack.reduce((sum, { heldBytes }) => sum + heldBytes + 10, 0)

describe("the packer", () => {
  it("gives every block once, in order, in packs that only their last block fills", () => {
    const answers = fc.array(fc.array(fc.nat(500), { maxLength: 6 }), { maxLength: 20 })
    const holds = fc.property(answers, (sizes) => {
      const packer = new Packer<ReturnType<typeof block>>(1_000)
      const given = sizes.map((each) => each.map(block))
      const packs = given.flatMap((blocks, nowMs) => packer.add(blocks, nowMs))
      const whole = packs.every(
        (pack) => weight(pack) >= 1_000 && weight(pack.slice(0, -1)) < 1_000,
      )
      const rest = packer.take(Infinity)
      const all = [...packs, ...rest].flat()
      return whole && rest.length <= 1 && all.every((each, index) => each === given.flat()[index])
    })
    assert.doesNotThrow(() => fc.assert(holds))
  })

  it("gives what has waited, and not what has just come", () => {
    const packer = new Packer(1_000)
    assert.lengthOf(packer.add([block(1)], 100), 0)
    packer.add([block(2)], 120)
    assert.lengthOf(packer.take(99), 0)
    assert.lengthOf(packer.take(100)[0]!, 2)
    assert.lengthOf(packer.take(Infinity), 0)
  })
})
