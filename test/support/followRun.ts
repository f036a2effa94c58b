/**
 * A run that follows, in memory: the real rules, scheduler, fetch, checks and store, inline, with peers
 * whose chains move at a word, on the test's clock.
 */
import { Duration, Effect, Fiber, Layer } from "effect"
import * as TestClock from "effect/TestClock"
import { followStages } from "../../src/modes/ingestStages.ts"
import { generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import type { LiveChain } from "../../src/devnet/liveChain.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import { BlockRanges } from "../../src/domain/blockRanges.ts"
import { toHex } from "../../src/domain/hex.ts"
import { Blame } from "../../src/fetch/Blame.ts"
import { ByteGate } from "../../src/fetch/ByteGate.ts"
import { ChainTop } from "../../src/follow/ChainTop.ts"
import { follow, type FollowEnd } from "../../src/follow/Follower.ts"
import { SyncState } from "../../src/follow/SyncState.ts"
import type { TrustedHead } from "../../src/follow/TrustedHead.ts"
import { IngestStats } from "../../src/observe/IngestStats.ts"
import { Stats } from "../../src/observe/Stats.ts"
import { Terminal } from "../../src/observe/Terminal.ts"
import { type Peer, servesAll } from "../../src/peers/Peer.ts"
import { PeerPool } from "../../src/peers/PeerPool.ts"
import { Reputation } from "../../src/peers/Reputation.ts"
import { Chain } from "../../src/chain/Chain.ts"
import { WorkList } from "../../src/scheduler/WorkList.ts"
import { OurHead } from "../../src/serving/OurHead.ts"
import { checks } from "../../src/process/checks.ts"
import { Settings } from "../../src/Settings.ts"
import { Store, type StoreShape } from "../../src/write/Store.ts"
import { commitDefaults, type TrustedHash } from "../../src/write/storeProtocol.ts"
import { Writer } from "../../src/write/Writer.ts"
import { fakePeer, type FakePeerOptions } from "./FakePeer.ts"
import { freshDirectory } from "./ingestRun.ts"

/** A peer in memory that serves what its chain is at the moment. */
export const livePeer = <Live extends Pick<LiveChain, "current">>(
  name: string,
  live: Live,
  options: Partial<Pick<FakePeerOptions, "alter" | "latencyMs">> = {},
): { readonly peer: Peer; readonly live: Live } => {
  const served: ServedChain = {
    get firstBlock() {
      return live.current.firstBlock
    },
    get lastBlock() {
      return live.current.lastBlock
    },
    get head() {
      return live.current.head
    },
    get numbers() {
      return live.current.numbers
    },
    has: (number) => live.current.has(number),
    numberOf: (hash) => live.current.numberOf(hash),
    hashAt: (number) => live.current.hashAt(number),
    headerAt: (number) => live.current.headerAt(number),
    bodyAt: (number) => live.current.bodyAt(number),
    receipts68At: (number) => live.current.receipts68At(number),
    receipts69At: (number) => live.current.receipts69At(number),
    totalDifficultyAt: (number) => live.current.totalDifficultyAt(number),
  }
  const { peer } = fakePeer({ name, served, latencyMs: 10, ...options })
  const announcedRange = () => ({
    earliestBlock: 0,
    latestBlock: live.current.lastBlock,
    latestBlockHash: live.current.head.hash,
  })
  return { live, peer: { ...peer, announcedRange } }
}

/** What a test sees of the run. */
export interface FollowedRun {
  readonly store: StoreShape
  readonly state: SyncState["Type"]
  readonly stats: Stats["Type"]
  /** Number and hash (hex) of the stored tip. */
  readonly tip: () => { readonly number: number; readonly hash: string | undefined }
  /** Lets time pass until something holds, 60 s of it at most; whether it came to hold. */
  readonly until: (holds: () => boolean) => Effect.Effect<boolean>
  /** Lets so much time pass. */
  readonly pass: (ms: number) => Effect.Effect<void>
  /** How the run ended; undefined while it goes on. */
  readonly ended: () => FollowEnd | undefined
  /** The session of this peer ends. */
  readonly leave: (peerId: string) => Effect.Effect<void>
  readonly log: ReadonlyArray<string>
}

const STEP_MS = 20

/** Runs a follower over the peers, from `startBlock` on, and hands it to `use`. */
export const withFollower = <A, E>(
  peers: ReadonlyArray<{ readonly peer: Peer; readonly live: Pick<LiveChain, "current"> }>,
  options: {
    readonly windowBlocks?: number
    readonly historyEnd?: number
    readonly trustedPeers?: ReadonlySet<string>
    readonly directory?: string
    readonly startBlock?: number
    readonly trustedHead?: TrustedHead
    /** Hashes that are trusted as by `--trusted-hash`. */
    readonly trusted?: ReadonlyArray<TrustedHash>
    readonly giveUpMs?: number
  },
  use: (run: FollowedRun) => Effect.Effect<A, E>,
) =>
  Effect.gen(function* () {
    const { windowBlocks = 8, historyEnd = -1, trustedPeers = new Set<string>() } = options
    const { startBlock = 0 } = options
    const directory = options.directory ?? (yield* freshDirectory)
    const chain = generatedChainSpec()
    const log: Array<string> = []
    const terminal = Layer.succeed(Terminal, {
      interactive: false,
      data: () => Effect.void,
      log: (line: string) => Effect.sync(() => void log.push(line)),
      progress: () => Effect.void,
      endProgress: Effect.void,
      unsafeLog: (line: string) => void log.push(line),
    })
    const store = Store.layerInline({
      directory,
      purpose: {
        kind: "sync",
        network: "memory",
        chainId: chain.chainId,
        genesisHash: chain.genesisHash,
        tables: ["transactions", "logs"],
        checks,
        trusted: options.trusted ?? [],
      },
      ...commitDefaults,
    })
    const pool = Layer.effect(
      PeerPool,
      Effect.gen(function* () {
        const made = yield* PeerPool
        for (const { peer, live } of peers) {
          const { peerId } = peer
          const serves = servesAll({ from: 0, to: live.current.lastBlock })
          const sawHead = ({ header }: { readonly header: { readonly number: number } }) =>
            void Effect.runFork(made.changed(peerId, servesAll({ from: 0, to: header.number })))
          yield* made.join({ peer, serves, drop: made.leave(peerId), sawHead })
        }
        return made
      }),
    ).pipe(Layer.provide(PeerPool.layer))
    const surroundings = Layer.mergeAll(Reputation.layer, pool, OurHead.layer).pipe(
      Layer.provideMerge(
        Layer.mergeAll(
          Settings.layer({
            slotsPerPeer: 2,
            receiptsPerRequest: 128,
            rollbackWindowBlocks: windowBlocks,
            ...(options.giveUpMs === undefined ? {} : { giveUpMs: options.giveUpMs }),
          }),
          Stats.layer,
          IngestStats.layer,
          SyncState.layer(startBlock),
          Chain.layer(chain),
          terminal,
        ),
      ),
    )
    const stages = followStages({
      workers: 0,
      verify: new Set(checks),
      startBlock,
      rollbackWindow: windowBlocks,
    }).pipe(
      Layer.provideMerge(Blame.layer),
      Layer.provideMerge(ByteGate.layer),
      Layer.provideMerge(WorkList.layer(BlockRanges.empty)),
      Layer.provideMerge(store),
      Layer.provideMerge(surroundings),
    )
    const program = Effect.gen(function* () {
      const writer = yield* Writer
      const chainTop = yield* ChainTop
      const shape = yield* Store
      const state = yield* SyncState
      const stats = yield* Stats
      const pool = yield* PeerPool
      let end: FollowEnd | undefined
      yield* Effect.forkScoped(writer.run)
      yield* follow({
        startBlock,
        historyEnd,
        trustedPeers,
        trustedHead: options.trustedHead,
        afterHistory: () => Effect.void,
      }).pipe(
        Effect.tap((how) =>
          Effect.sync(() => {
            end = how
          }),
        ),
        Effect.forkScoped,
      )
      const step = Effect.zipRight(
        // The store is loaded and answers in real time: let its promises settle between the ticks.
        Effect.promise(async () => new Promise((resolve) => setImmediate(resolve))),
        TestClock.adjust(Duration.millis(STEP_MS)),
      )
      const pass = (ms: number): Effect.Effect<void> =>
        Effect.repeatN(step, Math.ceil(ms / STEP_MS))
      return yield* use({
        store: shape,
        state,
        stats,
        log,
        pass,
        leave: pool.leave,
        ended: () => end,
        tip: () => {
          const { tip, hashes } = chainTop.top()
          return { number: tip, hash: hashes.get(tip) }
        },
        until: (holds) =>
          Effect.gen(function* () {
            for (let steps = 0; steps < 3_000 && !holds(); steps++) yield* step
            return holds()
          }),
      })
    })
    const fiber = yield* Effect.fork(Effect.scoped(Effect.provide(program, stages)))
    return yield* Fiber.join(fiber)
  })

/** The last block of what is served, as {@link FollowedRun.tip} has it. */
export const headOf = ({ head }: ServedChain) => ({ number: head.number, hash: toHex(head.hash) })
