/** Bodies of requests in memory: whole, within their budget, and cheap in any pieces. */
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { BodyBytes } from "../../../src/rpc/server/bodyBytes.ts"
import { ByteBudget } from "../../../src/rpc/server/byteBudget.ts"

const ascii = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text, "latin1"), (byte) => byte & 0x7f)

describe("a body that comes in chunks", () => {
  it("is whole in the end, within what it may have, and all of it is given back", () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 20 })
    fc.assert(
      fc.property(chunks, fc.integer({ min: 1, max: 20_000 }), (chunks, most) => {
        const budget = new ByteBudget(1_000_000)
        const body = new BodyBytes(budget, most)
        const text = chunks.map((chunk) => Buffer.from(chunk).toString("latin1"))
        let size = 0
        let refusal: string | undefined
        for (const part of text) {
          size += part.length
          refusal = body.add(ascii(part))
          assert.strictEqual(refusal, size > most ? "large" : undefined)
          if (refusal !== undefined) break
          assert.isAtLeast(1_000_000 - budget.free, size)
          assert.isAtMost(1_000_000 - budget.free, most)
        }
        if (refusal === undefined) {
          assert.strictEqual(body.text, Buffer.from(ascii(text.join(""))).toString("latin1"))
        }
        body.release()
        body.release()
        assert.strictEqual(budget.free, 1_000_000)
      }),
    )
  })

  it("is refused where there is no room for it", () => {
    const budget = new ByteBudget(10_000)
    const body = new BodyBytes(budget, 1_000_000)
    assert.isUndefined(body.add(new Uint8Array(4_000)))
    assert.strictEqual(body.add(new Uint8Array(9_000)), "busy")
    body.release()
    assert.strictEqual(budget.free, 10_000)
  })

  it("of single bytes costs no more than one of a piece", () => {
    const before = process.memoryUsage()
    const bodies = Array.from({ length: 8 }, () => {
      const body = new BodyBytes(new ByteBudget(2 ** 20), 2 ** 20)
      for (let at = 0; at < 2 ** 20; at++) body.add(Buffer.from([0x31]))
      return body
    })
    const after = process.memoryUsage()
    const grown = after.heapUsed + after.external - before.heapUsed - before.external
    // As a chunk each they would be 800 MB.
    assert.isBelow(grown, 150 * 2 ** 20)
    assert.isTrue(bodies.every(({ text }) => text.length === 2 ** 20))
  })
})
