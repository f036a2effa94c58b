import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Fiber, TestClock } from "effect"
import { encodeStatus, ETH } from "../../src/wire/ethMessages.ts"
import { respond } from "../../src/wire/handshake.ts"
import { encodeDisconnect, encodeHello, type Hello, P2P } from "../../src/wire/hello.ts"
import { memoryPair, type MemoryTransport } from "../../src/wire/MemoryTransport.ts"
import { MessageLink } from "../../src/wire/MessageLink.ts"
import { acceptSession, dialSession, type SessionOptions } from "../../src/wire/Session.ts"
import { type SessionOpenError, WrongNetwork } from "../../src/wire/WireError.ts"
import { makeKey, optionsFor, sessionPair, statusOf } from "./support.ts"

type Key = ReturnType<typeof makeKey>

const settle = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))

const failureOf = <A, R>(effect: Effect.Effect<A, SessionOpenError, R>) =>
  Effect.map(Effect.either(effect), (result) => {
    if (Either.isRight(result)) throw new Error("expected a failure")
    return result.left
  })

const helloOf = (key: Key, more: Partial<Hello> = {}): Hello => ({
  p2pVersion: 5,
  clientId: "script",
  capabilities: [{ name: "eth", version: 69 }],
  listenPort: 0,
  nodeId: key.nodeId,
  ...more,
})

/** A recipient that does the handshake and then what `script` says; it hears no message. */
const scripted = async (far: MemoryTransport, key: Key, script: (link: MessageLink) => void) => {
  const handshake = await respond(key.privateKey, key.nodeId)
  far.attach({
    data: (chunk) => {
      const result = handshake.push(chunk)
      if (result === undefined) return
      far.pause()
      far.write(result.reply!)
      const link = new MessageLink(far, result.secrets, { now: () => 0, admitFrame: undefined })
      link.start(result.rest)()
      script(link)
    },
    drain: () => {},
    close: () => {},
  })
}

/** How dialling a scripted peer fails; the clock goes on by `afterMs` once all is quiet. */
const dialScripted = (
  script: (link: MessageLink, key: Key) => void,
  afterMs = 0,
  options: Partial<SessionOptions> = {},
) =>
  Effect.gen(function* () {
    const key = makeKey()
    const [near, far] = memoryPair()
    yield* Effect.promise(() => scripted(far, key, (link) => script(link, key)))
    const dialing = dialSession(near, key.nodeId, optionsFor(makeKey().privateKey, options))
    const fiber = yield* Effect.fork(failureOf(dialing))
    yield* settle
    yield* TestClock.adjust(afterMs)
    const error = yield* Fiber.join(fiber)
    yield* Effect.promise(() => near.whenClosed)
    return error
  })

describe("opening a session", () => {
  it.scoped("gives up on a peer that is silent in the handshake, whichever side it is on", () =>
    Effect.gen(function* () {
      for (const open of [
        (near: MemoryTransport) =>
          dialSession(near, makeKey().nodeId, optionsFor(makeKey().privateKey)),
        (near: MemoryTransport) => acceptSession(near, optionsFor(makeKey().privateKey)),
      ]) {
        const [near, far] = memoryPair()
        far.attach({ data: () => {}, drain: () => {}, close: () => {} })
        const fiber = yield* Effect.fork(failureOf(open(near)))
        yield* settle
        yield* TestClock.adjust(4_999)
        assert.isNull(fiber.unsafePoll())
        yield* TestClock.adjust(1)
        const error = yield* Fiber.join(fiber)
        assert.include(error, { _tag: "HandshakeFailed", phase: "handshake", timedOut: true })
        yield* Effect.promise(() => near.whenClosed)
      }
    }),
  )

  it.scoped("gives up on a peer that is silent when hello is due", () =>
    Effect.gen(function* () {
      const error = yield* dialScripted(() => {}, 5_000)
      assert.include(error, { _tag: "HandshakeFailed", phase: "hello", timedOut: true })
    }),
  )

  it.scoped("gives up on a peer that is silent when Status is due", () =>
    Effect.gen(function* () {
      const error = yield* dialScripted(
        (link, key) => link.send(P2P.hello, encodeHello(helloOf(key))),
        300,
        { deadlines: { statusMs: 300 } },
      )
      assert.include(error, { _tag: "HandshakeFailed", phase: "status", timedOut: true })
    }),
  )

  it.scoped("fails when the peer hangs up or sends nonsense in a phase", () =>
    Effect.gen(function* () {
      const hungUp = yield* dialScripted((link) => link.transport.end())
      assert.include(hungUp, { _tag: "HandshakeFailed", phase: "hello", timedOut: false })
      const noRlp = yield* dialScripted((link) => link.send(P2P.hello, Uint8Array.of(0xc5)))
      assert.include(noRlp, { _tag: "HandshakeFailed", phase: "hello", timedOut: false })
      const early = yield* dialScripted((link) => link.send(0x10, Uint8Array.of(0xc0)))
      assert.include(early, { phase: "hello", reason: "message 16 before hello" })
      const badStatus = yield* dialScripted((link, key) => {
        link.send(P2P.hello, encodeHello(helloOf(key)))
        link.startCompression()
        link.send(0x10, Uint8Array.of(0xc0))
      })
      assert.include(badStatus, { phase: "status", reason: "RLP: too few items at byte 1" })
    }),
  )

  it.scoped("tells the peer's reason when it says Disconnect, compressed or not", () =>
    Effect.gen(function* () {
      const early = yield* dialScripted((link) => link.close("too_many_peers", ""))
      assert.include(early, { _tag: "RefusedByPeer", phase: "hello", reason: "too_many_peers" })
      for (const compressed of [true, false]) {
        const later = yield* dialScripted((link, key) => {
          link.send(P2P.hello, encodeHello(helloOf(key)))
          if (compressed) link.startCompression()
          link.send(P2P.disconnect, encodeDisconnect("useless_peer"))
        })
        assert.include(later, { _tag: "RefusedByPeer", phase: "status", reason: "useless_peer" })
      }
    }),
  )

  it.scoped("refuses a peer whose hello names another key", () =>
    Effect.gen(function* () {
      const error = yield* dialScripted((link) =>
        link.send(P2P.hello, encodeHello(helloOf(makeKey()))),
      )
      assert.include(error, { phase: "hello", reason: "unexpected_identity" })
    }),
  )

  it.scoped("refuses itself", () =>
    Effect.gen(function* () {
      const key = makeKey()
      const [near, far] = memoryPair()
      const options = optionsFor(key.privateKey)
      yield* Effect.fork(Effect.either(acceptSession(far, options)))
      const error = yield* failureOf(dialSession(near, key.nodeId, options))
      assert.include(error, { _tag: "HandshakeFailed", reason: "self_connection" })
    }),
  )

  it.scoped("refuses a peer without a version of eth that we speak", () =>
    Effect.gen(function* () {
      const capabilities = [
        { name: "eth", version: 67 },
        { name: "snap", version: 1 },
      ]
      const error = yield* dialScripted((link, key) =>
        link.send(P2P.hello, encodeHello(helloOf(key, { capabilities }))),
      )
      assert.deepInclude(error, {
        _tag: "NoCommonProtocol",
        offered: ["eth/67", "snap/1"],
        client: "script",
      })
    }),
  )

  it.scoped("refuses a Status that the check refuses, and hands it the whole Status", () =>
    Effect.gen(function* () {
      for (const what of ["network_id", "genesis", "fork_id"] as const) {
        const wrong = new WrongNetwork({ what, expected: "1", actual: "2" })
        const error = yield* failureOf(
          sessionPair(
            {
              checkStatus: (status) => {
                assert.deepEqual(status, statusOf(70))
                return wrong
              },
            },
            {},
          ),
        )
        assert.strictEqual(error, wrong)
      }
    }),
  )

  it.scoped("tells the other side when it refuses its Status", () =>
    Effect.gen(function* () {
      const wrong = new WrongNetwork({ what: "genesis", expected: "a", actual: "b" })
      const [near, far] = memoryPair()
      const [us, them] = [makeKey(), makeKey()]
      const refusing = optionsFor(them.privateKey, { checkStatus: () => wrong })
      yield* Effect.fork(Effect.either(acceptSession(far, refusing)))
      const result = yield* Effect.either(
        dialSession(near, them.nodeId, optionsFor(us.privateKey)).pipe(
          Effect.flatMap((session) => session.closed),
        ),
      )
      const reason = Either.isRight(result)
        ? result.right.reason
        : "reason" in result.left && result.left.reason
      assert.strictEqual(reason, "subprotocol_error")
    }),
  )

  it.scoped("takes hello, Status and the first messages from one segment", () =>
    Effect.gen(function* () {
      const key = makeKey()
      const [near, far] = memoryPair()
      const range = new Uint8Array([0xe3, 0x01, 0x02, 0xa0, ...new Uint8Array(32)])
      yield* Effect.promise(() =>
        scripted(far, key, (link) => {
          // What is written in one turn arrives in one piece.
          link.send(P2P.hello, encodeHello(helloOf(key)))
          link.startCompression()
          link.send(0x10, encodeStatus(statusOf(69)))
          link.send(0x10 + ETH.blockRangeUpdate, range)
        }),
      )
      const session = yield* dialSession(near, key.nodeId, optionsFor(makeKey().privateKey))
      yield* settle
      assert.strictEqual(session.announcedRange()?.latestBlock, 2)
    }),
  )

  it.effect("ends the connection when it is interrupted", () =>
    Effect.gen(function* () {
      const [near, far] = memoryPair()
      far.attach({ data: () => {}, drain: () => {}, close: () => {} })
      const fiber = yield* Effect.fork(
        Effect.scoped(acceptSession(near, optionsFor(makeKey().privateKey))),
      )
      yield* settle
      yield* Fiber.interrupt(fiber)
      yield* Effect.promise(() => near.whenClosed)
    }),
  )
})
