/** What a block can be checked for: the words that flags, the store and the checks have in common. */

/** What a block can be checked for beside its hash, the values of `--verify`. */
export const checks = [
  "links",
  "transactions",
  "uncles",
  "withdrawals",
  "receipts",
  "bloom",
] as const

/** One of {@link checks}. Links concern two blocks: whoever has both compares them. */
export type Check = (typeof checks)[number]
