/**
 * What the texts of flags mean where they are more than a number or one of a few words: enodes,
 * lists of nodes, selections of words, trusted hashes.
 *
 * In: the values that a user gave for one flag. Out: what they name, or one line that begins with
 * the flag and says what cannot be used. Nothing is looked up: a name of a host stays a name.
 */
import type { Anchor } from "../chain/chainSpec.ts"
import { isEnodeInvalid, parseEnode, type Enode } from "../chain/enode.ts"
import { equalBytes, fromHex } from "../domain/hex.ts"
import { optionalTables, type OptionalTable } from "../write/tables.ts"
import { accept, refuse, type Checked } from "./checked.ts"
import { maxInteger } from "./flags.ts"

/** How peers are looked for. */
export interface DiscoveryOptions {
  /** Whether they are at all. */
  readonly enabled: boolean
  /** Undefined: the network's. */
  readonly bootnodes: ReadonlyArray<Enode> | undefined
  /** enrtree URLs, looked into only where they are used; undefined: the network's. */
  readonly dnsTrees: ReadonlyArray<string> | undefined
}

/** What the flags that concern discovery say; also for other commands that talk to peers. */
export const parseDiscovery = (raw: {
  readonly "no-discovery": boolean
  readonly bootnode: ReadonlyArray<string>
  readonly "dns-tree": ReadonlyArray<string>
}): Checked<DiscoveryOptions> => {
  const bootnodes: Array<Enode> = []
  for (const text of raw.bootnode) {
    const node = parseEnode(text)
    if (isEnodeInvalid(node)) return refuse(`--bootnode "${text}" is no enode: ${node.reason}`)
    bootnodes.push(node)
  }
  const dnsTrees = raw["dns-tree"]
  const foreign = dnsTrees.find((text) => !text.startsWith("enrtree://"))
  if (foreign !== undefined) return refuse(`--dns-tree "${foreign}" does not begin with enrtree://`)
  return accept({
    enabled: !raw["no-discovery"],
    bootnodes: bootnodes.length > 0 ? bootnodes : undefined,
    dnsTrees: dnsTrees.length > 0 ? dnsTrees : undefined,
  })
}

/** The nodes that the values of `flag` name, each once; every one of them can be dialled. */
export const parsePeers = (
  flag: string,
  texts: ReadonlyArray<string>,
): Checked<ReadonlyArray<Enode>> => {
  const peers = new Map<string, Enode>()
  for (const text of texts) {
    const peer = parseEnode(text)
    if (isEnodeInvalid(peer)) return refuse(`${flag} "${text}" is no enode: ${peer.reason}`)
    if (peer.tcpPort === 0) return refuse(`${flag} "${text}" has TCP port 0: it cannot be dialled`)
    peers.set(peer.nodeId, peer)
  }
  return accept([...peers.values()])
}

/**
 * The words that the values of `flag` name, with commas between them, in the order of `known`;
 * those of `otherwise` where no value is given. Refused are words that are not known, and `all` or
 * `none` beside others.
 */
export const parseSelection = <Word extends string>(
  flag: string,
  texts: ReadonlyArray<string>,
  known: ReadonlyArray<Word>,
  otherwise: "all" | "none",
): Checked<ReadonlyArray<Word>> => {
  const words = texts.flatMap((text) => text.split(",")).map((word) => word.trim())
  const named = new Set<string>(words.length === 0 ? [otherwise] : words)
  const takes = new Set<string>(["all", "none", ...known])
  for (const word of named) {
    if (!takes.has(word)) {
      return refuse(`${flag} takes all, none, or of ${known.join(", ")}, not "${word}"`)
    }
  }
  const whole = ["all", "none"].find((word) => named.has(word))
  if (whole !== undefined && named.size > 1) {
    return refuse(`${flag} ${whole} stands alone: leave it out, or the others`)
  }
  return accept(whole === "all" ? known : known.filter((word) => named.has(word)))
}

/** The hashes that the values of `--trusted-hash` name, rising, one a height. */
export const parseTrustedHashes = (
  texts: ReadonlyArray<string>,
): Checked<ReadonlyArray<Anchor>> => {
  const hashes = new Map<number, Uint8Array>()
  for (const text of texts) {
    const [, height = "", hex = ""] = /^(\d+):(?:0x)?([0-9a-fA-F]{64})$/.exec(text) ?? []
    const blockNumber = Number(height)
    if (hex === "") {
      return refuse(
        `--trusted-hash takes N:HASH, a block number and 32 bytes in hex, not "${text}"`,
      )
    }
    if (blockNumber > maxInteger) {
      return refuse(`--trusted-hash "${text}": the block is above ${maxInteger}`)
    }
    const hash = fromHex(hex)
    const before = hashes.get(blockNumber)
    if (before !== undefined && !equalBytes(before, hash)) {
      return refuse(`--trusted-hash gives block ${blockNumber} two different hashes`)
    }
    hashes.set(blockNumber, hash)
  }
  return accept(
    [...hashes]
      .sort(([a], [b]) => a - b)
      .map(([blockNumber, hash]): Anchor => ({ blockNumber, hash })),
  )
}

/**
 * The tables that the values of `--tables` name, in the order of `optionalTables`; none where no
 * value is given. Refused are words that name no table, and `all` or `none` beside others.
 */
export const parseTables = (texts: ReadonlyArray<string>): Checked<ReadonlyArray<OptionalTable>> =>
  parseSelection("--tables", texts, optionalTables, "none")
