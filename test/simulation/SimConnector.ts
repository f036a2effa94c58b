/**
 * Opens sessions with the peers of the simulated world, in place of TCP: over a transport in memory
 * that takes its time on the world's clock.
 *
 * Two ways, by the plan. In most worlds both ends begin with an open link, with secrets that are
 * always the same: what is left out is the handshake's cryptography, hello and Status' turn, nothing
 * of what a session does afterwards. In the others both ends go through every phase.
 *
 * Out: {@link layerSimConnector}, and in {@link SessionAccount} what is open and what was let go.
 */
import { Effect, Layer, type Scope } from "effect"
import { fromHex } from "../../src/domain/hex.ts"
import { makeOurSide, type OurSide } from "../../src/peers/OurSide.ts"
import { PeerConnector } from "../../src/peers/PeerConnector.ts"
import { FIRST_CAPABILITY_CODE, P2P_VERSION } from "../../src/wire/hello.ts"
import { memoryPair, type MemoryTransport } from "../../src/wire/MemoryTransport.ts"
import { MessageLink } from "../../src/wire/MessageLink.ts"
import { openOver } from "../../src/wire/Opening.ts"
import { dialSession, type Session } from "../../src/wire/Session.ts"
import { makeSession } from "../../src/wire/SessionCore.ts"
import {
  ConnectFailed,
  HandshakeFailed,
  type RequestError,
  type SessionOpenError,
} from "../../src/wire/WireError.ts"
import type { FrameSecrets } from "../../src/wire/frames.ts"
import type { SimPeer } from "./SimPeer.ts"
import type { Trace } from "./trace.ts"
import type { VirtualTime } from "./VirtualTime.ts"

/** What the connector needs of the world. */
export interface ConnectorWorld {
  readonly time: VirtualTime
  readonly trace: Trace
  readonly handshakes: boolean
  /** By node id. */
  readonly peers: ReadonlyMap<string, SimPeer>
  readonly account: SessionAccount
}

/** What is open. */
export interface SessionAccount {
  /** Sessions whose scope has not closed. */
  open: number
  /** Requests that were interrupted, by the end of the run most of all. */
  interrupted: number
}

const OUR_KEY = fromHex("11".padStart(64, "5"))
const CONNECT_MS = 5_000
const NOTHING = new Uint8Array(0)

/** Sessions with the world's peers. */
export const layerSimConnector = (world: ConnectorWorld) =>
  Layer.effect(
    PeerConnector,
    Effect.map(
      makeOurSide({ privateKey: OUR_KEY, clientId: "annals/simulated" }, () => 0),
      (ourSide) => ({
        connect: (enode) =>
          Effect.gen(function* () {
            const peer = world.peers.get(enode.nodeId)
            const { host, tcpPort: port } = enode
            if (peer === undefined)
              return yield* new ConnectFailed({ host, port, reason: "ENOENT", timedOut: false })
            return yield* open(world, peer, ourSide())
          }),
      }),
    ),
  )

const open = Effect.fnUntraced(function* (
  world: ConnectorWorld,
  peer: SimPeer,
  { options, follow }: OurSide,
): Effect.fn.Return<Session, SessionOpenError, Scope.Scope> {
  const { name, latencyMs, openingFault } = peer.plan
  const { host, tcpPort: port } = peer.enode
  if (openingFault === "never-answers") {
    yield* Effect.sleep(CONNECT_MS)
    return yield* new ConnectFailed({ host, port, reason: "timeout", timedOut: true })
  }
  yield* Effect.sleep(2 * latencyMs)
  if (!peer.answersDial()) {
    world.trace.note(name, "refuses")
    return yield* new ConnectFailed({ host, port, reason: "ECONNREFUSED", timedOut: false })
  }
  world.account.open += 1
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      world.account.open -= 1
    }),
  )
  const [ours, theirs] = memoryPair({
    schedule: (deliver) => world.time.after(latencyMs, deliver),
  })
  const session = yield* (world.handshakes ? shaken : linked)(world, peer, options, ours, theirs)
  world.trace.note(name, `session, eth/${session.ethVersion}`)
  yield* follow(session)
  return counted(session, world.account)
})

type Open = (
  world: ConnectorWorld,
  peer: SimPeer,
  options: OurSide["options"],
  ours: MemoryTransport,
  theirs: MemoryTransport,
) => Effect.Effect<Session, SessionOpenError, Scope.Scope>

/** Both ends go through handshake, hello and Status. */
const shaken: Open = Effect.fnUntraced(function* (world, peer, options, ours, theirs) {
  const { ethVersion, name } = peer.plan
  const answering = openOver(theirs, undefined, {
    privateKey: peer.privateKey,
    clientId: `sim/${name}`,
    listenPort: 0,
    ethVersions: [ethVersion],
    localStatus: () => peer.status(),
    checkStatus: () => undefined,
  }).pipe(
    Effect.map(({ link, release }) => {
      peer.talk(link, () => theirs.destroy())
      release()
    }),
    Effect.ignore,
  )
  yield* Effect.forkScoped(answering)
  return yield* dialSession(ours, peer.publicKey, options)
})

/** Both ends have a link at once. */
const linked: Open = Effect.fnUntraced(function* (world, peer, options, ours, theirs) {
  const { ethVersion, name } = peer.plan
  const now = (): number => world.time.nowMs
  const link = new MessageLink(ours, ourSecrets, {
    now,
    admitFrame: options.admitFrame,
    unfinished: options.unfinishedFrames,
  })
  const release = link.start(NOTHING)
  const far = new MessageLink(theirs, theirSecrets, { now, admitFrame: undefined })
  const releaseFar = far.start(NOTHING)
  link.startCompression()
  far.startCompression()
  yield* Effect.addFinalizer(() => Effect.sync(() => ours.end()))
  const status = peer.status()
  const wrong = options.checkStatus(status)
  if (wrong !== undefined) return yield* wrong
  peer.talk(far, () => theirs.destroy())
  releaseFar()
  if (link.ended !== undefined) {
    return yield* new HandshakeFailed({ phase: "status", reason: "end", timedOut: false })
  }
  const hello = {
    p2pVersion: P2P_VERSION,
    clientId: `sim/${name}`,
    capabilities: [{ name: "eth", version: ethVersion }],
    listenPort: 0,
    nodeId: peer.publicKey,
  }
  const eth = { version: ethVersion, offset: FIRST_CAPABILITY_CODE }
  const opened = { link, release, remoteId: peer.publicKey, hello, eth, status }
  return yield* makeSession(opened, false, options)
})

const filled = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)

const ourSecrets: FrameSecrets = {
  aesSecret: filled(1),
  macSecret: filled(2),
  ingressMacSeed: filled(3),
  egressMacSeed: filled(4),
}
const theirSecrets: FrameSecrets = {
  ...ourSecrets,
  ingressMacSeed: ourSecrets.egressMacSeed,
  egressMacSeed: ourSecrets.ingressMacSeed,
}

/** A session that tells when one of its requests is interrupted. */
const counted = (session: Session, account: SessionAccount): Session => {
  const watched = <A>(request: Effect.Effect<A, RequestError>): Effect.Effect<A, RequestError> =>
    Effect.onInterrupt(request, () =>
      Effect.sync(() => {
        account.interrupted += 1
      }),
    )
  return {
    ...session,
    getBlockHeaders: (...asked) => watched(session.getBlockHeaders(...asked)),
    getBlockBodies: (...asked) => watched(session.getBlockBodies(...asked)),
    getReceipts: (...asked) => watched(session.getReceipts(...asked)),
  }
}
