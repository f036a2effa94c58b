/**
 * What every mode that talks to peers has in common: its chain, its settings, and the Layers from a
 * peer's address to the pool of connected peers.
 */
import { Effect, Layer, type Scope } from "effect"
import type { Chain } from "../chain/Chain.ts"
import type { ChainSpec } from "../chain/chainSpec.ts"
import type { Enode } from "../chain/enode.ts"
import { resolveNetwork } from "../chain/Network.ts"
import type { ProbeOptions } from "../cli/syncOptions.ts"
import { UsageError } from "../cli/UsageError.ts"
import { Blame } from "../fetch/Blame.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import type { Stats } from "../observe/Stats.ts"
import { Dialer } from "../peers/Dialer.ts"
import { type Identity, PeerConnector } from "../peers/PeerConnector.ts"
import { type PooledPeer, PeerPool } from "../peers/PeerPool.ts"
import { PeerSource } from "../peers/PeerSource.ts"
import { Reputation } from "../peers/Reputation.ts"
import type { Settings, SettingsShape } from "../Settings.ts"

/** What probe and ingest are both asked for. */
export type NetworkOptions = Omit<ProbeOptions, "receiptsPerRequest">

/** A chain and the peers to dial. */
export interface ChosenNetwork {
  readonly chain: ChainSpec
  readonly peers: ReadonlyArray<Enode>
}

/**
 * The network that the options name. `devnet` starts its own peers, which live as long as the scope,
 * unless it is told which peers of a generated chain (`annals devnet --generate`) to use.
 */
export const chooseNetwork = (
  options: NetworkOptions,
): Effect.Effect<ChosenNetwork, UsageError, Scope.Scope> =>
  options.network === "devnet"
    ? devnet(options)
    : resolveNetwork(options.network).pipe(
        Effect.mapBoth({
          onSuccess: (chain) => ({ chain, peers: options.peers }),
          onFailure: ({ name, reason }) =>
            new UsageError({ reason: `--network ${name}: ${reason}` }),
        }),
      )

const devnet = Effect.fnUntraced(function* ({ peers }: NetworkOptions) {
  // The chain generator computes roots and blooms: nothing that a real network should load.
  const { generatedChainSpec } = yield* Effect.promise(
    async () => import("../devnet/generatedChain.ts"),
  )
  if (peers.length > 0) return { chain: generatedChainSpec(), peers }
  const { startEmbeddedDevnet } = yield* Effect.promise(
    async () => import("../devnet/EmbeddedDevnet.ts"),
  )
  return yield* startEmbeddedDevnet.pipe(
    Effect.mapError(({ reason }) => new UsageError({ reason: `--network devnet: ${reason}` })),
  )
})

/** The settings that the options ask for. */
export const networkSettings = (options: NetworkOptions): Partial<SettingsShape> => ({
  blocksPerAssignment: options.blocksPerAssignment,
  requestTimeoutMs: options.timeoutMs,
  giveUpMs: options.giveUpMs,
  rollbackWindowBlocks: options.rollbackWindow,
  maxPeers: options.maxPeers,
  minPeers: options.minPeers,
  maxConcurrentDials: options.maxConcurrentDials,
})

/** From addresses to the pool, over TCP. */
export const networkLayer = (
  peers: ReadonlyArray<Enode>,
  identity: Identity,
): Layer.Layer<
  Dialer | PeerSource | PeerPool | Reputation | Blame | ByteGate,
  never,
  Settings | Stats | Chain
> =>
  Dialer.layer.pipe(
    Layer.provideMerge(PeerSource.layerStatic(peers)),
    Layer.provide(PeerConnector.layer(identity)),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(Layer.mergeAll(ByteGate.layer, Reputation.layer, PeerPool.layer)),
  )

/** The highest block that is history for some peer: its head less the rollback window. */
export const headOf = (peers: ReadonlyArray<PooledPeer>, rollbackWindow: number): number =>
  Math.max(...peers.map(({ range }) => range.to)) - rollbackWindow
