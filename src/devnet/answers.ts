/**
 * What an honest node answers from a chain that it holds. Pure: a request in, the answer's items
 * out. The limits are those of geth, which most of the network runs (PROTOCOL "Messages"): at most
 * 1024 items, and no further item once the answer is past 2 MiB; over eth/70 a block's receipts
 * are cut where an answer would pass 10 MiB (EIP-7975).
 */
import { toHex } from "../domain/hex.ts"
import { RlpReader, encodeList } from "../domain/rlp.ts"
import { type EthRequest, encodeItems, encodeReceipts } from "../wire/ethMessages.ts"
import type { EthVersion } from "../wire/hello.ts"
import type { ServedChain } from "./servedChain.ts"

/** Past this many bytes no further item is added. */
export const SOFT_LIMIT_BYTES = 2 * 1024 * 1024
/** Most items in an answer. */
export const MOST_ITEMS = 1024
/** Over eth/70, where a block's receipts are cut. */
export const CUT_BYTES = 10 * 1024 * 1024

/** The items of an answer, not encoded yet: a fault may still take some away. */
export interface AnswerItems {
  readonly items: ReadonlyArray<Uint8Array>
  /** The last list of receipts stops inside its block. */
  readonly lastBlockIncomplete: boolean
}

/** What the chain says to a request over eth/`version`. */
export const answerItems = (
  chain: ServedChain,
  version: EthVersion,
  request: EthRequest,
): AnswerItems => {
  switch (request._tag) {
    case "GetBlockHeaders":
      return whole(headerItems(chain, request))
    case "GetBlockBodies":
      return whole(itemsByHash(chain, request.hashes, (number) => chain.bodyAt(number)))
    case "GetReceipts":
      return receiptsItems(chain, version, request.hashes, request.firstBlockReceiptIndex)
  }
}

/** The payload that carries these items as the answer to `request`. */
export const encodeAnswer = (
  version: EthVersion,
  request: EthRequest,
  answer: AnswerItems,
): Uint8Array =>
  request._tag === "GetReceipts"
    ? encodeReceipts(version, request.requestId, answer.items, answer.lastBlockIncomplete)
    : encodeItems(request.requestId, answer.items)

const whole = (items: ReadonlyArray<Uint8Array>): AnswerItems => ({
  items,
  lastBlockIncomplete: false,
})

const headerItems = (
  chain: ServedChain,
  request: Extract<EthRequest, { readonly _tag: "GetBlockHeaders" }>,
): ReadonlyArray<Uint8Array> => {
  const { start, limit, skip, reverse } = request
  const first = typeof start === "number" ? start : chain.numberOf(toHex(start))
  if (first === undefined) return []
  const stride = (skip + 1) * (reverse ? -1 : 1)
  const items: Array<Uint8Array> = []
  let bytes = 0
  for (let number = first; items.length < Math.min(limit, MOST_ITEMS); number += stride) {
    const header = chain.headerAt(number)
    if (header === undefined || bytes > SOFT_LIMIT_BYTES) break
    items.push(header)
    bytes += header.length
  }
  return items
}

/** Items by hash in the order asked; what is not there is passed over. */
const itemsByHash = (
  chain: ServedChain,
  hashes: ReadonlyArray<Uint8Array>,
  itemAt: (blockNumber: number) => Uint8Array | undefined,
): ReadonlyArray<Uint8Array> => {
  const items: Array<Uint8Array> = []
  let bytes = 0
  for (const hash of hashes) {
    if (bytes > SOFT_LIMIT_BYTES || items.length >= MOST_ITEMS) break
    const number = chain.numberOf(toHex(hash))
    const item = number === undefined ? undefined : itemAt(number)
    if (item === undefined) continue
    items.push(item)
    bytes += item.length
  }
  return items
}

const receiptsItems = (
  chain: ServedChain,
  version: EthVersion,
  hashes: ReadonlyArray<Uint8Array>,
  firstIndex: number,
): AnswerItems => {
  const at = (number: number): Uint8Array | undefined =>
    version === 68 ? chain.receipts68At(number) : chain.receipts69At(number)
  const items = [...itemsByHash(chain, hashes, at)]
  if (version < 70 || items.length === 0) return whole(items)
  if (firstIndex > 0) items[0] = skipReceipts(items[0]!, firstIndex)
  let bytes = 0
  for (const [index, item] of items.entries()) {
    if (bytes + item.length > CUT_BYTES) {
      const cut = cutReceipts(item, CUT_BYTES - bytes)
      return { items: [...items.slice(0, index), cut], lastBlockIncomplete: true }
    }
    bytes += item.length
  }
  return whole(items)
}

/** The list without its first `count` receipts. */
const skipReceipts = (list: Uint8Array, count: number): Uint8Array => {
  const reader = RlpReader.list(list)
  for (let i = 0; i < count && !reader.done; i++) reader.next()
  return encodeList([reader.rest()])
}

/** The list of the first receipts that fit into `limitBytes`, but at least one: progress. */
const cutReceipts = (list: Uint8Array, limitBytes: number): Uint8Array => {
  const reader = RlpReader.list(list)
  const kept: Array<Uint8Array> = []
  let bytes = 0
  while (!reader.done) {
    const receipt = reader.next().item()
    bytes += receipt.length
    if (bytes > limitBytes && kept.length > 0) break
    kept.push(receipt)
  }
  return encodeList(kept)
}
