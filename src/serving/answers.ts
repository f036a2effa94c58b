/**
 * What an honest node answers from the history that it holds. Pure: a {@link HistorySource} and a
 * request in, the answer's items out, as the bytes of which the hashes were made.
 *
 * The limits are those of geth, which most of the network runs (PROTOCOL "Messages"): at most 1024
 * items, and no further item once the answer is past 2 MiB; over eth/70 a block's receipts are cut
 * where an answer would pass 10 MiB (EIP-7975). Headers stop at the first that is not there; of
 * what is asked by hash, blocks that are not there are passed over.
 */
import type { ReceiptsForm } from "../domain/receiptList.ts"
import { encodeList, RlpReader } from "../domain/rlp.ts"
import {
  encodeItems,
  encodeReceipts,
  type EthRequest,
  type HeadersQuery,
} from "../wire/ethMessages.ts"
import type { EthVersion } from "../wire/hello.ts"

/** History that can be asked at once, block by block; undefined where it holds nothing. */
export interface HistorySource {
  /** The height of the block with this hash of 32 bytes. */
  readonly numberOf: (hash: Uint8Array) => number | undefined
  /** RLP of the header. */
  readonly headerAt: (blockNumber: number) => Uint8Array | undefined
  /** RLP of `[transactions, uncles, withdrawals?]`. */
  readonly bodyAt: (blockNumber: number) => Uint8Array | undefined
  /** RLP of the list of receipts in this form. */
  readonly receiptsAt: (blockNumber: number, form: ReceiptsForm) => Uint8Array | undefined
}

/** How much an answer may hold, and cost. */
export interface AnswerLimits {
  /** Most items. */
  readonly items: number
  /** Past this many bytes no further item is added: the last one may go over it. */
  readonly softBytes: number
  /** Most hashes that are looked up for what is asked by hash. */
  readonly lookups: number
}

/** What geth serves in one answer (`eth/protocols/eth/handler.go`). */
export const servedLimits: AnswerLimits = {
  items: 1024,
  softBytes: 2 * 1024 * 1024,
  lookups: 2 * 1024,
}

/** Over eth/70, where a block's receipts are cut. */
export const CUT_BYTES = 10 * 1024 * 1024

/** Which receipts: lists of whole blocks, but the first may begin inside its block. */
export interface ReceiptsQuery {
  readonly hashes: ReadonlyArray<Uint8Array>
  readonly form: ReceiptsForm
  /** From which receipt of the first block on (EIP-7975). */
  readonly firstReceipt: number
}

/** The items of an answer, not encoded yet: a fault may still take some away. */
export interface AnswerItems {
  readonly items: ReadonlyArray<Uint8Array>
  /** The last list of receipts stops inside its block. */
  readonly lastBlockIncomplete: boolean
}

/** What a source says to a request over eth/`version`. */
export const answerFrom = (
  source: HistorySource,
  version: EthVersion,
  request: EthRequest,
): AnswerItems => {
  switch (request._tag) {
    case "GetBlockHeaders":
      return whole(headersFrom(source, request, servedLimits))
    case "GetBlockBodies":
      return whole(bodiesOf(source, request.hashes, servedLimits))
    case "GetReceipts":
      return cutReceipts(version, receiptsOf(source, receiptsQuery(version, request), servedLimits))
  }
}

/** What a GetReceipts of eth/`version` asks for. */
export const receiptsQuery = (
  version: EthVersion,
  request: Extract<EthRequest, { readonly _tag: "GetReceipts" }>,
): ReceiptsQuery => ({
  hashes: request.hashes,
  form: version === 68 ? 68 : 69,
  firstReceipt: request.firstBlockReceiptIndex,
})

/** Headers from `query.start` on, as far as there are any without a gap. */
export const headersFrom = (
  source: Pick<HistorySource, "numberOf" | "headerAt">,
  query: HeadersQuery,
  limits: AnswerLimits,
): Array<Uint8Array> => {
  const { start, limit, skip, reverse } = query
  const headers: Array<Uint8Array> = []
  const first = typeof start === "number" ? start : source.numberOf(start)
  if (first === undefined) return headers
  const stride = (skip + 1) * (reverse ? -1 : 1)
  const most = Math.min(limit, limits.items)
  let bytes = 0
  for (let number = first; headers.length < most && isBlockNumber(number); number += stride) {
    const header = bytes > limits.softBytes ? undefined : source.headerAt(number)
    if (header === undefined) break
    headers.push(header)
    bytes += header.length
  }
  return headers
}

/** Bodies in the order asked; what is not there is passed over. */
export const bodiesOf = (
  source: Pick<HistorySource, "numberOf" | "bodyAt">,
  hashes: ReadonlyArray<Uint8Array>,
  limits: AnswerLimits,
): Array<Uint8Array> => collect(hashes, limits, (hash) => at(source, hash, source.bodyAt))

/**
 * Lists of receipts in the order asked; what is not there is passed over, but for a first block of
 * which only a part was asked: without it nothing else would be understood.
 */
export const receiptsOf = (
  source: Pick<HistorySource, "numberOf" | "receiptsAt">,
  { hashes, form, firstReceipt }: ReceiptsQuery,
  limits: AnswerLimits,
): Array<Uint8Array> => {
  const listOf = (hash: Uint8Array): Uint8Array | undefined =>
    at(source, hash, (number) => source.receiptsAt(number, form))
  const [first, ...others] = hashes
  if (firstReceipt === 0 || first === undefined) return collect(hashes, limits, listOf)
  const list = listOf(first)
  if (list === undefined) return []
  const rest = skipReceipts(list, firstReceipt)
  const left = { ...limits, items: limits.items - 1, softBytes: limits.softBytes - rest.length }
  return [rest, ...collect(others, left, listOf)]
}

/** The answer to a GetReceipts of eth/`version` that has these lists: from eth/70 on, cut. */
export const cutReceipts = (
  version: EthVersion,
  lists: ReadonlyArray<Uint8Array>,
  cutBytes: number = CUT_BYTES,
): AnswerItems => {
  if (version < 70) return whole(lists)
  let bytes = 0
  for (const [index, list] of lists.entries()) {
    if (bytes + list.length > cutBytes) {
      const cut = firstReceipts(list, cutBytes - bytes)
      // One receipt that is larger by itself: nothing is missing of its block, but no other follows.
      const lastBlockIncomplete = cut.length < list.length
      return { items: [...lists.slice(0, index), cut], lastBlockIncomplete }
    }
    bytes += list.length
  }
  return whole(lists)
}

/** An answer that stops inside no block. */
export const whole = (items: ReadonlyArray<Uint8Array>): AnswerItems => ({
  items,
  lastBlockIncomplete: false,
})

/** The payload that carries these items as the answer to `request`. */
export const encodeAnswer = (
  version: EthVersion,
  request: EthRequest,
  answer: AnswerItems,
): Uint8Array =>
  request._tag === "GetReceipts"
    ? encodeReceipts(version, request.requestId, answer.items, answer.lastBlockIncomplete)
    : encodeItems(request.requestId, answer.items)

/** A stride may lead below 0 or past what a number holds exactly. */
const isBlockNumber = (number: number): boolean => number >= 0 && Number.isSafeInteger(number)

const at = (
  source: Pick<HistorySource, "numberOf">,
  hash: Uint8Array,
  itemAt: (blockNumber: number) => Uint8Array | undefined,
): Uint8Array | undefined => {
  const number = source.numberOf(hash)
  return number === undefined ? undefined : itemAt(number)
}

const collect = (
  hashes: ReadonlyArray<Uint8Array>,
  limits: AnswerLimits,
  itemOf: (hash: Uint8Array) => Uint8Array | undefined,
): Array<Uint8Array> => {
  const items: Array<Uint8Array> = []
  let bytes = 0
  for (const hash of hashes.slice(0, limits.lookups)) {
    if (bytes > limits.softBytes || items.length >= limits.items) break
    const item = itemOf(hash)
    if (item === undefined) continue
    items.push(item)
    bytes += item.length
  }
  return items
}

/** The list without its first `count` receipts. */
const skipReceipts = (list: Uint8Array, count: number): Uint8Array => {
  const reader = RlpReader.list(list)
  for (let i = 0; i < count && !reader.done; i++) reader.next()
  return encodeList([reader.rest()])
}

/** The list of the first receipts that fit into `limitBytes`, but at least one: progress. */
const firstReceipts = (list: Uint8Array, limitBytes: number): Uint8Array => {
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
