/**
 * The parts of a block that need no request: their header's roots say that they are empty (PROTOCOL
 * "What an answer means"). Pure.
 */
import { EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT, type Header } from "../domain/header.ts"
import { equalBytes } from "../domain/hex.ts"
import type { PartKind } from "./PeerLanes.ts"

const EMPTY_LIST = Uint8Array.of(0xc0)
const EMPTY_BODY = Uint8Array.of(0xc2, 0xc0, 0xc0)
const EMPTY_BODY_WITH_WITHDRAWALS = Uint8Array.of(0xc3, 0xc0, 0xc0, 0xc0)

/** The part of this kind where it is empty, as RLP; otherwise undefined. */
export const impliedPart = (header: Header, kind: PartKind): Uint8Array | undefined => {
  if (kind === "receipts") {
    return equalBytes(header.receiptsRoot, EMPTY_TRIE_ROOT) ? EMPTY_LIST : undefined
  }
  if (!hasEmptyBody(header)) return undefined
  return header.withdrawalsRoot === undefined ? EMPTY_BODY : EMPTY_BODY_WITH_WITHDRAWALS
}

const hasEmptyBody = (header: Header): boolean =>
  equalBytes(header.transactionsRoot, EMPTY_TRIE_ROOT) &&
  equalBytes(header.ommersHash, EMPTY_OMMERS_HASH) &&
  (header.withdrawalsRoot === undefined || equalBytes(header.withdrawalsRoot, EMPTY_TRIE_ROOT))
