/**
 * Reader of era1 files: 8,192 blocks before the Merge, as clients archive them.
 *
 * In: the bytes of a file. Out: its blocks, receipts in form 68, with their total difficulty.
 * Source: the e2store and era1 texts of the portal and Nimbus projects
 * (`e2store-format-specs/formats/era1.md`), snappy's `framing_format.txt`.
 *
 * Invariants: entries come as Version, then header, body, receipts and total difficulty of each
 * block, then accumulator and index; every length and every checksum is verified before what it
 * guards is used. The accumulator is not recomputed: the hash links already tie the blocks
 * together. Entries of unknown type are passed over, as the format wants. Whatever does not fit is a
 * `ChainFileInvalid` with the byte where it happened.
 */
import snappy from "snappy"
import { readHeader } from "../domain/header.ts"
import { concatBytes } from "../domain/rlp.ts"
import { asChainFileInvalid, ChainFileInvalid, type SourceBlock } from "./servedChain.ts"

const VERSION = 0x3265
const COMPRESSED_HEADER = 0x03
const COMPRESSED_BODY = 0x04
const COMPRESSED_RECEIPTS = 0x05
const TOTAL_DIFFICULTY = 0x06
const ACCUMULATOR = 0x07
const BLOCK_INDEX = 0x3266
const ENTRY_HEADER_BYTES = 8

/** Whether `bytes` begin like an era1 file: with an empty Version entry. */
export const isEra1 = (bytes: Uint8Array): boolean =>
  bytes.length >= ENTRY_HEADER_BYTES &&
  bytes[0] === 0x65 &&
  bytes[1] === 0x32 &&
  bytes.subarray(2, ENTRY_HEADER_BYTES).every((byte) => byte === 0)

/** The blocks of the era1 file `bytes`; `path` only names it in errors. */
export const readEra1 = (bytes: Uint8Array, path: string): ReadonlyArray<SourceBlock> => {
  const blocks: Array<SourceBlock> = []
  let part: Partial<Record<number, Entry>> = {}
  let index: Entry | undefined
  for (const entry of readEntries(bytes, path)) {
    if (!BLOCK_ORDER.includes(entry.type)) {
      if (entry.type === BLOCK_INDEX) index = entry
      if (entry.type === VERSION && entry.offset !== 0) throw entry.invalid("a second version")
      if (entry.type === ACCUMULATOR && entry.data.length !== 32) {
        throw entry.invalid("an accumulator that is not 32 bytes long")
      }
      continue
    }
    const due = BLOCK_ORDER[Object.keys(part).length]
    if (entry.type !== due) throw entry.invalid(`entry ${entry.type} where ${due} is due`)
    part[entry.type] = entry
    if (entry.type === TOTAL_DIFFICULTY) {
      blocks.push(readBlock(part, path))
      part = {}
    }
  }
  const end = { path, offset: bytes.length }
  if (Object.keys(part).length > 0) {
    throw new ChainFileInvalid({ ...end, reason: "the file ends inside a block" })
  }
  if (index === undefined) throw new ChainFileInvalid({ ...end, reason: "no block index" })
  checkIndex(index, blocks)
  return blocks
}

const BLOCK_ORDER: ReadonlyArray<number> = [
  COMPRESSED_HEADER,
  COMPRESSED_BODY,
  COMPRESSED_RECEIPTS,
  TOTAL_DIFFICULTY,
]

interface Entry {
  readonly type: number
  readonly data: Uint8Array
  /** Where the entry starts in the file. */
  readonly offset: number
  readonly invalid: (reason: string) => ChainFileInvalid
}

/** The e2store entries: type (2, little-endian), length (4, little-endian), two zero bytes, data. */
const readEntries = (bytes: Uint8Array, path: string): ReadonlyArray<Entry> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const entries: Array<Entry> = []
  let offset = 0
  while (offset < bytes.length) {
    const start = offset
    const invalid = (reason: string) => new ChainFileInvalid({ path, offset: start, reason })
    if (offset + ENTRY_HEADER_BYTES > bytes.length) throw invalid("the file ends inside an entry")
    const type = view.getUint16(offset, true)
    if (offset === 0 && type !== VERSION) throw invalid("no e2store version at the start")
    if (view.getUint16(offset + 6, true) !== 0) throw invalid("reserved bytes that are not zero")
    const from = offset + ENTRY_HEADER_BYTES
    const to = from + view.getUint32(offset + 2, true)
    if (to > bytes.length) throw invalid("the file ends inside an entry")
    entries.push({ type, data: bytes.subarray(from, to), offset, invalid })
    offset = to
  }
  return entries
}

const readBlock = (part: Partial<Record<number, Entry>>, path: string): SourceBlock => {
  const header = part[COMPRESSED_HEADER]!
  const difficulty = part[TOTAL_DIFFICULTY]!
  if (difficulty.data.length !== 32) {
    throw difficulty.invalid("a total difficulty that is not 32 bytes long")
  }
  return {
    header: unframe(header),
    body: unframe(part[COMPRESSED_BODY]!),
    receipts: unframe(part[COMPRESSED_RECEIPTS]!),
    totalDifficulty: difficulty.data.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
    path,
    offset: header.offset,
  }
}

/** The index: number of the first block, an offset a block, count; eight bytes each. */
const checkIndex = (index: Entry, blocks: ReadonlyArray<SourceBlock>): void => {
  const { data } = index
  if (data.length !== 8 * (blocks.length + 2)) {
    throw index.invalid(`a block index of ${data.length} bytes for ${blocks.length} blocks`)
  }
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const first = blocks[0]
  const count = view.getBigUint64(data.length - 8, true)
  if (first === undefined || count !== BigInt(blocks.length)) {
    throw index.invalid(`a block index over ${count} blocks, but there are ${blocks.length}`)
  }
  const told = view.getBigUint64(0, true)
  const number = numberOf(first)
  if (told !== BigInt(number)) throw index.invalid(`a block index from ${told} on, not ${number}`)
}

const numberOf = (block: SourceBlock): number => {
  try {
    return readHeader(block.header).number
  } catch (error) {
    throw asChainFileInvalid(block, error)
  }
}

const CHUNK_COMPRESSED = 0x00
const CHUNK_PLAIN = 0x01
const CHUNK_FIRST_SKIPPABLE = 0x80
const CHUNK_STREAM = 0xff
/** The framing format allows no more content a chunk. */
const MAX_CHUNK_CONTENT = 65_536
const STREAM_NAME = "sNaPpY"

/** The content of an entry in snappy's framing format. */
const unframe = (entry: Entry): Uint8Array => {
  const { data } = entry
  const parts: Array<Uint8Array> = []
  let at = 0
  while (at < data.length) {
    if (at + 4 > data.length) throw entry.invalid("snappy: the entry ends inside a chunk")
    const kind = data[at]!
    const from = at + 4
    const to = from + (data[at + 1]! | (data[at + 2]! << 8) | (data[at + 3]! << 16))
    if (to > data.length) throw entry.invalid("snappy: the entry ends inside a chunk")
    const chunk = data.subarray(from, to)
    if (kind === CHUNK_STREAM || at === 0) {
      const name = Buffer.from(chunk).toString("latin1")
      if (kind !== CHUNK_STREAM || name !== STREAM_NAME) {
        throw entry.invalid("snappy: no stream identifier")
      }
    } else if (kind === CHUNK_COMPRESSED || kind === CHUNK_PLAIN) {
      parts.push(chunkContent(entry, chunk, kind))
    } else if (kind < CHUNK_FIRST_SKIPPABLE) {
      throw entry.invalid(`snappy: a chunk of the unknown kind ${kind}`)
    }
    at = to
  }
  return parts.length === 1 ? parts[0]! : concatBytes(parts)
}

/** A data chunk: checksum of the content (4, little-endian), then the content, packed or plain. */
const chunkContent = (entry: Entry, chunk: Uint8Array, kind: number): Uint8Array => {
  if (chunk.length < 4) throw entry.invalid("snappy: a chunk without a checksum")
  const payload = chunk.subarray(4)
  const content = kind === CHUNK_PLAIN ? payload : unpack(entry, payload)
  if (content.length > MAX_CHUNK_CONTENT) {
    throw entry.invalid("snappy: a chunk of more than 64 KiB")
  }
  const told = chunk[0]! | (chunk[1]! << 8) | (chunk[2]! << 16) | (chunk[3]! << 24)
  if (told !== maskedCrc32c(content)) throw entry.invalid("snappy: a wrong checksum")
  return content
}

const unpack = (entry: Entry, payload: Uint8Array): Uint8Array => {
  const declared = declaredLength(payload)
  // Checked before unpacking: a few bytes may claim gigabytes.
  if (declared === undefined || declared > MAX_CHUNK_CONTENT) {
    throw entry.invalid("snappy: a chunk of more than 64 KiB")
  }
  let content: string | Uint8Array
  try {
    content = snappy.uncompressSync(payload, { asBuffer: true, copyOutputData: true })
  } catch {
    throw entry.invalid("snappy: a chunk that cannot be unpacked")
  }
  if (typeof content === "string" || content.length !== declared) {
    throw entry.invalid("snappy: a chunk that is not as long as it says")
  }
  return content
}

/** The length that a snappy block declares: a varint of at most five bytes. */
const declaredLength = (payload: Uint8Array): number | undefined => {
  let length = 0
  for (let i = 0; i < 5; i++) {
    const byte = payload[i]
    if (byte === undefined) return undefined
    length += (byte & 127) * 2 ** (7 * i)
    if (byte < 128) return length
  }
  return undefined
}

const CRC32C_TABLE: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78
  return crc
})

/** CRC-32C of `bytes` with snappy's mask, as a signed 32-bit integer. */
const maskedCrc32c = (bytes: Uint8Array): number => {
  let crc = -1
  for (const byte of bytes) crc = CRC32C_TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8)
  crc = ~crc
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) | 0
}
