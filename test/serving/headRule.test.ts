import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  type HeadOffer,
  type Heads,
  MOST_OFFERS,
  noHeads,
  offerHead,
  withdrawHead,
} from "../../src/serving/headRule.ts"

const NOW = 1_700_000_000

const offer = (number: number, time = NOW - 12): HeadOffer => ({
  number,
  hash: new Uint8Array(32).fill(number),
  time,
  bytes: Uint8Array.of(number & 0xff),
})

type Event = { readonly peer: string; readonly head: number | undefined }

const events = fc.array(
  fc.record({
    peer: fc.constantFrom("a", "b", "c", "d"),
    head: fc.option(fc.nat({ max: 1_000 }), { nil: undefined }),
  }),
  { maxLength: 60, size: "max" },
)

const step = (heads: Heads, { peer, head }: Event): Heads =>
  head === undefined ? withdrawHead(heads, peer) : offerHead(heads, peer, offer(head), NOW)

describe("the head that we announce", () => {
  it("is reached by two peers, whatever one alone says", () => {
    fc.assert(
      fc.property(events, (list) => {
        let heads = noHeads
        for (const event of list) {
          heads = step(heads, event)
          const { chosen, offers } = heads
          if (offers.size < 2) continue
          const reached = [...offers.values()].filter(({ number }) => number >= chosen!.number)
          assert.isAtLeast(reached.length, 2)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it("is the highest of those, and one of which the header was offered", () => {
    fc.assert(
      fc.property(events, (list) => {
        let heads = noHeads
        for (const event of list) {
          heads = step(heads, event)
          if (heads.offers.size < 2) continue
          const falling = [...heads.offers.values()]
            .map(({ number }) => number)
            .toSorted((a, b) => b - a)
          assert.strictEqual(heads.chosen!.number, falling[1])
          assert.include([...heads.offers.values()], heads.chosen)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it("is the only peer's own at first, and no lone peer's once two have agreed", () => {
    const alone = offerHead(noHeads, "a", offer(900), NOW)
    assert.strictEqual(alone.chosen?.number, 900)
    const two = offerHead(alone, "b", offer(100), NOW)
    assert.strictEqual(two.chosen?.number, 100)
    const left = withdrawHead(two, "b")
    assert.strictEqual(left.chosen?.number, 100)
    assert.strictEqual(offerHead(left, "a", offer(901), NOW).chosen?.number, 100)
    const none = withdrawHead(left, "a")
    assert.strictEqual(none.chosen?.number, 100)
  })

  it("is never one from the future, and a peer that offers such a one counts no more", () => {
    const liar = offerHead(noHeads, "a", offer(5, NOW + 3_600), NOW)
    assert.isUndefined(liar.chosen)
    const turned = offerHead(offerHead(liar, "a", offer(7), NOW), "a", offer(8, NOW + 3_600), NOW)
    assert.strictEqual(turned.offers.size, 0)
    assert.strictEqual(offerHead(noHeads, "a", offer(6, NOW + 30), NOW).chosen?.number, 6)
  })

  it("needs no more memory the more peers there are", () => {
    let heads = noHeads
    for (let i = 0; i < MOST_OFFERS + 10; i++) heads = offerHead(heads, `${i}`, offer(i), NOW)
    assert.strictEqual(heads.offers.size, MOST_OFFERS)
    assert.isFalse(heads.offers.has("0"))
  })
})
