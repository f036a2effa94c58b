import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { Senders } from "../../src/write/senders.ts"

const peer = fc.constantFrom("a", "b", "c")
const move = fc.oneof(
  fc.record({ block: fc.nat(60), peerId: peer }),
  fc.record({ from: fc.nat(60), length: fc.nat(20) }),
)

describe("Senders", () => {
  it("says of each block who sent it last and was not asked about since", () => {
    fc.assert(
      fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
        const senders = new Senders()
        const model = new Map<number, string>()
        for (const step of moves) {
          if ("block" in step) {
            if (model.has(step.block)) continue
            senders.add(step.block, step.peerId)
            model.set(step.block, step.peerId)
            continue
          }
          for (let block = 0; block <= 60; block++) {
            assert.strictEqual(senders.of(block), model.get(block))
          }
          const to = step.from + step.length
          const said = new Map<number, string | undefined>()
          for (const { blocks, peerId } of senders.take(step.from, to)) {
            for (const [first, last] of blocks.ranges()) {
              for (let block = first; block <= last; block++) {
                assert.isFalse(said.has(block), "each block in one part")
                said.set(block, peerId)
              }
            }
          }
          assert.strictEqual(said.size, step.length + 1)
          for (const [block, peerId] of said) {
            assert.strictEqual(peerId, model.get(block))
            model.delete(block)
          }
        }
      }),
    )
  })
})
