/** Peers that dial us, over TCP on loopback: what they are answered, and who is sent away. */
import { randomBytes } from "node:crypto"
import net from "node:net"
import os from "node:os"
import { Common, Hardfork, Mainnet } from "@ethereumjs/common"
import { ETH as StockEth, type Peer, RLPx } from "@ethereumjs/devp2p"
import { type NestedUint8Array, RLP } from "@ethereumjs/rlp"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Either, Layer } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import type { ChainSpec } from "../../src/chain/chainSpec.ts"
import { mainnet } from "../../src/chain/networks.ts"
import { genesisHead, localStatus } from "../../src/chain/status.ts"
import { fromHex } from "../../src/domain/hex.ts"
import { publicKey } from "../../src/domain/secp256k1.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { ATTEMPTS, Inbound, type InboundOptions } from "../../src/peers/Inbound.ts"
import { PeerCache } from "../../src/peers/PeerCache.ts"
import { PeerKeeper } from "../../src/peers/PeerKeeper.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { HistoryAnswers } from "../../src/serving/HistoryAnswers.ts"
import { HistoryReader } from "../../src/serving/HistoryReader.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { Settings } from "../../src/Settings.ts"
import type { EthVersion } from "../../src/wire/hello.ts"
import { openSession, type SessionOptions } from "../../src/wire/Session.ts"
import { encodeItems } from "../../src/wire/ethMessages.ts"
import { layerStoreReader } from "../../src/write/StoreReader.ts"
import { chain, measured, spec } from "../serving/support.ts"
import { until } from "../support/dialling.ts"
import { payloads, syncOptions, temporaryDirectory, withStore, writeNow } from "../write/support.ts"

const host = "127.0.0.1"
const privateKey = new Uint8Array(randomBytes(32))
const nodeId = publicKey(privateKey)
const identity = { privateKey, clientId: "annals/test" }

interface ListeningOptions extends Partial<InboundOptions> {
  readonly of?: ChainSpec
  readonly history?: Layer.Layer<HistoryReader>
  /** Listens on all addresses, as the program does. */
  readonly everywhere?: boolean
}

/** All between a TCP port and the pool. */
const listening = ({
  of = spec,
  history = HistoryReader.layerNone,
  everywhere = false,
  ...options
}: ListeningOptions = {}) =>
  Inbound.layer(identity, {
    ...(everywhere ? {} : { host }),
    port: 0,
    maxInbound: 10,
    ...options,
  }).pipe(
    Layer.provide(Layer.provide(HistoryAnswers.layer, history)),
    Layer.provide(PeerKeeper.layer),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(
      Layer.mergeAll(ByteGate.layer, Reputation.layerCached, PeerPool.layer, OurHead.layer),
    ),
    Layer.provide(PeerCache.layerNone),
    Layer.provideMerge(Layer.mergeAll(Stats.layer, Chain.layer(of), Settings.layer())),
  )

/** How a client of ours behaves: it serves the header of genesis, as a peer has to. */
const client = (
  ethVersions: ReadonlyArray<EthVersion>,
  key: Uint8Array = new Uint8Array(randomBytes(32)),
): SessionOptions => ({
  privateKey: key,
  clientId: "client",
  listenPort: 0,
  ethVersions,
  localStatus: (version) => localStatus(spec, genesisHead(spec), version),
  checkStatus: () => undefined,
  onRequest: (_session, { requestId, ...request }) =>
    Effect.succeed(
      encodeItems(
        requestId,
        request._tag === "GetBlockHeaders" && request.start === 0 ? [chain.headerAt(0)!] : [],
      ),
    ),
})

const dial = (port: number, options: SessionOptions) => openSession({ host, port, nodeId }, options)

const asBuffers = (items: ReadonlyArray<Uint8Array>) => items.map((item) => Buffer.from(item))

/** A directory with a store of the made chain. */
const store = Effect.tap(temporaryDirectory, (directory) =>
  withStore(syncOptions(directory), (open) =>
    writeNow(open, payloads(chain, chain.firstBlock, chain.lastBlock)),
  ),
)

const MS = 5_000

describe("peers that dial us", () => {
  for (const version of [68, 69, 70] as const) {
    it.scopedLive(`are answered from the store over eth/${version}, byte for byte`, () =>
      Effect.gen(function* () {
        const directory = yield* store
        yield* Effect.gen(function* () {
          const { port } = yield* Inbound
          const session = yield* dial(port, client([version]))
          const ask = { start: 20, limit: 4, skip: 2, reverse: true }
          const { headers } = yield* session.getBlockHeaders(ask, MS)
          const expected = [20, 17, 14, 11].map((n) => chain.headerAt(n)!)
          assert.deepEqual(asBuffers(headers), asBuffers(expected))
          const byHash = { start: chain.hashAt(30)!, limit: 2, skip: 0, reverse: false }
          const named = yield* session.getBlockHeaders(byHash, MS)
          assert.deepEqual(
            asBuffers(named.headers),
            asBuffers([chain.headerAt(30)!, chain.headerAt(31)!]),
          )
          const numbers = [3, 9, 27]
          const hashes = numbers.map((n) => chain.hashAt(n)!)
          const unknown = [new Uint8Array(32).fill(1), ...hashes]
          const { bodies } = yield* session.getBlockBodies(unknown, MS)
          assert.deepEqual(asBuffers(bodies), asBuffers(numbers.map((n) => chain.bodyAt(n)!)))
          const { lists } = yield* session.getReceipts(hashes, 0, MS)
          const receipts = numbers.map((n) =>
            version === 68 ? chain.receipts68At(n)! : chain.receipts69At(n)!,
          )
          assert.deepEqual(asBuffers(lists), asBuffers(receipts))
          const none = yield* session.getBlockBodies([new Uint8Array(32)], MS)
          assert.deepEqual(none.bodies, [])
        }).pipe(Effect.provide(listening({ history: layerStoreReader(directory) })))
      }),
    )
  }

  it.scopedLive("join the pool like those that we dial, and leave it", () =>
    Effect.gen(function* () {
      const { port } = yield* Inbound
      const pool = yield* PeerPool
      const session = yield* dial(port, client([69]))
      yield* until(Effect.map(pool.connected, (peers) => peers.length === 1))
      const [entry] = yield* pool.connected
      assert.deepEqual([entry?.peer.inbound, entry?.serves.headers?.to], [true, 0])
      assert.strictEqual(session.listenPort, port)
      yield* session.disconnect("client_quitting")
      yield* until(Effect.map(pool.connected, (peers) => peers.length === 0))
    }).pipe(Effect.provide(listening())),
  )

  it.scopedLive("come to any address, and have the name that IPv4 gives them", () =>
    Effect.gen(function* () {
      const inbound = yield* Inbound
      const pool = yield* PeerPool
      const addresses = inbound.host === "::" ? ["127.0.0.1", "::1"] : ["127.0.0.1"]
      for (const address of addresses) {
        yield* openSession({ host: address, port: inbound.port, nodeId }, client([69]))
      }
      yield* until(Effect.map(pool.connected, (peers) => peers.length === addresses.length))
      const names = (yield* pool.connected).map(({ peer }) =>
        "remote" in peer ? peer.remote : undefined,
      )
      assert.deepEqual(
        names.map((name) =>
          typeof name === "object" && name !== null && "host" in name ? name.host : "",
        ),
        addresses,
      )
    }).pipe(Effect.provide(listening({ everywhere: true }))),
  )

  it.scopedLive("without a store they get the header of the head that we announce", () =>
    Effect.gen(function* () {
      const { port } = yield* Inbound
      const ourHead = yield* OurHead
      yield* ourHead.offer("a", measured(chain, 150))
      const session = yield* dial(port, client([69]))
      const { status } = session
      assert.deepInclude(status, { earliestBlock: 150, latestBlock: 150 })
      const start = status.version === 68 ? status.bestHash : status.latestBlockHash
      for (const from of [start, 150]) {
        const ask = { start: from, limit: 1, skip: 0, reverse: false }
        const { headers } = yield* session.getBlockHeaders(ask, MS)
        assert.deepEqual(asBuffers(headers), asBuffers([chain.headerAt(150)!]))
      }
      const { lists } = yield* session.getReceipts([chain.hashAt(150)!], 0, MS)
      assert.deepEqual(lists, [])
    }).pipe(Effect.provide(listening())),
  )

  it.scopedLive("are told of a head that moves on", () =>
    Effect.gen(function* () {
      const { port } = yield* Inbound
      const ourHead = yield* OurHead
      const session = yield* dial(port, client([70]))
      assert.strictEqual(session.announcedRange()?.latestBlock, 0)
      // Two, since the peer's own head counts as well, and is lower.
      yield* ourHead.offer("a", measured(chain, 150))
      yield* ourHead.offer("b", measured(chain, 150))
      yield* until(Effect.sync(() => session.announcedRange()?.latestBlock === 150))
    }).pipe(Effect.provide(listening())),
  )

  it.scopedLive("beyond the limit hear too_many_peers, until one has left", () =>
    Effect.gen(function* () {
      const { port } = yield* Inbound
      const first = yield* dial(port, client([69]))
      yield* dial(port, client([69]))
      // The session may be open on this side before it is on the other.
      const refused = yield* Effect.flatMap(dial(port, client([69])), ({ closed }) => closed)
      assert.include(refused, { by: "peer", reason: "too_many_peers" })
      yield* first.disconnect("client_quitting")
      yield* Effect.sleep(Duration.millis(100))
      const next = yield* dial(port, client([69]))
      const outcome = yield* Effect.timeoutOption(next.closed, Duration.millis(300))
      assert.strictEqual(outcome._tag, "None")
      const { network } = yield* Stats
      assert.deepEqual([...network.inboundRefused], [["max_inbound", 1]])
    }).pipe(Effect.provide(listening({ maxInbound: 2 }))),
  )

  it.scopedLive("are sent away while their ban runs", () =>
    Effect.gen(function* () {
      const { port } = yield* Inbound
      const reputation = yield* Reputation
      const key = new Uint8Array(randomBytes(32))
      yield* reputation.failed(Buffer.from(publicKey(key)).toString("hex"), "ban")
      const closed = yield* Effect.flatMap(dial(port, client([69], key)), (one) => one.closed)
      assert.include(closed, { by: "peer", reason: "useless_peer" })
      const { network } = yield* Stats
      assert.deepEqual([...network.inboundRefused], [["banned", 1]])
    }).pipe(Effect.provide(listening())),
  )

  it.scopedLive("a port that is taken is said to be", () =>
    Effect.gen(function* () {
      const port = yield* Effect.acquireRelease(
        Effect.async<{ server: net.Server; port: number }>((resume) => {
          const server = net.createServer()
          server.listen(0, host, () => {
            const address = server.address()
            const taken = typeof address === "object" ? (address?.port ?? 0) : 0
            resume(Effect.succeed({ server, port: taken }))
          })
        }),
        ({ server }) => Effect.sync(() => server.close()),
      )
      const result = yield* Effect.either(Layer.build(listening({ port: port.port })))
      assert.include(Either.isLeft(result) ? result.left : {}, {
        _tag: "ListenError",
        reason: "EADDRINUSE",
      })
    }),
  )
})

/** An address of this machine that is not loopback's, where it has one. */
const outer = Object.values(os.networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address

/** Whether a connection is still there after a moment; it is ended then. */
const isTaken = (address: string, port: number) =>
  Effect.async<boolean>((resume) => {
    const socket = net.connect({ host: address, port })
    socket.resume()
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.succeed(false)))
    setTimeout(() => {
      resume(Effect.succeed(true))
      socket.destroy()
    }, 50)
  })

describe.skipIf(outer === undefined)("connections from one address", () => {
  it.scopedLive("are not taken any more when they have been too many", () =>
    Effect.gen(function* () {
      const { port } = yield* Inbound
      const taken: Array<boolean> = []
      for (let i = 0; i < ATTEMPTS.burst + 3; i++) taken.push(yield* isTaken(outer!, port))
      assert.deepEqual(
        taken.map((one, index) => one === index < ATTEMPTS.burst),
        taken.map(() => true),
      )
      const { network } = yield* Stats
      assert.strictEqual(network.inboundRefused.get("too_often"), 3)
      // Loopback has the nodes of a whole network: no such limit there.
      assert.isTrue(yield* isTaken(host, port))
    }).pipe(Effect.provide(listening({ everywhere: true }))),
  )
})

describe.skipIf(outer === undefined)("sessions of one address", () => {
  it.scopedLive("are no more than it may have, until one of them has left", () =>
    Effect.gen(function* () {
      const { port } = yield* Inbound
      const from = (options: SessionOptions) => openSession({ host: outer!, port, nodeId }, options)
      const first = yield* from(client([69]))
      const refused = yield* Effect.flatMap(from(client([69])), ({ closed }) => closed)
      assert.include(refused, { by: "peer", reason: "too_many_peers" })
      const { network } = yield* Stats
      assert.strictEqual(network.inboundRefused.get("of_address"), 1)
      yield* first.disconnect("client_quitting")
      yield* Effect.sleep(Duration.millis(100))
      const next = yield* from(client([69]))
      const outcome = yield* Effect.timeoutOption(next.closed, Duration.millis(300))
      assert.strictEqual(outcome._tag, "None")
    }).pipe(Effect.provide(listening({ everywhere: true, maxPerAddress: 1 }))),
  )
})

/** Asks us as the library does, and gives the items of our answer. */
const ask = (eth: StockEth, code: 3 | 5 | 0x0f, query: NestedUint8Array) =>
  Effect.async<NestedUint8Array>((resume) => {
    eth.events.on("message", (answered, payload) => {
      const items = payload[1]
      if (answered === code + 1 && Array.isArray(items)) resume(Effect.succeed(items))
    })
    eth.sendMessage(code, [Uint8Array.of(code), query])
  })

const decoded = (items: ReadonlyArray<Uint8Array>) => items.map((item) => RLP.decode(item))

/** The library's node, that dials us. */
const stockClient = (port: number) =>
  Effect.gen(function* () {
    const connected = yield* Deferred.make<StockEth>()
    const genesis = mainnet.genesisHash
    const rlpx = yield* Effect.acquireRelease(
      Effect.sync(
        () =>
          new RLPx(new Uint8Array(randomBytes(32)), {
            clientId: Buffer.from("stock"),
            capabilities: [StockEth.eth68],
            common: new Common({ chain: Mainnet, hardfork: Hardfork.Chainstart }),
            dpt: null,
            listenPort: null,
            maxPeers: 10,
          }),
      ),
      (node) => Effect.sync(() => node.destroy()),
    )
    rlpx.events.on("peer:added", (peer: Peer) => {
      const [eth] = peer.getProtocols()
      if (!(eth instanceof StockEth)) return
      eth.events.once("status", () => Effect.runSync(Deferred.succeed(connected, eth)))
      eth.sendStatus({ td: Uint8Array.of(1), bestHash: genesis, genesisHash: genesis })
    })
    rlpx.events.on("error", () => {})
    rlpx.events.on("peer:error", () => {})
    yield* Effect.promise(() =>
      rlpx.connect({ id: nodeId, address: host, tcpPort: port, udpPort: null }),
    )
    return yield* Deferred.await(connected)
  })

describe("the stock library as a client", () => {
  it.scopedLive("gets headers, bodies and receipts from the store, byte for byte", () =>
    Effect.gen(function* () {
      const directory = yield* store
      yield* Effect.gen(function* () {
        const { port } = yield* Inbound
        const eth = yield* stockClient(port)
        const zero = new Uint8Array(0)
        const byNumber = yield* ask(eth, 3, [Uint8Array.of(50), Uint8Array.of(3), zero, zero])
        assert.deepEqual(byNumber, decoded([50, 51, 52].map((n) => chain.headerAt(n)!)))
        const one = Uint8Array.of(1)
        const byHash = yield* ask(eth, 3, [chain.hashAt(50)!, Uint8Array.of(3), one, one])
        assert.deepEqual(byHash, decoded([50, 48, 46].map((n) => chain.headerAt(n)!)))
        const hashes = [7, 8].map((n) => chain.hashAt(n)!)
        assert.deepEqual(yield* ask(eth, 5, hashes), decoded([7, 8].map((n) => chain.bodyAt(n)!)))
        assert.deepEqual(
          yield* ask(eth, 0x0f, hashes),
          decoded([7, 8].map((n) => chain.receipts68At(n)!)),
        )
        assert.deepEqual(yield* ask(eth, 5, [fromHex("00".repeat(32))]), [])
      }).pipe(
        // The library knows mainnet's fork ids; what is served is another matter.
        Effect.provide(listening({ of: mainnet, history: layerStoreReader(directory) })),
      )
    }),
  )
})
