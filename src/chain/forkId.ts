/**
 * Fork ids: four bytes that tell which genesis and which forks a node has behind it, and the height
 * or time of the fork that it expects next. Peers exchange them in Status and in node records, to
 * part early from those on other chains. Sources: EIP-2124 (forks by block), EIP-6122 (by time).
 *
 * In: a {@link ChainSpec}, heads, fork ids of peers. Out: fork ids and verdicts. Pure.
 *
 * Invariants:
 * - A chain with n forks has n + 1 fork states, forks by block before forks by time; the state of
 *   a head is the number of forks up to the first that it has not passed.
 * - A head never is incompatible with another head of the same chain, in either direction.
 */
import type { ChainSpec } from "./chainSpec.ts"
import { crc32 } from "node:zlib"
import { equalBytes } from "../domain/hex.ts"

/** A fork id as it goes over the wire (EIP-2124, "Specification"). */
export interface ForkId {
  /** FORK_HASH: 4 bytes, the CRC32 of the genesis hash and of every fork passed. */
  readonly hash: Uint8Array
  /** FORK_NEXT: block number or Unix seconds of the next known fork, 0 for none; a uint64. */
  readonly next: bigint
}

/** A block as far as fork states go. */
export interface ForkHead {
  readonly number: number
  /** Unix seconds. */
  readonly time: number
}

/**
 * What follows from a peer's fork id: `compatible`; `remote_stale`, the peer lacks a fork that we
 * have passed and its operator has to update; `incompatible`, another chain, or ours lacks a fork.
 */
export type ForkIdVerdict = "compatible" | "remote_stale" | "incompatible"

/**
 * From here on a FORK_NEXT can be a time: mainnet's genesis, in Unix seconds, far above any block
 * number (the line that clients draw, since EIP-6122 keeps blocks and times in one field).
 */
const EARLIEST_FORK_TIME = 1_438_269_973n

/** The checksum goes on over each fork as a uint64, big-endian. */
const withFork = (checksum: number, fork: number): number => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(fork))
  return crc32(bytes, checksum)
}

const hashOf = (checksum: number): Uint8Array => {
  const hash = new Uint8Array(4)
  new DataView(hash.buffer).setUint32(0, checksum)
  return hash
}

/** How many forks `head` has passed. */
const forksPassed = (chain: ChainSpec, head: ForkHead): number => {
  const { forkBlocks, forkTimes } = chain
  const byBlock = forkBlocks.findIndex((fork) => head.number < fork)
  if (byBlock >= 0) return byBlock
  const byTime = forkTimes.findIndex((fork) => head.time < fork)
  return forkBlocks.length + (byTime >= 0 ? byTime : forkTimes.length)
}

/** Every fork id of the chain, oldest first: at genesis, then after each fork. */
export const allForkIds = (chain: ChainSpec): ReadonlyArray<ForkId> => {
  const forks = [...chain.forkBlocks, ...chain.forkTimes]
  let checksum = crc32(chain.genesisHash)
  const ids: Array<ForkId> = []
  for (const fork of forks) {
    ids.push({ hash: hashOf(checksum), next: BigInt(fork) })
    checksum = withFork(checksum, fork)
  }
  ids.push({ hash: hashOf(checksum), next: 0n })
  return ids
}

/** The fork id that a node whose head is `head` announces. */
export const forkIdAt = (chain: ChainSpec, head: ForkHead): ForkId =>
  allForkIds(chain)[forksPassed(chain, head)]!

/**
 * Whether `localHead` has already passed a fork that the peer still expects, in the same fork
 * state: then the peer's chain has a fork that ours has not.
 */
const passedUnknownFork = (chain: ChainSpec, localHead: ForkHead, next: bigint): boolean => {
  if (next === 0n) return false
  const forksByTimeOnly =
    chain.forkTimes.length > 0 && forksPassed(chain, localHead) >= chain.forkBlocks.length
  const progress = forksByTimeOnly ? localHead.time : localHead.number
  return progress >= next || (next > EARLIEST_FORK_TIME && localHead.time >= next)
}

/**
 * Judges a peer's fork id by the rules of EIP-2124 ("Validation rules") and EIP-6122.
 *
 * `localHead` is what we announce; it may be far behind the chain, even genesis: a peer in any of
 * the fork states that are ahead of it and known to us is compatible.
 */
export const checkForkId = (
  chain: ChainSpec,
  localHead: ForkHead,
  remote: ForkId,
): ForkIdVerdict => {
  const ids = allForkIds(chain)
  const local = forksPassed(chain, localHead)
  const state = ids.findIndex((id) => equalBytes(id.hash, remote.hash))
  if (state < 0) return "incompatible"
  if (state > local) return "compatible"
  if (state < local) return ids[state]!.next === remote.next ? "compatible" : "remote_stale"
  return passedUnknownFork(chain, localHead, remote.next) ? "incompatible" : "compatible"
}

/**
 * Whether a node that announces `forkId` can be on our chain by now: in the last fork state, or in
 * an earlier one, on its way to the fork that came next. Nodes that stayed behind because they lack
 * a fork do not fit, nor do those of other chains (EIP-2124, "Validation rules", for a node at the
 * head). `nowSeconds` are Unix seconds.
 */
export const forkIdFits = (chain: ChainSpec, forkId: ForkId, nowSeconds: number): boolean =>
  // Where the head is, nobody has told us yet; that it is past the last fork by block is sure.
  checkForkId(chain, { number: chain.forkBlocks.at(-1) ?? 0, time: nowSeconds }, forkId) ===
  "compatible"
