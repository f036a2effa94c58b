import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { fittingHeaders } from "../../src/fetch/fittingHeaders.ts"

const answerOf = (sizes: ReadonlyArray<number>) => {
  const buffer = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0))
  let at = 0
  const headers = sizes.map((size) => buffer.subarray(at, (at += size)))
  return { headers, bytes: buffer.length }
}

describe("what is kept of a headers answer", () => {
  it("is all of one that weighs what it may", () => {
    const answer = answerOf([500, 600, 700])
    assert.deepStrictEqual(fittingHeaders(answer, 1_800), {
      headers: answer.headers,
      heldBytes: 1_800,
    })
  })

  it("is a prefix that fits, one header at least, and holds no more memory than its bytes", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 4_096 }), { minLength: 1, maxLength: 40 })
    const holds = fc.property(sizes, fc.integer({ min: 1, max: 50_000 }), (each, mostBytes) => {
      const answer = answerOf(each)
      const { headers, heldBytes } = fittingHeaders(answer, mostBytes)
      const sum = headers.reduce((total, header) => total + header.length, 0)
      if (sum !== heldBytes || headers.length < 1) return false
      if (answer.bytes <= mostBytes) return headers.length === each.length
      const fits = heldBytes <= mostBytes || headers.length === 1
      const isCopy = headers.every(({ buffer, length }) => buffer.byteLength === length)
      const next = each[headers.length] ?? Infinity
      return fits && isCopy && heldBytes + next > mostBytes
    })
    assert.doesNotThrow(() => fc.assert(holds))
  })
})
