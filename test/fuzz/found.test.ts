/** What fuzzing has found, as fixed inputs; each test says what is right. */
import { assert, describe, it } from "vitest"
import { bodyRoots } from "../../src/domain/bodyRoots.ts"
import { encodeBytes, encodeList, encodeUint, RlpError } from "../../src/domain/rlp.ts"
import { fromHex } from "../../src/domain/hex.ts"
import { recoverSender } from "../../src/domain/signature.ts"
import { readTransaction } from "../../src/domain/transactions.ts"
import { decodeGetBlockHeaders } from "../../src/wire/ethMessages.ts"
import { decodeHello, encodeHello } from "../../src/wire/hello.ts"

describe("what was found is mended:", () => {
  it("a list of 32 bytes is no hash from which headers could start", () => {
    const list = encodeList([encodeBytes(new Uint8Array(31).fill(0x90))])
    assert.lengthOf(list, 33)
    const query = encodeList([list, ...[5, 0, 0].map((value) => encodeUint(value))])
    const payload = encodeList([encodeUint(1), query])
    assert.throws(() => decodeGetBlockHeaders(payload), RlpError)
  })

  it("uncles that are no RLP have no hash", () => {
    // A list whose only item says to be longer than the list is.
    const uncles = Uint8Array.of(0xc2, 0x82, 0x01)
    const body = encodeList([encodeList([]), uncles])
    assert.throws(() => bodyRoots(body), RlpError)
  })

  it("a capability's name cannot steer a terminal, nor be of any length", () => {
    const hello = {
      p2pVersion: 5,
      clientId: "geth",
      capabilities: ["eth", "\u001B[2J", "x".repeat(5_000), "snap", "", "e th"].map((name) => ({
        name,
        version: 1,
      })),
      listenPort: 0,
      nodeId: new Uint8Array(64),
    }
    const names = decodeHello(encodeHello(hello)).capabilities.map(({ name }) => name)
    assert.deepEqual(names, ["eth", "snap"])
  })

  it("a legacy transaction whose v is 0 was sent by nobody, though a library hashes it otherwise", () => {
    const transaction = readTransaction(
      fromHex(
        "f86d82ff868504f14ce7658275fa94fbe46bd7610ebf2523bf5487b45753cb17e21e7b870320ad84b4bb808080" +
          "a0a38927989e58ec415241c8c11cbde58fe995a13bfe0fd7b9288e8290977ee31aa0a800cb01470d55cb0d5515" +
          "321bd46e5b11b717829c4da13c536e69dccbb79e9b",
      ),
    )
    assert.isDefined(transaction)
    assert.isUndefined(recoverSender(transaction))
  })
})
