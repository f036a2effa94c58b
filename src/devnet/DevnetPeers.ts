/**
 * Real peers on 127.0.0.1 that serve a chain held in memory: RLPx listeners with keys of their own,
 * a latency, a bandwidth and a fault each. Used by `annals devnet` and by tests.
 */
import { randomBytes } from "node:crypto"
import { Clock, Duration, Effect, Queue, type Scope } from "effect"
import type { ChainSpec } from "../chain/chainSpec.ts"
import type { Enode } from "../chain/enode.ts"
import { type LocalHead, localStatus, statusMismatch } from "../chain/status.ts"
import { toHex } from "../domain/hex.ts"
import { publicKey } from "../domain/secp256k1.ts"
import { encodeBlockRangeUpdate, ETH, type EthRequest } from "../wire/ethMessages.ts"
import type { EthVersion } from "../wire/hello.ts"
import { listen } from "../wire/Listener.ts"
import type { Session, SessionOptions } from "../wire/Session.ts"
import { type ListenError, WrongNetwork } from "../wire/WireError.ts"
import { answerItems, encodeAnswer } from "./answers.ts"
import { announce, type FaultKind, react } from "./faults.ts"
import { LiveChain } from "./liveChain.ts"
import type { ServedChain } from "./servedChain.ts"

/** One peer to start. */
export interface DevnetPeerOptions {
  readonly chain: ChainSpec
  /** What it serves; a chain that moves is announced to open sessions of eth/69 and later. */
  readonly served: ServedChain | LiveChain
  readonly ethVersions: ReadonlyArray<EthVersion>
  /** 0 lets the system choose. */
  readonly port: number
  /** From the arrival of a request to the departure of its answer. */
  readonly latencyMs: number
  /** Of what the peer sends, over all its sessions; undefined for no limit. */
  readonly bandwidthMbit: number | undefined
  readonly fault: FaultKind | undefined
  /** Its secp256k1 key, 32 bytes; a fresh one when not given. */
  readonly privateKey?: Uint8Array
  /** Whom it asks first when it takes part in discv4; undefined when it does not. */
  readonly discovery: { readonly bootnodes: ReadonlyArray<Enode> } | undefined
}

const HOST = "127.0.0.1"

/** Sessions that may be opened at once: a benchmark dials everything at the same instant. */
const MAX_OPENING = 64

/** Starts a peer that listens as long as the scope; gives its address. */
export const startDevnetPeer = (
  options: DevnetPeerOptions,
): Effect.Effect<Enode, ListenError, Scope.Scope> =>
  Effect.gen(function* () {
    const { served } = options
    const privateKey = options.privateKey ?? new Uint8Array(randomBytes(32))
    const nodeId = toHex(publicKey(privateKey))
    const head = (): LocalHead => headOf(servedNow(served))
    const answer = makeAnswering(options)
    const sessions = new Set<Session>()
    const sessionOptions: SessionOptions = {
      privateKey,
      clientId: `annals-devnet/${options.fault ?? "honest"}`,
      listenPort: options.port,
      ethVersions: options.ethVersions,
      localStatus: (version) =>
        announce(options.fault, localStatus(options.chain, head(), version)),
      checkStatus: (status) => {
        const mismatch = statusMismatch(options.chain, head(), status)
        return mismatch === undefined ? undefined : new WrongNetwork(mismatch)
      },
      onRequest: answer,
    }
    const where = { host: HOST, port: options.port, maxOpening: MAX_OPENING }
    const listener = yield* listen(where, sessionOptions, (session) =>
      Effect.acquireUseRelease(
        Effect.sync(() => sessions.add(session)),
        () => session.closed,
        () => Effect.sync(() => sessions.delete(session)),
      ),
    )
    if (served instanceof LiveChain) yield* announceMoves(served, sessions)
    if (options.discovery !== undefined) {
      const { startDevnetDiscovery } = yield* Effect.promise(
        async () => import("./DevnetDiscovery.ts"),
      )
      yield* startDevnetDiscovery({
        privateKey,
        host: HOST,
        port: listener.port,
        chain: options.chain,
        head: head(),
        bootnodes: options.discovery.bootnodes,
      })
    }
    return {
      nodeId,
      host: HOST,
      tcpPort: listener.port,
      udpPort: listener.port,
    }
  })

/** What is served at this instant. */
const servedNow = (served: ServedChain | LiveChain): ServedChain =>
  served instanceof LiveChain ? served.current : served

const headOf = (served: ServedChain): LocalHead => ({
  ...served.head,
  totalDifficulty: served.totalDifficultyAt(served.lastBlock),
  earliest: served.firstBlock,
})

/** Tells open sessions of eth/69 and later of each new head, also where it is lower (EIP-7642). */
const announceMoves = Effect.fnUntraced(function* (
  chain: LiveChain,
  sessions: Iterable<Session>,
): Effect.fn.Return<void, never, Scope.Scope> {
  const moves = yield* Queue.sliding<void>(1)
  yield* Effect.acquireRelease(
    Effect.sync(() => chain.onMove(() => void moves.unsafeOffer(undefined))),
    (stop) => Effect.sync(stop),
  )
  const tell = Effect.suspend(() => {
    const { earliest, number, hash } = headOf(chain.current)
    const update = encodeBlockRangeUpdate({
      earliestBlock: earliest,
      latestBlock: number,
      latestBlockHash: hash,
    })
    const told = [...sessions].filter(({ ethVersion }) => ethVersion >= 69)
    return Effect.forEach(told, (session) => session.sendRaw(ETH.blockRangeUpdate, update), {
      discard: true,
    })
  })
  yield* Effect.forkScoped(Effect.forever(Effect.zipRight(Queue.take(moves), tell)))
})

/** Gives what a peer does with each request: latency, bandwidth and fault applied. */
const makeAnswering = (
  options: DevnetPeerOptions,
): ((session: Session, request: EthRequest) => Effect.Effect<Uint8Array | null>) => {
  const { fault, latencyMs } = options
  // Counts of sessions that are gone are gone with them.
  const requests = new WeakMap<Session, number>()
  const send = makeBandwidth(options.bandwidthMbit)

  return Effect.fnUntraced(function* (session: Session, request: EthRequest) {
    const nth = (requests.get(session) ?? 0) + 1
    requests.set(session, nth)
    const version = session.ethVersion
    const served = servedNow(options.served)
    const honest = answerItems(served, version, request)
    const reaction = react(fault, { chain: served, version, request }, nth, honest)
    switch (reaction._tag) {
      case "Silence":
        return null
      case "Leave":
        yield* session.disconnect("too_many_peers")
        return null
      case "Garbage":
        yield* Effect.sleep(Duration.millis(latencyMs))
        yield* session.sendRaw(reaction.code, randomBytes(64))
        return null
      case "Answer": {
        const delayMs = latencyMs + reaction.extraDelayMs
        if (delayMs > 0) yield* Effect.sleep(Duration.millis(delayMs))
        const payload = encodeAnswer(version, request, reaction.answer)
        yield* send(payload.length)
        return payload
      }
    }
  })
}

/** Gives the wait that keeps what is sent within `mbit` megabits a second, first come first. */
const makeBandwidth = (mbit: number | undefined): ((bytes: number) => Effect.Effect<void>) => {
  if (mbit === undefined) return () => Effect.void
  const bytesPerMs = (mbit * 1_000_000) / 8 / 1000
  let freeAtMs = 0
  return (bytes) =>
    Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
      freeAtMs = Math.max(freeAtMs, nowMs) + bytes / bytesPerMs
      return Effect.sleep(Duration.millis(freeAtMs - nowMs))
    })
}
