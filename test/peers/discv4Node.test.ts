/** A node and the source over a network in memory: deadlines, losses, lies, and what is left. */
import { createHash } from "node:crypto"
import { describe, it } from "@effect/vitest"
import { Effect, Either, Exit, Fiber, Option, Scope, Stream, TestClock } from "effect"
import { assert } from "vitest"
import { type Enode, formatEnode } from "../../src/chain/enode.ts"
import { signEnr } from "../../src/chain/enr.ts"
import { type ForkId, forkIdAt } from "../../src/chain/forkId.ts"
import { mainnet, sepolia } from "../../src/chain/networks.ts"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { publicKey } from "../../src/domain/secp256k1.ts"
import { type Discv4Node, startDiscv4 } from "../../src/peers/discv4/Discv4Node.ts"
import { MemoryDatagrams } from "../../src/peers/discv4/MemoryDatagrams.ts"
import { type Message, readPacket, writePacket } from "../../src/peers/discv4/packet.ts"
import { startDiscv4Source } from "../../src/peers/Discv4Source.ts"

/** After mainnet's last fork, so that heads have passed all of them. */
const NOW_MS = 1_800_000_000_000
const mainnetFork = forkIdAt(mainnet, { number: 15_050_000, time: NOW_MS / 1000 })
const sepoliaFork = forkIdAt(sepolia, { number: 1_735_371, time: NOW_MS / 1000 })

const keyOf = (seed: string): Uint8Array =>
  new Uint8Array(createHash("sha256").update(seed).digest())

interface StartOptions {
  readonly bootnodes?: ReadonlyArray<Enode>
  readonly tcpPort?: number
  readonly forkId?: ForkId
}

const start = (net: MemoryDatagrams, seed: string, ip: string, options: StartOptions = {}) =>
  startDiscv4({
    host: ip,
    port: 30_303,
    tcpPort: 30_303,
    forkId: mainnetFork,
    bootnodes: [],
    ...options,
    privateKey: keyOf(seed),
    open: net.open,
  })

const contactOf = (node: Discv4Node, ip: string) => ({
  nodeId: node.nodeId,
  ip,
  udpPort: node.udpPort,
  tcpPort: 30_303,
})

const enodeOf = (node: Discv4Node, host: string): Enode => ({
  nodeId: node.nodeId,
  host,
  tcpPort: 30_303,
  udpPort: node.udpPort,
})

const typeOf = (bytes: Uint8Array): string => readPacket(bytes)!.message._tag

/** Lets the clock run while an effect does. */
const whileTimePasses = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    for (let i = 0; i < 2_000; i++) {
      // Datagrams travel by microtask: they are there before the clock goes on.
      yield* Effect.promise(async () => new Promise((resolve) => setImmediate(resolve)))
      if (fiber.unsafePoll() !== null) return yield* Fiber.join(fiber)
      yield* TestClock.adjust(50)
    }
    return yield* Effect.dieMessage("not done after 100 s")
  })

const A = "192.0.2.1"
const B = "192.0.3.1"
const C = "192.0.4.1"
const SOURCE = "198.51.100.1"

describe("a node of discv4 on a network", () => {
  it.scoped("bonds, then gets neighbours and the record, with the eth entry", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const [a, b, c] = [
        yield* start(net, "a", A),
        yield* start(net, "b", B),
        yield* start(net, "c", C),
      ]
      yield* whileTimePasses(c.bond(contactOf(b, B)))
      const found = yield* whileTimePasses(a.findNode(contactOf(b, B), new Uint8Array(64)))
      assert.deepEqual(
        found.map(({ nodeId }) => nodeId),
        [c.nodeId],
      )
      const record = yield* whileTimePasses(a.requestRecord(contactOf(b, B)))
      assert.equal(record.nodeId, b.nodeId)
      assert.deepEqual(record.forkId, mainnetFork)
      assert.equal(record.tcpPort, 30_303)
      assert.equal(yield* a.openRequests, 0)
    }),
  )

  it.scoped("fails within its deadline when nobody answers, and leaves nothing waiting", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const a = yield* start(net, "a", A)
      const nobody = { nodeId: toHex(new Uint8Array(64)), ip: B, udpPort: 30_303, tcpPort: 0 }
      const before = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const answer = yield* whileTimePasses(Effect.either(a.requestRecord(nobody)))
      const after = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      assert(Either.isLeft(answer) && answer.left._tag === "Discv4Silent")
      assert.deepInclude(answer.left, { what: "pong", nodeId: nobody.nodeId, afterMs: 1_000 })
      assert.isAtMost(after - before, 1_100)
      assert.equal(yield* a.openRequests, 0)
    }),
  )

  it.scoped("goes on without a ping back, which a node that knows us does not send", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const b = yield* start(net, "b", B)
      // The node goes and comes back at the same address: b still holds its proof.
      yield* Effect.scoped(
        Effect.flatMap(start(net, "a", A), (a) => whileTimePasses(a.bond(contactOf(b, B)))),
      )
      const again = yield* start(net, "a", A)
      net.sent.length = 0
      const record = yield* whileTimePasses(again.requestRecord(contactOf(b, B)))
      assert.equal(record.nodeId, b.nodeId)
      const fromB = net.sent.filter(({ from }) => from.ip === B).map(({ bytes }) => typeOf(bytes))
      assert.deepEqual(fromB, ["Pong", "EnrResponse"])
    }),
  )

  it.scoped("refuses the record of another node, and one that is none", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      for (const record of [
        signEnr({ seq: 1n, forkId: mainnetFork }, keyOf("somebody else")),
        fromHex("c3010203"),
      ]) {
        const net = new MemoryDatagrams()
        const a = yield* start(net, "a", A)
        const b = yield* start(net, "b", B)
        // What a liar would sign with its own key.
        net.onTheWay = ({ bytes }) => {
          const { message } = readPacket(bytes)!
          if (message._tag !== "EnrResponse") return bytes
          const lie: Message = { ...message, record }
          return writePacket(lie, keyOf("b")).bytes
        }
        const answer = yield* whileTimePasses(Effect.either(a.requestRecord(contactOf(b, B))))
        assert(Either.isLeft(answer) && answer.left._tag === "Discv4BadRecord")
      }
    }),
  )

  it.scoped("leaves no socket and no waiter when requests are cut off and the scope closes", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const scope = yield* Scope.make()
      const a = yield* Scope.extend(start(net, "a", A), scope)
      const nobody = { nodeId: toHex(new Uint8Array(64)), ip: B, udpPort: 30_303, tcpPort: 0 }
      const fiber = yield* Effect.fork(a.bond(nobody))
      yield* Effect.promise(async () => new Promise((resolve) => setImmediate(resolve)))
      assert.equal(yield* a.openRequests, 1)
      yield* Fiber.interrupt(fiber)
      assert.equal(yield* a.openRequests, 0)
      assert.equal(net.openSockets, 1)
      yield* Scope.close(scope, Exit.void)
      assert.equal(net.openSockets, 0)
    }),
  )

  it.scoped("keeps asking its bootnodes until one is there, with growing rests", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const id = toHex(publicKey(keyOf("b")))
      const bootnode: Enode = { nodeId: id, host: B, tcpPort: 30_303, udpPort: 30_303 }
      const a = yield* start(net, "a", A, { bootnodes: [bootnode] })
      const joining = yield* Effect.fork(whileTimePasses(a.join))
      yield* Effect.promise(async () => until(() => net.sent.length >= 4))
      assert.deepEqual(yield* a.contacts, [])
      yield* start(net, "b", B)
      yield* Fiber.join(joining)
      assert.deepEqual(
        (yield* a.contacts).map(({ nodeId }) => nodeId),
        [id],
      )
    }),
  )
})

/** Waits for what other fibers do, without a clock. */
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

const startSource = (net: MemoryDatagrams, bootnode: Enode, queued = 64) =>
  startDiscv4Source(mainnet, {
    bootnodes: [bootnode],
    privateKey: keyOf("source"),
    host: SOURCE,
    port: 30_303,
    open: net.open,
    queued,
  })

/** Every fourth node is on another chain. */
const mixedForks = (i: number): ForkId => (i % 4 === 3 ? sepoliaFork : mainnetFork)

describe("the source over discv4", () => {
  /** A network of `count` nodes that know the first; each is at a subnet of its own. */
  const startNetwork = Effect.fnUntraced(function* (
    net: MemoryDatagrams,
    count: number,
    forks: (i: number) => ForkId = () => mainnetFork,
  ) {
    const nodes: Array<{ node: Discv4Node; enode: Enode }> = []
    for (let i = 0; i < count; i++) {
      const ip = `192.0.${i}.1`
      const known = nodes.slice(0, 1).map(({ enode }) => enode)
      const node = yield* start(net, `n${i}`, ip, { bootnodes: known, forkId: forks(i) })
      yield* whileTimePasses(Effect.zipRight(node.join, node.lookup(fromHex(node.nodeId))))
      nodes.push({ node, enode: enodeOf(node, ip) })
    }
    return nodes
  })

  it.scoped("gives every node of our chain once, and none of another or without eth entry", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const nodes = yield* startNetwork(net, 24, mixedForks)
      const source = yield* startSource(net, nodes[0]!.enode)
      const found = yield* whileTimePasses(
        source.candidates.pipe(Stream.take(18), Stream.runCollect),
      )
      const ours = nodes.filter((_, i) => i % 4 !== 3).map(({ enode }) => formatEnode(enode))
      assert.sameMembers(
        [...found].map(({ enode }) => formatEnode(enode)),
        ours,
      )
      for (const { forkId, source: from } of found) {
        assert.deepEqual(forkId, mainnetFork)
        assert.equal(from, "discv4")
      }
      const { given, silent } = yield* source.counts
      assert.deepEqual({ given, silent }, { given: 18, silent: 0 })
    }),
  )

  it.scoped("finds nine in ten when every twentieth datagram gets lost", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const nodes = yield* startNetwork(net, 20)
      net.onTheWay = ({ bytes }) => (bytes[0]! % 20 === 0 ? undefined : bytes)
      const source = yield* startSource(net, nodes[0]!.enode)
      const seen = new Set<string>()
      yield* whileTimePasses(
        source.candidates.pipe(
          Stream.tap(({ enode }) => Effect.sync(() => seen.add(enode.nodeId))),
          Stream.takeUntil(() => seen.size >= 18),
          Stream.runDrain,
        ),
      )
      const all = new Set(nodes.map(({ node }) => node.nodeId))
      assert.isTrue([...seen].every((nodeId) => all.has(nodeId)))
    }),
  )

  it.scoped("gives a node that keeps its record to itself without a fork id", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      net.onTheWay = ({ bytes }) => (typeOf(bytes) === "EnrResponse" ? undefined : bytes)
      const [only] = yield* startNetwork(net, 1)
      const source = yield* startSource(net, only!.enode)
      const found = yield* whileTimePasses(Stream.runHead(source.candidates))
      assert.deepEqual(Option.getOrThrow(found), { enode: only!.enode, source: "discv4" })
      assert.deepEqual(yield* source.counts, { given: 1, givenUnseen: 1, silent: 0, unfit: 0 })
    }),
  )

  it.scoped("sends nothing before somebody reads", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const nodes = yield* startNetwork(net, 3)
      net.sent.length = 0
      const source = yield* startSource(net, nodes[0]!.enode)
      yield* whileTimePasses(Effect.sleep("5 seconds"))
      assert.deepEqual(
        net.sent.filter(({ from }) => from.ip === SOURCE),
        [],
      )
      const found = yield* whileTimePasses(Stream.runHead(source.candidates))
      assert.isTrue(Option.isSome(found))
    }),
  )

  it.scoped("stops walking while its candidates are not taken, and goes on when they are", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(NOW_MS)
      const net = new MemoryDatagrams()
      const nodes = yield* startNetwork(net, 24)
      const source = yield* startSource(net, nodes[0]!.enode, 2)
      const reader = yield* Stream.toPull(source.candidates)
      const taken = [...(yield* whileTimePasses(reader))]
      yield* whileTimePasses(Effect.sleep("10 seconds"))
      const findNodes = (): number =>
        net.sent.filter(({ from, bytes }) => from.ip === SOURCE && typeOf(bytes) === "FindNode")
          .length
      const before = findNodes()
      yield* whileTimePasses(Effect.sleep("10 seconds"))
      assert.equal(findNodes(), before)
      while (taken.length < 24) taken.push(...(yield* whileTimePasses(reader)))
      assert.equal(new Set(taken.map(({ enode }) => enode.nodeId)).size, 24)
      assert.isAbove(findNodes(), before)
    }),
  )

  it.scoped("ends at once without a bootnode", () =>
    Effect.gen(function* () {
      const net = new MemoryDatagrams()
      const source = yield* startDiscv4Source(mainnet, {
        bootnodes: [],
        privateKey: keyOf("source"),
        open: net.open,
      })
      assert.equal(yield* Stream.runCount(source.candidates), 0)
      assert.equal(net.openSockets, 0)
    }),
  )
})
