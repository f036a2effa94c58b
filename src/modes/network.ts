/**
 * What every mode that talks to peers has in common: its chain, its settings, and the Layers from a
 * peer's address to the pool of connected peers.
 */
import { Clock, Context, Duration, Effect, Layer, type Scope } from "effect"
import type { Chain } from "../chain/Chain.ts"
import type { ChainSpec } from "../chain/chainSpec.ts"
import { type Enode, isEnodeInvalid, parseEnode } from "../chain/enode.ts"
import { resolveNetwork } from "../chain/Network.ts"
import type { DiscoveryOptions, ProbeOptions } from "../cli/syncOptions.ts"
import { UsageError } from "../cli/UsageError.ts"
import { Blame } from "../fetch/Blame.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import type { Stats } from "../observe/Stats.ts"
import { CacheSource } from "../peers/CacheSource.ts"
import { Dialer } from "../peers/Dialer.ts"
import { PeerCache } from "../peers/PeerCache.ts"
import { type Identity, PeerConnector } from "../peers/PeerConnector.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { PeerSource, type PeerSourceShape } from "../peers/PeerSource.ts"
import { Reputation } from "../peers/Reputation.ts"
import { Settings, type SettingsShape } from "../Settings.ts"

/** What probe and ingest are both asked for. */
export type NetworkOptions = Omit<ProbeOptions, "receiptsPerRequest" | "peerCache">

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

const devnet = Effect.fnUntraced(function* ({ peers, discovery }: NetworkOptions) {
  // The chain generator computes roots and blooms: nothing that a real network should load.
  const { generatedChainSpec } = yield* Effect.promise(
    async () => import("../devnet/generatedChain.ts"),
  )
  if (peers.length > 0 || discovery.bootnodes !== undefined)
    return { chain: generatedChainSpec(), peers }
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

/**
 * From where peers are found to the pool, over TCP and, where peers are looked for, UDP. `cache`
 * remembers them from one run to the next.
 */
export const networkLayer = <R>(
  { discovery }: Pick<NetworkOptions, "discovery">,
  { chain, peers }: ChosenNetwork,
  identity: Identity,
  cache: Layer.Layer<PeerCache, never, R>,
): Layer.Layer<
  Dialer | PeerSource | PeerPool | Reputation | Blame | ByteGate,
  UsageError,
  Settings | Stats | Chain | R
> =>
  Dialer.layerCached.pipe(
    Layer.provideMerge(
      Layer.scoped(
        PeerSource,
        Effect.gen(function* () {
          const { entries } = yield* PeerCache
          const known = [
            PeerSource.fixed(peers),
            ...(entries.length > 0 ? [CacheSource.fixed(entries)] : []),
          ]
          return discovery.enabled
            ? yield* discoveringSource(discovery, chain, known, identity)
            : PeerSource.merged(known)
        }),
      ),
    ),
    Layer.provide(PeerConnector.layer(identity)),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(
      Layer.mergeAll(ByteGate.layer, Reputation.layerCached, PeerPool.layer).pipe(
        Layer.provideMerge(cache),
      ),
    ),
  )

/** How long one DNS question may take. */
const DNS_TIMEOUT_MS = 5_000

/** Known peers, discv4 from the bootnodes, and DNS lists: what of it there is. */
const discoveringSource = Effect.fnUntraced(function* (
  discovery: DiscoveryOptions,
  chain: ChainSpec,
  known: ReadonlyArray<PeerSourceShape>,
  identity: Identity,
) {
  const sources = [...known]
  const trees = discovery.dnsTrees ?? chain.dnsTrees
  const bootnodes = discovery.bootnodes ?? (yield* bootnodesOf(chain))
  if (trees.length > 0) {
    const { DnsSource } = yield* Effect.promise(async () => import("../peers/DnsSource.ts"))
    const { DnsLookup } = yield* Effect.promise(async () => import("../peers/DnsLookup.ts"))
    const { isTreeInvalid, parseTreeUrl } = yield* Effect.promise(
      async () => import("../chain/dnsTree.ts"),
    )
    const urls = yield* Effect.forEach(trees, (text) => {
      const url = parseTreeUrl(text)
      return isTreeInvalid(url)
        ? Effect.fail(new UsageError({ reason: `--dns-tree "${text}" is no tree: ${url.reason}` }))
        : Effect.succeed(url)
    })
    const lookup = DnsLookup.layer({ timeoutMs: DNS_TIMEOUT_MS })
    const built = yield* Layer.build(Layer.provide(DnsSource.layer(urls), lookup))
    sources.push(Context.get(built, DnsSource))
  }
  if (bootnodes.length > 0) {
    const { startDiscv4Source } = yield* Effect.promise(
      async () => import("../peers/Discv4Source.ts"),
    )
    const { privateKey } = identity
    const source = yield* Effect.either(startDiscv4Source(chain, { bootnodes, privateKey }))
    // Without UDP there are still the lists and the peers that were named.
    if (source._tag === "Right") sources.push(source.right)
    else yield* Effect.logWarning(`no discovery over UDP: ${source.left.reason}`)
  }
  return PeerSource.merged(sources)
})

const bootnodesOf = (chain: ChainSpec): Effect.Effect<ReadonlyArray<Enode>> =>
  Effect.sync(() =>
    chain.bootnodes.flatMap((text) => {
      const node = parseEnode(text)
      return isEnodeInvalid(node) ? [] : [node]
    }),
  )

/** How long heads are gathered before they are believed: the first to come may be a straggler. */
const WARM_UP_MS = 2_000
const LOOK_EVERY_MS = 200

/**
 * The last block that is history for the peers, where the user names no end: the head that they
 * agree on less the rollback window. Waits a little for more peers, and as long as `giveUpMs` for
 * one whose history reaches `startBlock`.
 */
export const measureEnd = Effect.fnUntraced(function* (
  startBlock: number,
  rollbackWindow: number,
): Effect.fn.Return<number, never, PeerPool | Settings> {
  const pool = yield* PeerPool
  const { giveUpMs } = yield* Settings
  const untilMs = (yield* Clock.currentTimeMillis) + giveUpMs
  yield* Effect.sleep(Duration.millis(WARM_UP_MS))
  for (;;) {
    const peers = yield* pool.connected
    const end = agreedHead(peers.map(({ serves }) => serves.headers?.to ?? -1)) - rollbackWindow
    if (end >= startBlock || (yield* Clock.currentTimeMillis) >= untilMs) return end
    yield* Effect.sleep(Duration.millis(LOOK_EVERY_MS))
  }
})

/**
 * The highest head that two peers reach, so that one alone can make a run neither endless nor
 * empty; a lone peer's own; -1 without any.
 */
export const agreedHead = (heads: ReadonlyArray<number>): number => {
  const falling = heads.toSorted((a, b) => b - a)
  return falling[1] ?? falling[0] ?? -1
}
