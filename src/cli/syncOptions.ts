/**
 * The flags of `annals sync` and what they mean.
 *
 * In: the raw values of {@link syncFlags}, each fine by itself. Out: {@link ProbeOptions}, or one
 * line that says which flags do not go together. The defaults are those of `Settings.ts`.
 *
 * Invariants of what is returned: `startBlock <= endBlock` where there is an end, `minPeers <=
 * maxPeers`, no node twice among `peers`, and every one of them can be dialled.
 */
import { isEnodeInvalid, parseEnode, type Enode } from "../chain/enode.ts"
import { defaults } from "../Settings.ts"
import { accept, refuse, type Checked } from "./checked.ts"
import { maxInteger, maxTimerMs, type Flags, type RawOptions } from "./flags.ts"

/** The kinds of benchmark; `harness` is another name for `probe`. */
export const benchmarks = ["probe", "harness"] as const

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
  "no-discovery": { kind: "switch", description: "Only the peers given with --peer." },
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
    description: "Receipts lists asked for at once, 1 to 1024.",
    default: defaults.receiptsPerRequest,
  },
  "timeout-ms": {
    ...deadlineMs,
    description: "Deadline of one request, in milliseconds.",
    default: defaults.requestTimeoutMs,
  },
  "rollback-window": {
    ...blockNumber,
    description: "Blocks below the head that are not yet history.",
    default: defaults.rollbackWindowBlocks,
  },
  "give-up-ms": {
    ...deadlineMs,
    min: 0,
    description: "How long a block that nobody serves is waited for, in milliseconds.",
    default: defaults.giveUpMs,
  },
  benchmark: {
    kind: "choice",
    choices: benchmarks,
    description: "probe asks for headers and receipts, counts them and keeps nothing.",
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
    default: "annals-data",
  },
} satisfies Flags

/** What a user gave `annals sync`. */
export type RawSyncOptions = RawOptions<typeof syncFlags>

/** What a probe is asked to do. Block numbers are inclusive, times in milliseconds. */
export interface ProbeOptions {
  /** A network's name, `devnet`, or the path of a genesis.json. */
  readonly network: string
  readonly peers: ReadonlyArray<Enode>
  readonly maxPeers: number
  readonly minPeers: number
  readonly maxConcurrentDials: number
  readonly startBlock: number
  /** Undefined: the measured head less the rollback window. */
  readonly endBlock: number | undefined
  readonly blocksPerAssignment: number
  readonly receiptsPerRequest: number
  readonly timeoutMs: number
  readonly rollbackWindow: number
  readonly giveUpMs: number
}

/** The options of the probe that the raw values ask for. */
export const probeOptions = (raw: RawSyncOptions): Checked<ProbeOptions> => {
  // Until ingest is built a sync without --benchmark has nothing to run; this line is all of it.
  if (raw.benchmark === undefined) {
    return refuse("sync without --benchmark (ingest) is not built yet; use --benchmark probe")
  }
  const range = benchmarkRange(raw)
  if (!range.ok) return range
  const peers = parsePeers(raw.peer)
  if (!peers.ok) return peers
  const minPeers = raw["min-peers"] ?? defaults.minPeers
  const maxPeers = raw["benchmark-max-peers"] ?? raw["max-peers"] ?? defaults.maxPeers
  if (minPeers > maxPeers) {
    return refuse(`--min-peers is ${minPeers}, more than the most peers, ${maxPeers}`)
  }
  return accept({
    network: raw.network ?? syncFlags.network.default,
    peers: peers.value,
    maxPeers,
    minPeers,
    maxConcurrentDials: raw["max-concurrent-dials"] ?? defaults.maxConcurrentDials,
    ...range.value,
    blocksPerAssignment:
      raw["benchmark-blocks-per-assignment"] ??
      raw["blocks-per-assignment"] ??
      defaults.blocksPerAssignment,
    receiptsPerRequest:
      raw["benchmark-receipts-per-request"] ??
      raw["receipts-per-request"] ??
      defaults.receiptsPerRequest,
    timeoutMs: raw["benchmark-timeout-ms"] ?? raw["timeout-ms"] ?? defaults.requestTimeoutMs,
    rollbackWindow: raw["rollback-window"] ?? defaults.rollbackWindowBlocks,
    giveUpMs: raw["give-up-ms"] ?? defaults.giveUpMs,
  })
}

const benchmarkRange = (
  raw: RawSyncOptions,
): Checked<Pick<ProbeOptions, "startBlock" | "endBlock">> => {
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

const parsePeers = (texts: ReadonlyArray<string>): Checked<ReadonlyArray<Enode>> => {
  const peers = new Map<string, Enode>()
  for (const text of texts) {
    const peer = parseEnode(text)
    if (isEnodeInvalid(peer)) return refuse(`--peer "${text}" is no enode: ${peer.reason}`)
    if (peer.tcpPort === 0) return refuse(`--peer "${text}" has TCP port 0: it cannot be dialled`)
    peers.set(peer.nodeId, peer)
  }
  return accept([...peers.values()])
}
