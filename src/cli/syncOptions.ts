/**
 * The flags of `annals sync` and what they mean.
 *
 * In: the raw values of {@link syncFlags}, each fine by itself, and the number of cores. Out:
 * {@link SyncOptions}, or one line that says which flag cannot be used or which do not go together.
 * The defaults are those of `Settings.ts`, where it has them.
 *
 * Invariants of what is returned: `startBlock <= endBlock` where there is an end, `minPeers <=
 * maxPeers`, no node twice among `peers`, and every one of them can be dialled; `tables` in the
 * order of `optionalTables`, none twice; `trustedHashes` rise, one a height. Every flag is checked
 * whatever is asked for, also those that a probe has no use for.
 */
import type { Anchor } from "../chain/chainSpec.ts"
import type { Enode } from "../chain/enode.ts"
import { checks, type Check } from "../process/checks.ts"
import { defaults } from "../Settings.ts"
import { optionalTables, type OptionalTable } from "../write/tables.ts"
import { accept, refuse, type Checked } from "./checked.ts"
import { maxInteger, maxTimerMs, type Flags, type RawOptions } from "./flags.ts"
import {
  parseDiscovery,
  parsePeers,
  parseSelection,
  parseTables,
  parseTrustedHashes,
  type DiscoveryOptions,
} from "./flagTexts.ts"
import { followFlags, followOptions, type FollowOptions } from "./followOptions.ts"
import { serveBesideFlags, serveBesideOptions, type ServerOptions } from "./serveOptions.ts"
import { storeDirectoryFlag } from "./statusOptions.ts"

/** The kinds of benchmark; `harness` is another name for `probe`, `profile` an ingest with timers. */
export const benchmarks = ["probe", "harness", "profile"] as const

/** Most checking threads by default; more are taken only where the user asks for them. */
const MOST_DEFAULT_WORKERS = 4

const blockNumber = { kind: "integer", min: 0, max: maxInteger } as const
const itemsPerRequest = { kind: "integer", min: 1, max: 1024 } as const
const peerCount = { kind: "integer", min: 1, max: 100_000 } as const
const deadlineMs = { kind: "integer", min: 1, max: maxTimerMs } as const

/** The flags of `annals sync`. */
export const syncFlags = {
  network: {
    kind: "text",
    placeholder: "NETWORK",
    description:
      "mainnet, sepolia, hoodi, devnet (peers that annals starts itself, on loopback), or the path of a geth genesis.json.",
    default: "mainnet",
  },
  peer: { kind: "list", placeholder: "ENODE", description: "A peer to connect to." },
  "no-discovery": {
    kind: "switch",
    description: "Only the peers given with --peer; nobody is looked for.",
  },
  bootnode: {
    kind: "list",
    placeholder: "ENODE",
    description: "Where discovery (discv4) begins, in place of the network's bootnodes.",
  },
  "dns-tree": {
    kind: "list",
    placeholder: "URL",
    description: "An enrtree:// list of nodes (EIP-1459), in place of the network's.",
  },
  "peer-cache": {
    kind: "text",
    placeholder: "FILE",
    description: "Where a probe remembers its peers; an ingest keeps them in its store.",
  },
  "max-peers": { ...peerCount, description: "Sessions kept at once.", default: defaults.maxPeers },
  "min-peers": {
    ...peerCount,
    description: "Sessions before work starts.",
    default: defaults.minPeers,
  },
  "max-concurrent-dials": {
    ...peerCount,
    description: "Dials under way at once.",
    default: defaults.maxConcurrentDials,
  },
  "max-outbound": {
    ...peerCount,
    description: "Sessions that annals opens at most, whatever --max-peers says.",
    default: defaults.maxOutbound,
  },
  port: {
    kind: "integer",
    min: 0,
    max: 65_535,
    description:
      "TCP port to take sessions of other peers on, at all addresses; 0: any free one, which is told on stderr. Default: none, nothing listens.",
  },
  "max-inbound": {
    ...peerCount,
    description: "Sessions that other peers may have opened with us, where --port is given.",
    default: defaults.maxInbound,
  },
  "start-block": { ...blockNumber, description: "First block.", default: 0 },
  "end-block": {
    ...blockNumber,
    description:
      "Last block, inclusive; fetched even above the measured head. Default: that head less --rollback-window.",
  },
  "blocks-per-assignment": {
    ...itemsPerRequest,
    description: "Most blocks in a batch, 1 to 1024.",
    default: defaults.blocksPerAssignment,
  },
  "receipts-per-request": {
    ...itemsPerRequest,
    description: `Receipts lists asked for at once, 1 to 1024; a ceiling in ingest when given. Default: ${defaults.receiptsPerRequest} in probe, adaptive in ingest.`,
  },
  "timeout-ms": {
    ...deadlineMs,
    description:
      "Deadline of one request, in milliseconds; in ingest the floor of an adaptive one.",
    default: defaults.requestTimeoutMs,
  },
  "rollback-window": {
    ...blockNumber,
    description: "Blocks below the head that are not yet history.",
    default: defaults.rollbackWindowBlocks,
  },
  ...followFlags,
  ...serveBesideFlags,
  "give-up-ms": {
    ...deadlineMs,
    min: 0,
    description: "How long a block that nobody serves is waited for, in milliseconds.",
    default: defaults.giveUpMs,
  },
  "trusted-hash": {
    kind: "list",
    placeholder: "N:HASH",
    description: "The hash of block N, trusted beside the network's pinned ones.",
  },
  verify: {
    kind: "list",
    placeholder: "CHECKS",
    description: `What each block is checked for: all, none, or of ${checks.join(", ")}, with commas between them. Default: all.`,
  },
  tables: {
    kind: "list",
    placeholder: "TABLES",
    description: `Rows to keep beside the payloads: all, none, or of ${optionalTables.join(", ")}, with commas between them. Default: none.`,
  },
  workers: {
    kind: "integer",
    min: 0,
    max: 64,
    description: `Checking threads, 0 to 64; 0 checks in the main thread. Default: the cores less one, from 1 to ${MOST_DEFAULT_WORKERS}.`,
  },
  benchmark: {
    kind: "choice",
    choices: benchmarks,
    description:
      "probe (also called harness) asks for headers and receipts, counts them and keeps nothing; profile ingests with the time of each stage, into a temporary store unless --data-dir is given.",
  },
  "benchmark-start": {
    ...blockNumber,
    description: "First block of the benchmark. Default: --start-block.",
  },
  "benchmark-end": {
    ...blockNumber,
    description: "Last block of the benchmark, inclusive. Default: --end-block.",
  },
  "benchmark-blocks": {
    ...blockNumber,
    min: 1,
    description: "How many blocks the benchmark asks for, in place of --benchmark-end.",
  },
  "benchmark-blocks-per-assignment": {
    ...itemsPerRequest,
    description: "As --blocks-per-assignment, and wins over it.",
  },
  "benchmark-receipts-per-request": {
    ...itemsPerRequest,
    description: "As --receipts-per-request, and wins over it.",
  },
  "benchmark-max-peers": { ...peerCount, description: "As --max-peers, and wins over it." },
  "benchmark-timeout-ms": { ...deadlineMs, description: "As --timeout-ms, and wins over it." },
  json: {
    kind: "switch",
    description: "The summary as JSON on stdout; a probe always prints it.",
  },
  "data-dir": {
    kind: "text",
    placeholder: "DIRECTORY",
    description: "Where the store is kept; a probe writes nothing.",
    default: storeDirectoryFlag.default,
  },
} satisfies Flags

/** What a user gave `annals sync`. */
export type RawSyncOptions = RawOptions<typeof syncFlags>

/** What every sync is asked to do. Block numbers are inclusive, times in milliseconds. */
interface SharedOptions {
  /** A network's name, `devnet`, or the path of a genesis.json. */
  readonly network: string
  readonly peers: ReadonlyArray<Enode>
  readonly discovery: DiscoveryOptions
  readonly maxPeers: number
  readonly minPeers: number
  readonly maxOutbound: number
  readonly maxConcurrentDials: number
  /** Where to listen, 0 for any free port; undefined: nowhere. */
  readonly port: number | undefined
  readonly maxInbound: number
  readonly startBlock: number
  /** Undefined: the measured head less the rollback window. */
  readonly endBlock: number | undefined
  readonly blocksPerAssignment: number
  /** Of one request; in ingest the floor of an adaptive deadline. */
  readonly timeoutMs: number
  readonly rollbackWindow: number
  readonly giveUpMs: number
}

/** What a probe is asked to do. */
export interface ProbeOptions extends SharedOptions {
  /** Where peers are remembered from one probe to the next; undefined: nowhere. */
  readonly peerCache: string | undefined
  /** Exactly as many, but in the last request of a batch. */
  readonly receiptsPerRequest: number
}

/** What an ingest is asked to do. */
export interface IngestOptions extends SharedOptions {
  /** `profile`: with the time of each stage. */
  readonly mode: "ingest" | "profile"
  /** The most receipts lists in a request; undefined: as many as the sizes allow. */
  readonly receiptsPerRequest: number | undefined
  readonly dataDir: string
  /** Whether the user named `dataDir`; a profile that was given none uses a temporary store. */
  readonly dataDirGiven: boolean
  /** What each block is checked for beside its hash. */
  readonly verify: ReadonlySet<Check>
  /** Rows to keep beside payloads and blocks. */
  readonly tables: ReadonlyArray<OptionalTable>
  /** Hashes that the user trusts, beside the pinned ones. */
  readonly trustedHashes: ReadonlyArray<Anchor>
  /** Checking threads; 0: checks run in the main thread. */
  readonly workers: number
  /** Print the summary as JSON on stdout. */
  readonly json: boolean
  /** Undefined: the run ends with the range. */
  readonly follow?: FollowOptions | undefined
  /** How JSON-RPC is served meanwhile; undefined: not at all. */
  readonly serve?: ServerOptions | undefined
}

/** What a sync is asked to do; of an ingest, `kind` and `mode` are the same. */
export type SyncOptions =
  | ({ readonly kind: "probe" } & ProbeOptions)
  | ({ readonly kind: "ingest" | "profile" } & IngestOptions)

/** The options that the raw values ask for; `coreCount` is how many cores the process may use. */
export const syncOptions = (raw: RawSyncOptions, coreCount: number): Checked<SyncOptions> => {
  const shared = sharedOptions(raw)
  if (!shared.ok) return shared
  const keeping = keepingOptions(raw, coreCount)
  if (!keeping.ok) return keeping
  const follow = followOptions(raw, shared.value)
  if (!follow.ok) return follow
  const serve = serveBesideOptions(raw)
  if (!serve.ok) return serve
  const receiptsPerRequest = raw["benchmark-receipts-per-request"] ?? raw["receipts-per-request"]
  if (raw.benchmark === "probe" || raw.benchmark === "harness") {
    return accept({
      kind: "probe",
      ...shared.value,
      receiptsPerRequest: receiptsPerRequest ?? defaults.receiptsPerRequest,
      peerCache: raw["peer-cache"],
    })
  }
  const kind = raw.benchmark ?? "ingest"
  return accept({
    kind,
    mode: kind,
    ...shared.value,
    ...keeping.value,
    ...follow.value,
    ...serve.value,
    receiptsPerRequest,
  })
}

const sharedOptions = (raw: RawSyncOptions): Checked<SharedOptions> => {
  const stray = benchmarkKnobs.find(([knob]) => raw[knob] !== undefined)
  if (raw.benchmark === undefined && stray !== undefined) {
    return refuse(`--${stray[0]} goes with --benchmark; without it there is --${stray[1]}`)
  }
  const range = blockRange(raw)
  if (!range.ok) return range
  const peers = parsePeers("--peer", raw.peer)
  if (!peers.ok) return peers
  const trusted = parsePeers("--trusted-peer", raw["trusted-peer"])
  if (!trusted.ok) return trusted
  const named = new Map([...peers.value, ...trusted.value].map((peer) => [peer.nodeId, peer]))
  const discovery = parseDiscovery(raw)
  if (!discovery.ok) return discovery
  const minPeers = raw["min-peers"] ?? defaults.minPeers
  const maxPeers = raw["benchmark-max-peers"] ?? raw["max-peers"] ?? defaults.maxPeers
  const maxOutbound = raw["max-outbound"] ?? defaults.maxOutbound
  const mostPeers = Math.min(maxPeers, maxOutbound)
  if (minPeers > mostPeers) {
    return refuse(`--min-peers is ${minPeers}, more than the most peers, ${mostPeers}`)
  }
  return accept({
    network: raw.network ?? syncFlags.network.default,
    peers: [...named.values()],
    discovery: discovery.value,
    maxPeers,
    minPeers,
    maxOutbound,
    maxConcurrentDials: raw["max-concurrent-dials"] ?? defaults.maxConcurrentDials,
    port: raw.port,
    maxInbound: raw["max-inbound"] ?? defaults.maxInbound,
    ...range.value,
    blocksPerAssignment:
      raw["benchmark-blocks-per-assignment"] ??
      raw["blocks-per-assignment"] ??
      defaults.blocksPerAssignment,
    timeoutMs: raw["benchmark-timeout-ms"] ?? raw["timeout-ms"] ?? defaults.requestTimeoutMs,
    rollbackWindow: raw["rollback-window"] ?? defaults.rollbackWindowBlocks,
    giveUpMs: raw["give-up-ms"] ?? defaults.giveUpMs,
  })
}

type KeepingOptions = Omit<IngestOptions, keyof SharedOptions | "mode" | "receiptsPerRequest">

/** What concerns the checks and the store. */
const keepingOptions = (raw: RawSyncOptions, coreCount: number): Checked<KeepingOptions> => {
  const verify = parseSelection("--verify", raw.verify, checks, "all")
  if (!verify.ok) return verify
  const tables = parseTables(raw.tables)
  if (!tables.ok) return tables
  const trustedHashes = parseTrustedHashes(raw["trusted-hash"])
  if (!trustedHashes.ok) return trustedHashes
  return accept({
    dataDir: raw["data-dir"] ?? syncFlags["data-dir"].default,
    dataDirGiven: raw["data-dir"] !== undefined,
    verify: new Set(verify.value),
    tables: tables.value,
    trustedHashes: trustedHashes.value,
    workers: raw.workers ?? Math.min(Math.max(coreCount - 1, 1), MOST_DEFAULT_WORKERS),
    json: raw.json,
  })
}

/** Each knob of the benchmark, and what says the same where there is none. */
const benchmarkKnobs = [
  ["benchmark-start", "start-block"],
  ["benchmark-end", "end-block"],
  ["benchmark-blocks", "end-block"],
  ["benchmark-blocks-per-assignment", "blocks-per-assignment"],
  ["benchmark-receipts-per-request", "receipts-per-request"],
  ["benchmark-max-peers", "max-peers"],
  ["benchmark-timeout-ms", "timeout-ms"],
] as const satisfies ReadonlyArray<readonly [keyof RawSyncOptions, keyof RawSyncOptions]>

const blockRange = (
  raw: RawSyncOptions,
): Checked<Pick<SharedOptions, "startBlock" | "endBlock">> => {
  const blocks = raw["benchmark-blocks"]
  const givenEnd = raw["benchmark-end"]
  if (blocks !== undefined && givenEnd !== undefined) {
    return refuse("--benchmark-end and --benchmark-blocks exclude each other: give one of them")
  }
  const startBlock =
    raw["benchmark-start"] ?? raw["start-block"] ?? syncFlags["start-block"].default
  const endBlock = blocks === undefined ? (givenEnd ?? raw["end-block"]) : startBlock + (blocks - 1)
  if (endBlock !== undefined && startBlock > endBlock) {
    return refuse(`the range is empty: its start, ${startBlock}, is above its end, ${endBlock}`)
  }
  if (endBlock !== undefined && endBlock > maxInteger) {
    return refuse(`--benchmark-blocks reaches past block ${maxInteger}`)
  }
  return accept({ startBlock, endBlock })
}
