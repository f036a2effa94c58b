/**
 * Discovery over real UDP on loopback: devnet peers find each other, the source finds them all, the
 * stock library understands us, and nothing is left when the scope closes.
 */
import { randomBytes } from "node:crypto"
import dgram from "node:dgram"
import dns from "node:dns"
import { describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Ref, type Scope, Stream } from "effect"
import { assert } from "vitest"
import { mainnet, sepolia } from "../../src/chain/networks.ts"
import type { ChainSpec } from "../../src/chain/chainSpec.ts"
import type { Enode } from "../../src/chain/enode.ts"
import { toHex } from "../../src/domain/hex.ts"
import { startDevnetDiscovery } from "../../src/devnet/DevnetDiscovery.ts"
import type { Discv4Node } from "../../src/peers/discv4/Discv4Node.ts"
import { startDiscv4Source } from "../../src/peers/Discv4Source.ts"
import type { Candidate } from "../../src/peers/PeerSource.ts"
import type { ListenError } from "../../src/wire/WireError.ts"

const HOST = "127.0.0.1"
const NODES = 20

const enodeOf = (node: Discv4Node): Enode => ({
  nodeId: node.nodeId,
  host: HOST,
  tcpPort: node.udpPort,
  udpPort: node.udpPort,
})

/** A UDP port that was free a moment ago: a devnet peer's number is chosen by its TCP listener. */
const freePort: Effect.Effect<number> = Effect.async((resume) => {
  const socket = dgram.createSocket("udp4")
  socket.bind(0, HOST, () => {
    const { port } = socket.address()
    socket.close(() => resume(Effect.succeed(port)))
  })
})

const startNode = (
  chain: ChainSpec,
  bootnodes: ReadonlyArray<Enode>,
): Effect.Effect<Discv4Node, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const head = { number: chain.forkBlocks.at(-1)!, time: chain.forkTimes.at(-1)! }
    const privateKey = new Uint8Array(randomBytes(32))
    const port = yield* freePort
    return yield* startDevnetDiscovery({ privateKey, host: HOST, port, chain, head, bootnodes })
  })

/** Reads candidates until every one of `wanted` was given. */
const takeAll = (
  candidates: Stream.Stream<Candidate>,
  wanted: ReadonlySet<string>,
  within: Duration.DurationInput,
): Effect.Effect<ReadonlyMap<string, Candidate>> =>
  Effect.gen(function* () {
    const found = yield* Ref.make<ReadonlyMap<string, Candidate>>(new Map())
    yield* candidates.pipe(
      Stream.mapEffect((one) =>
        Ref.updateAndGet(found, (before) => new Map(before).set(one.enode.nodeId, one)),
      ),
      Stream.takeUntil((all) => [...wanted].every((nodeId) => all.has(nodeId))),
      Stream.runDrain,
      Effect.timeoutOption(within),
    )
    return yield* Ref.get(found)
  })

describe("discv4 over loopback", () => {
  it.scopedLive(`finds all of ${NODES} nodes that know one bootnode, and no other chain's`, () =>
    Effect.gen(function* () {
      const bootnode = yield* startNode(mainnet, [])
      const others = yield* Effect.forEach(Array.from({ length: NODES - 1 }), () =>
        startNode(mainnet, [enodeOf(bootnode)]),
      )
      const strangers = yield* Effect.forEach(Array.from({ length: 3 }), () =>
        startNode(sepolia, [enodeOf(bootnode)]),
      )
      const source = yield* startDiscv4Source(mainnet, {
        bootnodes: [enodeOf(bootnode)],
        privateKey: new Uint8Array(randomBytes(32)),
        host: HOST,
        maxRestMs: 1_000,
      })
      const wanted = new Set([bootnode, ...others].map(({ nodeId }) => nodeId))
      const [took, found] = yield* Effect.timed(takeAll(source.candidates, wanted, "40 seconds"))
      console.info(`${found.size} of ${NODES} nodes in ${Duration.toMillis(took)} ms`)
      assert.deepEqual(new Set(found.keys()), wanted)
      for (const node of [bootnode, ...others]) {
        const { enode, forkId, source: from } = found.get(node.nodeId)!
        assert.deepEqual(enode, enodeOf(node))
        assert.equal(toHex(forkId!.hash), "07c9462e")
        assert.equal(from, "discv4")
      }
      assert.isFalse(strangers.some(({ nodeId }) => found.has(nodeId)))
    }),
  )

  it.scopedLive("lives through a storm of arbitrary datagrams, and answers none of them", () =>
    Effect.gen(function* () {
      const node = yield* startNode(mainnet, [])
      const storm = yield* Effect.acquireRelease(
        Effect.sync(() => dgram.createSocket("udp4")),
        (socket) => Effect.sync(() => socket.close()),
      )
      let answers = 0
      storm.on("message", () => {
        answers += 1
      })
      for (let i = 0; i < 200; i++) storm.send(randomBytes(i * 7), node.udpPort, HOST)
      const asker = yield* startNode(mainnet, [enodeOf(node)])
      // Datagrams are taken in turn: when this is answered, the storm is over.
      yield* asker.bond({ ...enodeOf(node), ip: HOST })
      assert.equal(answers, 0)
    }),
  )

  it.scopedLive("says which port it could not have", () =>
    Effect.gen(function* () {
      const node = yield* startNode(mainnet, [])
      const second = yield* Effect.either(
        startDiscv4Source(mainnet, {
          bootnodes: [enodeOf(node)],
          privateKey: new Uint8Array(randomBytes(32)),
          host: HOST,
          port: node.udpPort,
        }),
      )
      assert(Either.isLeft(second))
      assert.deepInclude(second.left, { _tag: "ListenError", reason: "EADDRINUSE" })
    }),
  )

  it.scopedLive("frees its port with its scope", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const start = Effect.scoped(
        startDevnetDiscovery({
          privateKey: new Uint8Array(randomBytes(32)),
          host: HOST,
          port,
          chain: mainnet,
          head: { number: 0, time: 0 },
          bootnodes: [],
        }),
      )
      for (let i = 0; i < 20; i++) assert.equal((yield* start).udpPort, port)
    }),
  )
})

describe("discv4 and the stock library", () => {
  it.scopedLive("bonds both ways; it finds neighbours through us, and gives us no record", () =>
    Effect.gen(function* () {
      const node = yield* startNode(mainnet, [])
      const neighbor = yield* startNode(mainnet, [enodeOf(node)])
      yield* neighbor.bond({ ...enodeOf(node), ip: HOST })
      const stock = yield* startStock
      yield* Effect.promise(async () =>
        stock.dpt.bootstrap({ address: HOST, udpPort: node.udpPort, tcpPort: node.udpPort }),
      )
      const known = (): ReadonlyArray<number | null | undefined> =>
        stock.dpt.getPeers().map(({ udpPort }) => udpPort)
      // Its own pace: it pings each neighbour it was told of, one by one.
      yield* Effect.promise(async () => stock.dpt.refresh()).pipe(
        Effect.delay("100 millis"),
        Effect.repeat({ until: () => known().includes(neighbor.udpPort), times: 100 }),
      )
      assert.includeMembers([...known()], [node.udpPort, neighbor.udpPort])
      const theirs = { nodeId: toHex(stock.dpt.id!), ip: HOST, udpPort: stock.port, tcpPort: 1 }
      assert.include(
        (yield* node.contacts).map(({ nodeId }) => nodeId),
        theirs.nodeId,
      )
      const neighbors = yield* neighbor.findNode(theirs, new Uint8Array(64))
      assert.include(
        neighbors.map(({ nodeId }) => nodeId),
        node.nodeId,
      )
      const record = yield* Effect.either(neighbor.requestRecord(theirs))
      assert(Either.isLeft(record))
      assert.deepInclude(record.left, { _tag: "Discv4Silent", what: "record" })
    }),
  )
})

/** The library's own discovery, on a port of its own; it ends with the scope. */
const startStock = Effect.gen(function* () {
  const { DPT } = yield* Effect.promise(async () => import("@ethereumjs/devp2p"))
  const port = yield* freePort
  const servers = dns.promises.getServers()
  const dpt = yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new DPT(new Uint8Array(randomBytes(32)), {
          endpoint: { address: HOST, udpPort: port, tcpPort: port },
          refreshInterval: 1_000,
        }),
    ),
    (dpt) => Effect.sync(() => dpt.destroy()),
  )
  // Its constructor sets the DNS servers of the whole process.
  dns.promises.setServers(servers)
  // What it makes of requests that it does not know.
  dpt.events.on("error", () => {})
  dpt.bind(port, HOST)
  return { dpt, port }
})
