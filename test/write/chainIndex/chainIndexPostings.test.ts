/** Posting lists of the index: what was added is found, and nothing breaks on other bytes. */
import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import {
  bucketOf,
  decodeVarints,
  encodeVarints,
  findPosting,
  keyOf,
  ordinalsIn,
  PostingsBuilder,
} from "../../../src/write/chainIndex/chainIndexPostings.ts"
import { intersection, union } from "../../../src/write/chainIndex/chainIndexSets.ts"

/** Keys of a log each, few of them in all, so that lists grow. */
const arbitraryLogs = fc.array(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 5 }), {
  maxLength: 2_000,
})

const sets = fc.array(fc.integer({ min: 0, max: 60 })).map((values) => {
  return Uint32Array.from([...new Set(values)].sort((a, b) => a - b))
})

describe("postings", () => {
  it("have every log under each of its keys, and those only but for keys that agree", () => {
    fc.assert(
      fc.property(arbitraryLogs, fc.boolean(), (logs, spread) => {
        const item = Uint8Array.of(0, 0, 0, 0)
        const keyFor = (name: number) => {
          item[3] = name
          return spread ? keyOf(0, item, 0, 4) : name
        }
        const builder = new PostingsBuilder()
        const expected = new Map<number, Set<number>>()
        logs.forEach((names, ordinal) => {
          for (const name of names) {
            builder.add(keyFor(name), ordinal)
            expected.set(name, (expected.get(name) ?? new Set()).add(ordinal))
          }
        })
        const { bits, buckets } = builder.build()
        assert.strictEqual(buckets.length, 2 ** bits)
        for (const [name, ordinals] of expected) {
          const key = keyFor(name)
          const list = findPosting(buckets[bucketOf(key, bits)]!, key, bits)
          const found = [...ordinalsIn(list!, 0, logs.length)]
          if (spread) assert.deepEqual(found, [...ordinals])
          else assert.includeMembers(found, [...ordinals])
          const [from, to] = [logs.length >> 2, logs.length >> 1]
          const within = found.filter((ordinal) => ordinal >= from && ordinal < to)
          assert.deepEqual([...ordinalsIn(list!, from, to)], within)
        }
      }),
      { numRuns: 60 },
    )
  })

  it("tell items apart by what they are and by the place of a topic", () => {
    const topic = Uint8Array.from({ length: 32 }, (_, i) => i)
    const keys = [0, 1, 2, 3, 4].map((kind) => keyOf(kind, topic, 0, 32))
    assert.strictEqual(new Set(keys).size, 5)
    const moved = Uint8Array.from([9, ...topic])
    assert.strictEqual(keyOf(1, moved, 1, 32), keys[1])
  })

  it("give nothing for a key that nobody added", () => {
    const builder = new PostingsBuilder()
    builder.add(0xdeadbeef, 3)
    const { bits, buckets } = builder.build()
    assert.isUndefined(findPosting(buckets[0]!, 0x1234567, bits))
  })

  it("never throw more than a RangeError for arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(), (bytes, key) => {
        try {
          const list = findPosting(bytes, key, 0)
          if (list !== undefined) ordinalsIn(list, 0, 1_000)
        } catch (error) {
          assert.instanceOf(error, RangeError)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it("write numbers as varints and read them again", () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), (values) => {
        assert.deepEqual([...decodeVarints(encodeVarints(values))], values)
      }),
    )
  })
})

describe("sets", () => {
  it("unite and intersect as sets do", () => {
    fc.assert(
      fc.property(fc.array(sets, { maxLength: 5 }), sets, (many, other) => {
        const all = new Set(many.flatMap((set) => [...set]))
        const united = union(many)
        assert.deepEqual(
          [...united],
          [...all].sort((a, b) => a - b),
        )
        assert.deepEqual(
          [...intersection(united, other)],
          [...other].filter((n) => all.has(n)),
        )
      }),
    )
  })
})
