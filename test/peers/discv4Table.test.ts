/** The table of nodes, the lookup, and the bounded maps beneath the protocol. */
import { createHash } from "node:crypto"
import { Array as Arr, FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { mayBePort, mayTell, reachOf } from "../../src/peers/discv4/addresses.ts"
import { AgeingMap } from "../../src/peers/discv4/ageingMap.ts"
import {
  ALPHA,
  MAX_ASKED,
  MAX_HEARD,
  afterNeighbors,
  nextToAsk,
  startLookup,
} from "../../src/peers/discv4/lookup.ts"
import {
  BUCKET_NODES,
  type Contact,
  NodeTable,
  compareDistance,
  logDistance,
  placeOf,
} from "../../src/peers/discv4/nodeTable.ts"
import { RateLimits } from "../../src/peers/discv4/rates.ts"

const nodeId = (n: number): string => createHash("sha512").update(String(n)).digest("hex")

const contact = (n: number, ip = "127.0.0.1"): Contact => ({
  nodeId: nodeId(n),
  ip,
  udpPort: 30_000 + (n % 30_000),
  tcpPort: 30_000 + (n % 30_000),
})

const OWN = nodeId(-1)

const subnet = ({ ip }: Contact): string => ip.split(".").slice(0, 3).join(".")

describe("addresses", () => {
  it("lets nobody name a host of a narrower reach than its own", () => {
    assert.deepEqual(
      ["127.9.9.9", "10.1.1.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "8.8.8.8"].map(reachOf),
      ["loopback", "private", "private", "private", "private", "public"],
    )
    assert.deepEqual(["0.0.0.0", "224.0.0.1", "255.255.255.255"].map(reachOf), [
      "none",
      "none",
      "none",
    ])
    assert.isFalse(mayTell("8.8.8.8", "10.0.0.1"))
    assert.isFalse(mayTell("8.8.8.8", "127.0.0.1"))
    assert.isFalse(mayTell("10.0.0.2", "127.0.0.1"))
    assert.isFalse(mayTell("127.0.0.1", "0.0.0.0"))
    assert.isTrue(mayTell("10.0.0.2", "10.0.0.1"))
    assert.isTrue(mayTell("127.0.0.1", "10.0.0.1"))
    assert.isTrue(mayTell("10.0.0.2", "8.8.8.8"))
    assert.deepEqual([0, 53, 1024, 1025, 30_303].map(mayBePort), [false, false, false, true, true])
  })
})

describe("the table of nodes", () => {
  it("keeps its bounds and gives the nearest, whatever comes and goes", () => {
    const moves = fc.array(
      fc.record({
        n: fc.integer({ min: -1, max: 120 }),
        seen: fc.boolean(),
        net: fc.nat(20),
        target: fc.nat(1_000),
      }),
      { maxLength: 300, size: "max" },
    )
    fc.assert(
      fc.property(moves, (all) => {
        const table = new NodeTable(OWN)
        for (const { n, seen, net } of all) {
          if (seen) table.seen(contact(n, `198.51.${net}.${(n & 127) + 1}`))
          else table.failed(nodeId(n))
        }
        const held = table.contacts()
        assert.equal(new Set(held.map((one) => one.nodeId)).size, held.length)
        assert.equal(table.size, held.length)
        const distance = ({ nodeId: id }: Contact): string =>
          String(logDistance(placeOf(OWN), placeOf(id)))
        const buckets = Arr.groupBy(held, distance)
        assert.notProperty(buckets, "0")
        for (const bucket of Object.values(buckets)) {
          assert.isAtMost(bucket.length, BUCKET_NODES)
          for (const one of Object.values(Arr.groupBy(bucket, subnet)))
            assert.isAtMost(one.length, 2)
        }
        for (const one of Object.values(Arr.groupBy(held, subnet))) assert.isAtMost(one.length, 10)
        const target = placeOf(nodeId(all[0]?.target ?? 0))
        const byHand = held
          .toSorted((a, b) => compareDistance(target, placeOf(a.nodeId), placeOf(b.nodeId)))
          .slice(0, BUCKET_NODES)
        assert.deepEqual(table.closest(target, BUCKET_NODES), byHand)
      }),
      { numRuns: 60 },
    )
  })

  it("gives the place of a node that is silent three times to one that waits", () => {
    const table = new NodeTable(OWN)
    const far = Array.from({ length: 200 }, (_, n) => contact(n)).filter(
      (one) => logDistance(placeOf(OWN), placeOf(one.nodeId)) === 256,
    )
    for (const one of far.slice(0, 20)) table.seen(one)
    const names = (): ReadonlyArray<string> => table.contacts().map((one) => one.nodeId)
    assert.deepEqual(
      names(),
      far.slice(0, 16).map((one) => one.nodeId),
    )
    const first = far[0]!.nodeId
    for (let i = 0; i < 2; i++) table.failed(first)
    table.seen(far[0]!)
    for (let i = 0; i < 2; i++) table.failed(first)
    assert.include(names(), first)
    table.failed(first)
    assert.notInclude(names(), first)
    assert.include(names(), far[19]!.nodeId)
    assert.equal(table.size, BUCKET_NODES)
  })

  it("remembers a TCP port that a later packet does not tell", () => {
    const table = new NodeTable(OWN)
    table.seen(contact(1))
    table.seen({ ...contact(1), tcpPort: 0 })
    assert.equal(table.contacts()[0]!.tcpPort, contact(1).tcpPort)
  })
})

/** Runs a search; gives whom it asked. */
const run = (
  target: Uint8Array,
  seeds: ReadonlyArray<Contact>,
  answer: (asked: Contact) => ReadonlyArray<Contact> | undefined,
): ReadonlyArray<string> => {
  const asked: Array<string> = []
  let search = startLookup(target, OWN, seeds)
  for (;;) {
    const [next, asking] = nextToAsk(search)
    search = next
    assert.isAtMost(search.known.size, MAX_HEARD)
    if (asking.length === 0) return asked
    assert.isAtMost(asking.length, ALPHA)
    for (const one of asking) {
      asked.push(one.nodeId)
      search = afterNeighbors(search, one.nodeId, answer(one), OWN)
    }
  }
}

describe("a lookup", () => {
  it("asks the living of the 16 nearest nodes of an honest network, each once", () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.nat(40), (t, dead) => {
        const all = Array.from({ length: 150 }, (_, n) => contact(n))
        const lives = (one: Contact): boolean => one.udpPort - 30_000 >= dead
        const target = placeOf(nodeId(10_000 + t))
        const sorted = all.toSorted((a, b) =>
          compareDistance(target, placeOf(a.nodeId), placeOf(b.nodeId)),
        )
        const nearestTo = (one: Contact): ReadonlyArray<Contact> => {
          const at = sorted.indexOf(one)
          return sorted.slice(Math.max(0, at - 20), Math.max(0, at - 20) + BUCKET_NODES)
        }
        const asked = run(target, sorted.filter(lives).slice(-3), (one) =>
          lives(one) ? nearestTo(one) : undefined,
        )
        assert.equal(new Set(asked).size, asked.length)
        // Farther living ones may go unnamed here: who would name them can lie on no asked path.
        if (asked.length < MAX_ASKED) {
          for (const one of sorted.slice(0, BUCKET_NODES).filter(lives)) {
            assert.include(asked, one.nodeId)
          }
        }
        assert.include(asked, sorted.find(lives)!.nodeId)
      }),
      { numRuns: 300 },
    )
  })

  it("ends when every answer names other nodes, ever nearer", () => {
    const target = placeOf(nodeId(5))
    const endless = Array.from({ length: 4_000 }, (_, n) => contact(n)).sort((a, b) =>
      compareDistance(target, placeOf(b.nodeId), placeOf(a.nodeId)),
    )
    let at = 0
    const asked = run(target, endless.slice(0, 3), () => endless.slice(at, (at += BUCKET_NODES)))
    assert.equal(asked.length, MAX_ASKED)
  })

  it("never asks ourselves", () => {
    const own = { ...contact(0), nodeId: OWN }
    assert.deepEqual(
      run(placeOf(OWN), [own, contact(1)], () => [own]),
      [nodeId(1)],
    )
  })
})

describe("what strangers can fill", () => {
  it("a map that forgets holds its capacity and never gives what has ended", () => {
    const moves = fc.array(
      fc.record({ key: fc.nat(30), lifeMs: fc.nat(50), restMs: fc.nat(20), write: fc.boolean() }),
      { maxLength: 200, size: "max" },
    )
    fc.assert(
      fc.property(moves, (all) => {
        const map = new AgeingMap<number>(8)
        const ends = new Map<string, number>()
        let nowMs = 0
        for (const { key, lifeMs, restMs, write } of all) {
          nowMs += restMs
          if (write) {
            map.set(String(key), key, nowMs + lifeMs)
            ends.set(String(key), nowMs + lifeMs)
            assert.equal(map.get(String(key), nowMs), lifeMs > 0 ? key : undefined)
          } else if (map.get(String(key), nowMs) !== undefined) {
            assert.isAbove(ends.get(String(key))!, nowMs)
          }
          assert.isAtMost(map.size, 8)
        }
      }),
    )
  })

  it("a rate lets through its burst and then its share, for as many keys as it may remember", () => {
    const rates = new RateLimits({ perSecond: 10, burst: 5 }, 100)
    const passed = (fromMs: number, toMs: number): number => {
      let count = 0
      for (let nowMs = fromMs; nowMs < toMs; nowMs += 10) {
        if (rates.take("a", nowMs)) count += 1
      }
      return count
    }
    assert.isTrue(Math.abs(passed(0, 10_000) - 105) <= 1)
    for (let i = 0; i < 1_000; i++) assert.isTrue(rates.take(`key ${i}`, 10_000))
    assert.equal(rates.size, 100)
  })
})
