/**
 * What every mode that talks to peers has in common: its chain, its settings, and the Layers from a
 * peer's address to the pool of connected peers.
 */
import { Clock, Context, Duration, Effect, Layer, type Scope } from "effect"
import type { Chain } from "../chain/Chain.ts"
import type { ChainSpec } from "../chain/chainSpec.ts"
import { type Enode, formatEnode, isEnodeInvalid, parseEnode } from "../chain/enode.ts"
import { resolveNetwork } from "../chain/Network.ts"
import type { DiscoveryOptions } from "../cli/flagTexts.ts"
import type { ProbeOptions } from "../cli/syncOptions.ts"
import { UsageError } from "../cli/UsageError.ts"
import { toHex } from "../domain/hex.ts"
import { publicKey } from "../domain/secp256k1.ts"
import { Blame } from "../fetch/Blame.ts"
import { ByteGate } from "../fetch/ByteGate.ts"
import { layerNetworkLog } from "../observe/NetworkLog.ts"
import type { Stats } from "../observe/Stats.ts"
import { Terminal } from "../observe/Terminal.ts"
import { CacheSource } from "../peers/CacheSource.ts"
import { Dialer } from "../peers/Dialer.ts"
import { Inbound } from "../peers/Inbound.ts"
import { PeerCache } from "../peers/PeerCache.ts"
import { type Identity, PeerConnector } from "../peers/PeerConnector.ts"
import { PeerKeeper } from "../peers/PeerKeeper.ts"
import { PeerPool } from "../peers/PeerPool.ts"
import { PeerSource, type PeerSourceShape } from "../peers/PeerSource.ts"
import { Reputation } from "../peers/Reputation.ts"
import { HistoryAnswers } from "../serving/HistoryAnswers.ts"
import { HistoryReader } from "../serving/HistoryReader.ts"
import { OurHead } from "../serving/OurHead.ts"
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
  maxOutbound: options.maxOutbound,
  // Where nothing listens nobody comes in, and nothing is kept ready for them.
  maxInbound: options.port === undefined ? 0 : options.maxInbound,
  maxConcurrentDials: options.maxConcurrentDials,
})

/**
 * From where peers are found, and where they find us, to the pool: over TCP and, where peers are
 * looked for, UDP. `cache` remembers them from one run to the next; from `history` they are answered.
 */
export const networkLayer = <R>(
  options: Pick<NetworkOptions, "discovery" | "port" | "maxInbound">,
  { chain, peers }: ChosenNetwork,
  identity: Identity,
  cache: Layer.Layer<PeerCache, never, R>,
  history: Layer.Layer<HistoryReader> = HistoryReader.layerNone,
): Layer.Layer<
  Dialer | PeerSource | PeerPool | PeerKeeper | Reputation | Blame | ByteGate | OurHead | Inbound,
  UsageError,
  Settings | Stats | Chain | Terminal | R
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
          return options.discovery.enabled
            ? yield* discoveringSource(options.discovery, chain, known, identity)
            : PeerSource.merged(known)
        }),
      ),
    ),
    Layer.merge(layerNetworkLog),
    Layer.provide(PeerConnector.layerServing(identity)),
    Layer.provideMerge(inboundLayer(options, identity)),
    Layer.provide(Layer.provide(HistoryAnswers.layer, history)),
    Layer.provideMerge(PeerKeeper.layer),
    Layer.provideMerge(Blame.layer),
    Layer.provideMerge(
      Layer.mergeAll(ByteGate.layer, Reputation.layerCached, PeerPool.layer, OurHead.layer).pipe(
        Layer.provideMerge(cache),
      ),
    ),
  )

/** Listens where the options say so, and tells where that is. */
const inboundLayer = (
  { port, maxInbound }: Pick<NetworkOptions, "port" | "maxInbound">,
  identity: Identity,
) =>
  port === undefined
    ? Inbound.layerNone
    : Inbound.layer(identity, { port, maxInbound }).pipe(
        Layer.mapError(
          ({ reason }) =>
            new UsageError({
              reason:
                reason === "EADDRINUSE"
                  ? `--port: ${port} is in use by another program; choose another port`
                  : `--port: cannot listen on ${port} (${reason})`,
            }),
        ),
        Layer.tap((context) => tellListening(Context.get(context, Inbound), identity)),
      )

/** The enode is for the same machine: how others reach us is not for us to know. */
const tellListening = Effect.fnUntraced(function* (
  { host, port }: Inbound["Type"],
  { privateKey }: Identity,
) {
  const terminal = yield* Terminal
  const nodeId = toHex(publicKey(privateKey))
  const enode = formatEnode({ nodeId, host: "127.0.0.1", tcpPort: port, udpPort: port })
  const where = host.includes(":") ? `[${host}]` : host
  yield* terminal.log(`annals: listening on ${where}:${port} ${enode}`)
})

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
    // One number for both, as everybody does; where UDP's is taken, another one does as well.
    const { port } = yield* Inbound
    const start = (udpPort: number) =>
      startDiscv4Source(chain, { bootnodes, privateKey, port: udpPort, tcpPort: port })
    const source = yield* Effect.either(
      port === 0 ? start(0) : Effect.orElse(start(port), () => start(0)),
    )
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

const LOOK_EVERY_MS = 200

/**
 * The last block that is history for the peers, where the user names no end: the head that a `quorum`
 * of them agree on less the rollback window. Waits as long as `giveUpMs` for one whose history reaches
 * `startBlock`.
 */
export const measureEnd = Effect.fnUntraced(function* (
  startBlock: number,
  rollbackWindow: number,
  quorum: number,
): Effect.fn.Return<number, never, PeerPool | Settings> {
  const pool = yield* PeerPool
  const { giveUpMs } = yield* Settings
  const untilMs = (yield* Clock.currentTimeMillis) + giveUpMs
  for (;;) {
    const peers = yield* pool.connected
    // Anyone can dial us, several times: whom we chose says where history ends.
    const chosen = peers.filter(({ peer }) => !peer.inbound)
    const asked = chosen.length > 0 ? chosen : peers
    const heads = asked.map(({ serves }) => serves.headers?.to ?? -1)
    const end = agreedHead(heads, quorum) - rollbackWindow
    if (end >= startBlock || (yield* Clock.currentTimeMillis) >= untilMs) return end
    yield* Effect.sleep(Duration.millis(LOOK_EVERY_MS))
  }
})

/** Peers that have to reach a head: one alone can make a run neither endless nor empty. */
const HEAD_QUORUM = 2

/** The last block to fetch: the one that the user names, or the last that is history for the peers. */
export const lastBlock = (
  {
    startBlock,
    endBlock,
    rollbackWindow,
  }: Pick<NetworkOptions, "startBlock" | "endBlock" | "rollbackWindow">,
  quorum: number = HEAD_QUORUM,
) =>
  endBlock === undefined ? measureEnd(startBlock, rollbackWindow, quorum) : Effect.succeed(endBlock)

/** The highest head that `quorum` peers reach, or all where there are fewer; -1 without any. */
export const agreedHead = (heads: ReadonlyArray<number>, quorum: number): number =>
  heads.toSorted((a, b) => b - a)[Math.min(quorum, heads.length) - 1] ?? -1
