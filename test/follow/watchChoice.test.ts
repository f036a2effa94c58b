import { assert, describe, it } from "vitest"
import { type Candidate, chooseWatched, rotated } from "../../src/follow/watchChoice.ts"

const candidate = (peerId: string, fields: Partial<Candidate> = {}): Candidate => ({
  peerId,
  trusted: false,
  watched: false,
  out: false,
  leftMs: undefined,
  head: 10,
  ...fields,
})

const idsOf = (chosen: ReadonlyArray<Candidate>) => chosen.map(({ peerId }) => peerId)

describe("which peers are watched", () => {
  it("are trusted ones, then those with a say, then new ones, then those without a say", () => {
    const all = [
      candidate("out", { watched: true, out: true }),
      candidate("new"),
      candidate("left", { leftMs: 900, head: 99 }),
      candidate("says", { watched: true }),
      candidate("trusted", { trusted: true, out: true }),
    ]
    assert.deepStrictEqual(idsOf(chooseWatched(all, 5, 1_000, 500)), [
      "trusted",
      "says",
      "new",
      "out",
      "left",
    ])
    assert.deepStrictEqual(idsOf(chooseWatched(all, 4, 2_000, 500)).slice(2), ["left", "new"])
  })

  it("are changed by one: the lowest head goes, who was away longest comes", () => {
    const watched = { watched: true }
    const chosen = [
      candidate("t", { ...watched, trusted: true, head: 1 }),
      candidate("a", { ...watched, head: 12 }),
      candidate("b", { ...watched, head: 9 }),
    ]
    const all = [...chosen, candidate("c", { leftMs: 5 }), candidate("d", { leftMs: 3 })]
    assert.deepStrictEqual(idsOf(rotated(chosen, all)), ["t", "a", "d"])
    assert.deepStrictEqual(idsOf(rotated(chosen, chosen)), ["t", "a", "b"])
  })
})
