/**
 * What annals has to know of a chain to talk to its peers and to check its blocks. Pure data; the
 * known networks are in `networks.ts`, a genesis.json becomes one in `genesis.ts`.
 */

/** A block whose hash is known from elsewhere than from peers. */
export interface Anchor {
  readonly blockNumber: number
  /** 32 bytes. */
  readonly hash: Uint8Array
}

/** Parameters of blob gas pricing from a fork time on (EIP-4844, EIP-7840, EIP-7892). */
export interface BlobParameters {
  /** Unix seconds. */
  readonly fromTime: number
  readonly baseFeeUpdateFraction: bigint
}

/** A chain as its peers see it. */
export interface ChainSpec {
  /** `mainnet`, `sepolia`, `hoodi`, or the path of the genesis.json. */
  readonly name: string
  readonly networkId: bigint
  readonly chainId: bigint
  /** 32 bytes. */
  readonly genesisHash: Uint8Array
  /** RLP of the genesis header, where it is known (it was made from a genesis.json). */
  readonly genesisHeader?: Uint8Array
  /** Unix seconds. */
  readonly genesisTime: number
  /** Block numbers of forks, rising, without those at genesis (EIP-2124). */
  readonly forkBlocks: ReadonlyArray<number>
  /** Unix seconds of forks, rising, without those at or before genesis (EIP-6122). */
  readonly forkTimes: ReadonlyArray<number>
  readonly blobSchedule: ReadonlyArray<BlobParameters>
  /** The total difficulty up to the last block of proof of work, and ever since (EIP-3675). */
  readonly finalTotalDifficulty?: bigint
  readonly anchors: ReadonlyArray<Anchor>
  /** enode URLs. */
  readonly bootnodes: ReadonlyArray<string>
  /** enrtree URLs (EIP-1459). */
  readonly dnsTrees: ReadonlyArray<string>
}
