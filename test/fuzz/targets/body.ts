/** Bodies and their roots; roots against @ethereumjs/mpt's where they are small. */
import { countBody, readBody, readWithdrawal } from "../../../src/domain/body.ts"
import { bodyRoots } from "../../../src/domain/bodyRoots.ts"
import { keccak256 } from "../../../src/domain/keccak.ts"
import { concatBytes, encodeList, RlpError } from "../../../src/domain/rlp.ts"
import { orderedTrieRoot } from "../../../src/domain/trieRoot.ts"
import { encodeBody } from "../../support/arbitraryBlocks.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"

export const body: FuzzTarget = {
  name: "body",
  testInputs: 1_500,
  kind: "rlp",
  seeds: ({ blocks }) => blocks.map(({ body }) => body).filter(({ length }) => length < 16_384),
  run: (input) => {
    const counts = attempt(() => countBody(input), RlpError)
    const roots = attempt(() => bodyRoots(input), RlpError)
    const read = attempt(() => readBody(input), RlpError)
    for (const item of read?.withdrawals ?? []) attempt(() => readWithdrawal(item), RlpError)
    if (read === undefined) return agree(roots === undefined, "what has roots can be read")
    agree(counts !== undefined, "what can be read can be counted")
    agree(counts.transactions === read.transactions.length, "as many transactions")
    agree(counts.uncles === read.uncles.length, "as many uncles")
    agree(counts.withdrawals === read.withdrawals?.length, "as many withdrawals")
    const { transactions, uncles, withdrawals } = read
    agreeBytes(encodeBody(transactions, uncles, withdrawals), input, "written as it came")
    if (roots === undefined) return
    agreeBytes(
      roots,
      concatBytes([
        orderedTrieRoot(transactions),
        keccak256(encodeList(uncles)),
        ...(withdrawals === undefined ? [] : [orderedTrieRoot(withdrawals)]),
      ]),
      "the roots",
    )
  },
}
