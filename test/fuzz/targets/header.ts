/** Headers: as checks read them, as the store takes them apart, as fetching links them. */
import { RLP } from "@ethereumjs/rlp"
import { readHeader } from "../../../src/domain/header.ts"
import { encodeUint, RlpError } from "../../../src/domain/rlp.ts"
import { checkHeaders } from "../../../src/fetch/checkHeaders.ts"
import { baseFeeOf, pushHeader } from "../../../src/write/headerRow.ts"
import type { BindValue } from "../../../src/write/rowValues.ts"
import { plainHeader } from "../../support/arbitraryBlocks.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"

export const header: FuzzTarget = {
  name: "header",
  kind: "rlp",
  seeds: ({ blocks }) => [...blocks.map(({ header }) => header), plainHeader(5, 2n ** 255n)],
  run: (input) => {
    const read = attempt(() => readHeader(input), RlpError)
    const values: Array<BindValue> = []
    const stored = attempt(() => pushHeader(input, values), RlpError)
    const checked = checkHeaders(read?.number ?? 0, [input])
    agree("what" in checked === (read === undefined), "fetching reads what checks read")
    if (read === undefined) return
    agree(stored === read.number, "what passes its checks can be stored")
    agree(values.length === COLUMNS, "each column has a value")
    baseFeeOf(input)
    // Lists that later forks may append are not looked into by us, but by the library.
    const fields = attempt(() => RLP.decode(input), Error)
    if (!Array.isArray(fields)) return
    const at = (index: number): Uint8Array => {
      const field = fields[index]
      agree(field instanceof Uint8Array, "what is read is a byte string")
      return field
    }
    agreeBytes(read.parentHash, at(0), "parentHash")
    agreeBytes(read.ommersHash, at(1), "ommersHash")
    agreeBytes(read.stateRoot, at(3), "stateRoot")
    agreeBytes(read.transactionsRoot, at(4), "transactionsRoot")
    agreeBytes(read.receiptsRoot, at(5), "receiptsRoot")
    agreeBytes(read.logsBloom, at(6), "logsBloom")
    const numbers = [read.number, read.gasLimit, read.gasUsed, read.timestamp]
    for (const [index, number] of numbers.entries()) {
      agreeBytes(encodeUint(number), RLP.encode(at(8 + index)), "an integer")
    }
    if (read.withdrawalsRoot !== undefined) agreeBytes(read.withdrawalsRoot, at(16), "withdrawals")
  },
}

/** Of `uncles` without block number, index, hash and number. */
const COLUMNS = 21
