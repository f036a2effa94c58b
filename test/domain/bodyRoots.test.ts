import { assert, describe, it } from "vitest"
import { bodyRoots } from "../../src/domain/bodyRoots.ts"
import { openBody } from "../../src/domain/body.ts"
import { readHeader } from "../../src/domain/header.ts"
import { concatBytes, encodeList, RlpError } from "../../src/domain/rlp.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"

const EMPTY = Uint8Array.of(0xc0)

describe("the roots of a body", () => {
  it("are those of its header", () => {
    const chain = generateChain({ blocks: 40, shape: "light", seed: 4 })
    for (const number of chain.numbers) {
      const { transactionsRoot, ommersHash, withdrawalsRoot } = readHeader(chain.headerAt(number)!)
      const body = chain.bodyAt(number)!
      const expected = [transactionsRoot, ommersHash]
      if (openBody(body).withdrawals !== undefined) expected.push(withdrawalsRoot!)
      assert.isTrue(Buffer.from(bodyRoots(body)).equals(concatBytes(expected)))
    }
  })

  it("are not worked out of millions of items, for which no memory is taken", () => {
    const millions = encodeList([new Uint8Array(8 * 2 ** 20).fill(1)])
    const before = process.memoryUsage().heapUsed
    assert.throws(() => bodyRoots(encodeList([millions, EMPTY, EMPTY])), RlpError)
    assert.throws(() => bodyRoots(encodeList([EMPTY, EMPTY, millions])), RlpError)
    assert.isBelow(process.memoryUsage().heapUsed - before, 20_000_000)
  })
})
