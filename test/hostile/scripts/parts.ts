/** What scripts of hostile peers are made of. */
import { openBody } from "../../../src/domain/body.ts"
import { encodeBytes, encodeList, encodeUint, RlpReader } from "../../../src/domain/rlp.ts"
import { answerItems } from "../../../src/devnet/answers.ts"
import {
  beginItems,
  encodeItems,
  encodeReceipts,
  type EthRequest,
} from "../../../src/wire/ethMessages.ts"
import { MAX_FRAME_BYTES } from "../../../src/wire/frames.ts"
import type { Answering, Line } from "../HostilePeer.ts"

export const hashOf = (n: number): Uint8Array => new Uint8Array(32).fill(n)
export const MILLION = 2 ** 20

/** A frame that declares 16 MiB less one byte, and the first ten bytes of it. */
export const largeFrameStart = (line: Line): Uint8Array =>
  line.frame(new Uint8Array(MAX_FRAME_BYTES)).subarray(0, 32 + 10)

/** Snappy of `text` bytes declared, of which ten are there (EIP-706). */
export const overstated = (declaredBytes: number): Uint8Array => {
  const digits: Array<number> = []
  let rest = declaredBytes
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) digits.push((rest % 128) | 0x80)
  return Uint8Array.of(...digits, rest, ...new Uint8Array(10))
}

/** A list in a list in a list, `depth` of them. */
export const nested = (depth: number): Uint8Array => {
  const prefixes: Array<number> = []
  let length = 1
  for (let level = 0; level < depth; level++) {
    const bytes = length <= 55 ? [] : [...hexBytes(length)]
    const prefix = bytes.length === 0 ? [0xc0 + length] : [0xf7 + bytes.length, ...bytes]
    prefixes.push(...prefix.toReversed())
    length += prefix.length
  }
  return Uint8Array.of(...prefixes.toReversed(), 0xc0)
}

export const hexBytes = (n: number): Uint8Array => {
  const hex = n.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex")
}

export const isHeaders = (request: EthRequest): boolean => request._tag === "GetBlockHeaders"

/** The honest headers of an answer to a batch, changed; answers of one header stay as they are. */
export const batchOf =
  (change: (headers: Array<Uint8Array>) => Array<Uint8Array>): Answering =>
  (_line, request, honest) => {
    if (!isHeaders(request)) return honest
    const headers = beginItems(honest).items.restItems()
    return headers.length < 2 ? honest : encodeItems(request.requestId, change(headers))
  }

/** In place of the answer with bodies of those asked for, made of the honest ones. */
export const bodiesOf =
  (change: (bodies: Array<Uint8Array>) => Array<Uint8Array>): Answering =>
  (_line, request, honest) =>
    request._tag === "GetBlockBodies"
      ? encodeItems(request.requestId, change(beginItems(honest).items.restItems()))
      : honest

/** Sends these bytes in place of an answer about headers. */
export const insteadOfHeaders =
  (bytes: (line: Line, request: EthRequest) => Uint8Array): Answering =>
  (line, request, honest) => {
    if (!isHeaders(request)) return honest
    line.send(bytes(line, request))
    return undefined
  }

/** A header of whatever number is asked for. */
export const forgedHeader = (line: Line, number: number): Uint8Array => {
  const fields = RlpReader.list(line.chain.headerAt(1)!).restItems()
  return encodeList(fields.with(8, encodeUint(number)))
}

export const withdrawal = (index: number): Uint8Array =>
  encodeList([
    encodeUint(index),
    encodeUint(index),
    encodeBytes(new Uint8Array(20).fill(7)),
    encodeUint(1_000),
  ])

/** The body with so many withdrawals in place of its own. */
export const withWithdrawals = (body: Uint8Array, count: number): Uint8Array => {
  const { transactions, uncles } = openBody(body)
  return encodeList([
    encodeList([transactions.rest()]),
    encodeList([uncles.rest()]),
    encodeList(Array.from({ length: count }, (_, index) => withdrawal(index))),
  ])
}

/** What the chain has of the next block, in the place of each that is asked for. */
export const ofNextBlocks: Answering = (line, request, honest) => {
  if (request._tag !== "GetReceipts") return honest
  const hashes = request.hashes.map((hash) => {
    const number = line.chain.numberOf(Buffer.from(hash).toString("hex")) ?? 0
    return line.chain.hashAt(number + 1) ?? line.chain.hashAt(number - 1)!
  })
  const { items } = answerItems(line.chain, line.version, { ...request, hashes })
  return encodeReceipts(line.version, request.requestId, items)
}

/** The first receipt of the first block that has any, and no end of it. */
export const continued =
  (part: (list: Uint8Array) => Uint8Array): Answering =>
  (line, request, honest) => {
    if (request._tag !== "GetReceipts") return honest
    const whole = answerItems(line.chain, line.version, { ...request, firstBlockReceiptIndex: 0 })
    const list = whole.items[0]
    if (list === undefined) return honest
    return encodeReceipts(line.version, request.requestId, [part(list)], true)
  }

/** Sends so many messages as fast as they are taken. */
export const flood = (line: Line, count: number, next: (nth: number) => Uint8Array): void => {
  let sent = 0
  line.every(1, () => {
    for (let i = 0; i < 500 && sent < count; i++) line.send(next(sent++))
  })
}

export const upsideDown = { earliestBlock: 9, latestBlock: 8, latestBlockHash: hashOf(1) }
