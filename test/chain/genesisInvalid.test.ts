import { ACCOUNT, type Json, asJson, small, withConfig } from "./genesisFiles.ts"
import { assert, describe, it } from "vitest"
import { FastCheck as fc } from "effect"
import { GenesisInvalid, parseGenesis } from "../../src/chain/genesis.ts"

/** The error that a genesis is refused with; anything else fails the test. */
const refusalOf = async (text: string): Promise<GenesisInvalid> => {
  const error: unknown = await parseGenesis("test", text).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.instanceOf(error, GenesisInvalid)
  return error
}

/** {@link small} without one of its fields. */
const without = (key: string): Json =>
  Object.fromEntries(Object.entries(small).filter(([name]) => name !== key))
/** {@link small} with this as its only account. */
const withAccount = (account: unknown): Json => ({ ...small, alloc: { [ACCOUNT]: account } })

describe("a bad genesis.json", () => {
  it.each([
    ["is an array", [], "file", "not a JSON object"],
    ["is null", null, "file", "not a JSON object"],
    ["has no config", without("config"), "config", "missing"],
    ["has a config of text", { ...small, config: "london" }, "config", "not a JSON object"],
    ["has no chain id", { ...small, config: {} }, "config.chainId", "missing"],
    ["has a negative chain id", withConfig({ chainId: -1 }), "config.chainId", "not an unsigned"],
    ["has a chain id of text", withConfig({ chainId: "one" }), "config.chainId", "not an unsigned"],
    ["has a rounded chain id", withConfig({ chainId: 2 ** 60 }), "config.chainId", "above 2^53"],
    [
      "has a wide chain id",
      withConfig({ chainId: `0x1${"0".repeat(16)}` }),
      "config.chainId",
      "more",
    ],
    ["has a fork at true", withConfig({ moonBlock: true }), "config.moonBlock", "not an unsigned"],
    ["has a fork at 1.5", withConfig({ moonTime: 1.5 }), "config.moonTime", "not an unsigned"],
    [
      "has a fork past all time",
      withConfig({ moonTime: "18446744073709551615" }),
      "config.moonTime",
      "above 2^53 - 1",
    ],
    [
      "has a blob schedule without fraction",
      withConfig({ cancunTime: 200, blobSchedule: { cancun: {} } }),
      "config.blobSchedule.cancun.baseFeeUpdateFraction",
      "missing",
    ],
    [
      "has a blob schedule with fraction zero",
      withConfig({ cancunTime: 200, blobSchedule: { cancun: { baseFeeUpdateFraction: 0 } } }),
      "config.blobSchedule.cancun.baseFeeUpdateFraction",
      "zero",
    ],
    [
      "has Cancun without Shanghai",
      withConfig({ cancunTime: 0 }),
      "config",
      "Cancun is in effect at genesis and Shanghai is not",
    ],
    [
      "has a base fee too early",
      { ...withConfig({ londonBlock: 5 }), baseFeePerGas: "0x7" },
      "baseFeePerGas",
      "set although London",
    ],
    ["has blob gas too early", { ...small, excessBlobGas: 0 }, "excessBlobGas", "set although Can"],
    ["has no gas limit", without("gasLimit"), "gasLimit", "missing"],
    ["has no difficulty", without("difficulty"), "difficulty", "missing"],
    ["has no alloc", without("alloc"), "alloc", "missing"],
    ["is not block 0", { ...small, number: "0x1" }, "number", "not 0"],
    ["has a short mix hash", { ...small, mixHash: "0x00" }, "mixHash", "1 bytes instead of 32"],
    ["has half a byte", { ...small, extraData: "0x123" }, "extraData", "not a hex text"],
    ["has a wide nonce", { ...small, nonce: `0x1${"0".repeat(16)}` }, "nonce", "more than 64 bits"],
    [
      "has a bad address",
      { ...small, alloc: { "0x12": { balance: "1" } } },
      "alloc.0x12",
      "the key is not",
    ],
    [
      "has an address twice",
      { ...small, alloc: { [ACCOUNT]: { balance: "1" }, [`0x${ACCOUNT}`]: { balance: "2" } } },
      `alloc.0x${ACCOUNT}`,
      "occurs twice",
    ],
    ["has no account", withAccount(null), `alloc.${ACCOUNT}`, "missing"],
    ["has no balance", withAccount({ nonce: 1 }), `alloc.${ACCOUNT}.balance`, "missing"],
    [
      "has a wide balance",
      withAccount({ balance: `0x1${"0".repeat(64)}` }),
      `alloc.${ACCOUNT}.balance`,
      "more than 256 bits",
    ],
    [
      "has bad code",
      withAccount({ balance: "1", code: "push" }),
      `alloc.${ACCOUNT}.code`,
      "not a hex text",
    ],
    [
      "has a wide storage key",
      withAccount({ balance: "1", storage: { [`0x${"00".repeat(33)}`]: "0x01" } }),
      `alloc.${ACCOUNT}.storage.0x${"00".repeat(33)}`,
      "33 bytes, at most 32",
    ],
    [
      "has bad storage",
      withAccount({ balance: "1", storage: { "0x01": 5 } }),
      `alloc.${ACCOUNT}.storage.0x01`,
      "not a hex text",
    ],
  ])("that %s is refused by name", async (_what, genesis, where, reason) => {
    const refusal = await refusalOf(JSON.stringify(genesis))
    assert.strictEqual(refusal._tag, "GenesisInvalid")
    assert.strictEqual(refusal.where, where)
    assert.isTrue(refusal.reason.startsWith(reason), refusal.reason)
  })

  it("that is not JSON is refused by name", async () => {
    const refusal = await refusalOf("{ config:")
    assert.strictEqual(refusal.where, "file")
    assert.isTrue(refusal.reason.startsWith("not JSON: "), refusal.reason)
  })

  it("never fails with anything but GenesisInvalid", async () => {
    const shanghai = withConfig({
      shanghaiTime: 0,
      cancunTime: 0,
      blobSchedule: { cancun: { baseFeeUpdateFraction: 1 } },
    })
    const keys = ["config", "timestamp", "number", "extraData", "alloc", "mixHash", "gasUsed"]
    const configKeys = ["chainId", "londonBlock", "xBlock", "cancunTime", "blobSchedule", "xTime"]
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.constantFrom(...keys), fc.jsonValue(), { maxKeys: 2 }),
        fc.dictionary(fc.constantFrom(...configKeys), fc.jsonValue(), { maxKeys: 3 }),
        fc.dictionary(fc.constantFrom(ACCOUNT, "0x00"), fc.jsonValue(), { maxKeys: 1 }),
        async (fields, config, alloc) => {
          const genesis = {
            ...shanghai,
            config: { ...asJson(shanghai["config"]), ...config },
            alloc: { ...asJson(small["alloc"]), ...alloc },
            ...fields,
          }
          const outcome: unknown = await parseGenesis("test", JSON.stringify(genesis)).then(
            () => "parsed",
            (error: unknown) => error,
          )
          assert.isTrue(outcome === "parsed" || outcome instanceof GenesisInvalid, String(outcome))
        },
      ),
      { numRuns: 500 },
    )
  })
})
