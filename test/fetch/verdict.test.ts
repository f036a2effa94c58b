import { assert, describe, it } from "vitest"
import { type FailureTag, verdict } from "../../src/fetch/verdict.ts"

const tags: ReadonlyArray<FailureTag> = [
  "Timeout",
  "Disconnected",
  "Malformed",
  "MissingHeaders",
  "WrongHeader",
  "Truncated",
  "Skipped",
  "EmptyAnswer",
  "PartlyServed",
  "WrongReceipts",
  "WrongBody",
]

describe("verdict", () => {
  it("names each failure in the summary by its tag in snake_case", () => {
    for (const tag of tags) {
      const snake = tag.replaceAll(/(?<=.)[A-Z]/gu, (letter) => `_${letter}`).toLowerCase()
      assert.strictEqual(verdict(tag).counter, snake)
    }
  })

  it("bans who lies or breaks the protocol, and nobody else", () => {
    assert.deepStrictEqual(
      tags.filter((tag) => verdict(tag).peer === "ban"),
      ["Malformed", "WrongHeader", "WrongReceipts", "WrongBody"],
    )
  })

  it("strikes nobody for what is no fault, and counts no attempt for it", () => {
    for (const tag of ["Truncated", "Skipped", "Disconnected"] as const) {
      assert.strictEqual(verdict(tag).peer, "none")
      assert.isFalse(verdict(tag).attempt)
    }
  })

  it("takes a part of a block as a chance that the peer had, and as nothing else", () => {
    assert.deepStrictEqual(verdict("PartlyServed"), {
      attempt: false,
      tried: true,
      lacks: false,
      peer: "none",
      counter: "partly_served",
    })
    assert.deepStrictEqual(
      tags.filter((tag) => verdict(tag).tried),
      ["PartlyServed"],
    )
  })

  it("counts an empty answer as an attempt without a strike, and remembers the lack", () => {
    const empty = verdict("EmptyAnswer")
    assert.isTrue(empty.attempt)
    assert.isTrue(empty.lacks)
    assert.strictEqual(empty.peer, "cool_down")
  })
})
