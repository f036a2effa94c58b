/**
 * The hashes of all transactions of a block as texts, worked out together: many at once cost a part
 * of what they cost one by one.
 */
import { toHex } from "../domain/hex.ts"
import { keccak256Many } from "../domain/keccakMany.ts"

/** `0x` and the Keccak-256 of each; the transactions as their hashes take them (EIP-2718). */
export const transactionHashes = (
  transactions: ReadonlyArray<Uint8Array>,
): ReadonlyArray<string> => {
  const digits = toHex(keccak256Many(transactions))
  return transactions.map((_bytes, index) => {
    const at = DIGEST_DIGITS * index
    return `0x${digits.slice(at, at + DIGEST_DIGITS)}`
  })
}

const DIGEST_DIGITS = 64
