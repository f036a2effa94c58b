/**
 * Nodes with which no session comes about, over real connections: each dial ends within its
 * deadline, is counted under its own name, and is repeated only where that may help.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Scope, TestClock } from "effect"
import { genesisHead, localStatus } from "../../src/chain/status.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { Dialer } from "../../src/peers/Dialer.ts"
import { encodeStatus, ETH, type Status } from "../../src/wire/ethMessages.ts"
import {
  disconnectReason,
  encodeDisconnect,
  encodeHello,
  FIRST_CAPABILITY_CODE,
  P2P,
} from "../../src/wire/hello.ts"
import type { OpeningDeadlines } from "../../src/wire/limits.ts"
import type { MessageLink } from "../../src/wire/MessageLink.ts"
import { dialling, ourChain, until } from "../support/dialling.ts"
import {
  afterHandshake,
  afterHello,
  helloOf,
  type Script,
  type ScriptedNode,
  scriptedNode,
} from "../support/scriptedNode.ts"
import { makeKey } from "../wire/support.ts"

/** Each phase may take so long where a deadline is what ends it. */
const DEADLINE_MS = 250
const soon: OpeningDeadlines = {
  connectMs: DEADLINE_MS,
  handshakeMs: DEADLINE_MS,
  helloMs: DEADLINE_MS,
  statusMs: DEADLINE_MS,
}
/** What a busy machine may add to a deadline. */
const SLACK_MS = 1_500

/** Dials the nodes until `enough`, and then gives what was counted. */
const dial = (
  nodes: ReadonlyArray<ScriptedNode>,
  enough: (refusals: number) => boolean,
  deadlines: Partial<OpeningDeadlines> = {},
) =>
  Effect.gen(function* () {
    const stats = yield* Stats
    const dialer = yield* Dialer
    const { refused } = stats.network
    yield* until(
      Effect.sync(() => enough([...refused.values()].reduce((sum, count) => sum + count, 0))),
    )
    const endedAtMs = performance.now()
    return {
      endedAtMs,
      refused: Object.fromEntries(refused),
      records: yield* dialer.records,
      opened: stats.network.sessionsOpened,
      peers: stats.peers.size,
    }
  }).pipe(Effect.provide(dialling({ enodes: nodes.map(({ enode }) => enode), deadlines })))

const ourStatus = localStatus(ourChain, genesisHead(ourChain), 69)

const sendStatus = (
  link: MessageLink,
  more: Partial<Pick<Status, "networkId" | "genesisHash" | "forkHash">>,
): void => link.send(FIRST_CAPABILITY_CODE + ETH.status, encodeStatus({ ...ourStatus, ...more }))

interface Case {
  readonly what: string
  readonly script: Script
  /** The name under which it is counted. */
  readonly counted: string
  /** It ends by its deadline, not before. */
  readonly timesOut?: true
  /** It is never dialled again. */
  readonly final?: true
}

const cases: ReadonlyArray<Case> = [
  {
    what: "on a chain with another genesis",
    script: afterHello((link) => sendStatus(link, { genesisHash: new Uint8Array(32).fill(1) })),
    counted: "wrong_genesis",
    final: true,
  },
  {
    what: "on another network",
    script: afterHello((link) => sendStatus(link, { networkId: 99n })),
    counted: "wrong_network_id",
    final: true,
  },
  {
    what: "with another fork id",
    script: afterHello((link) => sendStatus(link, { forkHash: Uint8Array.of(1, 2, 3, 4) })),
    counted: "wrong_fork_id",
    final: true,
  },
  {
    what: "that does not speak eth",
    script: afterHello(() => {}, { capabilities: [{ name: "snap", version: 1 }] }),
    counted: "no_common_protocol",
    final: true,
  },
  {
    what: "that speaks eth in other versions alone",
    script: afterHello(() => {}, { capabilities: [{ name: "eth", version: 67 }] }),
    counted: "no_common_protocol",
    final: true,
  },
  {
    what: "whose Status never comes",
    script: afterHello(() => {}),
    counted: "status_timeout",
    timesOut: true,
  },
  {
    what: "whose hello never comes",
    script: afterHandshake(() => {}),
    counted: "hello_timeout",
    timesOut: true,
  },
  {
    what: "that accepts, reads and stays silent",
    script: (socket) => socket.resume(),
    counted: "handshake_timeout",
    timesOut: true,
  },
  {
    what: "that accepts and does not even read",
    script: (socket) => socket.pause(),
    counted: "handshake_timeout",
    timesOut: true,
  },
  {
    what: "that closes at once",
    script: (socket) => socket.resume().end(),
    counted: "handshake_failed",
  },
  {
    what: "that resets in the handshake",
    // Not before it has heard something: a reset that comes at once may undo the connection itself.
    script: (socket) => socket.once("data", () => socket.resetAndDestroy()),
    counted: "handshake_failed",
  },
  {
    what: "that sends noise in place of the handshake",
    script: (socket) => {
      socket.resume()
      socket.write(Buffer.alloc(600, 0x5a))
    },
    counted: "handshake_failed",
  },
  {
    what: "that hangs up where its hello is due",
    script: afterHandshake((link) => link.transport.destroy()),
    counted: "hello_failed",
  },
  {
    what: "that hangs up where its Status is due",
    script: afterHello((link) => link.transport.end()),
    counted: "status_failed",
  },
  {
    what: "with another key than its address says",
    script: afterHandshake((link) => link.send(P2P.hello, encodeHello(helloOf(makeKey())))),
    counted: "hello_failed",
  },
  {
    what: "whose Status is no Status",
    script: afterHello((link) =>
      link.send(FIRST_CAPABILITY_CODE + ETH.status, Uint8Array.of(0xc1, 0x80)),
    ),
    counted: "status_failed",
  },
]

/** Every code of devp2p, and one that it does not know. */
const reasonCodes = [...Array.from({ length: 0x0c }, (_, code) => code), 0x10, 0x2a]

/** A Disconnect with a code, as a list of it. */
const disconnect = (code: number): Uint8Array => Uint8Array.of(0xc1, code === 0 ? 0x80 : code)

describe("a node", () => {
  for (const { what, script, counted, timesOut, final } of cases) {
    it.scopedLive(`${what} is ${counted}${final ? ", and is left alone from then on" : ""}`, () =>
      Effect.gen(function* () {
        const node = yield* scriptedNode(script)
        // A dial that may be of use another time is repeated.
        const end = yield* dial(
          [node],
          (refusals) => refusals >= (final ? 1 : 2),
          timesOut ? soon : {},
        )
        assert.deepEqual(Object.keys(end.refused), [counted])
        assert.strictEqual(end.opened, 0)
        assert.strictEqual(end.peers, 0)
        assert.strictEqual(end.records[0]!.final, final === true)
        const nth = final ? 1 : 2
        const tookMs = end.endedAtMs - node.connectedAtMs[nth - 1]!
        assert.isBelow(tookMs, DEADLINE_MS + SLACK_MS)
        if (timesOut) assert.isAbove(tookMs, DEADLINE_MS * 0.9)
      }),
    )
  }

  it.scopedLive("that nobody listens for is unreachable, and is dialled again", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const node = yield* Scope.extend(
        scriptedNode(() => {}),
        scope,
      )
      yield* Scope.close(scope, Exit.void)
      const end = yield* dial([node], (refusals) => refusals >= 2)
      assert.deepEqual(Object.keys(end.refused), ["unreachable"])
      assert.include(end.records[0], { outcome: "not reachable (ECONNREFUSED)", final: false })
    }),
  )

  it.scoped("that is not reached in time is a connect_timeout, and is dialled again", () =>
    Effect.gen(function* () {
      const node = yield* scriptedNode((socket) => socket.resume())
      // No time at all, on the test's clock: the deadline is over before the system was asked.
      const deadlines = { connectMs: 0 }
      yield* Effect.gen(function* () {
        const { refused } = (yield* Stats).network
        for (let i = 0; i < 200 && (refused.get("connect_timeout") ?? 0) < 2; i++) {
          yield* Effect.promise(async () => new Promise((resolve) => setImmediate(resolve)))
          yield* TestClock.adjust(60)
        }
        assert.deepEqual([...refused.keys()], ["connect_timeout"])
        assert.isAtLeast(refused.get("connect_timeout")!, 2)
      }).pipe(Effect.provide(dialling({ enodes: [node.enode], deadlines })))
    }),
  )

  for (const phase of ["hello", "status"] as const) {
    it.scopedLive(`that says Disconnect in the phase of ${phase} is counted by its reason`, () =>
      Effect.gen(function* () {
        const begin = phase === "hello" ? afterHandshake : afterHello
        const nodes = yield* Effect.forEach(reasonCodes, (code) =>
          scriptedNode(begin((link) => link.send(P2P.disconnect, disconnect(code)))),
        )
        const reasons = reasonCodes.map((code) => disconnectReason(code))
        assert.strictEqual(new Set(reasons).size, 14)
        const end = yield* dial(nodes, () => nodes.every((node) => node.connectedAtMs.length > 1))
        // "tcp_error" says that the connection broke, whoever notices it.
        const names = reasons.map((reason) => (reason === "tcp_error" ? `${phase}_failed` : reason))
        assert.sameMembers(Object.keys(end.refused), names)
        assert.strictEqual(end.opened, 0)
        for (const { final } of end.records) assert.isFalse(final)
      }),
    )
  }
})

describe("the dialler", () => {
  it.scopedLive("comes back to who is full, and never to who is of another world", () =>
    Effect.gen(function* () {
      const strangers = yield* Effect.forEach(
        cases.filter(({ final }) => final),
        ({ script }) => scriptedNode(script),
      )
      const full = yield* scriptedNode(
        afterHandshake((link) => link.send(P2P.disconnect, encodeDisconnect("too_many_peers"))),
      )
      const end = yield* dial([...strangers, full], () => full.connectedAtMs.length > 4)
      assert.isAtLeast(end.refused["too_many_peers"] ?? 0, 4)
      for (const { connectedAtMs } of strangers) assert.strictEqual(connectedAtMs.length, 1)
      const pauses = full.connectedAtMs.slice(1).map((at, i) => at - full.connectedAtMs[i]!)
      // redialMs, doubled each time up to maxRedialMs.
      for (const [i, pause] of pauses.entries()) {
        assert.isAtLeast(pause, Math.min(20 * 2 ** i, 100) * 0.9, `pause ${i}`)
      }
    }),
  )

  it.scopedLive("knows when nobody is left who could ever be connected", () =>
    Effect.gen(function* () {
      const strangers = yield* Effect.forEach(
        cases.filter(({ final }) => final),
        ({ script }) => scriptedNode(script),
      )
      const enodes = strangers.map(({ enode }) => enode)
      yield* Effect.flatMap(Dialer, ({ noneLeft }) => noneLeft).pipe(
        Effect.timeout(Duration.seconds(5)),
        Effect.provide(dialling({ enodes })),
      )
      for (const { connectedAtMs } of strangers) assert.strictEqual(connectedAtMs.length, 1)
    }),
  )

  it.scopedLive("leaves no socket behind when it ends in the middle of every phase", () =>
    Effect.gen(function* () {
      const nodes = yield* Effect.forEach(cases, ({ script }) => scriptedNode(script))
      yield* until(Effect.sync(() => nodes.some((node) => node.connectedAtMs.length > 0))).pipe(
        Effect.zipRight(Effect.sleep(Duration.millis(60))),
        Effect.provide(dialling({ enodes: nodes.map(({ enode }) => enode), deadlines: soon })),
      )
      // Who does not read learns of nothing: its socket ends with the node.
      const deaf = cases.findIndex(({ what }) => what.includes("not even read"))
      const others = nodes.filter((_, index) => index !== deaf)
      yield* until(Effect.sync(() => others.every((node) => node.open() === 0)))
    }),
  )
})
