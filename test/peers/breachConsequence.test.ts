import { assert, describe, it } from "vitest"
import { breachConsequence } from "../../src/peers/breachConsequence.ts"
import { type Breach, isConduct } from "../../src/wire/breach.ts"

const breaches: ReadonlyArray<Breach> = [
  "bad_frame",
  "frame_too_large",
  "bad_compression",
  "message_too_large",
  "bad_message",
  "unexpected_message",
  "unasked_answer",
  "wrong_answer",
  "flood",
  "slow_frame",
]

describe("a breach of a session's rules", () => {
  it("bans who cannot have done it by accident, and strikes who may only be eager or slow", () => {
    for (const breach of breaches) {
      const expected = isConduct(breach) ? "strike" : "ban"
      assert.strictEqual(breachConsequence(breach), expected, breach)
    }
  })
})
