/** Answers in good form that are lies, or bombs for those who unpack them. */
import { readHeader } from "../../../src/domain/header.ts"
import { encodeList, RlpReader } from "../../../src/domain/rlp.ts"
import { beginReceipts, encodeItems, encodeReceipts } from "../../../src/wire/ethMessages.ts"
import { EMPTY_LIST } from "../../../src/wire/hello.ts"
import type { HostileScript } from "../HostilePeer.ts"
import {
  MILLION,
  batchOf,
  bodiesOf,
  forgedHeader,
  withWithdrawals,
  ofNextBlocks,
  continued,
} from "./parts.ts"

/** See the module. */
export const contentScripts: ReadonlyArray<HostileScript> = [
  {
    name: "headers-wrong-number",
    answer: batchOf((headers) => headers.toReversed()),
    expected: { failure: "wrong_header" },
  },
  {
    name: "headers-gap",
    answer: batchOf((headers) => headers.toSpliced(1, 1)),
    expected: { failure: "wrong_header" },
  },
  {
    name: "headers-cycle",
    answer: batchOf((headers) => headers.map((_, index) => headers[index % 2]!)),
    expected: { failure: "wrong_header" },
  },
  {
    name: "headers-unlinked",
    answer: (line, request, honest) => {
      if (request._tag !== "GetBlockHeaders" || typeof request.start !== "number") return honest
      if (request.limit < 2) return honest
      const { start, limit } = request
      const forged = Array.from({ length: limit }, (_, n) => forgedHeader(line, start + n))
      return encodeItems(request.requestId, forged)
    },
    expected: { failure: "wrong_header" },
  },
  {
    // A header for every number: its head is the highest that there can be.
    name: "head-2-53",
    status: (honest) => ({ ...honest, latestBlock: Number.MAX_SAFE_INTEGER }),
    answer: (line, request, honest) => {
      if (request._tag !== "GetBlockHeaders" || typeof request.start !== "number") return honest
      if (request.start <= readHeader(line.chain.headerAt(line.chain.lastBlock)!).number) {
        return honest
      }
      return encodeItems(request.requestId, [forgedHeader(line, request.start)])
    },
    expected: { harmless: true },
  },
  {
    name: "withdrawals-10000",
    answer: bodiesOf((bodies) => bodies.map((body) => withWithdrawals(body, 10_000))),
    expected: { failure: "wrong_body" },
  },
  {
    name: "millions-of-transactions",
    answer: bodiesOf((bodies) => [
      encodeList([encodeList([new Uint8Array(8 * MILLION).fill(1)]), EMPTY_LIST, EMPTY_LIST]),
      ...bodies.slice(2),
    ]),
    expected: { failure: "malformed" },
  },
  {
    name: "millions-of-uncles",
    answer: bodiesOf((bodies) => [
      encodeList([EMPTY_LIST, encodeList([new Uint8Array(8 * MILLION).fill(0xc0)]), EMPTY_LIST]),
      ...bodies.slice(1),
    ]),
    expected: { failure: "wrong_body" },
  },
  { name: "receipts-of-others", answer: ofNextBlocks, expected: { failure: "wrong_receipts" } },
  {
    name: "millions-of-receipts",
    answer: (line, request, honest) => {
      if (request._tag !== "GetReceipts") return honest
      const items = beginReceipts(line.version, honest).items.restItems()
      const bomb = encodeList([new Uint8Array(8 * MILLION).fill(0xc0)])
      return encodeReceipts(line.version, request.requestId, [bomb, ...items.slice(1)])
    },
    expected: { failure: "malformed" },
  },
  {
    name: "receipts-never-end",
    answer: continued((list) => encodeList(RlpReader.list(list).restItems().slice(0, 1))),
    expected: { failure: "malformed" },
  },
  {
    // A list whose outside is right and whose inside reaches past its end.
    name: "receipts-broken-inside",
    answer: continued(() => Uint8Array.of(0xc3, 0xf7, 0x01, 0x02)),
    expected: { failure: "malformed" },
  },
  {
    name: "receipts-repeat",
    answer: continued((list) => list),
    expected: { failure: "malformed" },
  },
]
