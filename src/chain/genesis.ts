/**
 * A geth genesis.json as a {@link ChainSpec}, with the genesis block's header.
 *
 * In: the file's text. Out: the chain and the RLP of its genesis header, or a rejection with
 * {@link GenesisInvalid}, never with anything else. The config is read here rather than by a
 * library, since new forks arrive in it before they arrive in libraries.
 *
 * Invariants:
 * - Every config key that ends in `Block` or `Time` is a fork, known or not; equal heights count
 *   once, those at or before genesis not at all (EIP-2124, EIP-6122).
 * - The network id is the chain id: a genesis.json names no other.
 */
import type { BlobParameters, ChainSpec } from "./chainSpec.ts"
import { GenesisInvalid, GenesisObject, required } from "./genesisFields.ts"
import { concatBytes, encodeBytes, encodeList, encodeUint, uintBytes } from "../domain/rlp.ts"
import { fromHex } from "../domain/hex.ts"
import { genesisStateRoot } from "./genesisState.ts"
import { keccak256 } from "../domain/keccak.ts"

export { GenesisInvalid } from "./genesisFields.ts"

/** Root of the trie that holds nothing: transactions, receipts and withdrawals of every genesis. */
const EMPTY_TRIE_ROOT = keccak256(encodeBytes(new Uint8Array(0)))

/** Hash of the empty list: the ommers of every genesis, and its block access list. */
const EMPTY_LIST_HASH = keccak256(encodeList([]))

/** SHA-256 of nothing: the requests hash of a block without requests (EIP-7685). */
const EMPTY_REQUESTS_HASH = fromHex(
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
)

/** baseFeePerGas of the first London block, in wei (EIP-1559, INITIAL_BASE_FEE). */
const INITIAL_BASE_FEE = 1_000_000_000n

/** What geth takes a gas limit of zero for. */
const DEFAULT_GAS_LIMIT = 4_712_388n

const ZERO_HASH = new Uint8Array(32)

/** The last part of a fork's config key. */
const BLOCK_SUFFIX = "Block"
const TIME_SUFFIX = "Time"

/**
 * The forks that set blob parameters when a file has no `blobSchedule` entry for them. Osaka and
 * later ones are not here: without an entry they keep what was in effect before them (EIP-7892).
 */
const BLOB_FRACTIONS: ReadonlyMap<string, bigint> = new Map([
  ["cancun", 3_338_477n],
  ["prague", 5_007_716n],
  ["bpo1", 8_346_193n],
  ["bpo2", 11_684_671n],
])

/** Which of two forks at the same time is the later one; unknown names come after these. */
const FORK_ORDER = [
  "cancun",
  "prague",
  "osaka",
  "bpo1",
  "bpo2",
  "bpo3",
  "bpo4",
  "bpo5",
  "amsterdam",
  "bogota",
]

/** The forks of a config, by name without suffix. */
interface Forks {
  readonly blocks: ReadonlyMap<string, number>
  /** Unix seconds. */
  readonly times: ReadonlyMap<string, number>
}

const readHeights = (config: GenesisObject, suffix: string): ReadonlyMap<string, number> => {
  const heights = new Map<string, number>()
  for (const key of config.keys()) {
    if (!key.endsWith(suffix)) continue
    const height = config.safeNumber(key)
    if (height !== undefined) heights.set(key.slice(0, -suffix.length), height)
  }
  return heights
}

/** Heights that rise, each once, above `genesis`. */
const forkList = (heights: ReadonlyMap<string, number>, genesis: number): ReadonlyArray<number> =>
  [...new Set(heights.values())].filter((height) => height > genesis).sort((a, b) => a - b)

const forkRank = (name: string): number => {
  const rank = FORK_ORDER.indexOf(name)
  return rank < 0 ? FORK_ORDER.length : rank
}

/** The blob parameters of a chain, rising in time, one entry a time (EIP-7840, EIP-7892). */
const readBlobSchedule = (config: GenesisObject, forks: Forks): ReadonlyArray<BlobParameters> => {
  const schedule = config.object("blobSchedule")
  const byTime = new Map<number, BlobParameters>()
  const inOrder = [...forks.times].sort(
    ([a, aTime], [b, bTime]) => aTime - bTime || forkRank(a) - forkRank(b),
  )
  for (const [name, fromTime] of inOrder) {
    const entry = schedule?.object(name)
    const fraction =
      entry === undefined
        ? BLOB_FRACTIONS.get(name)
        : required(entry.quantity("baseFeeUpdateFraction", 64), entry.path("baseFeeUpdateFraction"))
    if (fraction === 0n) {
      throw new GenesisInvalid(`config.blobSchedule.${name}.baseFeeUpdateFraction`, "zero")
    }
    if (fraction !== undefined) byTime.set(fromTime, { fromTime, baseFeeUpdateFraction: fraction })
  }
  return [...byTime.values()]
}

/** Header fields that came with a fork, and whether that fork is in effect at genesis. */
interface ForkFields {
  readonly fork: string
  readonly active: boolean
  readonly fields: () => ReadonlyArray<Uint8Array>
}

/** Fields that clients disagree on when they are set before the fork that brought them. */
const refuseEarly = (file: GenesisObject, key: string, fork: ForkFields): void => {
  if (!fork.active && file.value(key) !== undefined) {
    throw new GenesisInvalid(key, `set although ${fork.fork} is not in effect at genesis`)
  }
}

/** The header fields after the nonce, as the forks in effect at genesis demand them. */
const trailingFields = (
  file: GenesisObject,
  forks: Forks,
  genesisTime: number,
): ReadonlyArray<Uint8Array> => {
  const atGenesis = (name: string): boolean => (forks.times.get(name) ?? Infinity) <= genesisTime
  const london: ForkFields = {
    fork: "London",
    active: forks.blocks.get("london") === 0,
    fields: () => [encodeUint(file.quantity("baseFeePerGas", 256) ?? INITIAL_BASE_FEE)],
  }
  const cancun: ForkFields = {
    fork: "Cancun",
    active: atGenesis("cancun"),
    fields: () => [
      encodeUint(file.quantity("blobGasUsed", 64) ?? 0n),
      encodeUint(file.quantity("excessBlobGas", 64) ?? 0n),
      // The parent beacon block root is zero: genesis has no parent (EIP-4788).
      encodeBytes(ZERO_HASH),
    ],
  }
  refuseEarly(file, "baseFeePerGas", london)
  refuseEarly(file, "excessBlobGas", cancun)
  return joinForkFields([
    london,
    {
      fork: "Shanghai",
      active: atGenesis("shanghai"),
      fields: () => [encodeBytes(EMPTY_TRIE_ROOT)],
    },
    cancun,
    {
      fork: "Prague",
      active: atGenesis("prague"),
      fields: () => [encodeBytes(EMPTY_REQUESTS_HASH)],
    },
    {
      fork: "Amsterdam",
      active: atGenesis("amsterdam"),
      // The hash of the block access list (EIP-7928), then the slot (EIP-7843).
      fields: () => [
        encodeBytes(EMPTY_LIST_HASH),
        encodeUint(file.quantity("slotNumber", 64) ?? 0n),
      ],
    },
  ])
}

/** A header's fields have no gaps, so a fork at genesis needs all earlier ones at genesis. */
const joinForkFields = (forks: ReadonlyArray<ForkFields>): ReadonlyArray<Uint8Array> => {
  const joined: Array<Uint8Array> = []
  let missing: string | undefined
  for (const { fork, active, fields } of forks) {
    if (active && missing !== undefined) {
      throw new GenesisInvalid("config", `${fork} is in effect at genesis and ${missing} is not`)
    }
    if (active) joined.push(...fields())
    else missing ??= fork
  }
  return joined
}

/** A uint64 in eight bytes. */
const eightBytes = (value: bigint): Uint8Array => {
  const digits = uintBytes(value)
  return concatBytes([new Uint8Array(8 - digits.length), digits])
}

/** The RLP of the genesis header but for the state root, which takes long and comes last. */
const headerTemplate = (
  file: GenesisObject,
  forks: Forks,
  genesisTime: number,
): ((stateRoot: Uint8Array) => Uint8Array) => {
  if ((file.quantity("number", 64) ?? 0n) !== 0n) throw new GenesisInvalid("number", "not 0")
  const gasLimit = required(file.quantity("gasLimit", 64), "gasLimit")
  const beforeState = [
    encodeBytes(file.bytes("parentHash", 32) ?? ZERO_HASH),
    encodeBytes(EMPTY_LIST_HASH),
    encodeBytes(file.bytes("coinbase", 20) ?? new Uint8Array(20)),
  ]
  const afterState = [
    encodeBytes(EMPTY_TRIE_ROOT),
    encodeBytes(EMPTY_TRIE_ROOT),
    encodeBytes(new Uint8Array(256)),
    encodeUint(required(file.quantity("difficulty", 256), "difficulty")),
    encodeUint(0),
    encodeUint(gasLimit === 0n ? DEFAULT_GAS_LIMIT : gasLimit),
    encodeUint(file.quantity("gasUsed", 64) ?? 0n),
    encodeUint(genesisTime),
    encodeBytes(file.bytes("extraData") ?? new Uint8Array(0)),
    encodeBytes(file.bytes("mixHash", 32) ?? ZERO_HASH),
    encodeBytes(eightBytes(file.quantity("nonce", 64) ?? 0n)),
    ...trailingFields(file, forks, genesisTime),
  ]
  return (stateRoot) => encodeList([...beforeState, encodeBytes(stateRoot), ...afterState])
}

const parseJson = (text: string): GenesisObject => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    throw new GenesisInvalid("file", `not JSON: ${detail}`)
  }
  return GenesisObject.of(value, "")
}

/**
 * Reads a geth genesis.json.
 *
 * `name` becomes the chain's name. The header is RLP; the chain's genesis hash is its Keccak-256.
 * Rejects with {@link GenesisInvalid} only; the author of the file is to blame. The file names
 * neither anchors nor peers, so those lists are empty.
 */
export const parseGenesis = async (
  name: string,
  text: string,
): Promise<{ readonly chain: ChainSpec; readonly header: Uint8Array }> => {
  const file = parseJson(text)
  const config = required(file.object("config"), "config")
  const chainId = required(config.quantity("chainId", 64), "config.chainId")
  const genesisTime = file.safeNumber("timestamp") ?? 0
  const forks: Forks = {
    blocks: readHeights(config, BLOCK_SUFFIX),
    times: readHeights(config, TIME_SUFFIX),
  }
  const blobSchedule = readBlobSchedule(config, forks)
  const headerWith = headerTemplate(file, forks, genesisTime)
  const header = headerWith(await genesisStateRoot(required(file.object("alloc"), "alloc")))
  const chain: ChainSpec = {
    name,
    networkId: chainId,
    chainId,
    genesisHash: keccak256(header),
    genesisHeader: header,
    genesisTime,
    forkBlocks: forkList(forks.blocks, 0),
    forkTimes: forkList(forks.times, genesisTime),
    blobSchedule,
    anchors: [],
    bootnodes: [],
    dnsTrees: [],
  }
  return { chain, header }
}
