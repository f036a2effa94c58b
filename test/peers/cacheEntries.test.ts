import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  bestEntries,
  type CacheEntry,
  EntryBook,
  MAX_AGE_MS,
  MOST_ENTRIES,
  type PeerFacts,
  qualityOf,
  withFacts,
} from "../../src/peers/cacheEntries.ts"
import { cacheEntry, nodeIdOf } from "../support/cacheEntry.ts"

const now = 1_800_000_000_000
const day = 86_400_000

const arbitraryEntry = fc
  .record({
    id: fc.nat(50),
    lastSeenMs: fc.integer({ min: now - 2 * MAX_AGE_MS, max: now + day }),
    blocksServed: fc.nat(100_000),
    failures: fc.nat(1_000),
    roundTripMs: fc.option(fc.nat(60_000), { nil: undefined }),
    blocksPerMinute: fc.option(fc.nat(60_000), { nil: undefined }),
    bannedUntilMs: fc.constantFrom(0, now - 1, now + 60_000),
  })
  .map(({ id, ...fields }) => cacheEntry(id, fields))

/** What a session that opens says of a peer. */
const facts = (id: number): PeerFacts => {
  const { enode, client, ethVersion } = cacheEntry(id)
  return { enode, client, ethVersion, seenMs: now }
}

describe("the quality of a cached peer", () => {
  const usual = cacheEntry(1, { lastSeenMs: now, blocksServed: 100, failures: 3, roundTripMs: 80 })
  const better = (fields: Partial<CacheEntry>) =>
    qualityOf({ ...usual, ...fields }, now) > qualityOf(usual, now)

  it("rises with what it served, and falls with failures, slowness, silence and a ban", () => {
    assert.isTrue(better({ blocksServed: 101 }))
    assert.isTrue(better({ failures: 2 }))
    assert.isTrue(better({ roundTripMs: 79 }))
    assert.isTrue(better({ blocksPerMinute: 6_000 }))
    assert.isFalse(better({ blocksPerMinute: 6 }))
    assert.isFalse(better({ roundTripMs: undefined }))
    assert.isFalse(better({ lastSeenMs: now - 1_000 }))
    assert.isFalse(better({ blocksServed: 10 ** 12, bannedUntilMs: now + 1 }))
    assert.isTrue(better({ blocksServed: 101, bannedUntilMs: now }))
  })
})

describe("the best entries", () => {
  it("are sorted, none older than 7 days, none seen in the future, no ban that is over", () => {
    fc.assert(
      fc.property(fc.array(arbitraryEntry, { maxLength: 60 }), (entries) => {
        const best = bestEntries(entries, now)
        const young = entries.filter(({ lastSeenMs }) => now - lastSeenMs <= MAX_AGE_MS)
        assert.lengthOf(best, young.length)
        best.forEach((entry, at) => {
          const next = best[at + 1]
          assert.isAtMost(entry.lastSeenMs, now)
          assert.isTrue(entry.bannedUntilMs === 0 || entry.bannedUntilMs > now)
          if (next !== undefined) assert.isAtLeast(qualityOf(entry, now), qualityOf(next, now))
        })
      }),
      { numRuns: 500 },
    )
  })

  it("keep an entry of exactly 7 days and drop it a millisecond later", () => {
    const entry = cacheEntry(1, { lastSeenMs: now - MAX_AGE_MS })
    assert.lengthOf(bestEntries([entry], now), 1)
    assert.lengthOf(bestEntries([entry], now + 1), 0)
  })

  it("are 5,000, and those that served most", () => {
    const many = Array.from({ length: MOST_ENTRIES + 100 }, (_, id) =>
      cacheEntry(id, { lastSeenMs: now, blocksServed: id }),
    )
    const best = bestEntries(many, now)
    assert.lengthOf(best, 5_000)
    assert.deepEqual(best[0], many.at(-1))
    assert.strictEqual(best.at(-1)!.blocksServed, 100)
  })
})

describe("facts of a peer", () => {
  it("begin an entry only with an enode, a client and an eth version", () => {
    const { enode } = cacheEntry(1)
    assert.isUndefined(withFacts(undefined, { head: 5, seenMs: now }))
    assert.isUndefined(withFacts(undefined, { enode, client: "geth" }))
    const begun = withFacts(undefined, { enode, client: "geth", ethVersion: 69, seenMs: now })
    assert.deepEqual(begun, { ...cacheEntry(1), client: "geth", ethVersion: 69, lastSeenMs: now })
  })

  it("replace a head, add to counts, and never move the last sight or a ban back", () => {
    const known = cacheEntry(1, { head: 9, blocksServed: 4, failures: 1, bannedUntilMs: now })
    const after = withFacts(known, {
      head: 7,
      blocksServed: 3,
      failures: 2,
      seenMs: known.lastSeenMs - 5,
      bannedUntilMs: now - 5,
    })
    assert.deepEqual(after, { ...known, head: 7, blocksServed: 7, failures: 3 })
  })

  it("believe the first round trip and a tenth of each further one", () => {
    const trips = [100, 200, 110].reduce<CacheEntry | undefined>(
      (entry, roundTripMs) => withFacts(entry, { roundTripMs }),
      cacheEntry(1, { roundTripMs: undefined }),
    )
    assert.closeTo(trips!.roundTripMs!, 110, 1e-9)
  })
})

describe("EntryBook", () => {
  it("counts what peers served since the last time, also when a count has begun again", () => {
    const book = new EntryBook([])
    const peerId = nodeIdOf(1)
    book.note(peerId, facts(1), now)
    const served = (blocks: number, failures: number) => {
      book.count([{ peerId, blocks, failures, busyMs: blocks * 10 }], now)
      const [entry] = book.best(now)
      return [entry!.blocksServed, entry!.failures]
    }
    assert.deepEqual(served(5, 0), [5, 0])
    assert.deepEqual(served(5, 0), [5, 0])
    assert.deepEqual(served(9, 2), [9, 2])
    assert.deepEqual(served(3, 2), [12, 2])
    book.count([], now)
    assert.deepEqual(served(3, 1), [15, 3])
  })

  it("averages the pace of what a peer serves, over the time in which it had a batch", () => {
    const peerId = nodeIdOf(1)
    const book = new EntryBook([cacheEntry(1, { lastSeenMs: now })])
    const paceAfter = (blocks: number, busyMs: number) => {
      book.count([{ peerId, blocks, failures: 0, busyMs }], now)
      return book.best(now)[0]!.blocksPerMinute
    }
    assert.isUndefined(paceAfter(0, 1_000))
    assert.strictEqual(paceAfter(100, 7_000), 1_000)
    assert.closeTo(paceAfter(300, 13_000)!, 1_100, 1e-6)
    assert.closeTo(paceAfter(300, 19_000)!, 1_100, 1e-6)
  })

  it("sees a peer that served, and changes only by what is new", () => {
    const peerId = nodeIdOf(1)
    const book = new EntryBook([cacheEntry(1, { lastSeenMs: now - day })])
    book.count([{ peerId, blocks: 0, failures: 0, busyMs: 0 }], now)
    book.count([{ peerId: nodeIdOf(2), blocks: 7, failures: 0, busyMs: 0 }], now)
    book.forget(nodeIdOf(3))
    assert.strictEqual(book.changes, 0)
    book.count([{ peerId, blocks: 0, failures: 1, busyMs: 0 }], now)
    assert.strictEqual(book.best(now)[0]!.lastSeenMs, now - day)
    book.count([{ peerId, blocks: 1, failures: 1, busyMs: 0 }], now)
    assert.strictEqual(book.best(now)[0]!.lastSeenMs, now)
    assert.strictEqual(book.changes, 2)
    book.forget(peerId)
    assert.deepEqual([book.changes, book.best(now).length], [3, 0])
  })

  it("holds a bounded number of peers, and the good ones stay", () => {
    const book = new EntryBook([cacheEntry(0, { lastSeenMs: now, blocksServed: 1_000 })])
    for (let id = 1; id <= 3 * MOST_ENTRIES; id++) book.note(nodeIdOf(id), facts(id), now)
    assert.strictEqual(book.best(now)[0]!.enode.nodeId, nodeIdOf(0))
    assert.lengthOf(book.best(now), MOST_ENTRIES)
    assert.isAtMost(book.size, 2 * MOST_ENTRIES)
  })
})
