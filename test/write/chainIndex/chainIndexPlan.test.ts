/** Which blocks are indexed next: the invariants of the plan, carried out to its end. */
import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { BlockRanges } from "../../../src/domain/blockRanges.ts"
import {
  FRESH_BLOCKS,
  GROUP_BLOCKS,
  GROWTH_BLOCKS,
  nextJob,
  type PlannedSegment,
  rangesOf,
} from "../../../src/write/chainIndex/chainIndexPlan.ts"

const arbitraryStored = fc
  .array(fc.tuple(fc.nat(4 * GROUP_BLOCKS), fc.integer({ min: 1, max: 2 * GROUP_BLOCKS })), {
    maxLength: 5,
  })
  .map((runs) => BlockRanges.fromRanges(runs.map(([from, count]) => [from, from + count - 1])))

const highestOf = (stored: BlockRanges): number => [...stored.ranges()].at(-1)?.[1] ?? -1

/** Carries out jobs until there is none; a segment takes `most` blocks at most. */
const carryOut = (
  stored: BlockRanges,
  start: ReadonlyArray<PlannedSegment>,
  most: number,
): ReadonlyArray<PlannedSegment> => {
  let segments = start
  for (let id = 1_000 * (start.length + 1), steps = 0; steps < 500; id++, steps++) {
    const job = nextJob(stored, highestOf(stored), segments, "all")
    if (job === undefined) return segments
    const to = Math.min(job.to, job.from + most - 1)
    const left = segments.filter(({ segmentId }) => !job.replaces.includes(segmentId))
    assert.isTrue(left.every((other) => other.to < job.from || other.from > job.to))
    assert.isAtLeast(stored.runEnd(job.from), job.to)
    assert.isAtMost(job.to, highestOf(stored) - FRESH_BLOCKS)
    assert.isBelow(rangesOf(segments).runEnd(job.from), job.to)
    const closed = to < job.to || job.whole
    segments = [...left, { segmentId: id, from: job.from, to, closed }]
  }
  return assert.fail("there is always another job")
}

describe("the plan of the index", () => {
  it("ends with every settled block in a segment, but for a little below the highest one", () => {
    fc.assert(
      fc.property(arbitraryStored, arbitraryStored, fc.constantFrom(300, 1_024), (a, b, most) => {
        const before = carryOut(a, [], most)
        const stored = a.union(b)
        const segments = carryOut(stored, before, most)
        const limit = highestOf(stored) - FRESH_BLOCKS
        const open = stored.remove(limit + 1, Infinity).subtract(rangesOf(segments))
        assert.isBelow(open.count, GROWTH_BLOCKS)
        for (const [, to] of open.ranges()) assert.strictEqual(to, limit)
        for (const { from, to } of segments) {
          assert.strictEqual(Math.floor(from / GROUP_BLOCKS), Math.floor(to / GROUP_BLOCKS))
        }
      }),
      { numRuns: 500 },
    )
  })

  it("takes whole groups first, and parts only when it is asked for them", () => {
    const stored = BlockRanges.fromRanges([
      [100, 899],
      [1_024, 2_047],
      [2_048, 2_200],
    ])
    assert.deepEqual(nextJob(stored, 2_200, [], "whole"), {
      from: 1_024,
      to: 2_047,
      replaces: [],
      whole: true,
    })
    assert.deepInclude(nextJob(stored, 2_200, [], "grown"), { from: 100, to: 899, whole: false })
    assert.isUndefined(nextJob(BlockRanges.of(0, 60), 60, [], "all"))
  })

  it("makes a part again with what has come, and leaves alone what is closed", () => {
    const part = { segmentId: 4, from: 0, to: 199, closed: false }
    const stored = BlockRanges.of(0, 340)
    assert.deepInclude(nextJob(stored, 340, [part], "grown"), { from: 0, to: 276, replaces: [4] })
    assert.isUndefined(nextJob(BlockRanges.of(0, 300), 300, [part], "all"))
    const closed = { ...part, closed: true }
    assert.deepInclude(nextJob(stored, 340, [closed], "grown"), { from: 200, replaces: [] })
  })
})
