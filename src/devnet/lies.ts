/**
 * The lies that a devnet peer can tell: what a liar makes of one honest answer.
 *
 * In: a request and what an honest peer would say to it. Out: an answer of the same shape that is
 * not true. Pure: the same request always gets the same lie.
 *
 * Invariants:
 * - an altered item is well-formed: only hashes, roots and blooms of the whole can tell. Over eth/68
 *   the bloom of an altered receipt is that of its altered logs;
 * - every item of the answer is altered in which there is something to alter, the others stay;
 * - answers of kinds that a lie is not about are honest.
 */
import { openBody } from "../domain/body.ts"
import { toHex } from "../domain/hex.ts"
import { ReceiptCursor } from "../domain/receiptList.ts"
import { receipts68To69, receipts69To68 } from "../domain/receipts.ts"
import { encodeList, RlpReader } from "../domain/rlp.ts"
import type { EthRequest } from "../wire/ethMessages.ts"
import type { EthVersion } from "../wire/hello.ts"
import { type AnswerItems, answerItems } from "./answers.ts"
import type { ServedChain } from "./servedChain.ts"

/** Lies about an item: which one is altered, and how. */
const itemLieKinds = [
  /** A byte of the state root. */
  "lie-header",
  /** A byte of the first transaction's signature. */
  "lie-body",
  /** A byte of the first withdrawal's address. */
  "lie-withdrawal",
  /** The outcome of the first receipt: its status, or a byte of its state root. */
  "lie-receipt",
  /** A byte of the first log's address. */
  "lie-log",
  /** The first two receipts change places. */
  "lie-swap",
  /** The last log of the block is left out. */
  "lie-drop-log",
] as const

/** Lies that pass another block's parts off as this one's. */
const otherLieKinds = [
  /** Body and receipts of the next block of the chain. */
  "lie-other",
  /** The receipts alone. */
  "lie-other-receipts",
] as const

/** Every lie with a name. */
export const lieKinds = [...itemLieKinds, ...otherLieKinds] as const
/** One of {@link lieKinds}. */
export type LieKind = (typeof lieKinds)[number]
type ItemLieKind = (typeof itemLieKinds)[number]

/** A request, and all that a bad peer goes by beside it. */
export interface Asked {
  /** What the peer holds. */
  readonly chain: ServedChain
  readonly version: EthVersion
  readonly request: EthRequest
}

/** What a liar answers where an honest peer would say `honest`. */
export const lieAbout = (lie: LieKind, asked: Asked, honest: AnswerItems): AnswerItems => {
  const { request, version } = asked
  switch (lie) {
    case "lie-other":
      return ofNextBlocks(asked, honest)
    case "lie-other-receipts":
      return request._tag === "GetReceipts" ? ofNextBlocks(asked, honest) : honest
    default: {
      const { about, alter } = itemLies[lie]
      if (request._tag !== about) return honest
      const change = about === "GetReceipts" ? inForm(version, alter) : alter
      return { ...honest, items: honest.items.map(change) }
    }
  }
}

type Alter = (item: Uint8Array) => Uint8Array

// ------------------------------------------------------------------------------ headers, bodies

/** The place of the state root in a header (yellow paper 4.4). */
const STATE_ROOT_FIELD = 3
/** The place of the address in a withdrawal (EIP-4895). */
const ADDRESS_FIELD = 2

const alterHeader: Alter = (header) => {
  const fields = RlpReader.list(header)
  for (let field = 0; field <= STATE_ROOT_FIELD; field++) fields.next()
  return withLastByteChanged(header, fields)
}

/** Every type of transaction ends with the s of its signature. */
const alterTransaction: Alter = (body) => {
  const { transactions } = openBody(body)
  if (transactions.done) return body
  const { isList, start, end } = transactions.next()
  // A typed transaction is a byte string: its type, then the list (EIP-2718).
  const fields = isList ? transactions.enter() : RlpReader.list(body, start + 1, end)
  while (!fields.done) fields.next()
  return withLastByteChanged(body, fields)
}

const alterWithdrawal: Alter = (body) => {
  const { withdrawals } = openBody(body)
  if (withdrawals === undefined || withdrawals.done) return body
  const fields = withdrawals.nextList()
  for (let field = 0; field <= ADDRESS_FIELD; field++) fields.next()
  return withLastByteChanged(body, fields)
}

// ------------------------------------------------------------------------- receipts, in form 69

/** A lie about receipts in form 69, told in the form of the session. */
const inForm = (version: EthVersion, alter: Alter): Alter =>
  version === 68
    ? (list) => {
        const flat = receipts68To69(list)
        const altered = alter(flat)
        return altered === flat ? list : receipts69To68(altered)
      }
    : alter

const FAILED = 0x80
const SUCCEEDED = 0x01
const STATE_ROOT_ITEM_BYTES = 33

const alterOutcome: Alter = (list) => {
  const receipt = new ReceiptCursor(RlpReader.list(list), 69)
  if (!receipt.next()) return list
  const at = receipt.headStart
  const outcome = list[at]
  if (outcome === FAILED) return withByte(list, at, SUCCEEDED)
  if (outcome === SUCCEEDED) return withByte(list, at, FAILED)
  const last = at + STATE_ROOT_ITEM_BYTES - 1
  return withByte(list, last, list[last]! ^ 1)
}

const alterLog: Alter = (list) => {
  const receipt = new ReceiptCursor(RlpReader.list(list), 69)
  while (receipt.next()) {
    if (receipt.logsStart === receipt.logsEnd) continue
    const log = new RlpReader(list, receipt.logsStart, receipt.logsEnd).nextList()
    return withLastByteChanged(list, log.next())
  }
  return list
}

const swapReceipts: Alter = (list) => {
  const [first, second, ...rest] = RlpReader.list(list).restItems()
  if (first === undefined || second === undefined) return list
  return encodeList([second, first, ...rest])
}

const dropLastLog: Alter = (list) => {
  const receipts = RlpReader.list(list).restItems()
  const at = receipts.findLastIndex((receipt) => logsOf(receipt).length > 0)
  if (at < 0) return list
  const receipt = receipts[at]!
  const fields = RlpReader.list(receipt).restItems()
  const shorter = encodeList(logsOf(receipt).slice(0, -1))
  return encodeList(receipts.with(at, encodeList([...fields.slice(0, -1), shorter])))
}

/** The logs of one receipt in form 69, whose last field they are. */
const logsOf = (receipt: Uint8Array): ReadonlyArray<Uint8Array> => {
  const fields = RlpReader.list(receipt)
  while (!fields.done) fields.next()
  return fields.enter().restItems()
}

const itemLies: Readonly<
  Record<ItemLieKind, { readonly about: EthRequest["_tag"]; readonly alter: Alter }>
> = {
  "lie-header": { about: "GetBlockHeaders", alter: alterHeader },
  "lie-body": { about: "GetBlockBodies", alter: alterTransaction },
  "lie-withdrawal": { about: "GetBlockBodies", alter: alterWithdrawal },
  "lie-receipt": { about: "GetReceipts", alter: alterOutcome },
  "lie-log": { about: "GetReceipts", alter: alterLog },
  "lie-swap": { about: "GetReceipts", alter: swapReceipts },
  "lie-drop-log": { about: "GetReceipts", alter: dropLastLog },
}

// ---------------------------------------------------------------------------------- other blocks

/** What an honest peer would say of the blocks that follow those asked for. */
const ofNextBlocks = ({ chain, version, request }: Asked, honest: AnswerItems): AnswerItems => {
  if (request._tag === "GetBlockHeaders") return honest
  const hashes = request.hashes.map((hash) => neighbourOf(chain, hash))
  return answerItems(chain, version, { ...request, hashes })
}

/** The hash of the next block, of the one before at the end of the chain. */
const neighbourOf = (chain: ServedChain, hash: Uint8Array): Uint8Array => {
  const number = chain.numberOf(toHex(hash))
  if (number === undefined) return hash
  return chain.hashAt(number + 1) ?? chain.hashAt(number - 1) ?? hash
}

// ----------------------------------------------------------------------------------------- bytes

const withByte = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
  const copy = new Uint8Array(bytes)
  copy[at] = value
  return copy
}

/**
 * A copy in which the last byte of the reader's current item, a byte string, is another one. Its
 * length and its RLP stay canonical: a byte below 0x80 stays below it, and 1 does not become 0.
 */
const withLastByteChanged = (bytes: Uint8Array, { start, end }: RlpReader): Uint8Array => {
  if (start === end) return bytes
  const last = bytes[end - 1]!
  return withByte(bytes, end - 1, last === 1 ? 3 : last ^ 1)
}
