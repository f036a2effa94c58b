import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Stream, TestClock } from "effect"
import { getServers } from "node:dns"
import { Chain } from "../../src/chain/Chain.ts"
import { makeTree, type SignedTree, type TreeUrl } from "../../src/chain/dnsTree.ts"
import { type EnrFields, formatEnr, signEnr } from "../../src/chain/enr.ts"
import { allForkIds, type ForkId } from "../../src/chain/forkId.ts"
import { mainnet, sepolia } from "../../src/chain/networks.ts"
import { DnsLookup, LookupFailed } from "../../src/peers/DnsLookup.ts"
import { DnsSource, dnsSourceDefaults, type DnsSourceOptions } from "../../src/peers/DnsSource.ts"
import type { Candidate } from "../../src/peers/PeerSource.ts"
import { startDnsServer } from "../support/dnsServer.ts"

const NOW_MS = 1_780_000_000_000
const MINUTE_MS = 60_000

const forkIds = allForkIds(mainnet)
const latest = forkIds.at(-1)!

const privateKey = (index: number): Uint8Array => {
  const key = new Uint8Array(32)
  new DataView(key.buffer).setUint32(28, index + 1)
  return key
}

/** A node record; node `index` listens on port 30000 + index. */
const node = (index: number, fields: Partial<EnrFields> = { forkId: latest }): string =>
  formatEnr(
    signEnr(
      { seq: 1n, ip: "10.0.0.1", tcpPort: 30_000 + index, ...fields },
      privateKey(index % 1_000),
    ),
  )

const nodes = (from: number, to: number): ReadonlyArray<string> =>
  Array.from({ length: to - from }, (_, i) => node(from + i))

const LIST_KEY = privateKey(77_777)

const listOf = (
  enrs: ReadonlyArray<string>,
  options: { seq?: bigint; domain?: string; links?: ReadonlyArray<TreeUrl> } = {},
): SignedTree =>
  makeTree({ domain: "list.example", seq: 1n, links: [], enrs, ...options }, LIST_KEY)

/** DNS in memory, on the test's clock, with knobs. */
const makeZone = (...trees: ReadonlyArray<SignedTree>) => {
  const zone = {
    records: new Map<string, ReadonlyArray<string>>(),
    asked: [] as Array<string>,
    askedAtMs: [] as Array<number>,
    failing: (_name: string): boolean => false,
    latencyMs: 5,
    open: 0,
    mostOpen: 0,
    publish: (tree: SignedTree): void => {
      for (const [name, text] of tree.records) zone.records.set(name, [text])
    },
    /** What was asked since the last call. */
    news: (): ReadonlyArray<string> => zone.asked.splice(0),
  }
  for (const tree of trees) zone.publish(tree)
  const txt = (name: string) =>
    Effect.gen(function* () {
      zone.asked.push(name)
      zone.askedAtMs.push(yield* Clock.currentTimeMillis)
      zone.open += 1
      zone.mostOpen = Math.max(zone.mostOpen, zone.open)
      yield* Effect.sleep(zone.latencyMs)
      zone.open -= 1
      const texts = zone.failing(name) ? undefined : zone.records.get(name)
      return texts ?? (yield* new LookupFailed({ name, code: "ENOTFOUND" }))
    })
  return Object.assign(zone, { layer: Layer.succeed(DnsLookup, { txt }) })
}

type Zone = ReturnType<typeof makeZone>

const portOf = ({ enode }: Candidate): number => enode.tcpPort

/**
 * Reads the source until the scope closes; gives the ports of the nodes that came, in order. Without
 * a word on the rate lookups are not spaced, which would make many more instants for the test's
 * clock to stop at.
 */
const collect = (
  zone: Zone,
  trees: ReadonlyArray<TreeUrl>,
  options: Partial<DnsSourceOptions> = {},
) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(NOW_MS)
    const source = yield* Effect.provide(
      DnsSource,
      DnsSource.layer(trees, { lookupsPerSecond: Infinity, ...options }).pipe(
        Layer.provide(zone.layer),
        Layer.provide(Chain.layer(mainnet)),
      ),
    )
    const ports: Array<number> = []
    yield* source.candidates.pipe(
      Stream.runForEach((candidate) => Effect.sync(() => ports.push(portOf(candidate)))),
      Effect.forkScoped,
    )
    return ports
  })

const sorted = (ports: ReadonlyArray<number>): ReadonlyArray<number> =>
  [...ports].sort((a, b) => a - b)
const range = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from }, (_, i) => 30_000 + from + i)

describe("DnsSource", () => {
  it.scoped("gives every node of a list once, and asks for every text once", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 100))
      const zone = makeZone(tree)
      const ports = yield* collect(zone, [tree.url])
      yield* TestClock.adjust(MINUTE_MS)
      assert.deepEqual(sorted(ports), range(0, 100))
      assert.deepEqual([...zone.asked].sort(), [...tree.records.keys()].sort())
    }),
  )

  it.scoped("asks for the root only while the list is the same, every half hour", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 30))
      const zone = makeZone(tree)
      yield* collect(zone, [tree.url])
      yield* TestClock.adjust(MINUTE_MS)
      zone.news()
      yield* TestClock.adjust(20 * MINUTE_MS)
      assert.deepEqual(zone.news(), [])
      yield* TestClock.adjust(70 * MINUTE_MS)
      assert.deepEqual(zone.news(), ["list.example", "list.example", "list.example"])
    }),
  )

  it.scoped("asks only for what is new after the list changed, and gives only new nodes", () =>
    Effect.gen(function* () {
      const before = listOf(nodes(0, 50))
      const after = listOf(nodes(0, 53), { seq: 2n })
      const zone = makeZone(before)
      const ports = yield* collect(zone, [before.url])
      yield* TestClock.adjust(MINUTE_MS)
      zone.news()
      ports.length = 0
      zone.publish(after)
      yield* TestClock.adjust(30 * MINUTE_MS)
      const fresh = [...after.records.keys()].filter(
        (name) => name === "list.example" || !before.records.has(name),
      )
      assert.deepEqual([...zone.news()].sort(), fresh.sort())
      assert.deepEqual(sorted(ports), range(50, 53))
    }),
  )

  it.scoped("keeps to the newest root when an older one comes back", () =>
    Effect.gen(function* () {
      const older = listOf(nodes(0, 20), { seq: 1n })
      const newer = listOf(nodes(10, 30), { seq: 2n })
      const zone = makeZone(older, newer)
      const ports = yield* collect(zone, [older.url])
      yield* TestClock.adjust(MINUTE_MS)
      zone.news()
      zone.publish(older)
      yield* TestClock.adjust(30 * MINUTE_MS)
      assert.deepEqual(zone.news(), ["list.example"])
      assert.deepEqual(sorted(ports), range(10, 30))
    }),
  )

  it.scoped("has at most 13 lookups under way and starts at most 50 a second", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 80))
      const zone = makeZone(tree)
      const { lookupsPerSecond } = dnsSourceDefaults
      zone.latencyMs = 900
      yield* collect(zone, [tree.url], { lookupsPerSecond })
      yield* TestClock.adjust(MINUTE_MS)
      assert.strictEqual(zone.mostOpen, 13)
      zone.latencyMs = 1
      zone.publish(listOf(nodes(300, 380), { seq: 2n }))
      zone.askedAtMs.length = 0
      yield* TestClock.adjust(30 * MINUTE_MS)
      const times = zone.askedAtMs
      assert.isAbove(times.length, 80)
      for (const [i, at] of times.entries()) {
        if (i >= 50) assert.isAtLeast(at - times[i - 50]!, 1_000)
      }
      assert.isBelow(times.at(-1)! - times[0]!, 3_000)
    }),
  )

  it.scoped("asks again for what failed, each time after twice as long, and for nothing else", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 30))
      const zone = makeZone(tree)
      const lost = [...tree.records].find(([, text]) => text === node(7))![0]
      zone.failing = (name) => name === lost
      const ports = yield* collect(zone, [tree.url], { retryMs: 5_000 })
      yield* TestClock.adjust(4_000)
      assert.deepEqual(sorted(ports), sorted(range(0, 30).filter((port) => port !== 30_007)))
      zone.news()
      zone.askedAtMs.length = 0
      yield* TestClock.adjust(40_000)
      assert.deepEqual(zone.news(), [
        "list.example",
        lost,
        "list.example",
        lost,
        "list.example",
        lost,
      ])
      const [first, , second, , third] = zone.askedAtMs
      assert.closeTo(second! - first!, 10_000, 100)
      assert.closeTo(third! - second!, 20_000, 100)
      zone.failing = () => false
      yield* TestClock.adjust(60_000)
      assert.deepEqual(sorted(ports), range(0, 30))
    }),
  )

  it.scoped("gives up a walk when nothing answers, and comes back", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 200))
      const zone = makeZone(tree)
      const ports = yield* collect(zone, [tree.url], { retryMs: MINUTE_MS })
      yield* TestClock.adjust(zone.latencyMs * 5)
      assert.isAbove(ports.length, 10)
      assert.isBelow(ports.length, 100)
      zone.failing = () => true
      zone.news()
      yield* TestClock.adjust(30_000)
      assert.isAtMost(zone.news().length, 26 + 13)
      zone.failing = () => false
      yield* TestClock.adjust(2 * MINUTE_MS)
      assert.deepEqual(sorted(ports), range(0, 200))
    }),
  )

  it.scoped("takes nothing from a root that another key signed", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 5))
      const forged = makeTree(
        { domain: "list.example", seq: 9n, links: [], enrs: nodes(5, 10) },
        privateKey(5),
      )
      const zone = makeZone(forged)
      const ports = yield* collect(zone, [tree.url])
      yield* TestClock.adjust(MINUTE_MS)
      assert.deepEqual(ports, [])
      assert.deepEqual([...new Set(zone.asked)], ["list.example"])
      // Beside the real one, and beside what else stands at a domain, it does no harm.
      zone.publish(tree)
      const root = tree.records.get("list.example")!
      const others = ["v=spf1 -all", forged.records.get("list.example")!]
      zone.records.set("list.example", [...others, root])
      yield* TestClock.adjust(10 * MINUTE_MS)
      assert.deepEqual(sorted(ports), range(0, 5))
    }),
  )

  it.scoped("takes no text that is not what its name is the hash of", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 5))
      const zone = makeZone(tree)
      const [name] = [...tree.records].find(([, text]) => text === node(3))!
      zone.records.set(name, [node(600)])
      const ports = yield* collect(zone, [tree.url])
      yield* TestClock.adjust(MINUTE_MS)
      assert.deepEqual(sorted(ports), [30_000, 30_001, 30_002, 30_004])
      zone.records.set(name, ["something else", node(3)])
      yield* TestClock.adjust(10 * MINUTE_MS)
      assert.deepEqual(sorted(ports), range(0, 5))
    }),
  )

  it.scoped("leaves out nodes of other chains and gives those without fork id last", () =>
    Effect.gen(function* () {
      const behind: ForkId = { hash: forkIds[5]!.hash, next: 0n }
      const tree = listOf([
        node(0, {}),
        node(1, { forkId: allForkIds(sepolia).at(-1)! }),
        node(2, { forkId: behind }),
        node(3, { forkId: forkIds[5]! }),
        node(4, { forkId: { hash: latest.hash, next: BigInt(NOW_MS / 1_000 + 1_000) } }),
        node(5, { forkId: { hash: latest.hash, next: BigInt(NOW_MS / 1_000 - 1_000) } }),
        ...nodes(10, 40),
      ])
      const zone = makeZone(tree)
      const ports = yield* collect(zone, [tree.url])
      yield* TestClock.adjust(MINUTE_MS)
      assert.deepEqual(sorted(ports.slice(0, -1)), [30_003, 30_004, ...range(10, 40)])
      assert.strictEqual(ports.at(-1), 30_000)
    }),
  )

  it.scoped("does not hold nodes without fork id back for longer than it is told", () =>
    Effect.gen(function* () {
      const tree = listOf(Array.from({ length: 60 }, (_, i) => node(i, {})))
      const zone = makeZone(tree)
      const ports = yield* collect(zone, [tree.url], { lookupsPerSecond: 2, holdBackMs: 10_000 })
      yield* TestClock.adjust(9_000)
      assert.deepEqual(ports, [])
      yield* TestClock.adjust(10_000)
      assert.isAbove(ports.length, 15)
      yield* TestClock.adjust(MINUTE_MS)
      assert.deepEqual(sorted(ports), range(0, 60))
    }),
  )

  it.scoped("passes over records that are broken or name no address, without asking again", () =>
    Effect.gen(function* () {
      const broken = `${node(1).slice(0, 40)}AAAA${node(1).slice(44)}`
      const silent = formatEnr(signEnr({ seq: 1n, forkId: latest }, privateKey(2)))
      const tree = listOf([node(0), broken, silent, "enr:"])
      const zone = makeZone(tree)
      const ports = yield* collect(zone, [tree.url])
      yield* TestClock.adjust(MINUTE_MS)
      assert.deepEqual(ports, [30_000])
      zone.news()
      yield* TestClock.adjust(30 * MINUTE_MS)
      assert.deepEqual(zone.news(), ["list.example"])
    }),
  )

  it.scoped("follows links as deep as it is told, in circles too, each list once", () =>
    Effect.gen(function* () {
      const domains = ["list.example", "b.example", "c.example", "d.example"]
      const urls = domains.map((domain) => listOf([], { domain }).url)
      const trees = domains.map((domain, i) =>
        listOf(nodes(10 * i, 10 * i + 10), { domain, links: [urls[i + 1] ?? urls[0]!, urls[0]!] }),
      )
      const zone = makeZone(...trees)
      const ports = yield* collect(zone, [urls[0]!], { maxLinkDepth: 2 })
      yield* TestClock.adjust(MINUTE_MS)
      assert.deepEqual(sorted(ports), range(0, 30))
      assert.deepEqual(
        zone.asked.filter((name) => domains.includes(name)),
        domains.slice(0, 3),
      )
    }),
  )

  it.scoped("takes no more than the bounded number of entries", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 300))
      const zone = makeZone(tree)
      const ports = yield* collect(zone, [tree.url], { maxEntries: 100 })
      yield* TestClock.adjust(MINUTE_MS)
      assert.strictEqual(zone.asked.length, 101)
      assert.isAbove(ports.length, 50)
    }),
  )

  it.scoped("waits with the walk while nobody reads", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const tree = listOf(nodes(0, 300))
      const zone = makeZone(tree)
      const source = yield* Effect.provide(
        DnsSource,
        DnsSource.layer([tree.url], { queueCandidates: 8 }).pipe(
          Layer.provide(zone.layer),
          Layer.provide(Chain.layer(mainnet)),
        ),
      )
      let read = 0
      const reader = yield* source.candidates.pipe(
        Stream.runForEach(() =>
          Effect.zipRight(
            Effect.sync(() => (read += 1)),
            Effect.never,
          ),
        ),
        Effect.fork,
      )
      yield* TestClock.adjust(5 * MINUTE_MS)
      assert.strictEqual(read, 1)
      assert.isBelow(zone.asked.length, 100)
      // And the walk is over when the reader is.
      yield* Fiber.interrupt(reader)
      zone.news()
      yield* TestClock.adjust(100 * MINUTE_MS)
      assert.deepEqual(zone.news(), [])
    }),
  )

  it.scoped("ends at once without a list", () =>
    Effect.gen(function* () {
      const zone = makeZone()
      const source = yield* Effect.provide(
        DnsSource,
        DnsSource.layer([]).pipe(Layer.provide(zone.layer), Layer.provide(Chain.layer(mainnet))),
      )
      assert.strictEqual(yield* Stream.runCount(source.candidates), 0)
      assert.strictEqual(source.description, "no DNS list was given")
    }),
  )
})

const serve = (tree: SignedTree) =>
  Effect.acquireRelease(
    Effect.promise(async () => startDnsServer(tree.records)),
    (server) => Effect.promise(async () => server.close()),
  )

describe("DnsSource over UDP", () => {
  it.scopedLive("finds every node of a signed list that a server on loopback has", () =>
    Effect.gen(function* () {
      const processWide = getServers()
      const tree = listOf(nodes(0, 150))
      const server = yield* serve(tree)
      const layer = DnsSource.layer([tree.url], { lookupsPerSecond: 2_000 }).pipe(
        Layer.provide(DnsLookup.layer({ servers: [server.address], timeoutMs: 5_000 })),
        Layer.provide(Chain.layer(mainnet)),
      )
      const found = yield* DnsSource.pipe(
        Effect.flatMap(({ candidates }) => Stream.runCollect(Stream.take(candidates, 150))),
        Effect.provide(layer),
        Effect.timeout(20_000),
      )
      assert.deepEqual(sorted([...found].map(portOf)), range(0, 150))
      for (const { source, forkId } of found) {
        assert.strictEqual(source, "dns")
        assert.deepEqual(forkId, latest)
      }
      const names = [...tree.records.keys()].map((name) => name.toLowerCase())
      assert.deepEqual([...server.asked].sort(), names.sort())
      assert.deepEqual(getServers(), processWide)
    }),
  )

  it.scopedLive("walks on past a text that never comes, and gets it when it does", () =>
    Effect.gen(function* () {
      const tree = listOf(nodes(0, 20))
      const server = yield* serve(tree)
      const lost = [...tree.records].find(([, text]) => text === node(7))![0]
      server.silent.add(lost)
      const layer = DnsSource.layer([tree.url], { lookupsPerSecond: 2_000, retryMs: 100 }).pipe(
        Layer.provide(DnsLookup.layer({ servers: [server.address], timeoutMs: 300 })),
        Layer.provide(Chain.layer(mainnet)),
      )
      const ports: Array<number> = []
      yield* DnsSource.pipe(
        Effect.flatMap(({ candidates }) =>
          Stream.runForEach(Stream.take(candidates, 20), (candidate) =>
            Effect.sync(() => {
              ports.push(portOf(candidate))
              if (ports.length === 19) server.silent.clear()
            }),
          ),
        ),
        Effect.provide(layer),
        Effect.timeout(20_000),
      )
      assert.strictEqual(ports.at(-1), 30_007)
      assert.deepEqual(sorted(ports), range(0, 20))
    }),
  )
})

describe("DnsLookup", () => {
  it.scopedLive("joins the strings of a record, and says which name does not exist", () =>
    Effect.gen(function* () {
      const server = yield* serve(listOf([]))
      const long = "x".repeat(700)
      server.records.set("long.example", long)
      const layer = DnsLookup.layer({ servers: [server.address], timeoutMs: 5_000 })
      const [joined, missing] = yield* DnsLookup.pipe(
        Effect.flatMap(({ txt }) =>
          Effect.all([txt("long.example"), Effect.flip(txt("missing.example"))]),
        ),
        Effect.provide(layer),
      )
      assert.deepEqual(joined, [long])
      assert.deepInclude(missing, { name: "missing.example", code: "ENOTFOUND" })
    }),
  )

  it.scopedLive("ends within its deadline when nobody answers", () =>
    Effect.gen(function* () {
      const server = yield* serve(listOf([]))
      server.silent.add("silent.example")
      const layer = DnsLookup.layer({ servers: [server.address], timeoutMs: 200 })
      const beganMs = yield* Clock.currentTimeMillis
      const failed = yield* DnsLookup.pipe(
        Effect.flatMap(({ txt }) => Effect.flip(txt("silent.example"))),
        Effect.provide(layer),
      )
      assert.include(["deadline", "ETIMEOUT"], failed.code)
      assert.isBelow((yield* Clock.currentTimeMillis) - beganMs, 5_000)
    }),
  )
})
