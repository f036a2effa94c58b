/** Our sessions with the library's own RLPx and ETH, in both directions, over loopback. */
import { Common, Hardfork, Mainnet } from "@ethereumjs/common"
import { ETH as StockEth, Peer, RLPx } from "@ethereumjs/devp2p"
import { type NestedUint8Array, RLP } from "@ethereumjs/rlp"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { encodeItems, encodeReceipts, ETH } from "../../src/wire/ethMessages.ts"
import { listen } from "../../src/wire/Listener.ts"
import { openSession, type Session } from "../../src/wire/Session.ts"
import { fakeHeader, fakeReceipts, hashOf, mainnetGenesis, makeKey, optionsFor } from "./support.ts"

const host = "127.0.0.1"

/** What the stock peer answers, decoded as the library wants it. */
const headers = [7, 8, 9].map((n) => fakeHeader(n))
const bodies = [4, 5].map((n) => fakeReceipts(n))
const receipts = [fakeReceipts(150)]

const answers: Readonly<Record<number, ReadonlyArray<Uint8Array>>> = {
  [ETH.getBlockHeaders]: headers,
  [ETH.getBlockBodies]: bodies,
  [ETH.getReceipts]: receipts,
}

const buffers = (items: ReadonlyArray<Uint8Array>) => items.map((each) => Buffer.from(each))

/** The library's node, with its port made visible. */
class StockNode extends RLPx {
  get port(): number {
    const address = this._server?.address()
    return typeof address === "object" ? (address?.port ?? 0) : 0
  }
}

/** A node of the library; it sends its Status and answers requests. */
const stockNode = (privateKey: Uint8Array, onPeer: (peer: Peer, eth: StockEth) => void) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const rlpx = new StockNode(privateKey, {
        clientId: Buffer.from("stock"),
        capabilities: [StockEth.eth68],
        common: new Common({ chain: Mainnet, hardfork: Hardfork.Chainstart }),
        dpt: null,
        listenPort: null,
        maxPeers: 10,
      })
      rlpx.events.on("peer:added", (peer: Peer) => {
        const [eth] = peer.getProtocols()
        if (!(eth instanceof StockEth)) return
        eth.events.on("message", (code, payload) => {
          const items = answers[code]
          if (items === undefined || !Array.isArray(payload)) return
          const message: NestedUint8Array = [payload[0]!, items.map((each) => RLP.decode(each))]
          eth.sendMessage(code === ETH.getReceipts ? 0x10 : code === 3 ? 0x04 : 0x06, message)
        })
        eth.sendStatus({
          td: Uint8Array.of(1),
          bestHash: mainnetGenesis,
          genesisHash: mainnetGenesis,
        })
        onPeer(peer, eth)
      })
      rlpx.events.on("error", () => {})
      rlpx.events.on("peer:error", () => {})
      return rlpx
    }),
    (rlpx) => Effect.sync(() => rlpx.destroy()),
  )

/** All that is asked of a peer comes as it should. */
const assertServes = (session: Session) =>
  Effect.gen(function* () {
    assert.strictEqual(session.ethVersion, 68)
    assert.strictEqual(session.client, "stock")
    assert.deepInclude(session.status, { version: 68, networkId: 1n, totalDifficulty: 1n })
    const query = { start: 7, limit: 3, skip: 0, reverse: false }
    const gotHeaders = yield* session.getBlockHeaders(query, 5_000)
    assert.deepEqual(buffers(gotHeaders.headers), buffers(headers))
    const gotBodies = yield* session.getBlockBodies([hashOf(4), hashOf(5)], 5_000)
    assert.deepEqual(buffers(gotBodies.bodies), buffers(bodies))
    const gotReceipts = yield* session.getReceipts([hashOf(9)], 0, 5_000)
    assert.deepEqual(buffers(gotReceipts.lists), buffers(receipts))
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

/** All that the stock node asks of us comes as it should. */
const assertAsks = (eth: StockEth) =>
  Effect.gen(function* () {
    const number = Uint8Array.of(7)
    const gotHeaders = yield* ask(eth, 3, [
      number,
      Uint8Array.of(3),
      number.slice(1),
      number.slice(1),
    ])
    assert.deepEqual(
      gotHeaders,
      headers.map((each) => RLP.decode(each)),
    )
    const gotBodies = yield* ask(eth, 5, [hashOf(4), hashOf(5)])
    assert.deepEqual(
      gotBodies,
      bodies.map((each) => RLP.decode(each)),
    )
    const gotReceipts = yield* ask(eth, 0x0f, [hashOf(9)])
    assert.deepEqual(
      gotReceipts,
      receipts.map((each) => RLP.decode(each)),
    )
  })

const serving = (privateKey: Uint8Array) =>
  optionsFor(privateKey, {
    onRequest: (_session, request) => {
      if (request._tag === "GetBlockHeaders") {
        assert.deepInclude(request, { start: 7, limit: 3, skip: 0, reverse: false })
        return Effect.succeed(encodeItems(request.requestId, headers))
      }
      return Effect.succeed(
        request._tag === "GetBlockBodies"
          ? encodeItems(request.requestId, bodies)
          : encodeReceipts(68, request.requestId, receipts),
      )
    },
  })

describe("with the stock library", () => {
  it.scopedLive("we dial: Status, headers, bodies and receipts in both directions", () =>
    Effect.gen(function* () {
      const [us, them] = [makeKey(), makeKey()]
      const connected = yield* Deferred.make<StockEth>()
      const rlpx = yield* stockNode(them.privateKey, (_peer, eth) =>
        Effect.runSync(Deferred.succeed(connected, eth)),
      )
      rlpx.listen(0, host)
      const port = yield* Effect.async<number>((resume) => {
        rlpx.events.on("listening", () => resume(Effect.succeed(rlpx.port)))
      })
      const session = yield* openSession(
        { host, port, nodeId: them.nodeId },
        serving(us.privateKey),
      )
      yield* assertServes(session)
      yield* assertAsks(yield* Deferred.await(connected))
    }),
  )

  it.scopedLive("it dials us: Status, headers, bodies and receipts in both directions", () =>
    Effect.gen(function* () {
      const [us, them] = [makeKey(), makeKey()]
      const inbound = yield* Deferred.make<Session>()
      const listener = yield* listen({ host, port: 0 }, serving(us.privateKey), (session) =>
        Effect.zipRight(Deferred.succeed(inbound, session), session.closed),
      )
      const connected = yield* Deferred.make<StockEth>()
      const rlpx = yield* stockNode(them.privateKey, (_peer, eth) =>
        Effect.runSync(Deferred.succeed(connected, eth)),
      )
      const address = { id: us.nodeId, address: host, tcpPort: listener.port, udpPort: null }
      yield* Effect.promise(() => rlpx.connect(address))
      const session = yield* Deferred.await(inbound)
      assert.deepEqual(
        [session.inbound, session.peerId],
        [true, Buffer.from(them.nodeId).toString("hex")],
      )
      yield* assertServes(session)
      yield* assertAsks(yield* Deferred.await(connected))
    }),
  )

  it.scopedLive("each understands the other's Disconnect", () =>
    Effect.gen(function* () {
      const [us, them] = [makeKey(), makeKey()]
      const inbound = yield* Deferred.make<Session>()
      const listener = yield* listen({ host, port: 0 }, serving(us.privateKey), (session) =>
        Effect.zipRight(Deferred.succeed(inbound, session), session.closed),
      )
      const connected = yield* Deferred.make<Peer>()
      const rlpx = yield* stockNode(them.privateKey, (peer) =>
        Effect.runSync(Deferred.succeed(connected, peer)),
      )
      const reason = yield* Deferred.make<number>()
      rlpx.events.on("peer:removed", (_peer: Peer, code: number) =>
        Effect.runSync(Deferred.succeed(reason, code)),
      )
      const address = { id: us.nodeId, address: host, tcpPort: listener.port, udpPort: null }
      yield* Effect.promise(() => rlpx.connect(address))
      const session = yield* Deferred.await(inbound)
      yield* session.disconnect("useless_peer")
      assert.strictEqual(yield* Deferred.await(reason), 3)
    }),
  )
})
