import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { uintBytes } from "../../src/domain/rlp.ts"
import { contractAddress, recoverSender } from "../../src/domain/signature.ts"
import { encodeTransaction, readTransaction } from "../../src/domain/transactions.ts"
import { anyTransaction } from "../support/arbitraryBlocks.ts"

/** The example of EIP-155: nonce 9, chain 1, signed with the key 0x4646…46. */
const EXAMPLE = fromHex(
  "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025" +
    "a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276" +
    "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83",
)

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** The other value of s that signs the same, with the other parity. */
const otherS = (s: Uint8Array): Uint8Array => uintBytes(ORDER - BigInt(`0x${toHex(s)}`))

describe("recoverSender", () => {
  it("finds the sender of EIP-155's example", () => {
    const sender = recoverSender(readTransaction(EXAMPLE)!)
    assert.strictEqual(toHex(sender!), "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f")
  })

  it("finds the same sender behind either s where there is no chain id, as Frontier allowed it", () => {
    const transaction = { ...readTransaction(EXAMPLE)!, v: uintBytes(27) }
    const mirrored = { ...transaction, v: uintBytes(28), s: otherS(transaction.s) }
    assert.isDefined(recoverSender(transaction))
    assert.deepEqual(recoverSender(mirrored), recoverSender(transaction))
  })

  it("takes only the lower s from Homestead on: with a chain id, and in typed transactions", () => {
    const legacy = readTransaction(EXAMPLE)!
    const mirrored = { v: uintBytes(38), s: otherS(legacy.s) }
    assert.isUndefined(recoverSender({ ...legacy, ...mirrored }))
    const half = { ...legacy, s: uintBytes(ORDER / 2n) }
    assert.isDefined(recoverSender(half))
    assert.isUndefined(recoverSender({ ...half, s: uintBytes(ORDER / 2n + 1n) }))

    for (const type of [1, 2, 3, 4] as const) {
      const typed = { ...legacy, type, v: uintBytes(0) }
      assert.isDefined(recoverSender(typed))
      assert.isUndefined(recoverSender({ ...typed, v: uintBytes(1), s: otherS(typed.s) }))
    }
  })

  it("gives undefined for signatures of no key", () => {
    const transaction = readTransaction(EXAMPLE)!
    const none = new Uint8Array(0)
    for (const broken of [
      { ...transaction, r: none },
      { ...transaction, s: none },
      { ...transaction, s: uintBytes(ORDER) },
      { ...transaction, r: uintBytes(2n ** 256n - 1n) },
      // Neither 27, 28 nor 35 and more.
      { ...transaction, v: none },
      { ...transaction, v: uintBytes(29) },
      // No point of the curve has this x.
      { ...transaction, r: uintBytes(5) },
    ]) {
      assert.isUndefined(recoverSender(broken))
    }
  })

  it("never throws on hostile fields", () => {
    fc.assert(
      fc.property(anyTransaction, (fields) => {
        const sender = recoverSender(readTransaction(encodeTransaction(fields))!)
        assert.include([undefined, 20], sender?.length)
      }),
      { numRuns: 200 },
    )
  })
})

describe("contractAddress", () => {
  it("is that of a known creation, for the nonces 0 and 1", () => {
    // The sender and addresses of go-ethereum's crypto tests (TestNewContractAddress).
    const sender = fromHex("970e8128ab834e8eac17ab8e3812f010678cf791")
    const addresses = [0, 1, 2].map((nonce) => toHex(contractAddress(sender, uintBytes(nonce))))
    assert.deepEqual(addresses, [
      "333c3310824b7c685133f2bedb2ca4b8b4df633d",
      "8bda78331c916a08481428e4b07c96d3e916d165",
      "c9ddedf451bc62ce88bf9292afb13df35b670699",
    ])
  })
})
