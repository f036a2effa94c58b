/**
 * How a payload lies in the columns of `payloads`: packed when it is written, unpacked when it is
 * read, and by nothing else.
 *
 * The forms, by the number in `codec`:
 * - 0: body and receipts as they are;
 * - 1: in `body`, the length of the body (4 bytes, little-endian) and one zstd frame of the body
 *   with the receipts right behind it; `receipts` is empty. One frame for both: receipts repeat
 *   the addresses of the body, which saves 2 to 5 %. Each block is a frame of its own, so that one
 *   is read without its neighbours.
 *
 * The header is never packed: it is all hashes, and peers ask for it alone.
 *
 * Invariants: `unpackParts(packParts(x))` is `x`, whatever the bytes; what was damaged in the store
 * gives undefined or other bytes, never a throw; nothing is allocated for a length that was only
 * declared unless it is at most {@link MOST_PACKED_BYTES}.
 */
import { compress, compressBound, decompress } from "./zstd.ts"
import { PAYLOAD_LEVEL } from "./zstdLibrary.ts"

/** As they are. */
export const PLAIN_CODEC = 0
/** One zstd frame of both; see the module. */
export const ZSTD_CODEC = 1

/** Packs nothing. */
export const NO_COMPRESSION = 0
/**
 * How hard payloads are packed: {@link NO_COMPRESSION}, {@link PAYLOAD_LEVEL}, or zstd's own levels
 * from 2 to 19. 1: in 0.3 CPU-ms a block of mainnet's shape it makes 103 kB of 222, and a part of
 * that time is won back where SQLite has less to write. Level 3 takes twice the time for 2 % less,
 * level 9 eight times the time for 3 %.
 */
export const DEFAULT_COMPRESSION_LEVEL = PAYLOAD_LEVEL

/** What becomes packed of a block. */
export interface PayloadParts {
  readonly body: Uint8Array
  readonly receipts: Uint8Array
}

/** The columns that depend on the form. */
export interface PackedParts extends PayloadParts {
  readonly codec: number
}

/** Shorter payloads, empty blocks most of them, are kept as they are: a frame would gain nothing. */
const LEAST_BYTES = 128
/**
 * Longer payloads are kept as they are, and what declares to be longer is damaged. Four times the
 * largest message of a peer; what a block's gas can buy is a quarter of it.
 */
export const MOST_PACKED_BYTES = 64 * 1024 * 1024
const PREFIX_BYTES = 4
/** A frame is written here first, four times the usual payload; for longer ones room is made. */
const SCRATCH_BYTES = 1024 * 1024

let scratch: Uint8Array | undefined

/** Packs body and receipts: the columns' values, none of them a view of what is written later. */
export const packParts = (
  parts: PayloadParts,
  level: number = DEFAULT_COMPRESSION_LEVEL,
): PackedParts => {
  const { body, receipts } = parts
  const length = body.length + receipts.length
  if (level === NO_COMPRESSION || length < LEAST_BYTES || length > MOST_PACKED_BYTES) {
    return { body, receipts, codec: PLAIN_CODEC }
  }
  const room = roomFor(PREFIX_BYTES + compressBound(length))
  const packed = PREFIX_BYTES + compress(room.subarray(PREFIX_BYTES), joined(parts), level)
  if (packed >= length) return { body, receipts, codec: PLAIN_CODEC }
  new DataView(room.buffer, room.byteOffset).setUint32(0, body.length, true)
  return { body: room.slice(0, packed), receipts: EMPTY, codec: ZSTD_CODEC }
}

/**
 * Body and receipts of a row; undefined where its form is not known or its bytes are damaged. With
 * `roomFor` they may lie in the room that it gives, for as long as its owner leaves it alone.
 */
export const unpackParts = (
  { codec, body, receipts }: PackedParts,
  roomFor?: (length: number) => Uint8Array,
): PayloadParts | undefined => {
  if (codec === PLAIN_CODEC) return { body, receipts }
  if (codec !== ZSTD_CODEC || receipts.length > 0 || body.length < PREFIX_BYTES) return undefined
  const bodyLength = new DataView(body.buffer, body.byteOffset).getUint32(0, true)
  const both = decompress(body.subarray(PREFIX_BYTES), MOST_PACKED_BYTES, undefined, roomFor)
  if (both === undefined || bodyLength > both.length) return undefined
  return { body: both.subarray(0, bodyLength), receipts: both.subarray(bodyLength) }
}

const EMPTY = new Uint8Array(0)

const roomFor = (length: number): Uint8Array => {
  if (length > SCRATCH_BYTES) return new Uint8Array(length)
  return (scratch ??= new Uint8Array(SCRATCH_BYTES))
}

/** Body and receipts in one piece: as a pack has them already, else copied. */
const joined = ({ body, receipts }: PayloadParts): Uint8Array => {
  const length = body.length + receipts.length
  if (body.buffer === receipts.buffer && body.byteOffset + body.length === receipts.byteOffset) {
    return new Uint8Array(body.buffer, body.byteOffset, length)
  }
  const both = new Uint8Array(length)
  both.set(body)
  both.set(receipts, body.length)
  return both
}
