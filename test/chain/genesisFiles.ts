/** Small genesis.json files for the tests of genesis.ts, as values that tests alter. */

/** A JSON object. */
export type Json = { readonly [key: string]: unknown }

/** The one account of {@link small}. */
export const ACCOUNT = "00000000000000000000000000000000000000aa"

/** A small genesis with one contract, in London. */
export const small: Json = {
  config: { chainId: 1337, londonBlock: 0 },
  nonce: "0x42",
  timestamp: "0x64",
  gasLimit: 30_000_000,
  difficulty: "1",
  alloc: {
    [ACCOUNT]: { balance: "0x10", nonce: "0x1", code: "0x6001", storage: { "0x01": "0x02" } },
  },
}

/** {@link small} with more in its config. */
export const withConfig = (config: Json): Json => ({
  ...small,
  config: { ...asJson(small["config"]), ...config },
})

/** `value` as the JSON object that it must be. */
export const asJson = (value: unknown): Json => {
  if (typeof value !== "object" || value === null) throw new Error("not a JSON object")
  return Object.fromEntries(Object.entries(value))
}
