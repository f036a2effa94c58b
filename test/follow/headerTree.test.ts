import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { HeaderTree, MOST_HEADERS_OF_ONE } from "../../src/follow/headerTree.ts"
import { headersOf, headOf, keyOf, scene, topOf, treeOf } from "./arbitraryChains.ts"

describe("the tree of headers", () => {
  it("leads every head down to the block in which its branch leaves the stored chain", () => {
    fc.assert(
      fc.property(scene, (made) => {
        const tree = treeOf(made)
        const top = topOf(made)
        for (const peer of made.peers) {
          const head = headOf(made, peer)
          const descent = tree.descend(head, top)
          const branch = made.branches[peer.branch]
          const left = head.key.startsWith("s") ? head.number : branch!.ancestor
          if (head.number < top.floor) assert.strictEqual(descent._tag, "Behind")
          else if (left < top.floor) assert.strictEqual(descent._tag, "Deep")
          else {
            assert(descent._tag === "Met", descent._tag)
            assert.strictEqual(descent.ancestor, left)
            const keys = descent.path.map(({ key }) => key)
            const wanted = Array.from({ length: head.number - left }, (_, index) =>
              keyOf(branch!.name, left + 1 + index),
            )
            assert.deepStrictEqual(keys, wanted)
          }
        }
      }),
    )
  })

  it("names the header that is missing, and nothing above it", () => {
    const tree = new HeaderTree()
    const headers = headersOf({ name: "a", ancestor: 8, head: 14 })
    for (const header of headers) if (header.number !== 11) tree.add("p", header)
    const top = topOf({ tip: 10, window: 6 })
    assert.deepStrictEqual(tree.descend({ number: 14, key: keyOf("a", 14) }, top), {
      _tag: "Missing",
      number: 11,
      key: keyOf("a", 11),
    })
  })

  it("meets nothing where nothing is stored, whatever comes first", () => {
    const tree = new HeaderTree()
    for (const header of headersOf({ name: "a", ancestor: 49, head: 52 })) tree.add("p", header)
    const top = { tip: 49, floor: 49, floorIsOpen: true, hashes: new Map<number, string>() }
    const descent = tree.descend({ number: 52, key: keyOf("a", 52) }, top)
    assert(descent._tag === "Met")
    assert.strictEqual(descent.ancestor, 49)
    assert.lengthOf(descent.path, 3)
  })

  it("believes no child whose number is not its parent's and one", () => {
    const tree = new HeaderTree()
    tree.add("p", { number: 12, key: keyOf("a", 12), parentKey: keyOf("a", 9) })
    tree.add("p", { number: 9, key: keyOf("a", 9), parentKey: keyOf("s", 8) })
    const descent = tree.descend({ number: 12, key: keyOf("a", 12) }, topOf({ tip: 10, window: 6 }))
    assert.strictEqual(descent._tag, "Broken")
  })

  it("forgets nothing of a peer for what another one sends", () => {
    const tree = new HeaderTree()
    for (const header of headersOf({ name: "a", ancestor: 8, head: 14 })) tree.add("p", header)
    for (let number = 0; number < 2 * MOST_HEADERS_OF_ONE; number++) {
      tree.add("q", { number, key: keyOf("b", number), parentKey: keyOf("b", number - 1) })
    }
    tree.add("q", { number: 14, key: keyOf("a", 14), parentKey: keyOf("a", 13) })
    assert.isDefined(tree.get(keyOf("a", 9)))
    tree.forget("p")
    assert.isUndefined(tree.get(keyOf("a", 9)))
    assert.isDefined(tree.get(keyOf("a", 14)))
  })

  it("is bounded for each peer, and forgets its oldest first", () => {
    const tree = new HeaderTree()
    for (let number = 0; number < MOST_HEADERS_OF_ONE + 10; number++) {
      tree.add("p", { number, key: keyOf("a", number), parentKey: keyOf("a", number - 1) })
    }
    assert.strictEqual(tree.size, MOST_HEADERS_OF_ONE)
    assert.isUndefined(tree.get(keyOf("a", 9)))
    assert.isDefined(tree.get(keyOf("a", 10)))
  })
})
