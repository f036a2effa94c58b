/**
 * The roots of a body, as its header would give them. Pure.
 */
import { nextTransaction, openBody } from "./body.ts"
import { keccak256 } from "./keccak.ts"
import { concatBytes, encodeList, RlpError, type RlpReader } from "./rlp.ts"
import { orderedTrieRoot } from "./trieRoot.ts"

/**
 * transactionsRoot, ommersHash and, where the body has a third list, withdrawalsRoot, joined to 64
 * or 96 bytes. Throws `RlpError` for what is no body; its sender is to blame. Source: yellow paper
 * 4.3, EIP-2718 for typed transactions, EIP-4895 for withdrawals.
 */
export const bodyRoots = (body: Uint8Array): Uint8Array => {
  const { transactions, uncles, withdrawals } = openBody(body)
  // Only items have a hash: what is none must not get one.
  uncles.countRest()
  const roots = [
    orderedTrieRoot(itemsOf(transactions, nextTransaction)),
    keccak256(encodeList([uncles.rest()])),
  ]
  if (withdrawals !== undefined) roots.push(orderedTrieRoot(itemsOf(withdrawals, nextList)))
  return concatBytes(roots)
}

const itemsOf = (
  list: RlpReader,
  next: (list: RlpReader) => Uint8Array,
): ReadonlyArray<Uint8Array> => {
  const items: Array<Uint8Array> = []
  while (!list.done) items.push(next(list))
  return items
}

const nextList = (list: RlpReader): Uint8Array => {
  list.next()
  if (!list.isList) throw new RlpError("expected a list", list.itemStart)
  return list.item()
}
