/**
 * The state root of a genesis: the `alloc` of a genesis.json as the two-level Merkle-Patricia trie
 * of Ethereum's state (yellow paper, section 4.1).
 *
 * In: the `alloc` object. Out: a 32-byte root. Everything is read and checked before the first trie
 * node is made, so that a bad file fails early and by name.
 *
 * Accounts that are empty are part of the state nevertheless, and storage slots that are zero are
 * not, as geth has it.
 */
import { type GenesisObject, GenesisInvalid, parseBytes, required } from "./genesisFields.ts"
import { concatBytes, encodeBytes, encodeList, encodeUint } from "../domain/rlp.ts"
import { keccak256 } from "../domain/keccak.ts"
import { parseHex, toHex } from "../domain/hex.ts"

interface GenesisAccount {
  /** 20 bytes. */
  readonly address: Uint8Array
  readonly nonce: bigint
  /** Wei. */
  readonly balance: bigint
  readonly code: Uint8Array
  /** Pairs of 32-byte key and 32-byte value. */
  readonly storage: ReadonlyArray<readonly [Uint8Array, Uint8Array]>
}

type TrieEntry = readonly [key: Uint8Array, value: Uint8Array]

/** A storage key or value: up to 32 bytes, padded on the left. */
const parseWord = (text: unknown, where: string): Uint8Array => {
  const bytes = parseBytes(text, where)
  if (bytes.length > 32) throw new GenesisInvalid(where, `${bytes.length} bytes, at most 32`)
  return concatBytes([new Uint8Array(32 - bytes.length), bytes])
}

/** Refuses two spellings of the same key: which one counts would depend on the reader. */
const claim = (seen: Set<string>, key: Uint8Array, where: string): void => {
  const name = toHex(key)
  if (seen.has(name)) throw new GenesisInvalid(where, "occurs twice")
  seen.add(name)
}

const parseStorage = (
  storage: GenesisObject | undefined,
): ReadonlyArray<readonly [Uint8Array, Uint8Array]> => {
  if (storage === undefined) return []
  const seen = new Set<string>()
  return storage.keys().map((text) => {
    const where = storage.path(text)
    const key = parseWord(text, where)
    claim(seen, key, where)
    return [key, parseWord(storage.value(text), where)] as const
  })
}

const parseAccounts = (alloc: GenesisObject): ReadonlyArray<GenesisAccount> => {
  const seen = new Set<string>()
  return alloc.keys().map((text) => {
    const where = alloc.path(text)
    const address = parseHex(text)
    if (address?.length !== 20) throw new GenesisInvalid(where, "the key is not a 20-byte address")
    claim(seen, address, where)
    const account = required(alloc.object(text), where)
    return {
      address,
      nonce: account.quantity("nonce", 64) ?? 0n,
      balance: required(account.quantity("balance", 256), account.path("balance")),
      code: account.bytes("code") ?? new Uint8Array(0),
      storage: parseStorage(account.object("storage")),
    }
  })
}

/** The root of a trie whose keys are hashed. The library is loaded here, since few runs need it. */
const trieRoot = async (entries: ReadonlyArray<TrieEntry>): Promise<Uint8Array> => {
  const { createMPT } = await import("@ethereumjs/mpt")
  const trie = await createMPT({ useKeyHashing: true, useKeyHashingFunction: keccak256 })
  for (const [key, value] of entries) await trie.put(key, value)
  return trie.root()
}

const withoutLeadingZeros = (word: Uint8Array): Uint8Array => {
  const first = word.findIndex((byte) => byte !== 0)
  return first < 0 ? new Uint8Array(0) : word.subarray(first)
}

const encodeAccount = async (account: GenesisAccount): Promise<Uint8Array> => {
  const slots = account.storage
    .map(([key, word]) => [key, withoutLeadingZeros(word)] as const)
    .filter(([, value]) => value.length > 0)
    .map(([key, value]): TrieEntry => [key, encodeBytes(value)])
  return encodeList([
    encodeUint(account.nonce),
    encodeUint(account.balance),
    encodeBytes(await trieRoot(slots)),
    encodeBytes(keccak256(account.code)),
  ])
}

/**
 * The state root that `alloc` makes, 32 bytes. Rejects with {@link GenesisInvalid} when an address,
 * balance, nonce, code or storage slot is not well formed.
 */
export const genesisStateRoot = async (alloc: GenesisObject): Promise<Uint8Array> => {
  const entries: Array<TrieEntry> = []
  for (const account of parseAccounts(alloc)) {
    entries.push([account.address, await encodeAccount(account)])
  }
  return trieRoot(entries)
}
