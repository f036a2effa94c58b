/**
 * The checks of one block: whether header, body and receipts are what the block's hash commits to.
 *
 * In: the parts as peers sent them, and which checks are wanted. Out: counts of a block that
 * passed, or the first failure, with the part that is to blame: parts may come from different
 * peers. Pure; runs in the checking threads.
 *
 * Invariants:
 * - the header's hash and number and the form of every part are checked always: what passes can be
 *   decoded, and with all checks on it is, byte for byte, what the hash commits to;
 * - a part is blamed only for what it says itself: once transactionsRoot and receiptsRoot agree
 *   with the parts, what still contradicts them is the header's fault;
 * - bytes never throw, and work is linear in their length.
 *
 * Links between blocks are no business of one block: the writer checks them. Sources: yellow paper
 * 4.3 and 4.4, EIP-2718, EIP-4895, EIP-7642; PROTOCOL "Checking a block without executing it".
 */
import { type BodyParts, openBody, readWithdrawal, stepTransaction } from "../domain/body.ts"
import { EMPTY_OMMERS_HASH, type Header, readHeader } from "../domain/header.ts"
import { equalBytes, toHex0x } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import type { ReceiptsForm } from "../domain/receiptList.ts"
import { digestReceipts, type ReceiptsDigest } from "../domain/receiptsDigest.ts"
import { encodeList, RlpError, type RlpReader } from "../domain/rlp.ts"
import { orderedTrie } from "../domain/trieRoot.ts"
import type { Check } from "./checks.ts"

/** A block as it came. */
export interface UncheckedBlock {
  readonly blockNumber: number
  /** What keccak256 of the header must be, 32 bytes. */
  readonly hash: Uint8Array
  /** RLP of the header. */
  readonly header: Uint8Array
  /** RLP of `[transactions, uncles, withdrawals?]`. */
  readonly body: Uint8Array
  /** RLP of the list of receipts. */
  readonly receipts: Uint8Array
  readonly receiptsForm: ReceiptsForm
}

/** A part of a block that may come from a peer of its own. */
export type BlockPart = "header" | "body" | "receipts"

/** What can be wrong with a block; the names are those of the header's fields where there is one. */
export type WrongThing =
  | "encoding"
  | "hash"
  | "number"
  | "transactions_root"
  | "ommers_hash"
  | "withdrawals_root"
  | "receipts_root"
  | "receipt_count"
  | "receipt_types"
  | "cumulative_gas"
  | "gas_used"
  | "logs_bloom"
  | "receipt_bloom"

/** A block that passed every check that was asked for. */
export interface CheckPassed {
  readonly _tag: "Passed"
  readonly blockNumber: number
  readonly transactionCount: number
  readonly logCount: number
}

/** A block that did not pass. Who sent `part` is to blame. */
export interface CheckFailure {
  readonly _tag: "Failed"
  readonly blockNumber: number
  readonly part: BlockPart
  readonly what: WrongThing
  /** Text: a hash with 0x, a number, or what a form demands. */
  readonly expected: string
  readonly actual: string
}

/** The outcome for one block. */
export type BlockCheck = CheckPassed | CheckFailure

/** Checks a block. Never throws for what a peer sent. */
export const checkBlock = (block: UncheckedBlock, checks: ReadonlySet<Check>): BlockCheck => {
  const header = checkHeader(block)
  if ("_tag" in header) return header
  const body = checkBody(block, header, checks)
  if (!(body instanceof Uint8Array)) return body
  const receipts = checkReceipts(block, header, checks)
  if ("_tag" in receipts) return receipts
  return (
    compareParts(block, body, receipts, checks) ?? {
      _tag: "Passed",
      blockNumber: block.blockNumber,
      transactionCount: body.length,
      logCount: receipts.logCount,
    }
  )
}

type Block = Pick<UncheckedBlock, "blockNumber">

const failure = (
  { blockNumber }: Block,
  part: BlockPart,
  what: WrongThing,
  expected: string | number,
  actual: string | number,
): CheckFailure => ({
  _tag: "Failed",
  blockNumber,
  part,
  what,
  expected: String(expected),
  actual: String(actual),
})

/** What `read` gives, or a failure of `part` when its bytes have not the form of one. */
const inForm = <A extends object>(
  block: Block,
  part: BlockPart,
  read: () => A,
): A | CheckFailure => {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof RlpError)) throw error
    return failure(block, part, "encoding", FORMS[part], error.message)
  }
}

const FORMS: Readonly<Record<BlockPart, string>> = {
  header: "a header",
  body: "[transactions, uncles, withdrawals?]",
  receipts: "a list of receipts",
}

const checkHeader = (block: UncheckedBlock): Header | CheckFailure => {
  const hash = keccak256(block.header)
  if (!equalBytes(hash, block.hash)) {
    return failure(block, "header", "hash", toHex0x(block.hash), toHex0x(hash))
  }
  const header = inForm(block, "header", () => readHeader(block.header))
  if ("_tag" in header || header.number === block.blockNumber) return header
  return failure(block, "header", "number", block.blockNumber, header.number)
}

/** The types of the transactions, or what is wrong with the body. */
const checkBody = (
  block: UncheckedBlock,
  header: Header,
  checks: ReadonlySet<Check>,
): Uint8Array | CheckFailure =>
  inForm(block, "body", () => {
    const parts = openBody(block.body)
    const { types, root } = readTransactions(parts.transactions, checks.has("transactions"))
    const wrong = (what: WrongThing, expected: Uint8Array, actual: Uint8Array) =>
      failure(block, "body", what, toHex0x(expected), toHex0x(actual))
    if (root !== undefined && !equalBytes(root, header.transactionsRoot)) {
      return wrong("transactions_root", header.transactionsRoot, root)
    }
    const ommers = ommersHash(parts.uncles)
    if (checks.has("uncles") && !equalBytes(ommers, header.ommersHash)) {
      return wrong("ommers_hash", header.ommersHash, ommers)
    }
    return checkWithdrawals(block, header, parts, checks) ?? types
  })

interface Transactions {
  readonly types: Uint8Array
  readonly root: Uint8Array | undefined
}

const readTransactions = (list: RlpReader, wantsRoot: boolean): Transactions => {
  const count = list.countRest()
  const types = new Uint8Array(count)
  const trie = wantsRoot ? orderedTrie() : undefined
  trie?.start(count)
  for (let index = 0; index < count; index++) {
    stepTransaction(list)
    types[index] = list.isList ? 0 : list.bytes[list.start]!
    trie?.add(list.bytes, list.isList ? list.itemStart : list.start, list.end)
  }
  return { types, root: trie?.root() }
}

/** keccak256 of the list of uncles, each of which must be a header. */
const ommersHash = (uncles: RlpReader): Uint8Array => {
  if (uncles.done) return EMPTY_OMMERS_HASH
  // One header is as long as another: a body that is all uncles costs what its length does.
  const all = encodeList([uncles.rest()])
  while (!uncles.done) readHeader(uncles.next().item())
  return keccak256(all)
}

/** What is wrong with the withdrawals; undefined when nothing is. */
const checkWithdrawals = (
  block: UncheckedBlock,
  header: Header,
  { withdrawals }: BodyParts,
  checks: ReadonlySet<Check>,
): CheckFailure | undefined => {
  const root = withdrawals && readWithdrawals(withdrawals, checks.has("withdrawals"))
  if (!checks.has("withdrawals")) return undefined
  const expected = rootText(header.withdrawalsRoot)
  const actual = rootText(root)
  if (expected === actual) return undefined
  return failure(block, "body", "withdrawals_root", expected, actual)
}

/** Reads every withdrawal, one at a time: a body may claim millions. */
const readWithdrawals = (list: RlpReader, wantsRoot: boolean): Uint8Array | undefined => {
  const trie = wantsRoot ? orderedTrie() : undefined
  trie?.start(list.countRest())
  while (!list.done) {
    readWithdrawal(list.next().item())
    trie?.add(list.bytes, list.itemStart, list.end)
  }
  return trie?.root()
}

const rootText = (root: Uint8Array | undefined): string =>
  root === undefined ? "none" : toHex0x(root)

const checkReceipts = (
  block: UncheckedBlock,
  header: Header,
  checks: ReadonlySet<Check>,
): ReceiptsDigest | CheckFailure => {
  const proven = checks.has("receipts")
  const digest = inForm(block, "receipts", () =>
    digestReceipts(block.receipts, block.receiptsForm, {
      root: proven,
      blooms: checks.has("bloom"),
    }),
  )
  if ("_tag" in digest) return digest
  const { root, bloom, wrongBloom, fallingGas, cumulativeGas } = digest
  if (root !== undefined && !equalBytes(root, header.receiptsRoot)) {
    const [expected, actual] = [toHex0x(header.receiptsRoot), toHex0x(root)]
    return failure(block, "receipts", "receipts_root", expected, actual)
  }
  // What contradicts receipts that the header itself commits to is the header's fault.
  const part = proven ? "header" : "receipts"
  if (wrongBloom >= 0) {
    return failure(block, part, "receipt_bloom", "that of its logs", `receipt ${wrongBloom}`)
  }
  if (bloom !== undefined && !equalBytes(bloom, header.logsBloom)) {
    return failure(block, part, "logs_bloom", toHex0x(header.logsBloom), toHex0x(bloom))
  }
  if (!proven) return digest
  if (fallingGas >= 0) {
    return failure(block, part, "cumulative_gas", "never falling", `receipt ${fallingGas}`)
  }
  if (cumulativeGas !== header.gasUsed) {
    return failure(block, part, "gas_used", header.gasUsed, cumulativeGas)
  }
  return digest
}

/** Whether the receipts are those of the transactions; undefined when they are. */
const compareParts = (
  block: UncheckedBlock,
  transactionTypes: Uint8Array,
  { types }: ReceiptsDigest,
  checks: ReadonlySet<Check>,
): CheckFailure | undefined => {
  if (equalBytes(types, transactionTypes)) return undefined
  // The part that nothing vouches for, and the header where it vouches for both.
  const doubted = checks.has("transactions") ? "header" : "body"
  const part = checks.has("receipts") ? doubted : "receipts"
  if (types.length !== transactionTypes.length) {
    return failure(block, part, "receipt_count", transactionTypes.length, types.length)
  }
  const index = types.findIndex((type, at) => type !== transactionTypes[at])
  const at = `receipt ${index}`
  return failure(
    block,
    part,
    "receipt_types",
    `${transactionTypes[index]} at ${at}`,
    `${types[index]} at ${at}`,
  )
}
