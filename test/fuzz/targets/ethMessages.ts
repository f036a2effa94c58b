/** Messages of eth/68 to eth/70: Status, ranges, requests with our answers to them, answers. */
import { genesisHead, statusMismatch } from "../../../src/chain/status.ts"
import { generatedChainSpec } from "../../../src/devnet/generatedChain.ts"
import { toHex } from "../../../src/domain/hex.ts"
import { RlpError } from "../../../src/domain/rlp.ts"
import { answerFrom, encodeAnswer, type HistorySource } from "../../../src/serving/answers.ts"
import {
  decodeBlockRangeUpdate,
  decodeGetBlockBodies,
  decodeGetBlockHeaders,
  decodeGetReceipts,
  decodeItems,
  decodeReceipts,
  decodeRequestId,
  decodeStatus,
  encodeBlockRangeUpdate,
  encodeGetBlockBodies,
  encodeGetBlockHeaders,
  encodeGetReceipts,
  encodeItems,
  encodeReceipts,
  encodeStatus,
  ETH,
  type EthRequest,
} from "../../../src/wire/ethMessages.ts"
import { ETH_VERSIONS, type EthVersion } from "../../../src/wire/hello.ts"
import { madeChain, type Material } from "../material.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"

const payloadsOf = ({ messages }: Material, ...codes: ReadonlyArray<number>) =>
  messages.filter(({ code }) => codes.includes(code)).map(({ payload }) => payload)

const chain = generatedChainSpec()

export const status: FuzzTarget = {
  name: "eth-status",
  kind: "rlp",
  seeds: (material) => payloadsOf(material, ETH.status, ETH.blockRangeUpdate),
  run: (input) => {
    for (const version of ETH_VERSIONS) {
      const read = attempt(() => decodeStatus(version, input), RlpError)
      if (read === undefined) continue
      agreeBytes(encodeStatus(read), input, "a Status is written as it came")
      statusMismatch(chain, genesisHead(chain), read)
      const ours = { ...read, networkId: chain.networkId, genesisHash: chain.genesisHash }
      statusMismatch(chain, genesisHead(chain), ours)
    }
    const range = attempt(() => decodeBlockRangeUpdate(input), RlpError)
    if (range !== undefined) agreeBytes(encodeBlockRangeUpdate(range), input, "a range likewise")
  },
}

/** The made chain, as our own history would answer. */
const source: HistorySource = {
  numberOf: (hash) => madeChain.numberOf(toHex(hash)),
  headerAt: (number) => madeChain.headerAt(number),
  bodyAt: (number) => madeChain.bodyAt(number),
  receiptsAt: (number, form) =>
    form === 68 ? madeChain.receipts68At(number) : madeChain.receipts69At(number),
}

export const requests: FuzzTarget = {
  name: "eth-requests",
  kind: "rlp",
  seeds: (material) =>
    payloadsOf(
      material,
      ETH.getBlockHeaders,
      ETH.getBlockBodies,
      ETH.getReceipts,
      ETH.getPooledTransactions,
    ),
  run: (input) => {
    attempt(() => decodeRequestId(input), RlpError)
    const headers = attempt(() => decodeGetBlockHeaders(input), RlpError)
    const bodies = attempt(() => decodeGetBlockBodies(input), RlpError)
    if (bodies?._tag === "GetBlockBodies") {
      const { requestId, hashes } = bodies
      agreeBytes(encodeGetBlockBodies(requestId, hashes), input, "hashes are written as they came")
    }
    if (headers?._tag === "GetBlockHeaders") {
      const written = encodeGetBlockHeaders(headers.requestId, headers)
      // Any number but zero stands for `reverse`.
      if (written.length === input.length && !headers.reverse)
        agreeBytes(written, input, "a query is written as it came")
      else agree(headers.reverse, "a query is written as it came")
    }
    for (const version of ETH_VERSIONS) {
      const receipts = attempt(() => decodeGetReceipts(version, input), RlpError)
      if (receipts?._tag === "GetReceipts") {
        const { requestId, hashes, firstBlockReceiptIndex } = receipts
        const written = encodeGetReceipts(version, requestId, hashes, firstBlockReceiptIndex)
        agreeBytes(written, input, "a request is written as it came")
      }
      for (const request of [headers, bodies, receipts]) {
        if (request !== undefined) answer(version, request)
      }
    }
  },
}

/** What we answer, the peer can read. */
const answer = (version: EthVersion, request: EthRequest): void => {
  const items = answerFrom(source, version, request)
  agree(items.items.length <= 1_024, "no answer has more than 1024 items")
  const payload = encodeAnswer(version, request, items)
  const read =
    request._tag === "GetReceipts" ? decodeReceipts(version, payload) : decodeItems(payload)
  agree(read.requestId === request.requestId, "an answer names its request")
  agree(read.items.length === items.items.length, "an answer is read as it was written")
}

export const answers: FuzzTarget = {
  name: "eth-answers",
  testInputs: 1_500,
  kind: "rlp",
  seeds: (material) =>
    payloadsOf(material, ETH.blockHeaders, ETH.blockBodies, ETH.receipts, ETH.pooledTransactions),
  run: (input) => {
    const read = attempt(() => decodeItems(input), RlpError)
    if (read !== undefined) {
      agree(read.items.every(isList), "items are lists")
      agreeBytes(encodeItems(read.requestId, read.items), input, "items are written as they came")
    }
    for (const version of ETH_VERSIONS) {
      const receipts = attempt(() => decodeReceipts(version, input), RlpError)
      if (receipts === undefined) continue
      const { requestId, items, lastBlockIncomplete } = receipts
      agree(items.every(isList), "items are lists")
      const written = encodeReceipts(version, requestId, items, lastBlockIncomplete)
      // Any number but zero stands for `lastBlockIncomplete`.
      if (!lastBlockIncomplete) agreeBytes(written, input, "lists are written as they came")
    }
  },
}

const isList = (item: Uint8Array): boolean => item[0]! >= 0xc0
