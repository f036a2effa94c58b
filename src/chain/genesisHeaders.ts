/**
 * The genesis headers of the networks that annals knows by name: peers ask for them as long as
 * genesis is what we announce.
 *
 * Invariant: the keccak256 of each is the genesis hash of its network (tested). Source: the
 * genesis blocks in go-ethereum's `core/genesis.go`.
 */
import { EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT } from "../domain/header.ts"
import { fromHex } from "../domain/hex.ts"
import { encodeBytes, encodeList, encodeUint } from "../domain/rlp.ts"
import type { ChainSpec } from "./chainSpec.ts"

/** What differs between them; `trailing` are the fields after the nonce. */
interface GenesisFields {
  readonly stateRoot: string
  readonly difficulty: number
  readonly gasLimit: number
  /** Unix seconds. */
  readonly timestamp: number
  readonly extraData: Uint8Array
  readonly nonce: string
  readonly trailing: ReadonlyArray<Uint8Array>
}

const ZERO_HASH = new Uint8Array(32)
const INITIAL_BASE_FEE = 1_000_000_000

const fieldsByName: ReadonlyMap<string, GenesisFields> = new Map([
  [
    "mainnet",
    {
      stateRoot: "d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544",
      difficulty: 0x400000000,
      gasLimit: 5_000,
      timestamp: 0,
      extraData: fromHex("11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa"),
      nonce: "0000000000000042",
      trailing: [],
    },
  ],
  [
    "sepolia",
    {
      stateRoot: "5eb6e371a698b8d68f665192350ffcecbbbf322916f4b51bd79bb6887da3f494",
      difficulty: 0x20000,
      gasLimit: 30_000_000,
      timestamp: 1_633_267_481,
      extraData: new TextEncoder().encode("Sepolia, Athens, Attica, Greece!"),
      nonce: "0000000000000000",
      trailing: [encodeUint(INITIAL_BASE_FEE)],
    },
  ],
  [
    "hoodi",
    {
      stateRoot: "da87d7f5f91c51508791bbcbd4aa5baf04917830b86985eeb9ad3d5bfb657576",
      difficulty: 1,
      gasLimit: 36_000_000,
      timestamp: 1_742_212_800,
      extraData: new Uint8Array(0),
      nonce: "0000000000001234",
      trailing: [
        encodeUint(INITIAL_BASE_FEE),
        encodeBytes(EMPTY_TRIE_ROOT),
        encodeUint(0),
        encodeUint(0),
        encodeBytes(ZERO_HASH),
      ],
    },
  ],
])

/** The RLP of a chain's genesis header; undefined where nobody has told it. */
export const genesisHeaderOf = (chain: ChainSpec): Uint8Array | undefined => {
  if (chain.genesisHeader !== undefined) return chain.genesisHeader
  const fields = fieldsByName.get(chain.name)
  return fields && encodeGenesis(fields)
}

const encodeGenesis = (fields: GenesisFields): Uint8Array =>
  encodeList([
    encodeBytes(ZERO_HASH), // parent
    encodeBytes(EMPTY_OMMERS_HASH),
    encodeBytes(new Uint8Array(20)), // beneficiary
    encodeBytes(fromHex(fields.stateRoot)),
    encodeBytes(EMPTY_TRIE_ROOT), // transactions
    encodeBytes(EMPTY_TRIE_ROOT), // receipts
    encodeBytes(new Uint8Array(256)), // bloom
    encodeUint(fields.difficulty),
    encodeUint(0), // number
    encodeUint(fields.gasLimit),
    encodeUint(0), // gas used
    encodeUint(fields.timestamp),
    encodeBytes(fields.extraData),
    encodeBytes(ZERO_HASH), // mix hash
    encodeBytes(fromHex(fields.nonce)),
    ...fields.trailing,
  ])
