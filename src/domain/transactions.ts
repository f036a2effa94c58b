/**
 * Transactions of types 0 to 4.
 *
 * In: the bytes that the transactions trie and the transaction's hash take: `rlp(fields)` for a
 * legacy transaction, `type ‖ rlp(fields)` for a typed one (EIP-2718). Out: a {@link Transaction}
 * whose byte fields are views into them, or undefined where annals does not know how to read them.
 *
 * Invariants: reading is strict, so that `encodeTransaction(readTransaction(bytes))` is `bytes`
 * for whatever is read; nothing is lost. Bytes never throw: a type that a later fork brings, or
 * fields that no fork knows, give undefined, and the caller keeps the bytes as they are.
 *
 * Sources: yellow paper 4.2, EIP-155, EIP-2930, EIP-1559, EIP-4844 (the form in bodies, without
 * sidecar), EIP-7702.
 */
import { nextQuantity, type Quantity, quantityToBigInt } from "./quantity.ts"
import { concatBytes, encodeBytes, encodeList, RlpError, RlpReader } from "./rlp.ts"

/** The types that annals decodes. */
export type TransactionType = 0 | 1 | 2 | 3 | 4

/** The fields of a transaction; those that its type does not have are undefined. */
export interface TransactionFields {
  readonly type: TransactionType
  /** Types 1 to 4. That of a legacy transaction is in its `v`: {@link legacyChainId}. */
  readonly chainId: Quantity | undefined
  readonly nonce: Quantity
  /** Wei per gas. Types 0 and 1. */
  readonly gasPrice: Quantity | undefined
  /** Wei per gas. Types 2 to 4. */
  readonly maxPriorityFeePerGas: Quantity | undefined
  /** Wei per gas. Types 2 to 4. */
  readonly maxFeePerGas: Quantity | undefined
  readonly gasLimit: Quantity
  /** 20 bytes; none when the transaction creates a contract. */
  readonly to: Uint8Array
  /** Wei. */
  readonly value: Quantity
  /** Calldata, or the code that creates a contract. */
  readonly input: Uint8Array
  /** RLP item, for {@link readAccessList}. Types 1 to 4. */
  readonly accessList: Uint8Array | undefined
  /** Wei per blob gas. Type 3. */
  readonly maxFeePerBlobGas: Quantity | undefined
  /** RLP item, for {@link readVersionedHashes}. Type 3. */
  readonly blobVersionedHashes: Uint8Array | undefined
  /** RLP item, for {@link readAuthorizations}. Type 4. */
  readonly authorizationList: Uint8Array | undefined
  /** `v` of a legacy transaction (27, 28, or from 35 on by EIP-155), else the y parity. */
  readonly v: Quantity
  readonly r: Quantity
  readonly s: Quantity
}

/** A transaction that was read. */
export interface Transaction extends TransactionFields {
  /** The items before the signature, as they came: what the sender signed is made of them. */
  readonly signedFields: Uint8Array
}

/** An entry of an access list (EIP-2930). */
export interface AccessListEntry {
  /** 20 bytes. */
  readonly address: Uint8Array
  /** 32 bytes each. */
  readonly storageKeys: ReadonlyArray<Uint8Array>
}

/** An entry of an authorization list (EIP-7702). */
export interface Authorization {
  readonly chainId: Quantity
  /** 20 bytes. */
  readonly address: Uint8Array
  readonly nonce: Quantity
  readonly yParity: Quantity
  readonly r: Quantity
  readonly s: Quantity
}

/** The type of a transaction that `readBody` gave: its first byte, or 0 when that opens a list. */
export const transactionType = (bytes: Uint8Array): number => {
  const first = bytes[0] ?? 0
  return first >= 0xc0 ? 0 : first
}

/** Reads a transaction; undefined when its type is unknown or its fields are not its type's. */
export const readTransaction = (bytes: Uint8Array): Transaction | undefined => {
  const type = transactionType(bytes)
  if (!isKnown(type)) return undefined
  try {
    return readFields(type, RlpReader.list(bytes, type === 0 ? 0 : 1))
  } catch (error) {
    if (error instanceof RlpError) return undefined
    throw error
  }
}

/** The bytes of a transaction as its hash takes them; the opposite of {@link readTransaction}. */
export const encodeTransaction = (fields: TransactionFields): Uint8Array => {
  const items = [
    quantityItem(fields.chainId),
    quantityItem(fields.nonce),
    quantityItem(fields.gasPrice),
    quantityItem(fields.maxPriorityFeePerGas),
    quantityItem(fields.maxFeePerGas),
    quantityItem(fields.gasLimit),
    encodeBytes(fields.to),
    quantityItem(fields.value),
    encodeBytes(fields.input),
    fields.accessList ?? NOTHING,
    quantityItem(fields.maxFeePerBlobGas),
    fields.blobVersionedHashes ?? NOTHING,
    fields.authorizationList ?? NOTHING,
    quantityItem(fields.v),
    quantityItem(fields.r),
    quantityItem(fields.s),
  ]
  return withType(fields.type, encodeList(items))
}

/** `payload` with the type byte of EIP-2718 before it; a legacy transaction has none. */
export const withType = (type: TransactionType, payload: Uint8Array): Uint8Array =>
  type === 0 ? payload : concatBytes([Uint8Array.of(type), payload])

/**
 * The chain id that a legacy transaction's `v` holds by EIP-155 (`{35, 36} + 2 · chainId`);
 * undefined for a transaction that holds on every chain.
 */
export const legacyChainId = (v: Quantity): bigint | undefined => {
  const value = quantityToBigInt(v)
  return value >= 35n ? (value - 35n) / 2n : undefined
}

/** The entries of an access list from its RLP item. RlpError: no such list; its sender's fault. */
export const readAccessList = (item: Uint8Array): ReadonlyArray<AccessListEntry> => {
  const list = RlpReader.list(item)
  const entries: Array<AccessListEntry> = []
  while (!list.done) {
    const fields = list.nextList()
    const address = fields.nextFixed(20)
    const storageKeys = nextHashes(fields.nextList())
    fields.finish()
    entries.push({ address, storageKeys })
  }
  return entries
}

/** The entries of an authorization list from its RLP item. RlpError as {@link readAccessList}. */
export const readAuthorizations = (item: Uint8Array): ReadonlyArray<Authorization> => {
  const list = RlpReader.list(item)
  const entries: Array<Authorization> = []
  while (!list.done) {
    const fields = list.nextList()
    entries.push({
      chainId: nextQuantity(fields),
      address: fields.nextFixed(20),
      nonce: nextQuantity(fields),
      yParity: nextQuantity(fields),
      r: nextQuantity(fields),
      s: nextQuantity(fields),
    })
    fields.finish()
  }
  return entries
}

/** Versioned hashes of blobs, 32 bytes each, from their list's item. RlpError as above. */
export const readVersionedHashes = (item: Uint8Array): ReadonlyArray<Uint8Array> =>
  nextHashes(RlpReader.list(item))

const NOTHING = new Uint8Array(0)

const quantityItem = (quantity: Quantity | undefined): Uint8Array =>
  quantity === undefined ? NOTHING : encodeBytes(quantity)

const isKnown = (type: number): type is TransactionType => type <= 4

/** The order of the fields is that of the EIPs; each type leaves some of them out. */
const readFields = (type: TransactionType, fields: RlpReader): Transaction => {
  const first = nextQuantity(fields)
  const signedFrom = fields.itemStart
  const chainId = type !== 0 ? first : undefined
  const nonce = type !== 0 ? nextQuantity(fields) : first
  const gasPrice = type < 2 ? nextQuantity(fields) : undefined
  const maxPriorityFeePerGas = type >= 2 ? nextQuantity(fields) : undefined
  const maxFeePerGas = type >= 2 ? nextQuantity(fields) : undefined
  const gasLimit = nextQuantity(fields)
  const to = nextRecipient(type, fields)
  const value = nextQuantity(fields)
  const input = fields.nextBytes()
  const accessList = type !== 0 ? nextItem(fields, readAccessList) : undefined
  const maxFeePerBlobGas = type === 3 ? nextQuantity(fields) : undefined
  const blobVersionedHashes = type === 3 ? nextItem(fields, readVersionedHashes) : undefined
  const authorizationList = type === 4 ? nextItem(fields, readAuthorizations) : undefined
  const signedFields = fields.bytes.subarray(signedFrom, fields.end)
  const v = nextQuantity(fields)
  const r = nextQuantity(fields)
  const s = nextQuantity(fields)
  fields.finish()
  return {
    type,
    chainId,
    nonce,
    gasPrice,
    maxPriorityFeePerGas,
    maxFeePerGas,
    gasLimit,
    to,
    value,
    input,
    accessList,
    maxFeePerBlobGas,
    blobVersionedHashes,
    authorizationList,
    v,
    r,
    s,
    signedFields,
  }
}

const nextRecipient = (type: TransactionType, fields: RlpReader): Uint8Array => {
  const to = fields.nextBytes()
  // Blob and set-code transactions cannot create contracts (EIP-4844, EIP-7702).
  if (to.length !== 20 && (to.length !== 0 || type >= 3)) {
    throw new RlpError("no recipient", fields.itemStart)
  }
  return to
}

/** The next item, which `read` must be able to read: an empty list is, without being read. */
const nextItem = (fields: RlpReader, read: (item: Uint8Array) => unknown): Uint8Array => {
  const item = fields.next().item()
  if (item.length > 1 || item[0] !== 0xc0) read(item)
  return item
}

const nextHashes = (list: RlpReader): ReadonlyArray<Uint8Array> => {
  const hashes: Array<Uint8Array> = []
  while (!list.done) hashes.push(list.nextFixed(32))
  return hashes
}
