import { describe, it, assert } from "vitest"
import { FastCheck as fc } from "effect"
import {
  and,
  between,
  BlockRanges,
  or,
  without,
  type BlockRange,
  type BlockView,
} from "../../src/domain/blockRanges.ts"

const LIMIT = 120

const range = fc
  .tuple(fc.nat(LIMIT), fc.nat(12))
  .map(([from, length]): BlockRange => [from, from + length - 1])

const ranges = fc.array(range, { maxLength: 12 })

const edits = fc.array(fc.tuple(fc.boolean(), range), { maxLength: 60, size: "max" })

const membersOf = (given: ReadonlyArray<BlockRange>): Set<number> => {
  const members = new Set<number>()
  for (const [from, to] of given) for (let n = from; n <= to; n++) members.add(n)
  return members
}

const change = (members: Set<number>, adds: boolean, from: number, to: number): void => {
  for (let n = from; n <= to; n++) {
    if (adds) members.add(n)
    else members.delete(n)
  }
}

/** Where a view answers otherwise than walking over `members` does. */
const mismatches = (view: BlockView, members: ReadonlySet<number>): Array<string> => {
  const wrong: Array<string> = []
  for (let n = 0; n <= LIMIT + 15; n++) {
    let next: number | undefined = n
    while (next <= LIMIT + 15 && !members.has(next)) next += 1
    if (next > LIMIT + 15) next = undefined
    let end = n - 1
    while (members.has(end + 1)) end += 1
    if (view.has(n) !== members.has(n)) wrong.push(`has ${n}`)
    if (view.next(n) !== next) wrong.push(`next ${n}`)
    if (view.runEnd(n) !== end) wrong.push(`runEnd ${n}`)
  }
  return wrong
}

/** Asserts that ranges are disjoint, apart and rising, and that the counts are theirs. */
const assertWellFormed = (set: BlockRanges): void => {
  let previous = -2
  let count = 0
  let rangeCount = 0
  for (const [from, to] of set.ranges()) {
    assert.isAbove(from, previous + 1)
    assert.isAtLeast(to, from)
    previous = to
    count += to - from + 1
    rangeCount += 1
  }
  assert.strictEqual(set.count, count)
  assert.strictEqual(set.rangeCount, rangeCount)
}

describe("BlockRanges", () => {
  it("answers as a set of numbers does, after any additions and removals", () => {
    fc.assert(
      fc.property(edits, (edits) => {
        let set = BlockRanges.empty
        const members = new Set<number>()
        for (const [adds, [from, to]] of edits) {
          const before = [...set.ranges()]
          const old = set
          set = adds ? set.add(from, to) : set.remove(from, to)
          change(members, adds, from, to)
          assert.deepStrictEqual([...old.ranges()], before, "an update changes no older set")
        }
        assertWellFormed(set)
        assert.deepStrictEqual(mismatches(set, members), [])
        for (let n = 0; n <= LIMIT; n++) {
          let gap = n
          while (members.has(gap)) gap += 1
          assert.strictEqual(set.nextGap(n), gap)
        }
      }),
      { numRuns: 500 },
    )
  })

  it("is the same whether built at once or range by range", () => {
    fc.assert(
      fc.property(ranges, (ranges) => {
        const atOnce = BlockRanges.fromRanges(ranges)
        const oneByOne = ranges.reduce((set, [from, to]) => set.add(from, to), BlockRanges.empty)
        assertWellFormed(atOnce)
        assert.deepStrictEqual([...atOnce.ranges()], [...oneByOne.ranges()])
        assert.deepStrictEqual(mismatches(atOnce, membersOf(ranges)), [])
      }),
    )
  })

  it("unites and subtracts", () => {
    fc.assert(
      fc.property(ranges, ranges, (a, b) => {
        const [inA, inB] = [membersOf(a), membersOf(b)]
        const [setA, setB] = [BlockRanges.fromRanges(a), BlockRanges.fromRanges(b)]
        assert.deepStrictEqual(mismatches(setA.union(setB), new Set([...inA, ...inB])), [])
        assert.deepStrictEqual(
          mismatches(setA.subtract(setB), new Set([...inA].filter((n) => !inB.has(n)))),
          [],
        )
      }),
    )
  })

  it("stays right across chunks, with thousands of ranges", () => {
    const edit = fc.tuple(fc.boolean(), fc.nat(9_000), fc.constantFrom(0, 1, 3, 700, 3_000))
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 60, size: "max" }), (edits) => {
        const members = new Set<number>()
        for (let n = 0; n < 9_000; n += 3) members.add(n)
        let set = BlockRanges.fromRanges([...members].map((n): BlockRange => [n, n]))
        assert.strictEqual(set.rangeCount, 3_000)
        for (const [adds, from, more] of edits) {
          set = adds ? set.add(from, from + more) : set.remove(from, from + more)
          change(members, adds, from, from + more)
        }
        assertWellFormed(set)
        const expanded = membersOf([...set.ranges()])
        assert.strictEqual(expanded.size, members.size)
        for (const n of members) assert.isTrue(expanded.has(n) && set.has(n))
        for (let n = 0; n < 12_000; n += 7) assert.strictEqual(set.has(n), members.has(n))
      }),
      { numRuns: 60 },
    )
  })

  it("gives the same object when an update changes nothing", () => {
    const set = BlockRanges.fromRanges([
      [3, 9],
      [20, 30],
    ])
    assert.strictEqual(set.add(4, 9), set)
    assert.strictEqual(set.remove(10, 19), set)
    assert.strictEqual(set.add(5, 4), set)
    assert.strictEqual(set.remove(31, 1_000), set)
  })

  it("holds the whole chain in one range, and numbers far above 2^32", () => {
    const high = 2 ** 52
    const set = BlockRanges.of(0, 25_000_000).add(high, high + 1)
    assert.strictEqual(set.rangeCount, 2)
    assert.strictEqual(set.count, 25_000_003)
    assert.strictEqual(set.next(25_000_001), high)
    assert.strictEqual(set.next(Infinity), undefined)
  })
})

/** A view that counts how often it is asked. */
const counted = (view: BlockView): { readonly view: BlockView; readonly asked: () => number } => {
  let calls = 0
  const ask = <Args extends ReadonlyArray<number>, Answer>(f: (...args: Args) => Answer) => {
    return (...args: Args): Answer => {
      calls += 1
      return f(...args)
    }
  }
  return {
    view: {
      has: ask((n: number) => view.has(n)),
      next: ask((n: number) => view.next(n)),
      runEnd: ask((n: number) => view.runEnd(n)),
    },
    asked: () => calls,
  }
}

describe("views", () => {
  it("answer as the sets they stand for", () => {
    fc.assert(
      fc.property(ranges, ranges, ranges, range, (a, b, c, [from, to]) => {
        const [inA, inB, inC] = [membersOf(a), membersOf(b), membersOf(c)]
        const [setA, setB, setC] = [a, b, c].map((given) => BlockRanges.fromRanges(given))
        const all = [...inA]
        assert.deepStrictEqual(
          mismatches(and(setA!, setB!), new Set(all.filter((n) => inB.has(n)))),
          [],
        )
        assert.deepStrictEqual(
          mismatches(or([setA!, setB!, setC!]), new Set([...inA, ...inB, ...inC])),
          [],
        )
        assert.deepStrictEqual(mismatches(or([]), new Set()), [])
        assert.deepStrictEqual(
          mismatches(without(setA!, setB!), new Set(all.filter((n) => !inB.has(n)))),
          [],
        )
        assert.deepStrictEqual(mismatches(between(from, to), membersOf([[from, to]])), [])
        assert.deepStrictEqual(
          mismatches(
            without(and(between(from, to), setA!), or([setB!, setC!])),
            new Set(all.filter((n) => n >= from && n <= to && !inB.has(n) && !inC.has(n))),
          ),
          [],
        )
      }),
      { numRuns: 200 },
    )
  })

  it("leap over runs and do not walk blocks", () => {
    const work = counted(BlockRanges.of(0, 25_000_000))
    const barred = counted(BlockRanges.of(0, 24_999_990))
    assert.strictEqual(without(work.view, barred.view).next(0), 24_999_991)
    assert.isAtMost(work.asked() + barred.asked(), 6)
  })
})
