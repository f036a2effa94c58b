/**
 * A whole annals in this process, over TCP on loopback: from addresses to a store, with one honest
 * peer and those that are to be tried out on it.
 */
import { randomBytes } from "node:crypto"
import { Duration, Effect, Layer } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import type { Enode } from "../../src/chain/enode.ts"
import { sourceOf } from "../../src/devnet/answers.ts"
import { startDevnetPeer } from "../../src/devnet/DevnetPeers.ts"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { publicKey } from "../../src/domain/secp256k1.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { ingestStages } from "../../src/modes/ingestStages.ts"
import { IngestStats } from "../../src/observe/IngestStats.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { Dialer } from "../../src/peers/Dialer.ts"
import { Inbound } from "../../src/peers/Inbound.ts"
import { PeerCache } from "../../src/peers/PeerCache.ts"
import { PeerConnector } from "../../src/peers/PeerConnector.ts"
import { PeerKeeper } from "../../src/peers/PeerKeeper.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { PeerSource } from "../../src/peers/PeerSource.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { Scheduler } from "../../src/scheduler/Scheduler.ts"
import { WorkList } from "../../src/scheduler/WorkList.ts"
import { HistoryAnswers } from "../../src/serving/HistoryAnswers.ts"
import { HistoryReader } from "../../src/serving/HistoryReader.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { checks } from "../../src/process/checks.ts"
import { Settings } from "../../src/Settings.ts"
import { Store } from "../../src/write/Store.ts"
import { commitDefaults } from "../../src/write/storeProtocol.ts"
import { Writer } from "../../src/write/Writer.ts"
import { freshDirectory } from "../support/ingestRun.ts"

/** The chain that everybody serves: 10 transactions, 20 logs and 2 withdrawals a block. */
export const BLOCKS = 96
export const servedChain = generateChain({ blocks: BLOCKS, shape: "light", seed: 7 })

const host = "127.0.0.1"
const spec = generatedChainSpec()
/** Each phase of opening may take so long: the slow ones are many. */
export const DEADLINE_MS = 1_000
const deadlines = {
  connectMs: DEADLINE_MS,
  handshakeMs: DEADLINE_MS,
  helloMs: DEADLINE_MS,
  statusMs: DEADLINE_MS,
}

const settings = Settings.layer({
  // What a busy machine takes for a request, and how soon the honest peer is back after all.
  requestTimeoutMs: 1_000,
  banMs: 3_000,
  giveUpMs: 30_000,
  blocksPerAssignment: 8,
  slotsPerPeer: 2,
  receiptsPerRequest: 128,
  coolDownMs: 20,
  maxCoolDownMs: 50,
  redialMs: 300,
  maxRedialMs: 1_000,
})

/** An honest peer that takes its time, so that there is work for others. */
export const honestPeer = startDevnetPeer({
  chain: spec,
  served: servedChain,
  ethVersions: [68, 69, 70],
  port: 0,
  latencyMs: 25,
  bandwidthMbit: undefined,
  fault: undefined,
  discovery: undefined,
})

/** From addresses to the pool, serving the chain, on a port of the system's choice. */
const network = (identity: { privateKey: Uint8Array; clientId: string }, enodes: Array<Enode>) => {
  const history = HistoryReader.layerMemory(sourceOf(servedChain), [[0, BLOCKS]])
  return Dialer.layerCached.pipe(
    Layer.provide(PeerSource.layerStatic(enodes)),
    Layer.provide(PeerConnector.layerServing(identity, deadlines)),
    Layer.provideMerge(Inbound.layer(identity, { host, port: 0, maxInbound: 50, deadlines })),
    Layer.provide(Layer.provide(HistoryAnswers.layer, history)),
    Layer.provideMerge(PeerKeeper.layer),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(
      Layer.mergeAll(ByteGate.layer, Reputation.layerCached, PeerPool.layer, OurHead.layer),
    ),
    Layer.provideMerge(PeerCache.layerNone),
    Layer.provideMerge(Layer.mergeAll(Stats.layer, IngestStats.layer, Chain.layer(spec), settings)),
  )
}

/** What a test sees of the annals. */
export interface Annals {
  readonly port: number
  readonly nodeId: Uint8Array
  readonly stats: Stats["Type"]
  /** Sessions that are open. */
  readonly sessions: () => number
  /** How many peers can be asked. */
  readonly pooled: Effect.Effect<number>
  /** Ingests the whole chain; gives what is stored, and what is wrong with it. */
  readonly ingest: Effect.Effect<{
    readonly missing: number
    readonly stored: number
    readonly damages: number
  }>
  /** Bytes that are held of answers, and of frames under way. */
  readonly held: () => { readonly answers: number; readonly frames: number }
  /** What became of candidates, in words. */
  readonly outcomes: Effect.Effect<ReadonlyArray<string>>
}

/** Starts an annals that dials these nodes, hands it to `use`, and takes it down. */
export const withAnnals = <A>(
  enodes: Array<Enode>,
  use: (annals: Annals) => Effect.Effect<A>,
): Effect.Effect<A> =>
  Effect.gen(function* () {
    const directory = yield* freshDirectory
    const identity = { privateKey: new Uint8Array(randomBytes(32)), clientId: "annals/test" }
    const store = Store.layerInline({
      directory,
      purpose: {
        kind: "sync",
        network: "hostile",
        chainId: spec.chainId,
        genesisHash: spec.genesisHash,
        tables: ["transactions", "logs", "withdrawals", "uncles"],
        checks,
        trusted: [],
      },
      ...commitDefaults,
    })
    return yield* Effect.gen(function* () {
      const gate = yield* ByteGate
      const pool = yield* PeerPool
      const dialer = yield* Dialer
      const runtime = yield* Effect.runtime<
        | Store
        | ByteGate
        | PeerPool
        | Blame
        | Stats
        | IngestStats
        | Settings
        | Reputation
        | PeerCache
        | PeerKeeper
      >()
      const free = gate.free()
      const work = BlockRanges.of(1, BLOCKS)
      const stages = ingestStages({ workers: 0, verify: new Set(checks) }).pipe(
        Layer.provideMerge(WorkList.layer(work)),
      )
      const ingest = Effect.gen(function* () {
        const scheduler = yield* Scheduler
        const writer = yield* Writer
        const { status, verify } = yield* Store
        const [, failed] = yield* Effect.all([writer.run, scheduler.finished], {
          concurrency: "unbounded",
        })
        const damages = (yield* verify()).damages.length
        return { missing: failed.count, stored: (yield* status).blocks, damages }
      }).pipe(Effect.provide(stages), Effect.provide(runtime), Effect.orDie)
      const stats = yield* Stats
      return yield* use({
        port: (yield* Inbound).port,
        nodeId: publicKey(identity.privateKey),
        stats,
        sessions: () => stats.network.sessionsOpened - stats.network.sessionsClosed,
        pooled: Effect.map(pool.connected, (peers) => peers.length),
        ingest,
        held: () => ({ answers: free - gate.free(), frames: gate.unfinishedFrames.bytes }),
        outcomes: Effect.map(dialer.records, (records) => records.map(({ outcome }) => outcome)),
      })
    }).pipe(Effect.provide(Layer.merge(network(identity, enodes), store)))
  }).pipe(Effect.scoped, Effect.orDie)

/** Looks until something holds, for `seconds` at the most; false when it did not. */
export const within = (
  seconds: number,
  condition: Effect.Effect<boolean>,
): Effect.Effect<boolean> =>
  condition.pipe(
    Effect.tap((holds) => (holds ? Effect.void : Effect.sleep(Duration.millis(5)))),
    Effect.repeat({ until: (holds) => holds }),
    Effect.timeoutTo({
      duration: Duration.seconds(seconds),
      onSuccess: () => true,
      onTimeout: () => false,
    }),
  )
