/**
 * Our Status and our judgement of the peer's: whether both are on the same chain (eth `Status`;
 * EIP-2124 for the fork id). Pure.
 */
import { equalBytes, toHex, toHex0x } from "../domain/hex.ts"
import type { Status } from "../wire/ethMessages.ts"
import type { EthVersion } from "../wire/hello.ts"
import type { ChainSpec } from "./chainSpec.ts"
import { checkForkId, forkIdAt } from "./forkId.ts"

/** The block that we announce as our head, and from which on we say to serve. */
export interface LocalHead {
  readonly number: number
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** Unix seconds. */
  readonly time: number
  readonly totalDifficulty: bigint
  /** Lowest block served. */
  readonly earliest: number
}

/** What a node that holds nothing yet announces: genesis. */
export const genesisHead = (chain: ChainSpec): LocalHead => ({
  number: 0,
  hash: chain.genesisHash,
  time: chain.genesisTime,
  totalDifficulty: 0n,
  earliest: 0,
})

/** The Status to send over eth/`version`. */
export const localStatus = (chain: ChainSpec, head: LocalHead, version: EthVersion): Status => {
  const forkId = forkIdAt(chain, head)
  const common = {
    networkId: chain.networkId,
    genesisHash: chain.genesisHash,
    forkHash: forkId.hash,
    forkNext: forkId.next,
  }
  return version === 68
    ? { version, ...common, totalDifficulty: head.totalDifficulty, bestHash: head.hash }
    : {
        version,
        ...common,
        earliestBlock: head.earliest,
        latestBlock: head.number,
        latestBlockHash: head.hash,
      }
}

/** In what a peer's Status differs from our chain. */
export interface StatusMismatch {
  readonly what: "network_id" | "genesis" | "fork_id"
  readonly expected: string
  readonly actual: string
}

/** Judges a peer's Status; undefined when it is on our chain. */
export const statusMismatch = (
  chain: ChainSpec,
  head: LocalHead,
  status: Status,
): StatusMismatch | undefined => {
  if (status.networkId !== chain.networkId) {
    return {
      what: "network_id",
      expected: String(chain.networkId),
      actual: String(status.networkId),
    }
  }
  if (!equalBytes(status.genesisHash, chain.genesisHash)) {
    return {
      what: "genesis",
      expected: toHex0x(chain.genesisHash),
      actual: toHex0x(status.genesisHash),
    }
  }
  const remote = { hash: status.forkHash, next: status.forkNext }
  if (checkForkId(chain, head, remote) !== "compatible") {
    const ours = forkIdAt(chain, head)
    return {
      what: "fork_id",
      expected: `${toHex(ours.hash)} next ${ours.next}`,
      actual: `${toHex(status.forkHash)} next ${status.forkNext}`,
    }
  }
  return undefined
}
