/**
 * A whole block on its way through the program: packed, checked in a checking thread, flattened,
 * taken apart into rows, looked at again by `verify`. What passes the checks must get through all
 * the rest, and come back from its rows byte for byte.
 *
 * Inputs: one byte of options, then `header`, `body` and `receipts` as RLP items.
 */
import { bodyRoots } from "../../../src/domain/bodyRoots.ts"
import { keccak256 } from "../../../src/domain/keccak.ts"
import { lastCumulativeGas } from "../../../src/domain/receiptList.ts"
import { receipts68To69, receiptsBloom, receiptsRoot } from "../../../src/domain/receipts.ts"
import {
  concatBytes,
  encodeBytes,
  encodeList,
  encodeUint,
  RlpError,
  RlpReader,
} from "../../../src/domain/rlp.ts"
import { readHeader } from "../../../src/domain/header.ts"
import { packBlocks, readPack } from "../../../src/process/blockPack.ts"
import { checkBlock, type UncheckedBlock } from "../../../src/process/checkBlock.ts"
import { checks, type Check } from "../../../src/process/checks.ts"
import { checkPack } from "../../../src/process/checkPack.ts"
import { payloadDamages } from "../../../src/write/payloadDamages.ts"
import type { BlockPayload } from "../../../src/write/rows.ts"
import { payloadOfRow, tableRows } from "../../../src/write/tableRows.ts"
import { optionalTables } from "../../../src/write/tables.ts"
import { decode, payloadFromRows } from "../../support/payloadFromRows.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"

/** Rows of stores of any version may have it: parts as they are. */
const PLAIN_CODEC = 0

const FORM_68 = 1
const ALL_CHECKS = 2
/** The header is given the roots of the parts, so that the checks go all the way. */
const MEND_HEADER = 4

const EVERY: ReadonlySet<Check> = new Set(checks)
const NONE: ReadonlySet<Check> = new Set()

export const block: FuzzTarget = {
  name: "block",
  testInputs: 500,
  kind: "rlp",
  seeds: ({ blocks }) =>
    blocks.flatMap(({ header, body, receipts }, index) =>
      [
        FORM_68 | ALL_CHECKS,
        ALL_CHECKS | MEND_HEADER,
        FORM_68,
        0,
        MEND_HEADER | FORM_68 | ALL_CHECKS,
      ]
        .slice(index % 3)
        .map((options) =>
          concatBytes([
            Uint8Array.of(options),
            header,
            body,
            (options & FORM_68) === 0 ? receipts68To69(receipts) : receipts,
          ]),
        )
        .filter(({ length }) => length < 16_384),
    ),
  run: (input) => {
    const options = input[0] ?? 0
    const parts = attempt(() => new RlpReader(input, 1).restItems(), RlpError)
    const [first = EMPTY, body = EMPTY, receipts = EMPTY] = parts ?? [input, input, input]
    const receiptsForm = (options & FORM_68) === 0 ? 69 : 68
    const mended = (options & MEND_HEADER) !== 0
    const header =
      (mended ? attempt(() => mend(first, body, receipts, receiptsForm), RlpError) : first) ?? first
    const block: UncheckedBlock = {
      blockNumber: attempt(() => readHeader(header), RlpError)?.number ?? 1,
      hash: keccak256(header),
      header,
      body,
      receipts,
      receiptsForm,
    }
    const wanted = (options & ALL_CHECKS) === 0 ? NONE : EVERY
    const outcome = checkBlock(block, wanted)
    if (mended && header !== first && outcome._tag === "Failed") {
      agree(!MENDED.has(outcome.what), `what was mended is right: ${outcome.what}`)
    }
    const pack = packBlocks([block, block])
    const again = checkPack(pack, wanted)
    agree(again.length === 2 && again[1]?._tag === outcome._tag, "packed it checks the same")
    const stored = readPack(pack)[1]!
    readAnyway(stored)
    if (outcome._tag === "Passed") mustBeStorable(stored, wanted)
  },
}

const EMPTY = new Uint8Array(0)

const MENDED: ReadonlySet<string> = new Set([
  "hash",
  "transactions_root",
  "ommers_hash",
  "withdrawals_root",
  "receipts_root",
  "logs_bloom",
  "gas_used",
])

/** The header with everything that it says of the other parts put right. */
const mend = (
  header: Uint8Array,
  body: Uint8Array,
  receipts: Uint8Array,
  form: 68 | 69,
): Uint8Array => {
  const fields = RlpReader.list(header).restItems()
  if (fields.length < 15) return header
  const roots = bodyRoots(body)
  fields[1] = encodeBytes(roots.subarray(32, 64))
  fields[4] = encodeBytes(roots.subarray(0, 32))
  fields[5] = encodeBytes(receiptsRoot(receipts, form))
  fields[6] = encodeBytes(receiptsBloom(receipts, form))
  fields[10] = encodeUint(lastCumulativeGas(receipts, form))
  if (roots.length === 96) {
    while (fields.length < 16) fields.push(encodeUint(0))
    fields[16] = encodeBytes(roots.subarray(64))
  } else fields.length = Math.min(fields.length, 16)
  return encodeList(fields)
}

/** A store may hold anything by a fault of its disk: reading refuses, and does not break. */
const readAnyway = ({ blockNumber, header, body, receipts }: UncheckedBlock): void => {
  const payload = payloadOfRow([blockNumber, header, body, receipts, PLAIN_CODEC])
  agree(payload !== undefined, "the codec is known")
  payloadDamages(payload)
  for (const table of ["blocks", ...optionalTables] as const)
    attempt(() => tableRows(table, payload), RlpError)
}

const mustBeStorable = (
  { blockNumber, hash, header, body, receipts, receiptsForm }: UncheckedBlock,
  wanted: ReadonlySet<Check>,
): void => {
  agree(receiptsForm === 69, "what passed is in form 69")
  const payload: BlockPayload = { blockNumber, hash, header, body, receipts }
  const written = payloadFromRows(decode(payload))
  agreeBytes(written.header, header, "rows lose nothing of the header")
  agreeBytes(written.body, body, "rows lose nothing of the body")
  agreeBytes(written.receipts, receipts, "rows lose nothing of the receipts")
  if (wanted.size === 0) return
  const damages = payloadDamages(payload)
  agree(damages.length === 0, `what passed verifies: ${damages[0]?.what}`)
}
