/**
 * The headers of a batch, checked as far as they can be without any other part: they must be
 * headers, carry the numbers that were asked for, and link to each other. Pure.
 */
import { equalBytes, toHex0x } from "../domain/hex.ts"
import { type Header, readHeader } from "../domain/header.ts"
import { keccak256 } from "../domain/keccak.ts"

/** A header with its bytes and its hash, which is computed here and nowhere else. */
export interface HashedHeader {
  readonly header: Header
  /** RLP of the header. */
  readonly bytes: Uint8Array
  /** keccak256 of `bytes`. */
  readonly hash: Uint8Array
}

/** What is wrong with a header; its sender is to blame. */
export interface HeaderFault {
  readonly blockNumber: number
  readonly what: "number" | "parent_hash" | "encoding"
  readonly expected: string
  readonly actual: string
}

/**
 * Reads the headers of the blocks `fromBlock`, `fromBlock + 1`, …. The first fault makes the whole
 * answer worthless: who lies once is not believed about the rest.
 */
export const checkHeaders = (
  fromBlock: number,
  items: ReadonlyArray<Uint8Array>,
): ReadonlyArray<HashedHeader> | HeaderFault => {
  const headers: Array<HashedHeader> = []
  for (const [index, bytes] of items.entries()) {
    const checked = checkHeader(fromBlock + index, bytes, headers.at(-1))
    if ("what" in checked) return checked
    headers.push(checked)
  }
  return headers
}

const checkHeader = (
  blockNumber: number,
  bytes: Uint8Array,
  parent: HashedHeader | undefined,
): HashedHeader | HeaderFault => {
  const header = read(bytes)
  if (typeof header === "string") {
    return { blockNumber, what: "encoding", expected: "a header", actual: header }
  }
  if (header.number !== blockNumber) {
    return {
      blockNumber,
      what: "number",
      expected: String(blockNumber),
      actual: String(header.number),
    }
  }
  if (parent !== undefined && !equalBytes(header.parentHash, parent.hash)) {
    return {
      blockNumber,
      what: "parent_hash",
      expected: toHex0x(parent.hash),
      actual: toHex0x(header.parentHash),
    }
  }
  return { header, bytes, hash: keccak256(bytes) }
}

const read = (bytes: Uint8Array): Header | string => {
  try {
    return readHeader(bytes)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
