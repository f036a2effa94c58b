/**
 * What an honest devnet peer answers from its chain in memory: what annals itself answers from its
 * store (`serving/answers.ts`), over another source.
 */
import { toHex } from "../domain/hex.ts"
import { answerFrom, type AnswerItems, type HistorySource } from "../serving/answers.ts"
import type { EthRequest } from "../wire/ethMessages.ts"
import type { EthVersion } from "../wire/hello.ts"
import type { ServedChain } from "./servedChain.ts"

export { type AnswerItems, encodeAnswer } from "../serving/answers.ts"

/** A chain in memory as a source of answers. */
export const sourceOf = (chain: ServedChain): HistorySource => ({
  numberOf: (hash) => chain.numberOf(toHex(hash)),
  headerAt: (number) => chain.headerAt(number),
  bodyAt: (number) => chain.bodyAt(number),
  receiptsAt: (number, form) =>
    form === 68 ? chain.receipts68At(number) : chain.receipts69At(number),
})

/** What the chain says to a request over eth/`version`. */
export const answerItems = (
  chain: ServedChain,
  version: EthVersion,
  request: EthRequest,
): AnswerItems => answerFrom(sourceOf(chain), version, request)
