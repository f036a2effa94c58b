import { createMPT } from "@ethereumjs/mpt"
import { RLP } from "@ethereumjs/rlp"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { EMPTY_TRIE_ROOT } from "../../src/domain/header.ts"
import { toHex } from "../../src/domain/hex.ts"
import { orderedTrieRoot } from "../../src/domain/trieRoot.ts"

const reference = async (values: ReadonlyArray<Uint8Array>): Promise<Uint8Array> => {
  const trie = await createMPT()
  for (const [index, value] of values.entries()) await trie.put(RLP.encode(index), value)
  return trie.root()
}

/** Our root and the reference's, as text. */
const bothRoots = async (values: ReadonlyArray<Uint8Array>): Promise<readonly [string, string]> => [
  toHex(orderedTrieRoot(values)),
  toHex(await reference(values)),
]

describe("orderedTrieRoot", () => {
  it("is the empty root for no values", () => {
    assert.deepEqual(orderedTrieRoot([]), EMPTY_TRIE_ROOT)
  })

  it("agrees with a general trie on any list", async () => {
    // Values that make nodes of less than 32 bytes, which are kept inline, and larger ones.
    const value = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 3 }),
      fc.uint8Array({ minLength: 1, maxLength: 60 }),
      fc.uint8Array({ minLength: 200, maxLength: 300 }),
    )
    const values = fc.array(value, { maxLength: 300, size: "max" })
    const agrees = fc.asyncProperty(values, async (list) =>
      assert.equal(...(await bothRoots(list))),
    )
    await fc.assert(agrees, { numRuns: 60 })
  })

  it("agrees at each count where the shape of the keys changes", async () => {
    for (const count of [1, 2, 3, 16, 17, 127, 128, 129, 130, 144, 145, 255, 256, 257, 258, 300]) {
      assert.equal(
        ...(await bothRoots(Array.from({ length: count }, (_, i) => Uint8Array.of(1 + (i % 255))))),
      )
      assert.equal(
        ...(await bothRoots(
          Array.from({ length: count }, (_, i) => new Uint8Array(32 + (i % 90)).fill(i)),
        )),
      )
    }
  })

  it("agrees on keys of three bytes and on values of 64 KiB and more", async () => {
    assert.equal(
      ...(await bothRoots(Array.from({ length: 4_500 }, (_, i) => Uint8Array.of(1, i >> 8, i)))),
    )
    assert.equal(
      ...(await bothRoots([new Uint8Array(70_000).fill(1), new Uint8Array(255).fill(2)])),
    )
  })

  it("agrees on keys of four bytes", () => {
    const values = Array.from({ length: 65_540 }, (_, i) => Uint8Array.of(1, i >> 8, i))
    // What @ethereumjs/mpt gives; it takes twelve seconds for it.
    const expected = "940a4b94bde81c4162347090704206219328a85cc5b6badc680c5f099cd7b5c7"
    assert.strictEqual(toHex(orderedTrieRoot(values)), expected)
  })
})
