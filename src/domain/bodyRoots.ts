/**
 * The roots of a body, as its header would give them. Pure.
 */
import { openBody, stepTransaction } from "./body.ts"
import { keccak256 } from "./keccak.ts"
import { concatBytes, encodeList, RlpError, type RlpReader } from "./rlp.ts"
import { orderedTrie } from "./trieRoot.ts"

/**
 * transactionsRoot, ommersHash and, where the body has a third list, withdrawalsRoot, joined to 64
 * or 96 bytes. Throws `RlpError` for what is no body; its sender is to blame. Source: yellow paper
 * 4.3, EIP-2718 for typed transactions, EIP-4895 for withdrawals.
 */
export const bodyRoots = (body: Uint8Array): Uint8Array => {
  const { transactions, uncles, withdrawals } = openBody(body)
  // Only items have a hash: what is none must not get one.
  uncles.countRest()
  const roots = [rootOf(transactions, stepTransaction), keccak256(encodeList([uncles.rest()]))]
  if (withdrawals !== undefined) roots.push(rootOf(withdrawals, stepList))
  return concatBytes(roots)
}

/** Root of the trie over a list's items, without a view of each: a body may have millions. */
const rootOf = (list: RlpReader, step: (list: RlpReader) => void): Uint8Array => {
  const trie = orderedTrie()
  trie.start(list.countRest())
  while (!list.done) {
    step(list)
    trie.add(list.bytes, list.isList ? list.itemStart : list.start, list.end)
  }
  return trie.root()
}

const stepList = (list: RlpReader): void => {
  list.next()
  if (!list.isList) throw new RlpError("expected a list", list.itemStart)
}
