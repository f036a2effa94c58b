import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  decodePeerCache,
  encodePeerCache,
  entryOfRecord,
  isPeerCacheInvalid,
  recordOfEntry,
} from "../../src/peers/peerCacheFile.ts"
import { cacheEntry } from "../support/cacheEntry.ts"

const GENESIS = `0x${"ab".repeat(32)}`

const arbitraryEntry = fc
  .record({
    id: fc.nat(),
    host: fc.constantFrom("1.2.3.4", "2001:db8::1", "node.example.org"),
    client: fc
      .string({ unit: "binary", maxLength: 100 })
      .map((text) => text.replaceAll(/\p{Cc}/gu, "").slice(0, 256)),
    lastSeenMs: fc.maxSafeNat(),
    head: fc.option(fc.maxSafeNat(), { nil: undefined }),
    blocksServed: fc.maxSafeNat(),
    failures: fc.nat(),
    roundTripMs: fc.option(fc.nat(), { nil: undefined }),
    blocksPerMinute: fc.option(fc.nat(), { nil: undefined }),
    bannedUntilMs: fc.maxSafeNat(),
  })
  .map(({ id, host, ...fields }) => {
    const { enode } = cacheEntry(id)
    return cacheEntry(id, { ...fields, enode: { ...enode, host } })
  })

const kindOf = (text: string): string => {
  const result = decodePeerCache(GENESIS, text)
  return isPeerCacheInvalid(result) ? result.kind : `${result.length} peers`
}

describe("the text of a peer cache", () => {
  it("is read back as it was written", () => {
    fc.assert(
      fc.property(fc.array(arbitraryEntry, { maxLength: 10 }), (entries) => {
        assert.deepEqual(decodePeerCache(GENESIS, encodePeerCache(GENESIS, entries)), entries)
      }),
    )
  })

  it("is refused, or read, but never throws, whatever was done to it", () => {
    const text = encodePeerCache(GENESIS, [cacheEntry(1), cacheEntry(2)])
    const spoiled = fc.tuple(fc.nat(text.length), fc.nat(20), fc.string({ unit: "binary" }))
    fc.assert(
      fc.property(spoiled, fc.string({ unit: "binary" }), ([at, length, put], noise) => {
        const kinds = ["foreign", "broken", "0 peers", "1 peers", "2 peers", "3 peers"]
        assert.include(kinds, kindOf(text.slice(0, at) + put + text.slice(at + length)))
        assert.include(kinds, kindOf(noise))
      }),
      { numRuns: 1_000 },
    )
  })

  it("is foreign when it is something else, of another version or another chain", () => {
    const other = encodePeerCache(`0x${"cd".repeat(32)}`, [cacheEntry(1)])
    const newer = encodePeerCache(GENESIS, []).replace('"version":1', '"version":2')
    for (const text of ["{}", "null\n", "-----BEGIN KEY-----\n", "[1]", other, newer]) {
      assert.strictEqual(kindOf(text), "foreign", text)
    }
  })

  it("is empty when there is none of it", () => {
    assert.strictEqual(kindOf(""), "0 peers")
    assert.strictEqual(kindOf(" \n"), "0 peers")
  })

  it("is broken when it is cut anywhere behind its first line", () => {
    const text = encodePeerCache(GENESIS, [cacheEntry(1), cacheEntry(2)])
    const header = text.indexOf("\n")
    for (let length = header + 2; length < text.length; length++) {
      const kind = kindOf(text.slice(0, length))
      assert.strictEqual(kind, text[length - 1] === "\n" ? "1 peers" : "broken", `${length}`)
    }
  })
})

describe("a record of a peer", () => {
  it("is refused when any of its fields is not sound", () => {
    const good = recordOfEntry(cacheEntry(1, { head: 5, roundTripMs: 7, bannedUntilMs: 9 }))
    assert.isDefined(entryOfRecord(good))
    const wrong: ReadonlyArray<Readonly<Record<string, unknown>>> = [
      { enode: 5 },
      { enode: "enode://zz@1.2.3.4:1" },
      { enode: good.enode.replace(":30303", ":0") },
      { enode: `enode://${"ab".repeat(64)}@${"a".repeat(400)}:1` },
      { client: null },
      { client: "a".repeat(257) },
      { client: "a\u001b[2K" },
      { ethVersion: "69" },
      { lastSeenMs: -1 },
      { lastSeenMs: 1.5 },
      { head: 2 ** 60 },
      { blocksServed: undefined },
      { failures: Number.NaN },
      { roundTripMs: {} },
      { blocksPerMinute: -1 },
      { bannedUntilMs: "tomorrow" },
    ]
    for (const fields of wrong) {
      assert.isUndefined(entryOfRecord({ ...good, ...fields }), JSON.stringify(fields))
    }
    for (const value of [undefined, null, 7, "x", []]) assert.isUndefined(entryOfRecord(value))
  })

  it("passes over what it does not know", () => {
    const entry = cacheEntry(1)
    assert.deepEqual(entryOfRecord({ ...recordOfEntry(entry), more: [1] }), entry)
  })
})
