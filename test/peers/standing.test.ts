import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import {
  afterFailure,
  afterSuccess,
  newcomer,
  type PeerConsequence,
  type Standing,
} from "../../src/peers/standing.ts"

const rules = { coolDownMs: 500, maxCoolDownMs: 30_000, failuresToBan: 5, banMs: 120_000 }

const fail = (times: number, consequence: PeerConsequence): Standing => {
  let standing = newcomer
  for (let i = 0; i < times; i++) {
    standing = afterFailure(standing, consequence, standing.usableFromMs, rules)
  }
  return standing
}

describe("standing", () => {
  it("bans after five strikes in a row, for the ban's time", () => {
    assert.isFalse(fail(4, "strike").banned)
    const before = fail(4, "strike")
    const after = afterFailure(before, "strike", before.usableFromMs, rules)
    assert.isTrue(after.banned)
    assert.strictEqual(after.usableFromMs - before.usableFromMs, rules.banMs)
  })

  it("starts counting anew after a success", () => {
    const forgiven = afterSuccess(fail(4, "strike"), 1_000_000)
    assert.strictEqual(forgiven.strikesInRow, 0)
    assert.isFalse(afterFailure(forgiven, "strike", 1_000_000, rules).banned)
  })

  it("never bans who only lacks things, and pauses it longer each time up to the limit", () => {
    let standing = newcomer
    let last = 0
    for (let i = 0; i < 20; i++) {
      const nowMs = standing.usableFromMs
      standing = afterFailure(standing, "cool_down", nowMs, rules)
      const pauseMs = standing.usableFromMs - nowMs
      assert.isAtLeast(pauseMs, last)
      assert.isAtMost(pauseMs, rules.maxCoolDownMs)
      last = pauseMs
    }
    assert.isFalse(standing.banned)
    assert.strictEqual(last, rules.maxCoolDownMs)
  })

  it("bans at once for a lie", () => {
    assert.isTrue(afterFailure(newcomer, "ban", 0, rules).banned)
  })

  it("never shortens a pause or a ban that runs, whatever comes", () => {
    const consequence = fc.constantFrom<PeerConsequence>("none", "cool_down", "strike", "ban")
    const event = fc.record({ consequence: fc.option(consequence), afterMs: fc.nat(200_000) })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        let standing = newcomer
        let nowMs = 0
        for (const { consequence, afterMs } of events) {
          nowMs += afterMs
          const before = standing
          standing =
            consequence === null
              ? afterSuccess(standing, nowMs)
              : afterFailure(standing, consequence, nowMs, rules)
          assert.isAtLeast(standing.usableFromMs, before.usableFromMs)
          if (before.banned && before.usableFromMs > nowMs) assert.isTrue(standing.banned)
        }
      }),
    )
  })
})
