import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { type ServedRange, type Serves, servesAll, servesKind } from "../../src/peers/Peer.ts"
import { Reach } from "../../src/scheduler/reach.ts"

const whole = servesAll({ from: 0, to: 99 })
const bodiesOnly: Serves = { ...whole, receipts: undefined }
const receiptsOnly: Serves = { ...whole, bodies: undefined }
const EMPTY: ServedRange = { from: 0, to: -1 }

describe("the reach of the connected peers", () => {
  it("gives nothing to a peer that serves parts whose rest nobody serves", () => {
    const reach = new Reach(["bodies", "receipts"])
    assert.deepStrictEqual(reach.set("a", bodiesOnly), [])
    assert.deepStrictEqual(reach.of("a"), EMPTY)
    const range = { from: 0, to: 99 }
    assert.deepStrictEqual(reach.set("b", receiptsOnly), [
      { peerId: "a", range },
      { peerId: "b", range },
    ])
    assert.deepStrictEqual(reach.delete("b"), [{ peerId: "a", range: EMPTY }])
  })

  it("is a peer's own range where one kind is wanted", () => {
    const reach = new Reach(["receipts"])
    reach.set("a", servesAll({ from: 10, to: 40 }))
    reach.set("b", whole)
    assert.deepStrictEqual(reach.of("a"), { from: 10, to: 40 })
    assert.deepStrictEqual(reach.of("b"), { from: 0, to: 99 })
    assert.deepStrictEqual(reach.of("nobody"), EMPTY)
  })

  it("follows what a peer is found to serve, and tells of changes alone", () => {
    const reach = new Reach(["bodies", "receipts"])
    reach.set("a", whole)
    reach.set("b", bodiesOnly)
    const upper: Serves = { ...whole, receipts: { from: 60, to: 99 } }
    assert.deepStrictEqual(reach.set("a", upper), [
      { peerId: "a", range: { from: 60, to: 99 } },
      { peerId: "b", range: { from: 60, to: 99 } },
    ])
    assert.deepStrictEqual(reach.set("a", upper), [])
  })

  it("leaves out no block that the peers can make whole, whatever they serve", () => {
    const kinds = ["bodies", "receipts"] as const
    const range = fc.option(
      fc
        .tuple(fc.nat(30), fc.nat(30))
        .map(([a, b]): ServedRange => ({ from: Math.min(a, b), to: Math.max(a, b) })),
      { nil: undefined },
    )
    const serves = fc.record({ headers: range, bodies: range, receipts: range })
    fc.assert(
      fc.property(fc.array(serves, { maxLength: 5 }), fc.nat(5), (peers, leaves) => {
        const reach = new Reach(kinds)
        const told = new Map<string, ServedRange>()
        const hear = (changes: ReturnType<Reach["set"]>): void => {
          for (const change of changes) told.set(change.peerId, change.range)
        }
        for (const [index, each] of peers.entries()) hear(reach.set(`p${index}`, each))
        hear(reach.delete(`p${leaves}`))
        const left = [...peers.entries()].filter(([index]) => index !== leaves)
        const helps = (each: Serves, kind: (typeof kinds)[number], block: number): boolean =>
          servesKind(each, "headers", block) && servesKind(each, kind, block)
        for (const [index, each] of left) {
          const mine = reach.of(`p${index}`)
          assert.deepStrictEqual(told.get(`p${index}`) ?? EMPTY, mine)
          for (let block = 0; block <= 30; block++) {
            const wanted =
              kinds.every((kind) => left.some(([, peer]) => helps(peer, kind, block))) &&
              kinds.some((kind) => helps(each, kind, block))
            if (wanted) assert.isTrue(block >= mine.from && block <= mine.to)
          }
        }
      }),
    )
  })
})
