/**
 * Sessions that peers open with us: listens, and gives who comes to the {@link PeerKeeper}, like a
 * peer that we have dialled.
 *
 * Invariants: at most `maxInbound` sessions; who comes beyond that is told `too_many_peers`. Of one
 * address at most {@link OPENING_PER_ADDRESS} connections are in a phase of opening, and no more
 * than {@link ATTEMPTS} come to one: a handshake costs us 9 ms of processor time. A peer whose ban
 * still runs is sent away. Every connection that becomes no session is counted, by why. Everything
 * ends with the scope.
 */
import { Clock, Context, Effect, Layer, type Scope } from "effect"
import type { ByteGate } from "../fetch/ByteGate.ts"
import { Stats } from "../observe/Stats.ts"
import type { HistoryAnswers } from "../serving/HistoryAnswers.ts"
import type { OurHead } from "../serving/OurHead.ts"
import { type Bucket, type BucketRate, fullBucket, takeToken } from "../domain/tokenBucket.ts"
import type { OpeningDeadlines } from "../wire/limits.ts"
import type { ListenOptions, Listener } from "../wire/Listener.ts"
import type { Session } from "../wire/Session.ts"
import type { RemoteAddress } from "../wire/Transport.ts"
import { ListenError } from "../wire/WireError.ts"
import { AgeingMap } from "./discv4/ageingMap.ts"
import { originOf } from "./inboundAddress.ts"
import { openErrorName } from "./openErrors.ts"
import { type Identity, makeOurSide, type OurSide } from "./OurSide.ts"
import { PeerKeeper } from "./PeerKeeper.ts"
import { Reputation } from "./Reputation.ts"

/** See the module. */
export interface InboundShape {
  /** The TCP port where we listen; 0 when we do not. */
  readonly port: number
  /** The address where we listen, `::` for all of them; empty when we do not. */
  readonly host: string
}

/** Where to listen, and for how many. */
export interface InboundOptions {
  /** 0 lets the system choose. */
  readonly port: number
  /** Sessions at once that peers have opened. */
  readonly maxInbound: number
  /** Sessions at once of one address; {@link SESSIONS_PER_ADDRESS} where not given. */
  readonly maxPerAddress?: number
  /** All addresses by default, as geth does. */
  readonly host?: string
  /** How long each phase of opening may take; `defaultDeadlines` where not given. */
  readonly deadlines?: Partial<OpeningDeadlines>
}

/** Connections of one address that may be in a phase of opening: a node makes one at a time. */
const OPENING_PER_ADDRESS = 4
/** Connections from one address: geth and reth take one in 30 s; a restart may bring some more. */
export const ATTEMPTS: BucketRate = { perSecond: 0.2, burst: 8 }
/** Sessions of one address, so that nobody takes all places by himself; loopback has no limit. */
export const SESSIONS_PER_ADDRESS = 8
/** After so long an address's bucket is full again. */
const ATTEMPTS_KEPT_MS = (ATTEMPTS.burst / ATTEMPTS.perSecond) * 1000
/** Addresses whose attempts are remembered, some 200 bytes each. */
const KNOWN_ORIGINS = 4_096

/** See {@link InboundShape}. */
export class Inbound extends Context.Tag("annals/Inbound")<Inbound, InboundShape>() {
  /** Listens nowhere. */
  static readonly layerNone: Layer.Layer<Inbound> = Layer.succeed(Inbound, { port: 0, host: "" })

  /** Listens until the Layer is closed. Fails when the port cannot be had. */
  static readonly layer = (
    identity: Identity,
    options: InboundOptions,
  ): Layer.Layer<
    Inbound,
    ListenError,
    ByteGate | HistoryAnswers | OurHead | PeerKeeper | Reputation | Stats
  > => Layer.scoped(Inbound, startInbound(identity, options))
}

const startInbound = Effect.fnUntraced(function* (identity: Identity, options: InboundOptions) {
  const { network } = yield* Stats
  let listener: Listener | undefined
  const ourSide = yield* makeOurSide(identity, () => listener?.port ?? options.port)
  const receive = yield* makeReception(options)
  const { listenEach } = yield* Effect.promise(async () => import("../wire/Listener.ts"))
  const admit = makeAdmission(yield* Effect.clock)
  const open = (host: string): Effect.Effect<Listener, ListenError, Scope.Scope> => {
    const where: ListenOptions = {
      host,
      port: options.port,
      admit,
      maxOpeningPerAddress: OPENING_PER_ADDRESS,
      onTurnedAway: (_remote, why) =>
        network.inboundRefusedFor(why === "not_admitted" ? "too_often" : why),
      onFailed: (remote, error) =>
        Effect.zipRight(
          Effect.sync(() => network.inboundRefusedFor(openErrorName(error))),
          Effect.logDebug("inbound connection failed", remote, error),
        ),
    }
    return listenEach(where, () => receive(ourSide()))
  }
  const { host } = options
  listener = yield* host === undefined ? Effect.catchAll(open("::"), withoutIpv6(open)) : open(host)
  return { port: listener.port, host: listener.host }
})

/** A system without IPv6 has all addresses under another name. */
const withoutIpv6 =
  (open: (host: string) => Effect.Effect<Listener, ListenError, Scope.Scope>) =>
  (error: ListenError): Effect.Effect<Listener, ListenError, Scope.Scope> =>
    error.reason === "EAFNOSUPPORT" || error.reason === "EADDRNOTAVAIL"
      ? open("0.0.0.0")
      : Effect.fail(error)

/** Gives how a session is received that has been opened. */
const makeReception = Effect.fnUntraced(function* (options: InboundOptions) {
  const { maxInbound, maxPerAddress = SESSIONS_PER_ADDRESS, deadlines = {} } = options
  const { keep } = yield* PeerKeeper
  const reputation = yield* Reputation
  const { network } = yield* Stats
  let sessions = 0
  const ofOrigin = new Map<string, number>()
  /** One session more, or fewer, of an address. */
  const count = (origin: string | undefined, change: 1 | -1): void => {
    sessions += change
    if (origin === undefined) return
    const left = (ofOrigin.get(origin) ?? 0) + change
    if (left === 0) ofOrigin.delete(origin)
    else ofOrigin.set(origin, left)
  }

  const stay = Effect.fnUntraced(function* (session: Session, { follow }: OurSide) {
    const { banned, usableFromMs } = yield* reputation.standing(session.peerId)
    if (banned && usableFromMs > (yield* Clock.currentTimeMillis)) {
      network.inboundRefusedFor("banned")
      return yield* sendAway(session, "useless_peer")
    }
    yield* follow(session)
    return yield* keep(session)
  })

  return (ourSide: OurSide) => ({
    options: { ...ourSide.options, deadlines },
    onSession: (session: Session) =>
      Effect.suspend(() => {
        const origin = originOf(session.remote.host)
        const own = origin === undefined ? 0 : (ofOrigin.get(origin) ?? 0)
        if (sessions >= maxInbound || own >= maxPerAddress) {
          network.inboundRefusedFor(sessions >= maxInbound ? "max_inbound" : "of_address")
          return sendAway(session, "too_many_peers")
        }
        count(origin, 1)
        return Effect.ensuring(
          Effect.asVoid(stay(session, ourSide)),
          Effect.sync(() => count(origin, -1)),
        )
      }),
  })
})

const sendAway = (session: Session, reason: "too_many_peers" | "useless_peer") =>
  Effect.zipRight(session.disconnect(reason), session.closed)

/** Gives whether a connection from an address is taken. */
const makeAdmission = (clock: Clock.Clock) => {
  const attempts = new AgeingMap<Bucket>(KNOWN_ORIGINS)
  return ({ host }: RemoteAddress): boolean => {
    const origin = originOf(host)
    if (origin === undefined) return true
    const nowMs = clock.unsafeCurrentTimeMillis()
    const before = attempts.get(origin, nowMs) ?? fullBucket(ATTEMPTS, nowMs)
    const { bucket, taken } = takeToken(ATTEMPTS, before, nowMs)
    attempts.set(origin, bucket, nowMs + ATTEMPTS_KEPT_MS)
    return taken
  }
}
