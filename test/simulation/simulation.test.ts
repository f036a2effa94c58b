/**
 * The simulation in small; `npm run simulate` is the long one.
 */
import { assert, describe, it } from "vitest"
import type { Mishap, Plan } from "./plan.ts"
import { simulate } from "./Simulation.ts"
import { planOf } from "./worlds.ts"

/** How many seeds are simulated here: a few seconds. */
const SEEDS = 25

describe("the simulated world", () => {
  it("keeps all its invariants, whatever befalls the program", { timeout: 120_000 }, async () => {
    const counts = { runs: 0, kills: 0, diskErrors: 0, blocks: 0 }
    for (let seed = 1; seed <= SEEDS; seed++) {
      const verdict = await simulate(seed)
      assert.deepStrictEqual(verdict.violations, [], `npm run simulate -- --seed ${seed}`)
      counts.runs += verdict.runs
      counts.kills += verdict.kills
      counts.diskErrors += verdict.diskErrors
      counts.blocks += verdict.blocks
    }
    // Worlds in which nothing happens would keep everything, too.
    assert.isAbove(counts.runs, SEEDS)
    assert.isAbove(counts.kills, 0)
    assert.isAbove(counts.diskErrors, 0)
    assert.isAbove(counts.blocks, 5 * SEEDS)
  })

  it("is the same every time, with handshakes and without, and with large frames", async () => {
    const seeds = Array.from({ length: 60 }, (_, at) => at + 1)
    const shaken = seeds.find((seed) => planOf(seed).handshakes)!
    const befallen = seeds.find((seed) => planOf(seed).mishaps.length === 2)!
    const large = seeds.find((seed) => planOf(seed).hasLargeBlocks)!
    for (const seed of [shaken, befallen, large]) {
      const first = await simulate(seed, true)
      const second = await simulate(seed, true)
      assert.isAbove(first.trace.length, 10)
      assert.deepStrictEqual(second.trace, first.trace)
      assert.strictEqual(second.digest, first.digest)
    }
  })

  it("has a world of every kind among its first thousand", () => {
    const plans = Array.from({ length: 1_000 }, (_, at) => planOf(at + 1))
    const kinds = new Set(plans.flatMap(({ mishaps }) => mishaps.map(({ kind }) => kind)))
    const all: Array<Mishap["kind"]> = ["kill", "kill-at-write", "disk-error", "signal"]
    assert.sameMembers([...kinds], all)
    assert.isTrue(plans.some(({ deserted }) => deserted))
    assert.isTrue(plans.some(({ unheld, deserted }) => unheld !== undefined && !deserted))
    assert.isTrue(
      plans.some(
        ({ peers }) => peers.filter(({ serves }) => typeof serves === "object").length > 1,
      ),
    )
    assert.isTrue(
      plans.some(({ undecidedTo, trusted }) => undecidedTo !== undefined && trusted.length === 0),
    )
    assert.isTrue(
      plans.some(({ undecidedTo, trusted }) => undecidedTo !== undefined && trusted.length > 0),
    )
    assert.isTrue(plans.some(({ settings }) => settings.larderBytes < 3_000))
    const share = (is: (plan: Plan) => boolean): number => plans.filter(is).length
    for (const name of ["majority-0", "selves-0", "tie-0"]) {
      assert.isAbove(
        share(({ peers }) => peers.some((peer) => peer.name === name)),
        3,
      )
    }
    assert.isAbove(
      share(({ hasLargeBlocks }) => hasLargeBlocks),
      20,
    )
    assert.isAbove(
      share(({ peers }) => peers.some(({ lateMs }) => lateMs[1] < 2_000)),
      20,
    )
    assert.isTrue(plans.every(({ peers }) => peers.some(({ blameless }) => blameless)))
  })
})
