/**
 * Peers that come and go, thousands of times, against the real way from an address to the pool: what
 * is left of them. Every connection is met in another way, from a good session to a deaf socket.
 *
 * Between rounds the dials are held back, so that all is at rest with everything still in scope: what
 * is alive then belongs to nobody any more if it grows from one rest to the next.
 */
import type net from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import v8 from "node:v8"
import vm from "node:vm"
import { Effect, FiberSet, Layer, Logger, LogLevel, type Scope, Stream, Supervisor } from "effect"
import { genesisHead, localStatus } from "../../src/chain/status.ts"
import { answerItems, encodeAnswer } from "../../src/devnet/answers.ts"
import { generateChain } from "../../src/devnet/generatedChain.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { Dialer } from "../../src/peers/Dialer.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { encodeStatus, ETH, type EthRequest } from "../../src/wire/ethMessages.ts"
import { encodeDisconnect, FIRST_CAPABILITY_CODE, P2P } from "../../src/wire/hello.ts"
import { acceptSession, type Session, type SessionOptions } from "../../src/wire/Session.ts"
import { NodeTransport } from "../../src/wire/Transport.ts"
import { dialling, ourChain } from "./dialling.ts"
import { afterHandshake, afterHello, type Key, type Script, scriptedNode } from "./scriptedNode.ts"

/** What is alive while all is at rest. */
export interface Rest {
  readonly connections: number
  /** Heap and what hangs from it outside, after a collection. */
  readonly liveBytes: number
  /** Fibers of the side that dials. */
  readonly fibers: number
  readonly pooled: number
  readonly freeBytes: number
  readonly resources: Readonly<Record<string, number>>
}

/** What is left of so many connections. */
export interface CyclesEnd {
  readonly connections: number
  readonly nodes: number
  /** The process's resources by kind, before the first dial and after the end of the dialler. */
  readonly before: Readonly<Record<string, number>>
  readonly after: Readonly<Record<string, number>>
  /** The first is after a quarter of the connections. */
  readonly rests: ReadonlyArray<Rest>
  /** Entries of what is remembered of nodes. */
  readonly records: number
  readonly tallies: number
  readonly opened: number
  readonly closed: number
  /** How the dials without a session ended, and how the sessions did: all kinds must be there. */
  readonly refused: Readonly<Record<string, number>>
  readonly endings: Readonly<Record<string, number>>
}

const ROUNDS = 4
/** More than are dialled at once, so that every rest finds as many dials held back. */
const NODES = 32
const DIALS_AT_ONCE = 16
/** A deaf socket hears of no end: the node itself does away with it. */
const DEAF_MS = 1_200
const PHASE_MS = 60
/** What is not at rest by then never will be. */
const REST_MS = 10_000

const chain = generateChain({ blocks: 3, shape: "tiny", seed: 2 })
const status = localStatus(ourChain, genesisHead(ourChain), 69)

/** How a node answers the requests of a session, and how it ends it. */
interface Manners {
  readonly onRequest: (session: Session, request: EthRequest) => Effect.Effect<Uint8Array | null>
  readonly end: (session: Session, socket: net.Socket) => Effect.Effect<unknown>
}

const serving = (session: Session, request: EthRequest): Effect.Effect<Uint8Array> =>
  Effect.sync(() => {
    const { ethVersion } = session
    return encodeAnswer(ethVersion, request, answerItems(chain, ethVersion, request))
  })

const leaving: Manners = {
  onRequest: serving,
  end: (session) =>
    Effect.delay(session.disconnect("too_many_peers"), 20).pipe(Effect.zipRight(session.closed)),
}
const breaking: Manners = {
  onRequest: serving,
  end: (_, socket) =>
    Effect.delay(
      Effect.sync(() => socket.resetAndDestroy()),
      20,
    ),
}
const mute: Manners = {
  onRequest: () => Effect.succeed(null),
  end: (session) => session.closed,
}
const lying: Manners = {
  onRequest: (session, request) =>
    request._tag === "GetBlockHeaders" ? serving(session, { ...request, start: 1 }) : Effect.never,
  end: (session) => session.closed,
}

type Run = (effect: Effect.Effect<unknown>) => unknown

/** A whole session over real wire, with such manners. */
const session =
  (run: Run, { onRequest, end }: Manners): Script =>
  (socket, key) => {
    const options: SessionOptions = {
      privateKey: key.privateKey,
      clientId: "cycles",
      listenPort: 0,
      ethVersions: [69],
      localStatus: () => status,
      checkStatus: () => undefined,
      onRequest,
    }
    run(
      acceptSession(NodeTransport.accepted(socket), options).pipe(
        Effect.flatMap((opened) => end(opened, socket)),
        Effect.scoped,
        Effect.ignore,
      ),
    )
  }

const sayGoodbye = (link: Parameters<Parameters<typeof afterHandshake>[0]>[0]): void =>
  link.send(P2P.disconnect, encodeDisconnect("too_many_peers"))

/** Every way in which a connection is met, in turn. */
const scripts = (run: Run): ReadonlyArray<Script> => [
  session(run, leaving),
  session(run, breaking),
  session(run, mute),
  session(run, lying),
  afterHandshake(sayGoodbye),
  afterHello(sayGoodbye),
  (socket) => socket.resume(),
  afterHandshake(() => {}),
  afterHello(() => {}),
  (socket) => socket.once("data", () => socket.resetAndDestroy()),
  afterHandshake((link) => link.transport.destroy()),
  afterHello((link) => link.send(FIRST_CAPABILITY_CODE + ETH.status, Uint8Array.of(0xc0))),
  (socket) => {
    socket.pause()
    setTimeout(() => socket.destroy(), DEAF_MS)
  },
  afterHello((link) => {
    link.send(FIRST_CAPABILITY_CODE + ETH.status, encodeStatus(status))
    sayGoodbye(link)
  }),
]

/** The process's own stdin, stdout and stderr, which are opened when they are first used. */
const OWN_STREAMS: ReadonlySet<string> = new Set(["PipeWrap", "TTYWrap"])

/** Sockets, servers, timers and whatever else keeps the process alive, by kind. */
const resources = (): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) {
    if (!OWN_STREAMS.has(kind)) counts[kind] = (counts[kind] ?? 0) + 1
  }
  return counts
}

/** Whether `counts` has no more of any kind than `most`. */
const within = (
  counts: Readonly<Record<string, number>>,
  most: Readonly<Record<string, number>>,
): boolean => Object.entries(counts).every(([kind, count]) => count <= (most[kind] ?? 0))

/** The resources, once they are no more than those; what they are after 2 s if they stay more. */
const settled = async (
  most: Readonly<Record<string, number>>,
): Promise<Readonly<Record<string, number>>> => {
  for (let i = 0; i < 200; i++) {
    const counts = resources()
    if (within(counts, most)) return counts
    await sleep(10)
  }
  return resources()
}

v8.setFlagsFromString("--expose-gc")
const collect: () => void = vm.runInNewContext("gc")

const liveBytes = async (): Promise<number> => {
  for (let i = 0; i < 3; i++) {
    collect()
    // What a collection frees outside of the heap is given back after it.
    await sleep(20)
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Goes through so many connections, and tells what is left of them. */
export const runCycles = (cycles: number): Effect.Effect<CyclesEnd, never, Scope.Scope> =>
  Effect.gen(function* () {
    const run = yield* FiberSet.makeRuntime<never>()
    const ways = scripts(run)
    const nodes = yield* Effect.forEach(Array.from({ length: NODES }), (_, index) =>
      scriptedNode((socket: net.Socket, key: Key, nth: number) =>
        ways[(index + nth) % ways.length]!(socket, key, nth),
      ),
    )
    const connections = (): number =>
      nodes.reduce((sum, { connectedAtMs }) => sum + connectedAtMs.length, 0)
    const allClosed = (): boolean => nodes.every((node) => node.open() === 0)
    const before = resources()

    const supervisor = yield* Supervisor.track
    const gate = yield* Effect.makeLatch(true)
    const layer = dialling({
      enodes: nodes.map(({ enode }) => enode),
      deadlines: { connectMs: 1_000, handshakeMs: 400, helloMs: 400, statusMs: 400 },
      settings: {
        redialMs: 1,
        maxRedialMs: 5,
        maxConcurrentDials: DIALS_AT_ONCE,
        maxPeers: 4 * NODES,
        requestTimeoutMs: PHASE_MS,
        coolDownMs: 1,
        maxCoolDownMs: 5,
        failuresToBan: 2,
        banMs: 20,
      },
      around: ({ connect }) => ({
        connect: (enode) => Effect.zipRight(gate.await, connect(enode)),
      }),
    })

    const rounds = Effect.gen(function* () {
      const stats = yield* Stats
      const pool = yield* PeerPool
      const dialer = yield* Dialer
      const { free } = yield* ByteGate
      yield* Effect.forkScoped(Stream.runDrain(pool.events))
      const rests: Array<Rest> = []

      const rest = Effect.gen(function* () {
        yield* gate.close
        yield* waitFor(
          () => allClosed() && stats.network.sessionsOpened === stats.network.sessionsClosed,
        )
        // The free places are taken by dials that wait at the gate.
        yield* Effect.sleep(200)
        const expected = rests[0]?.resources ?? resources()
        const live = yield* Effect.promise(liveBytes)
        rests.push({
          connections: connections(),
          liveBytes: live,
          fibers: (yield* supervisor.value).length,
          pooled: (yield* pool.connected).length,
          freeBytes: free(),
          resources: yield* Effect.promise(async () => settled(expected)),
        })
        yield* gate.open
      })
      for (let round = 1; round <= ROUNDS; round++) {
        const goal = (cycles * round) / ROUNDS
        while (connections() < goal) yield* Effect.sleep(10)
        yield* rest
      }
      return {
        rests,
        records: (yield* dialer.records).length,
        tallies: stats.peers.size,
        opened: stats.network.sessionsOpened,
        closed: stats.network.sessionsClosed,
        refused: Object.fromEntries(stats.network.refused),
        endings: Object.fromEntries(stats.network.closed),
      }
    })
    const found = yield* rounds.pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(layer, Logger.minimumLogLevel(LogLevel.None))),
      Effect.supervised(supervisor),
    )
    yield* waitFor(allClosed)
    const after = yield* Effect.promise(async () => settled(before))
    return { connections: connections(), nodes: NODES, before, after, ...found }
  })

const waitFor = (holds: () => boolean): Effect.Effect<void> =>
  Effect.promise(async () => {
    for (const endMs = performance.now() + REST_MS; performance.now() < endMs; await sleep(10)) {
      if (holds()) return
    }
  })

/** Growth that is still noise: caches that fill, code that is compiled. */
const NOISE_BYTES = 2 * 1024 * 1024

/** What is left over that should not be, in words; nothing where there is no leak. */
export const leaksOf = (end: CyclesEnd): ReadonlyArray<string> => {
  const [first, ...later] = end.rests
  if (first === undefined) return ["there was no rest"]
  const leaks: Array<string> = []
  const demand = (holds: boolean, what: string): void => {
    if (!holds) leaks.push(what)
  }
  demand(
    within(end.after, end.before),
    `resources at the end: ${JSON.stringify(end.after)}, before: ${JSON.stringify(end.before)}`,
  )
  for (const rest of end.rests) {
    const at = `after ${rest.connections} connections`
    demand((rest.resources["TCPSocketWrap"] ?? 0) === 0, `sockets ${at}`)
    demand(rest.pooled === 0, `${rest.pooled} peers in the pool ${at}`)
    demand(rest.freeBytes === first.freeBytes, `bytes held in the gate ${at}`)
  }
  for (const rest of later) {
    const at = `after ${rest.connections} connections, after ${first.connections}`
    demand(
      within(rest.resources, first.resources),
      `resources ${JSON.stringify(rest.resources)} ${at}: ${JSON.stringify(first.resources)}`,
    )
    demand(rest.fibers <= first.fibers, `${rest.fibers} fibers ${at}: ${first.fibers}`)
  }
  const last = later.at(-1)
  if (last !== undefined) {
    const room = Math.max(NOISE_BYTES, first.liveBytes / 10)
    const grown = last.liveBytes - first.liveBytes
    demand(grown <= room, `${grown} live bytes more than after a quarter of the connections`)
  }
  demand(end.records <= end.nodes, `${end.records} records of ${end.nodes} nodes`)
  demand(end.tallies <= end.nodes, `${end.tallies} tallies of ${end.nodes} nodes`)
  demand(end.opened === end.closed, `${end.opened} sessions opened, ${end.closed} closed`)
  return leaks
}
