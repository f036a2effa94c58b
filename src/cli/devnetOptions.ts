/**
 * The flags of `annals devnet` and what they mean.
 *
 * In: the raw values of {@link devnetFlags}, each fine by itself. Out: {@link DevnetOptions}, or
 * one line that says which flags do not go together.
 *
 * Invariants of what is returned: either `chainFiles` is not empty or `generate` is there, not
 * both; a peer has at most one fault, so the faults together are no more than the peers; every
 * peer has a port up to 65535.
 */
import { type Enode, isEnodeInvalid, parseEnode } from "../chain/enode.ts"
import { faultKinds, type FaultKind } from "../devnet/faults.ts"
import { accept, refuse, type Checked } from "./checked.ts"
import { maxInteger, maxTimerMs, oneOf, type Flags, type RawOptions } from "./flags.ts"

/** Shapes of generated blocks, from next to nothing to mainnet's. */
export const chainShapes = ["tiny", "light", "mainnet"] as const
/** One of {@link chainShapes}. */
export type ChainShape = (typeof chainShapes)[number]

/** The versions of the eth protocol that a peer can speak. */
export const ethVersions = [68, 69, 70] as const
/** One of {@link ethVersions}. */
export type EthVersion = (typeof ethVersions)[number]

const maxPort = 65_535
const defaultShape: ChainShape = "light"

/** The flags of `annals devnet`. */
export const devnetFlags = {
  network: {
    kind: "text",
    placeholder: "NETWORK",
    description:
      "mainnet, sepolia, hoodi, or the path of a geth genesis.json, which then gives block 0. Default: mainnet with --chain; with --generate the chain's own.",
  },
  chain: {
    kind: "list",
    placeholder: "FILE",
    description:
      "A file of blocks to serve: .era1, or RLP items [header, body, receipts], plain or gzipped.",
    severalValues: true,
  },
  generate: {
    kind: "integer",
    min: 1,
    max: 10_000_000,
    description: "Serve a made chain of so many blocks, in place of --chain.",
  },
  shape: {
    kind: "choice",
    choices: chainShapes,
    description: "The shape of the made blocks.",
    default: defaultShape,
  },
  seed: {
    kind: "integer",
    min: 0,
    max: maxInteger,
    description: "The same seed makes the same chain.",
    default: 1,
  },
  head: {
    kind: "integer",
    min: 0,
    max: maxInteger,
    description: "Serve the chain up to this block at first. Default: all of it.",
  },
  "block-time-ms": {
    kind: "integer",
    min: 1,
    max: maxTimerMs,
    description: "Let the head rise by one block this often, up to the end of the chain.",
  },
  "fork-at": {
    kind: "integer",
    min: 1,
    max: 10_000_000,
    description:
      "With --generate: make a second branch too, which differs from this block on; see --control.",
  },
  fork: {
    kind: "list",
    placeholder: "FILE",
    description: "With --chain: the blocks of a second branch, from where it differs on.",
    severalValues: true,
  },
  control: {
    kind: "switch",
    description:
      "Take commands from standard input, one a line: [peers A[-B]] [head N[@main|fork]] [branch main|fork], or where.",
  },
  peers: { kind: "integer", min: 1, max: 1000, description: "How many peers.", default: 10 },
  eth: {
    kind: "text",
    placeholder: "VERSIONS",
    description: "The eth versions that the peers speak, with commas between them.",
    default: ethVersions.join(","),
  },
  port: {
    kind: "integer",
    min: 1,
    max: maxPort,
    description: "The first peer's port; the others take the next ones. Default: any free ones.",
  },
  "latency-ms": {
    kind: "integer",
    min: 0,
    max: maxTimerMs,
    description: "Wait before each answer, in milliseconds.",
    default: 0,
  },
  "bandwidth-mbit": {
    kind: "integer",
    min: 1,
    max: 1_000_000,
    description: "What a peer sends at most, in Mbit/s. Default: no limit.",
  },
  discovery: {
    kind: "switch",
    description:
      "The peers answer discv4 on the UDP port of their TCP port's number, and look for each other.",
  },
  bootnode: {
    kind: "list",
    placeholder: "ENODE",
    description: "With --discovery: whom the peers ask first. Default: the first of them.",
  },
  fault: {
    kind: "list",
    placeholder: "KIND=N",
    description: `Give N of the peers a fault: ${faultKinds.join(", ")}. Several with commas between them.`,
  },
} satisfies Flags

/** What a user gave `annals devnet`. */
export type RawDevnetOptions = RawOptions<typeof devnetFlags>

/** A chain to make. */
export interface GenerateOptions {
  readonly blocks: number
  readonly shape: ChainShape
  readonly seed: number
  /** The first block in which a second branch differs; undefined: there is none. */
  readonly forkAt: number | undefined
}

/** What a devnet is asked to be. */
export interface DevnetOptions {
  /** A network's name or the path of a genesis.json; undefined: the made chain's own. */
  readonly network: string | undefined
  readonly chainFiles: ReadonlyArray<string>
  /** Files of a second branch; none: there is none, unless it is made. */
  readonly forkFiles: ReadonlyArray<string>
  readonly generate: GenerateOptions | undefined
  /** The last block that is served at first; undefined: the last there is. */
  readonly head: number | undefined
  /** How often the head rises; undefined: only when it is told to. */
  readonly blockTimeMs: number | undefined
  /** Whether commands are taken from standard input. */
  readonly control: boolean
  readonly peers: number
  /** Rising, without repeats. */
  readonly ethVersions: ReadonlyArray<EthVersion>
  /** The first peer's TCP port; undefined: free ones. */
  readonly port: number | undefined
  readonly latencyMs: number
  /** Of each peer; undefined: no limit. */
  readonly bandwidthMbit: number | undefined
  /** Whether the peers take part in discv4. */
  readonly discovery: boolean
  /** Whom they ask first; none: the first of them. */
  readonly bootnodes: ReadonlyArray<Enode>
  /** How many peers have each fault. */
  readonly faults: Readonly<Record<FaultKind, number>>
}

/** The options of the devnet that the raw values ask for. */
export const devnetOptions = (raw: RawDevnetOptions): Checked<DevnetOptions> => {
  const source = parseSource(raw)
  if (!source.ok) return source
  const versions = parseEthVersions(raw.eth ?? devnetFlags.eth.default)
  if (!versions.ok) return versions
  const peers = raw.peers ?? devnetFlags.peers.default
  const faults = parseFaults(raw.fault, peers)
  if (!faults.ok) return faults
  const bootnodes = parseBootnodes(raw)
  if (!bootnodes.ok) return bootnodes
  if (raw.port !== undefined && raw.port + peers - 1 > maxPort) {
    return refuse(`--port ${raw.port} leaves no ports for ${peers} peers`)
  }
  return accept({
    ...source.value,
    head: raw.head,
    blockTimeMs: raw["block-time-ms"],
    control: raw.control,
    peers,
    ethVersions: versions.value,
    port: raw.port,
    latencyMs: raw["latency-ms"] ?? devnetFlags["latency-ms"].default,
    bandwidthMbit: raw["bandwidth-mbit"],
    discovery: raw.discovery,
    bootnodes: bootnodes.value,
    faults: faults.value,
  })
}

const parseSource = (
  raw: RawDevnetOptions,
): Checked<Pick<DevnetOptions, "network" | "chainFiles" | "forkFiles" | "generate">> => {
  const { chain, generate: blocks, network, seed, shape, fork: forkFiles } = raw
  const forkAt = raw["fork-at"]
  if (chain.length > 0 && blocks !== undefined) {
    return refuse("--chain and --generate exclude each other: give one of them")
  }
  if (blocks !== undefined) {
    if (forkFiles.length > 0) return refuse("--fork goes with --chain; with --generate: --fork-at")
    if (forkAt !== undefined && forkAt > blocks) {
      return refuse(`--fork-at ${forkAt} is above the last block, ${blocks}`)
    }
    if (raw.head !== undefined && raw.head > blocks) {
      return refuse(`--head ${raw.head} is above the last block, ${blocks}`)
    }
    const generate: GenerateOptions = {
      blocks,
      shape: shape ?? defaultShape,
      seed: seed ?? devnetFlags.seed.default,
      forkAt,
    }
    return accept({ network, chainFiles: [], forkFiles, generate })
  }
  if (chain.length === 0) {
    return refuse("a chain to serve is needed: --chain FILE or --generate BLOCKS")
  }
  if (forkAt !== undefined) return refuse("--fork-at goes with --generate; with --chain: --fork")
  if (shape !== undefined || seed !== undefined) {
    return refuse("--shape and --seed go with --generate, not with --chain")
  }
  return accept({
    network: network ?? "mainnet",
    chainFiles: chain,
    forkFiles,
    generate: undefined,
  })
}

const parseBootnodes = (raw: RawDevnetOptions): Checked<ReadonlyArray<Enode>> => {
  if (raw.bootnode.length > 0 && !raw.discovery) return refuse("--bootnode goes with --discovery")
  const bootnodes: Array<Enode> = []
  for (const text of raw.bootnode) {
    const node = parseEnode(text)
    if (isEnodeInvalid(node)) return refuse(`--bootnode "${text}" is no enode: ${node.reason}`)
    bootnodes.push(node)
  }
  return accept(bootnodes)
}

const parseEthVersions = (text: string): Checked<ReadonlyArray<EthVersion>> => {
  const words = text.split(",").map((word) => word.trim())
  const unknown = words.find((word) => !ethVersions.some((version) => String(version) === word))
  if (unknown !== undefined) {
    return refuse(`--eth takes ${oneOf(ethVersions.map(String))}, not "${unknown}"`)
  }
  return accept(ethVersions.filter((version) => words.includes(String(version))))
}

const parseFaults = (
  texts: ReadonlyArray<string>,
  peers: number,
): Checked<Readonly<Record<FaultKind, number>>> => {
  const faults: Record<FaultKind, number> = {
    slow: 0,
    silent: 0,
    short: 0,
    skip: 0,
    empty: 0,
    "bodies-only": 0,
    boast: 0,
    lie: 0,
    "lie-header": 0,
    "lie-body": 0,
    "lie-withdrawal": 0,
    "lie-receipt": 0,
    "lie-log": 0,
    "lie-swap": 0,
    "lie-drop-log": 0,
    "lie-other": 0,
    "lie-other-receipts": 0,
    garbage: 0,
    leave: 0,
  }
  const seen = new Set<string>()
  let total = 0
  for (const text of texts.flatMap((one) => one.split(",")).map((one) => one.trim())) {
    const [, word = "", count = ""] = /^([^=]*)=(\d{1,6})$/.exec(text) ?? []
    if (count === "") return refuse(`--fault takes KIND=N, such as slow=2, not "${text}"`)
    const kind = faultKinds.find((known) => known === word)
    if (kind === undefined) return refuse(`--fault knows ${oneOf(faultKinds)}, not "${word}"`)
    if (seen.has(kind)) return refuse(`--fault ${kind} is given twice`)
    seen.add(kind)
    faults[kind] = Number(count)
    total += Number(count)
  }
  return total > peers
    ? refuse(`--fault asks for ${total} faulty peers, but there are ${peers}`)
    : accept(faults)
}
