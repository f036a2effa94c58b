/** Transactions, their lists, and who sent them; signatures against @ethereumjs/tx now and then. */
import { Common, Hardfork, Mainnet } from "@ethereumjs/common"
import { createTxFromRLP } from "@ethereumjs/tx"
import { readBody } from "../../../src/domain/body.ts"
import { keccak256 } from "../../../src/domain/keccak.ts"
import { RlpError } from "../../../src/domain/rlp.ts"
import { contractAddress, recoverSender, signingHash } from "../../../src/domain/signature.ts"
import {
  encodeTransaction,
  readAccessList,
  readAuthorizations,
  readTransaction,
  readVersionedHashes,
  transactionType,
} from "../../../src/domain/transactions.ts"
import { agree, agreeBytes, attempt, type FuzzTarget } from "../target.ts"

const common = new Common({ chain: Mainnet, hardfork: Hardfork.Prague })

export const transaction: FuzzTarget = {
  name: "transaction",
  kind: "rlp",
  seeds: ({ blocks }) => {
    const all = blocks.flatMap(({ body }) => readBody(body).transactions)
    return [0, 1, 2, 3, 4].flatMap((type) =>
      all.filter((bytes) => transactionType(bytes) === type && bytes.length < 4_096).slice(0, 8),
    )
  },
  run: (input) => {
    for (const readList of [readAccessList, readAuthorizations, readVersionedHashes]) {
      attempt<unknown>(() => readList(input), RlpError)
    }
    const read = readTransaction(input)
    if (read === undefined) return
    agreeBytes(encodeTransaction(read), input, "a transaction is written as it came")
    if (read.accessList !== undefined) readAccessList(read.accessList)
    if (read.authorizationList !== undefined) readAuthorizations(read.authorizationList)
    if (read.blobVersionedHashes !== undefined) readVersionedHashes(read.blobVersionedHashes)
    const sender = recoverSender(read)
    agree(sender === undefined || sender.length === 20, "a sender has 20 bytes")
    agree(contractAddress(new Uint8Array(20), read.nonce).length === 20, "an address has 20 bytes")
    // The library takes a hundred times as long.
    if (keccak256(input)[0]! < 8) compare(input, signingHash(read), sender)
  },
}

/** Where the library reads the transaction at all, it must come to the same. */
const compare = (input: Uint8Array, hash: Uint8Array, sender: Uint8Array | undefined): void => {
  let tx: ReturnType<typeof createTxFromRLP>
  let theirs: Uint8Array
  try {
    tx = createTxFromRLP(input, { common, freeze: false, allowUnlimitedInitCodeSize: true })
    // First: of what has no sender the library has other ideas of what should be signed.
    theirs = tx.getSenderAddress().bytes
    agreeBytes(hash, tx.getHashedMessageToSign(), "the hash that was signed")
  } catch (error) {
    // It refuses more than we do: other chains, sums of gas, signatures.
    if (error instanceof Error && error.name === "Disagreement") throw error
    return
  }
  agree(sender !== undefined, "who the library says has sent it")
  agreeBytes(sender, theirs, "who has sent it")
}
