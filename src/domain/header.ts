/**
 * What annals reads of a block header.
 *
 * In: the RLP of one header. Out: a {@link Header}, whose byte fields are views into what went in.
 * Invariants: one walk, no array of fields; fields that later forks append are passed over
 * unread, fields that are read have the width and the canonical form that the yellow paper
 * (section 4.4) demands.
 */
import { RlpError, RlpReader } from "./rlp.ts"
import { fromHex } from "./hex.ts"

/** Root of the empty trie, 32 bytes: keccak256(rlp("")). Blocks without items carry it. */
export const EMPTY_TRIE_ROOT: Uint8Array = fromHex(
  "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
)

/** Hash of no ommers, 32 bytes: keccak256(rlp([])). */
export const EMPTY_OMMERS_HASH: Uint8Array = fromHex(
  "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
)

/** The fields of a header that fetching and checking need; byte fields are views. */
export interface Header {
  readonly number: number
  readonly parentHash: Uint8Array
  readonly ommersHash: Uint8Array
  readonly stateRoot: Uint8Array
  readonly transactionsRoot: Uint8Array
  readonly receiptsRoot: Uint8Array
  /** 256 bytes. */
  readonly logsBloom: Uint8Array
  readonly gasLimit: number
  readonly gasUsed: number
  /** Unix seconds. */
  readonly timestamp: number
  /** From Shanghai on (EIP-4895). */
  readonly withdrawalsRoot?: Uint8Array
}

/**
 * Longest header, in bytes of RLP. One of mainnet has some 600; a seal of proof of authority takes 20
 * bytes a signer. Whatever holds headers counts on it.
 */
export const MOST_HEADER_BYTES = 4_096

/**
 * Reads the header whose RLP is `bytes`, to the last byte. Throws {@link RlpError} when it is longer
 * than {@link MOST_HEADER_BYTES}, has fewer than 15 fields, a field of the wrong width, or a number above 2^53 - 1; who sent the bytes
 * is to blame. Source: yellow paper 4.4, EIP-1559 and EIP-4895 for the fields after the nonce.
 */
export const readHeader = (bytes: Uint8Array): Header => {
  if (bytes.length > MOST_HEADER_BYTES) {
    throw new RlpError(`a header of more than ${MOST_HEADER_BYTES} bytes`, 0)
  }
  const fields = RlpReader.list(bytes)
  const parentHash = fields.nextFixed(32)
  const ommersHash = fields.nextFixed(32)
  skipString(fields, 20, 20) // beneficiary
  const stateRoot = fields.nextFixed(32)
  const transactionsRoot = fields.nextFixed(32)
  const receiptsRoot = fields.nextFixed(32)
  const logsBloom = fields.nextFixed(256)
  skipInteger(fields) // difficulty
  const number = fields.nextUint()
  const gasLimit = fields.nextUint()
  const gasUsed = fields.nextUint()
  const timestamp = fields.nextUint()
  // Proof-of-authority chains put seals into the extra data, so its length is no error here.
  skipString(fields, 0, Infinity) // extraData
  skipString(fields, 32, 32) // mixHash
  skipString(fields, 8, 8) // nonce
  const header: Header = {
    number,
    parentHash,
    ommersHash,
    stateRoot,
    transactionsRoot,
    receiptsRoot,
    logsBloom,
    gasLimit,
    gasUsed,
    timestamp,
  }
  if (fields.done) return header
  skipString(fields, 0, 32) // baseFeePerGas
  if (fields.done) return header
  const withdrawalsRoot = fields.nextFixed(32)
  // What comes after belongs to later forks; it has to be RLP all the same.
  while (!fields.done) fields.next()
  return { ...header, withdrawalsRoot }
}

/** Steps over an integer that is not read. */
const skipInteger = (fields: RlpReader): void => {
  skipString(fields, 0, 32)
  if (fields.start < fields.end && fields.bytes[fields.start] === 0) {
    throw new RlpError("integer with a leading zero", fields.itemStart)
  }
}

/** Steps over a byte string that is not read but whose width is known. */
const skipString = (fields: RlpReader, least: number, most: number): void => {
  fields.next()
  const length = fields.end - fields.start
  if (fields.isList || length < least || length > most) {
    throw new RlpError("a header field of the wrong kind or width", fields.itemStart)
  }
}
