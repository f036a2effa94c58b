/**
 * What is wrong with a stored payload, told from its own header: an independent second look, by the
 * plain functions of `domain`, at what the checking threads let through when it came.
 *
 * In: a payload. Out: every commitment of the header that its body or receipts do not meet; empty
 * when there is none. Bytes never throw.
 */
import { readBody } from "../domain/body.ts"
import { type Header, readHeader } from "../domain/header.ts"
import { toHex0x } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import { lastCumulativeGas } from "../domain/receiptList.ts"
import { receiptsBloom, receiptsRoot } from "../domain/receipts.ts"
import { encodeList, RlpError } from "../domain/rlp.ts"
import { orderedTrieRoot } from "../domain/trieRoot.ts"
import type { BlockPayload } from "./rows.ts"

/** Something that the header commits to and the payload does not have. */
export interface PayloadDamage {
  /** A header field, or the part that cannot be read. */
  readonly what: string
  readonly expected: string
  readonly actual: string
}

/** All that is wrong with a payload; its hash is held against `blocks` elsewhere. */
export const payloadDamages = (payload: BlockPayload): ReadonlyArray<PayloadDamage> => {
  const damages: Array<PayloadDamage> = []
  const compare = (what: string, expected: string, actual: string): void => {
    if (expected !== actual) damages.push({ what, expected, actual })
  }
  const part = (name: string, read: () => void): boolean => {
    try {
      read()
      return true
    } catch (error) {
      if (!(error instanceof RlpError)) throw error
      damages.push({ what: name, expected: `${name} in form`, actual: error.message })
      return false
    }
  }
  let header: Header | undefined
  part("header", () => {
    header = readHeader(payload.header)
    compare("number", String(payload.blockNumber), String(header.number))
  })
  if (header === undefined) return damages
  const known = header
  part("body", () => compareBody(known, payload.body, compare))
  part("receipts", () => compareReceipts(known, payload.receipts, compare))
  return damages
}

type Compare = (what: string, expected: string, actual: string) => void

const root = (values: ReadonlyArray<Uint8Array>): string => toHex0x(orderedTrieRoot(values))

const compareBody = (header: Header, bytes: Uint8Array, compare: Compare): void => {
  const { transactions, uncles, withdrawals } = readBody(bytes)
  compare("transactions_root", toHex0x(header.transactionsRoot), root(transactions))
  compare("uncles_hash", toHex0x(header.ommersHash), toHex0x(keccak256(encodeList(uncles))))
  const claimed = header.withdrawalsRoot === undefined ? "none" : toHex0x(header.withdrawalsRoot)
  compare("withdrawals_root", claimed, withdrawals === undefined ? "none" : root(withdrawals))
}

const compareReceipts = (header: Header, receipts: Uint8Array, compare: Compare): void => {
  compare("receipts_root", toHex0x(header.receiptsRoot), toHex0x(receiptsRoot(receipts, 69)))
  compare("logs_bloom", toHex0x(header.logsBloom), toHex0x(receiptsBloom(receipts, 69)))
  compare("gas_used", String(header.gasUsed), String(lastCumulativeGas(receipts, 69)))
}
