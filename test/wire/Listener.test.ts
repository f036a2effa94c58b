import net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Either, Exit, Scope } from "effect"
import { encodeItems } from "../../src/wire/ethMessages.ts"
import { listen } from "../../src/wire/Listener.ts"
import { openSession, type Session } from "../../src/wire/Session.ts"
import { NodeTransport } from "../../src/wire/Transport.ts"
import type { SessionOpenError } from "../../src/wire/WireError.ts"
import { fakeHeader, makeKey, optionsFor } from "./support.ts"

const host = "127.0.0.1"
const query = { start: 1, limit: 2, skip: 0, reverse: false }

/** Sockets and servers of this process that are open. */
const openHandles = () =>
  process.getActiveResourcesInfo().filter((each) => each.startsWith("TCP")).length

/** How many handles there are once closing ones had a moment to go. */
const restingHandles = async (expected: number) => {
  for (let i = 0; i < 100 && openHandles() !== expected; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return openHandles()
}

const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.either(effect), (result) => {
    if (Either.isRight(result)) throw new Error("expected a failure")
    return result.left
  })

/** A plain TCP server on loopback that lives as long as the scope. */
const server = (onSocket: (socket: net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.async<{ server: net.Server; port: number }>((resume) => {
      const server = net.createServer(onSocket)
      server.listen(0, host, () => {
        const address = server.address()
        const port = typeof address === "object" ? (address?.port ?? 0) : 0
        resume(Effect.succeed({ server, port }))
      })
    }),
    ({ server }) => Effect.sync(() => server.close()),
  )

describe("over TCP", () => {
  it.live("sessions are opened, used and gone with their scope, sockets and timers too", () =>
    Effect.gen(function* () {
      const before = openHandles()
      const scope = yield* Scope.make()
      const key = makeKey()
      const inbound = yield* Deferred.make<Session>()
      const serving = optionsFor(key.privateKey, {
        clientId: "serving",
        onRequest: (_session, { requestId }) =>
          Effect.succeed(encodeItems(requestId, [fakeHeader(1), fakeHeader(2, 100_000)])),
      })
      const listener = yield* listen({ host, port: 0 }, serving, (session) =>
        Effect.zipRight(Deferred.succeed(inbound, session), session.closed),
      ).pipe(Scope.extend(scope))
      const peer = { host, port: listener.port, nodeId: key.nodeId }
      const ours = yield* openSession(peer, optionsFor(makeKey().privateKey)).pipe(
        Scope.extend(scope),
      )
      assert.strictEqual(ours.client, "serving")
      assert.deepEqual(ours.remote, { host, port: listener.port })
      const { headers } = yield* ours.getBlockHeaders(query, 5_000)
      assert.isTrue(Buffer.from(headers[1]!).equals(fakeHeader(2, 100_000)))
      assert.isAbove(ours.bytesReceived(), 1_000)
      assert.isAbove(openHandles(), before)

      yield* Scope.close(scope, Exit.void)
      const theirs = yield* Deferred.await(inbound)
      const ends = [yield* ours.closed, yield* theirs.closed]
      assert.include(
        ends.map(({ reason }) => reason),
        "client_quitting",
      )
      assert.strictEqual(yield* Effect.promise(() => restingHandles(before)), before)
    }),
  )

  it.scopedLive("a Disconnect arrives with its reason before the socket ends", () =>
    Effect.gen(function* () {
      const key = makeKey()
      const options = optionsFor(key.privateKey)
      const listener = yield* listen({ host, port: 0 }, options, (session) =>
        Effect.zipRight(session.disconnect("too_many_peers"), session.closed),
      )
      const peer = { host, port: listener.port, nodeId: key.nodeId }
      const ours = yield* openSession(peer, optionsFor(makeKey().privateKey))
      assert.include(yield* ours.closed, { by: "peer", reason: "too_many_peers" })
    }),
  )

  it.scopedLive("a peer that is gone in the middle ends the session", () =>
    Effect.gen(function* () {
      const key = makeKey()
      const listener = yield* listen(
        { host, port: 0 },
        optionsFor(key.privateKey),
        (session) => session.closed,
      )
      // A relay that is cut, as a cable is.
      const sockets: Array<net.Socket> = []
      const relay = yield* server((socket) => {
        const onward = net.connect({ host, port: listener.port })
        sockets.push(socket, onward)
        socket.pipe(onward).pipe(socket)
        for (const each of [socket, onward]) each.on("error", () => {})
      })
      const peer = { host, port: relay.port, nodeId: key.nodeId }
      const ours = yield* openSession(peer, optionsFor(makeKey().privateKey))
      for (const socket of sockets) socket.resetAndDestroy()
      const closed = yield* ours.closed
      assert.include(closed, { by: "peer", reason: "tcp_error" })
    }),
  )

  it.scopedLive("a silent connection is dropped at its deadline, and reported", () =>
    Effect.gen(function* () {
      const failed = yield* Deferred.make<SessionOpenError>()
      const listener = yield* listen(
        {
          host,
          port: 0,
          onFailed: (_remote, error) => Effect.asVoid(Deferred.succeed(failed, error)),
        },
        optionsFor(makeKey().privateKey, { deadlines: { handshakeMs: 50 } }),
        (session) => session.closed,
      )
      const closed = yield* Deferred.make<void>()
      const socket = net.connect({ host, port: listener.port })
      socket.resume()
      socket.on("close", () => Effect.runSync(Deferred.succeed(closed, undefined)))
      assert.include(yield* Deferred.await(failed), { phase: "handshake", timedOut: true })
      yield* Deferred.await(closed)
    }),
  )

  it.scopedLive("no more connections than allowed are in a phase of opening", () =>
    Effect.gen(function* () {
      const turnedAway: Array<string> = []
      const listener = yield* listen(
        { host, port: 0, maxOpening: 2, onTurnedAway: (_remote, why) => turnedAway.push(why) },
        optionsFor(makeKey().privateKey),
        (session) => session.closed,
      )
      const ended = yield* Effect.forEach(
        [1, 2, 3],
        () =>
          Effect.async<string>((resume) => {
            const socket = net.connect({ host, port: listener.port })
            socket.resume()
            socket.on("error", () => {})
            socket.on("close", () => resume(Effect.succeed("dropped")))
            setTimeout(() => {
              resume(Effect.succeed("kept"))
              socket.destroy()
            }, 500)
          }),
        { concurrency: 3 },
      )
      assert.deepEqual(ended.toSorted(), ["dropped", "kept", "kept"])
      assert.deepEqual(turnedAway, ["opening_full"])
    }),
  )

  it.scopedLive("nor of one address more than it may have, until one of them is through", () =>
    Effect.gen(function* () {
      const key = makeKey()
      const turnedAway: Array<string> = []
      const listener = yield* listen(
        {
          host,
          port: 0,
          maxOpeningPerAddress: 1,
          onTurnedAway: (_remote, why) => turnedAway.push(why),
        },
        optionsFor(key.privateKey, { deadlines: { handshakeMs: 300 } }),
        (session) => session.closed,
      )
      const connect = Effect.async<string>((resume) => {
        const socket = net.connect({ host, port: listener.port })
        const startedMs = Date.now()
        socket.resume()
        socket.on("error", () => {})
        socket.on("close", () =>
          resume(Effect.succeed(Date.now() - startedMs < 200 ? "refused" : "timed out")),
        )
      })
      const both = yield* Effect.all([connect, connect], { concurrency: 2 })
      assert.deepEqual(both.toSorted(), ["refused", "timed out"])
      assert.deepEqual(turnedAway, ["opening_of_address"])
      // Sessions that are open count no more.
      const peer = { host, port: listener.port, nodeId: key.nodeId }
      for (let i = 0; i < 3; i++) yield* openSession(peer, optionsFor(makeKey().privateKey))
    }),
  )

  it.scopedLive("a port that is taken is a ListenError", () =>
    Effect.gen(function* () {
      const { port } = yield* server(() => {})
      const options = optionsFor(makeKey().privateKey)
      const error = yield* failureOf(listen({ host, port }, options, (session) => session.closed))
      assert.include(error, { _tag: "ListenError", host, port, reason: "EADDRINUSE" })
    }),
  )

  it.scopedLive("a port where nobody listens is a ConnectFailed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { port } = yield* Scope.extend(
        server(() => {}),
        scope,
      )
      yield* Scope.close(scope, Exit.void)
      const peer = { host, port, nodeId: makeKey().nodeId }
      const error = yield* failureOf(openSession(peer, optionsFor(makeKey().privateKey)))
      assert.include(error, { _tag: "ConnectFailed", reason: "ECONNREFUSED", timedOut: false })
    }),
  )

  it.scoped("a connection that does not come about in time is given up and destroyed", () =>
    Effect.gen(function* () {
      const { port } = yield* server((socket) => socket.destroy())
      const transport = NodeTransport.dial({ host, port })
      // No time at all: the deadline is over before the system was asked.
      const error = yield* failureOf(transport.connected(0))
      assert.include(error, { _tag: "ConnectFailed", reason: "timeout", timedOut: true })
      yield* Effect.promise(() => transport.whenClosed)
    }),
  )
})
