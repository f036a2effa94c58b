/**
 * One run of the ingest program in the simulated world: the Layers of `modes/ingestRange.ts` and
 * `modes/network.ts`, with the checks and the store on this thread, and with the world's peers in
 * place of TCP.
 *
 * In: the world and the plan. Out: how the run ended, and what it had in its hands when it did.
 */
import { Effect, Layer, Logger } from "effect"
import { Chain } from "../../src/chain/Chain.ts"
import type { IngestOptions } from "../../src/cli/syncOptions.ts"
import type { ExitCode } from "../../src/cli/exitCodes.ts"
import type { BlockRange } from "../../src/domain/blockRanges.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { Larder } from "../../src/fetch/larder.ts"
import { ingestRange } from "../../src/modes/ingestRange.ts"
import { IngestStats } from "../../src/observe/IngestStats.ts"
import { ProcessUsage } from "../../src/observe/ProcessUsage.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { Stop } from "../../src/observe/Stop.ts"
import { Terminal } from "../../src/observe/Terminal.ts"
import { CacheSource } from "../../src/peers/CacheSource.ts"
import { Dialer } from "../../src/peers/Dialer.ts"
import { Inbound } from "../../src/peers/Inbound.ts"
import { PeerCache } from "../../src/peers/PeerCache.ts"
import { PeerKeeper } from "../../src/peers/PeerKeeper.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { PeerSource } from "../../src/peers/PeerSource.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { checks } from "../../src/process/checks.ts"
import { HistoryAnswers } from "../../src/serving/HistoryAnswers.ts"
import { HistoryReader, type HistoryReaderShape } from "../../src/serving/HistoryReader.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { defaults, Settings } from "../../src/Settings.ts"
import { Store } from "../../src/write/Store.ts"
import type { StoreError } from "../../src/write/StoreError.ts"
import { layerStorePeerCache } from "../../src/write/StorePeerCache.ts"
import { openReaderSession, type ReaderSession } from "../../src/write/ReaderSession.ts"
import { historyOf } from "../../src/write/StoreReader.ts"
import type { OpenOptions } from "../../src/write/storeProtocol.ts"
import { openSession } from "../../src/write/StoreSession.ts"
import { spec, trueChain } from "./chains.ts"
import type { Plan } from "./plan.ts"
import { type ConnectorWorld, layerSimConnector } from "./SimConnector.ts"

/** How a run ended by itself. */
export interface RunOutcome {
  readonly code: ExitCode
  readonly complete: boolean
  readonly failed: ReadonlyArray<BlockRange>
  /** Node ids of the peers that were banned in it. */
  readonly banned: ReadonlyArray<string>
  readonly succeeded: number
  /** Sessions in the pool. */
  readonly pooled: number
}

/** What the byte gate showed in a run. */
export interface GateAccount {
  budgetBytes: number
  heldBytes: number
  mostHeldBytes: number
}

/** The blocks that the store has said to be committed, and has not taken back since. */
export interface CommitAccount {
  readonly committed: Set<number>
  /** How many there were when it was opened. */
  before: number
  /** Whether some were taken back. */
  tookBack: boolean
}

/** What a run reports while it goes on, so that a kill finds it too. */
export interface RunAccounts {
  readonly gate: GateAccount
  readonly commits: CommitAccount
  /** Where parts waited for the rest of their blocks; none before the first part does. */
  larder: Larder | undefined
  /** Asks for an orderly end; set when the program listens. */
  interrupt: Effect.Effect<void> | undefined
}

/** How the plan's store is opened in `directory`. */
export const openOptions = (plan: Plan, directory: string): OpenOptions => ({
  directory,
  purpose: {
    kind: "sync",
    network: "simulated",
    chainId: spec.chainId,
    genesisHash: spec.genesisHash,
    tables: plan.tables,
    checks,
    trusted: trustedOf(plan),
  },
  commitBlocks: plan.commitBlocks,
  commitBytes: 32 * 1024 * 1024,
  commitAfterMs: plan.commitAfterMs,
})

const trustedOf = ({ trusted, chain }: Plan) =>
  trusted.map((blockNumber) => ({ blockNumber, hash: trueChain(chain).hashAt(blockNumber)! }))

const ingestOptions = (plan: Plan, directory: string): IngestOptions => ({
  mode: "ingest",
  network: "simulated",
  peers: [],
  discovery: { enabled: false, bootnodes: undefined, dnsTrees: undefined },
  maxPeers: plan.settings.maxPeers,
  minPeers: 1,
  maxOutbound: defaults.maxOutbound,
  maxConcurrentDials: defaults.maxConcurrentDials,
  port: undefined,
  maxInbound: 0,
  startBlock: plan.startBlock,
  endBlock: plan.endBlock,
  blocksPerAssignment: plan.settings.blocksPerAssignment,
  timeoutMs: plan.settings.requestTimeoutMs,
  rollbackWindow: 0,
  giveUpMs: plan.settings.giveUpMs,
  receiptsPerRequest: plan.settings.receiptsPerRequest,
  dataDir: directory,
  dataDirGiven: true,
  verify: new Set(checks),
  tables: plan.tables,
  trustedHashes: trustedOf(plan),
  workers: 0,
  json: true,
})

/** The whole program, from the opening of its store to the closing. */
export const runProgram = (
  plan: Plan,
  world: ConnectorWorld,
  directory: string,
  accounts: RunAccounts,
): Effect.Effect<RunOutcome, StoreError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* Layer.build(layerStore(plan, directory, accounts.commits))
      const surroundings = Layer.mergeAll(
        Settings.layer({ ...plan.settings, maxInbound: 0, minPeers: 1 }),
        Stats.layer,
        IngestStats.layer,
        ProcessUsage.layerWith({ cpuMs: () => 0, maxRssMib: () => 0 }),
        Chain.layer(spec),
        Stop.layerMemory,
        layerTerminal(world),
        layerLog(world),
      )
      return yield* watched(plan, directory, accounts).pipe(
        Effect.provide(layerNetwork(world, accounts.gate, layerReader(plan, directory))),
        Effect.provide(surroundings),
        Effect.provide(store),
      )
    }),
  )

const watched = Effect.fnUntraced(function* (plan: Plan, directory: string, accounts: RunAccounts) {
  const stop = yield* Stop
  const stats = yield* Stats
  const pool = yield* PeerPool
  accounts.interrupt = stop.request("SIGINT")
  onLarderUse = (larder) => {
    accounts.larder = larder
  }
  const end = yield* ingestRange(ingestOptions(plan, directory))
  const outcome: RunOutcome = {
    code: end.code,
    complete: end.complete,
    failed: [...end.failed.ranges()],
    banned: [...stats.peers.values()].filter(({ bans }) => bans > 0).map(({ peerId }) => peerId),
    succeeded: stats.blocksSucceeded,
    pooled: (yield* pool.connected).length,
  }
  return outcome
})

let onLarderUse: (larder: Larder) => void = () => undefined
// oxlint-disable-next-line typescript/unbound-method -- it is called on the larder it is asked of
const { put } = Larder.prototype
/** The larder is its fetcher's own; its emptiness in the end is everybody's concern. */
Larder.prototype.put = function watched(this: Larder, ...part: Parameters<typeof put>): boolean {
  onLarderUse(this)
  return put.apply(this, part)
}

/** The store's own code on this thread; what it says to be committed is written down. */
const layerStore = (
  plan: Plan,
  directory: string,
  commits: CommitAccount,
): Layer.Layer<Store, StoreError> =>
  Layer.scoped(
    Store,
    Effect.gen(function* () {
      const { committed } = commits
      const session = yield* openSession(openOptions(plan, directory))
      for (const [from, to] of session.opened.covered["payloads"] ?? []) {
        for (let block = from; block <= to; block++) committed.add(block)
      }
      commits.before = committed.size
      return {
        ...session,
        write: (blocks) =>
          Effect.tap(session.write(blocks), (result) =>
            Effect.sync(() => {
              if (result.removed.length > 0) commits.tookBack = true
              for (const { from, to } of result.removed) {
                for (let block = from; block <= to; block++) committed.delete(block)
              }
              for (const [from, to] of result.committed) {
                for (let block = from; block <= to; block++) committed.add(block)
              }
            }),
          ),
        verify: (onProgress = () => undefined) => session.verify(onProgress),
        buildTables: (request, onProgress = () => undefined) =>
          session.buildTables(request, onProgress),
      }
    }),
  )

/** What peers that ask are answered from, and how long that takes, as if it were another thread. */
const layerReader = (plan: Plan, directory: string): Layer.Layer<HistoryReader, StoreError> =>
  plan.peers.some(({ asks }) => asks !== undefined)
    ? Layer.scoped(HistoryReader, Effect.map(openReaderSession(directory), slowly))
    : HistoryReader.layerNone

/** Milliseconds that a read takes; and how many there are at once, so that others wait. */
const READ_MS = 2
const READS_AT_ONCE = 2

const slowly = (session: ReaderSession): HistoryReaderShape => {
  const { headers, bodies, receipts, held } = historyOf(session)
  const later = Effect.delay(READ_MS)
  return {
    headers: (query, limits) => later(headers(query, limits)),
    bodies: (hashes, limits) => later(bodies(hashes, limits)),
    receipts: (query, limits) => later(receipts(query, limits)),
    held,
  }
}

const layerNetwork = (
  world: ConnectorWorld,
  gate: GateAccount,
  reader: Layer.Layer<HistoryReader, StoreError>,
) =>
  Dialer.layerCached.pipe(
    Layer.provideMerge(
      Layer.effect(
        PeerSource,
        Effect.map(PeerCache, ({ entries }) =>
          PeerSource.merged([
            PeerSource.fixed([...world.peers.values()].map(({ enode }) => enode)),
            ...(entries.length > 0 ? [CacheSource.fixed(entries)] : []),
          ]),
        ),
      ),
    ),
    Layer.provide(layerSimConnector(world)),
    Layer.provideMerge(Inbound.layerNone),
    Layer.provide(Layer.provide(HistoryAnswers.layerWith({ atOnce: READS_AT_ONCE }), reader)),
    Layer.provideMerge(PeerKeeper.layer),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(
      Layer.mergeAll(layerGate(gate), Reputation.layerCached, PeerPool.layer, OurHead.layer).pipe(
        Layer.provideMerge(layerStorePeerCache),
      ),
    ),
  )

/** The program's gate, whose every move is looked at. */
const layerGate = (account: GateAccount): Layer.Layer<ByteGate, never, Settings> =>
  Layer.effect(
    ByteGate,
    Effect.map(ByteGate, (gate) => {
      account.budgetBytes = gate.free()
      const look = (): void => {
        account.heldBytes = account.budgetBytes - gate.free()
        account.mostHeldBytes = Math.max(account.mostHeldBytes, account.heldBytes)
      }
      return {
        ...gate,
        reserve: (bytes) => Effect.tap(gate.reserve(bytes), () => Effect.sync(look)),
        overdraw: (bytes) => {
          gate.overdraw(bytes)
          look()
        },
        release: (bytes) => {
          gate.release(bytes)
          look()
        },
      }
    }),
  ).pipe(Layer.provide(ByteGate.layer))

const layerTerminal = ({ trace }: ConnectorWorld): Layer.Layer<Terminal> => {
  const output = { write: (text: string) => trace.note("terminal", text.trimEnd()) }
  return Terminal.layerWith({ stdout: output, stderr: output, environment: {} })
}

const layerLog = ({ trace }: ConnectorWorld): Layer.Layer<never> =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message, logLevel }) => trace.note(`log ${logLevel.label}`, String(message))),
  )
