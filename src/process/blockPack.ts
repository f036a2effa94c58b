/**
 * Several blocks in one buffer, to travel between threads as one message without being copied.
 *
 * In: blocks. Out: an `ArrayBuffer`, and views of the blocks in it. Layout, little-endian:
 *
 *     u32 count, u32 zero
 *     count entries of 72 bytes:
 *       f64 block number, 32 bytes hash,
 *       u32 offset and u32 length of header, of body and of receipts,
 *       u32 form of the receipts (68 or 69), u32 zero
 *     the parts; the buffer may be longer than they are
 *
 * Invariants: a part belongs to one block; receipts may be rewritten in place, since form 69 is
 * never longer than form 68. A pack is made and read by this program only: a buffer that is none
 * is a bug, not a peer's fault.
 */
import { flattenReceipts, type ReceiptsForm } from "../domain/receiptList.ts"
import type { UncheckedBlock } from "./checkBlock.ts"

/** A block as a pack has it. */
export type PackedBlock = UncheckedBlock

const HEAD_BYTES = 8
const ENTRY_BYTES = 72
const HASH_AT = 8
const HASH_BYTES = 32
/** Offset and length of header, body and receipts follow each other from here on. */
const PARTS_AT = HASH_AT + HASH_BYTES
const RECEIPTS_AT = PARTS_AT + 16
const FORM_AT = PARTS_AT + 24

/** Bytes that a pack of `blocks` takes. */
export const packedBytes = (blocks: ReadonlyArray<PackedBlock>): number =>
  blocks.reduce(
    (sum, { header, body, receipts }) => sum + header.length + body.length + receipts.length,
    HEAD_BYTES + ENTRY_BYTES * blocks.length,
  )

/** Copies blocks into one buffer: `reuse` when it is large enough, else a fresh one. */
export const packBlocks = (
  blocks: ReadonlyArray<PackedBlock>,
  reuse?: ArrayBuffer,
): ArrayBuffer => {
  const size = packedBytes(blocks)
  const pack = reuse !== undefined && reuse.byteLength >= size ? reuse : new ArrayBuffer(size)
  const bytes = new Uint8Array(pack)
  const table = new DataView(pack)
  table.setUint32(0, blocks.length, true)
  table.setUint32(4, 0, true)
  let at = HEAD_BYTES + ENTRY_BYTES * blocks.length
  for (const [index, block] of blocks.entries()) {
    const entry = HEAD_BYTES + ENTRY_BYTES * index
    table.setFloat64(entry, block.blockNumber, true)
    bytes.set(block.hash, entry + HASH_AT)
    let part = entry + PARTS_AT
    for (const payload of [block.header, block.body, block.receipts]) {
      table.setUint32(part, at, true)
      table.setUint32(part + 4, payload.length, true)
      bytes.set(payload, at)
      at += payload.length
      part += 8
    }
    table.setUint32(entry + FORM_AT, block.receiptsForm, true)
    table.setUint32(entry + FORM_AT + 4, 0, true)
  }
  return pack
}

/** The blocks of a pack, in the order in which they were packed; all bytes are views into it. */
export const readPack = (pack: ArrayBuffer): ReadonlyArray<PackedBlock> => {
  const table = new DataView(pack)
  const count = table.getUint32(0, true)
  return Array.from({ length: count }, (_, index) => {
    const entry = HEAD_BYTES + ENTRY_BYTES * index
    return {
      blockNumber: table.getFloat64(entry, true),
      hash: new Uint8Array(pack, entry + HASH_AT, HASH_BYTES),
      header: partAt(table, entry + PARTS_AT),
      body: partAt(table, entry + PARTS_AT + 8),
      receipts: partAt(table, entry + RECEIPTS_AT),
      receiptsForm: formAt(table, entry),
    }
  })
}

/**
 * Rewrites the receipts of block `index` of a pack in form 69, in place; views of them that were
 * read before are void. Throws `RlpError`, and changes nothing, when they are no receipts.
 */
export const flattenPacked = (pack: ArrayBuffer, index: number): void => {
  const table = new DataView(pack)
  const entry = HEAD_BYTES + ENTRY_BYTES * index
  if (formAt(table, entry) === 69) return
  const length = flattenReceipts(partAt(table, entry + RECEIPTS_AT))
  table.setUint32(entry + RECEIPTS_AT + 4, length, true)
  table.setUint32(entry + FORM_AT, 69, true)
}

const partAt = (table: DataView<ArrayBuffer>, at: number): Uint8Array =>
  new Uint8Array(table.buffer, table.getUint32(at, true), table.getUint32(at + 4, true))

const formAt = (table: DataView, entry: number): ReceiptsForm =>
  table.getUint32(entry + FORM_AT, true) === 68 ? 68 : 69
