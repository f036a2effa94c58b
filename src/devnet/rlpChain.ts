/**
 * Reader of chains written as RLP items one after the other, each `[header, body, receipts]`:
 * body `[transactions, uncles, withdrawals?]`, receipts in form 68, or the empty string where
 * there are none.
 *
 * In: the bytes of a file, plain or gzipped. Out: its blocks, as views into the unpacked bytes.
 * Whatever does not fit is a `ChainFileInvalid` with the byte (of the unpacked file) where it is.
 */
import { gunzipSync } from "node:zlib"
import { readHeader } from "../domain/header.ts"
import { RlpError, RlpReader } from "../domain/rlp.ts"
import { ChainFileInvalid, type SourceBlock } from "./servedChain.ts"

/** Whether `bytes` begin like a gzip file (RFC 1952). */
export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b

/** Whether `bytes` begin with an RLP list. */
export const isRlpList = (bytes: Uint8Array): boolean => bytes.length > 0 && bytes[0]! >= 0xc0

/** The content of `bytes`: unpacked if they are gzip, as they are if not. */
export const unpackGzip = (bytes: Uint8Array, path: string): Uint8Array => {
  if (!isGzip(bytes)) return bytes
  try {
    return gunzipSync(bytes)
  } catch (error) {
    const reason = `gzip: ${error instanceof Error ? error.message : String(error)}`
    throw new ChainFileInvalid({ path, offset: 0, reason })
  }
}

/** The blocks of the file `bytes`, plain or gzipped; `path` only names it in errors. */
export const readRlpChain = (bytes: Uint8Array, path: string): ReadonlyArray<SourceBlock> => {
  const content = unpackGzip(bytes, path)
  const items = new RlpReader(content)
  const blocks: Array<SourceBlock> = []
  let offset = 0
  try {
    while (!items.done) {
      offset = items.end
      blocks.push(readBlock(items.nextList(), path, offset))
    }
  } catch (error) {
    if (!(error instanceof RlpError)) throw error
    const reason = `block ${blocks.length} of the file is no [header, body, receipts]: ${error.message}`
    throw new ChainFileInvalid({ path, offset, reason })
  }
  return blocks
}

const readBlock = (fields: RlpReader, path: string, offset: number): SourceBlock => {
  const header = fields.next().item()
  readHeader(header)
  const body = fields.next().item()
  checkBody(fields.enter())
  fields.next()
  // The empty string stands for receipts that the source does not have.
  if (!fields.isList && fields.end > fields.start) {
    throw new RlpError("receipts that are no list", fields.itemStart)
  }
  const receipts = fields.isList ? fields.item() : undefined
  fields.finish()
  return { header, body, receipts, path, offset }
}

const checkBody = (body: RlpReader): void => {
  body.nextList()
  body.nextList()
  if (!body.done) body.nextList()
  body.finish()
}
