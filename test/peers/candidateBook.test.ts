import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import type { Enode } from "../../src/chain/enode.ts"
import {
  ADDRESS_PAUSE_MS,
  CandidateBook,
  type CandidateRank,
  type DialOutcome,
  MOST_NODES,
} from "../../src/peers/candidateBook.ts"

const backOff = { firstMs: 1_000, mostMs: 30_000 }

const node = (id: number, host = `127.0.0.${id % 250}`): Enode => ({
  nodeId: id.toString(16).padStart(128, "0"),
  host,
  tcpPort: 30_303,
  udpPort: 30_303,
})

const ranks = ["static", "cached", "matching", "unknown"] as const

describe("CandidateBook", () => {
  it("offers better ranks first, and who was known first among equals", () => {
    const book = new CandidateBook(backOff)
    const order: ReadonlyArray<CandidateRank> = [
      "unknown",
      "matching",
      "static",
      "cached",
      "static",
    ]
    for (const [id, rank] of order.entries()) book.add(node(id), rank)
    const offered = order.map(() => Number.parseInt(book.next(0)!.nodeId, 16))
    assert.deepStrictEqual(offered, [2, 4, 3, 1, 0])
    assert.isUndefined(book.next(0))
  })

  it("waits twice as long after each failure in a row, up to the most, and not after a good end", () => {
    const book = new CandidateBook(backOff)
    book.add(node(1), "static")
    let nowMs = 0
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      const { nodeId } = book.next(nowMs)!
      book.settle(nodeId, "failed", nowMs)
      assert.isUndefined(book.next(nowMs + waitMs - 1))
      nowMs += waitMs
    }
    const { nodeId } = book.next(nowMs)!
    book.settle(nodeId, "ended", nowMs)
    assert.isDefined(book.next(nowMs + 1_000))
  })

  it("never offers a node again that was found on another chain, and knows when none is left", () => {
    const book = new CandidateBook(backOff)
    book.add(node(1), "static")
    assert.isTrue(book.hopeful)
    book.settle(book.next(0)!.nodeId, "wrong", 0)
    assert.isUndefined(book.next(Number.MAX_SAFE_INTEGER))
    assert.isFalse(book.hopeful)
    assert.isFalse(book.add(node(1), "static"))
  })

  it("keeps a banned node waiting until the ban is over", () => {
    const book = new CandidateBook(backOff)
    book.add(node(1), "static")
    book.settle(book.next(0)!.nodeId, "failed", 0, 120_000)
    assert.isUndefined(book.next(119_999))
    assert.isDefined(book.next(120_000))
  })

  it("leaves 30 s between two dials to one public address, and none on this machine", () => {
    const book = new CandidateBook(backOff)
    for (const id of [1, 2]) book.add(node(id, "8.8.8.8"), "matching")
    for (const id of [3, 4]) book.add(node(id, "127.0.0.1"), "unknown")
    const first = [book.next(0), book.next(0), book.next(0)].map((each) => each?.host)
    assert.deepStrictEqual(first, ["8.8.8.8", "127.0.0.1", "127.0.0.1"])
    assert.isUndefined(book.next(ADDRESS_PAUSE_MS - 1))
    assert.strictEqual(book.next(ADDRESS_PAUSE_MS)?.host, "8.8.8.8")
  })

  it("makes room for a new node by forgetting the worst, never one that is in use or static", () => {
    const book = new CandidateBook(backOff)
    book.add(node(0), "static")
    book.add(node(1), "unknown")
    const busy = [book.next(0)!, book.next(0)!]
    assert.strictEqual(busy.length, 2)
    for (let id = 2; id < MOST_NODES + 50; id++) book.add(node(id), "unknown")
    assert.strictEqual(book.size, MOST_NODES)
    for (const { nodeId } of busy) book.settle(nodeId, "ended", 0)
    assert.strictEqual(book.next(1_000)?.nodeId, node(0).nodeId)
  })

  it("offers each node to one dial at a time, and none before its time, in any order of calls", () => {
    const move = fc.oneof(
      fc.record({ add: fc.nat(12), rank: fc.constantFrom(...ranks) }),
      fc.record({ passMs: fc.nat(20_000) }),
      fc.record({
        settle: fc.nat(12),
        outcome: fc.constantFrom<DialOutcome>("failed", "ended", "wrong"),
      }),
    )
    fc.assert(
      fc.property(fc.array(move, { maxLength: 80, size: "max" }), (moves) => {
        const book = new CandidateBook(backOff)
        const busy: Array<string> = []
        const notBefore = new Map<string, number>()
        let nowMs = 0
        for (const step of moves) {
          if ("add" in step) book.add(node(step.add), step.rank)
          else if ("passMs" in step) nowMs += step.passMs
          else if (busy.length > 0) {
            const [nodeId] = busy.splice(step.settle % busy.length, 1)
            book.settle(nodeId!, step.outcome, nowMs)
            notBefore.set(nodeId!, step.outcome === "wrong" ? Infinity : nowMs + backOff.firstMs)
          }
          const offered = book.next(nowMs)
          if (offered === undefined) continue
          assert.isFalse(busy.includes(offered.nodeId))
          assert.isAtMost(notBefore.get(offered.nodeId) ?? 0, nowMs)
          busy.push(offered.nodeId)
        }
      }),
    )
  })
})
