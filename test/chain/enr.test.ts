import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import {
  decodeEnr,
  type Enr,
  type EnrFields,
  type EnrInvalid,
  enodeOfEnr,
  formatEnr,
  isEnrInvalid,
  readEnr,
  signEnr,
} from "../../src/chain/enr.ts"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { encodeBytes, encodeList, encodeUint } from "../../src/domain/rlp.ts"
import { publicKey, sign } from "../../src/domain/secp256k1.ts"

/** The example of EIP-778 ("Test Vectors"): its key, and the record. */
const EXAMPLE_KEY = fromHex("b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291")
const EXAMPLE =
  "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R33Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM0xOIN1ZHCCdl8"

const good = (result: Enr | EnrInvalid): Enr => {
  if (isEnrInvalid(result)) throw new Error(result.reason)
  return result
}

const reason = (result: Enr | EnrInvalid): string =>
  isEnrInvalid(result) ? result.reason : "a good record"

const utf8 = (text: string): Uint8Array => encodeBytes(Buffer.from(text))

/** A record of any items behind the signature, signed with the example's key. */
const signedItems = (items: ReadonlyArray<Uint8Array>): Uint8Array => {
  const { signature } = sign(keccak256(encodeList(items)), EXAMPLE_KEY)
  return encodeList([encodeBytes(signature), ...items])
}

const SHORT_KEY = fromHex("03ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd3138")
const ID = [utf8("id"), utf8("v4")]
const KEY = [utf8("secp256k1"), encodeBytes(SHORT_KEY)]

const port = fc.integer({ min: 0, max: 65_535 })
const ip6 = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => toHex(bytes).match(/.{4}/g)!.join(":"))
  .map((text) => new URL(`http://[${text}]`).hostname.slice(1, -1))
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const anyFields: fc.Arbitrary<EnrFields> = fc.record(
  {
    seq: uint64,
    ip: fc.ipV4(),
    tcpPort: port,
    udpPort: port,
    ip6,
    tcp6Port: port,
    udp6Port: port,
    forkId: fc.record({ hash: fc.uint8Array({ minLength: 4, maxLength: 4 }), next: uint64 }),
  },
  { requiredKeys: ["seq"] },
)

describe("a node record", () => {
  it("is read as EIP-778's example says", () => {
    const enr = good(decodeEnr(EXAMPLE))
    assert.deepInclude(enr, { seq: 1n, ip: "127.0.0.1", udpPort: 30_303 })
    assert.isUndefined(enr.tcpPort)
    assert.strictEqual(enr.nodeId, toHex(publicKey(EXAMPLE_KEY)))
    // The example's node id, which there is the hash of the key.
    assert.strictEqual(
      toHex(keccak256(fromHex(enr.nodeId))),
      "a448f24c6d18e575453db13171562b71999873db5b286df957af199ec94617f7",
    )
    assert.strictEqual(formatEnr(enr.record), EXAMPLE)
  })

  it("is signed as EIP-778's example is, to the byte", () => {
    const record = signEnr({ seq: 1n, ip: "127.0.0.1", udpPort: 30_303 }, EXAMPLE_KEY)
    assert.strictEqual(formatEnr(record), EXAMPLE)
  })

  it("reads back with the fields that it was signed with", () => {
    fc.assert(
      fc.property(anyFields, fc.integer({ min: 1, max: 1_000 }), (fields, key) => {
        const privateKey = new Uint8Array(32)
        new DataView(privateKey.buffer).setUint32(28, key)
        const record = signEnr(fields, privateKey)
        const enr = good(decodeEnr(formatEnr(record)))
        const nodeId = toHex(publicKey(privateKey))
        assert.deepEqual(enr, { ...fields, record, nodeId })
      }),
      { numRuns: 100 },
    )
  })

  it("keeps entries that it does not know out of the way, and what follows the fork id", () => {
    const eth = encodeList([
      encodeList([encodeBytes(fromHex("07c9462e")), encodeUint(0)]),
      encodeList([utf8("later")]),
    ])
    const record = signEnr({ seq: 9n }, EXAMPLE_KEY, [
      ["eth", eth],
      ["client", encodeList([utf8("Geth"), utf8("1.17.5")])],
    ])
    const { forkId } = good(readEnr(record))
    assert.deepEqual(forkId, { hash: fromHex("07c9462e"), next: 0n })
  })

  it("is refused, for its own reason, when a rule is broken", () => {
    const seq = encodeUint(1)
    const all = [seq, ...ID, ...KEY]
    const refusals: ReadonlyArray<readonly [RegExp, Uint8Array]> = [
      [/signature is not/, encodeList([encodeBytes(new Uint8Array(64)), ...all])],
      [/expected 64 bytes/, encodeList([encodeBytes(new Uint8Array(65)), ...all])],
      [/not v4/, signedItems([seq, ...KEY])],
      [/not v4/, signedItems([seq, utf8("id"), utf8("v5"), ...KEY])],
      [/no secp256k1 key/, signedItems([seq, ...ID])],
      [/no point/, signedItems([seq, ...ID, KEY[0]!, encodeBytes(new Uint8Array(33))])],
      [/do not rise/, signedItems([seq, ...KEY, ...ID])],
      [/do not rise/, signedItems([seq, ...ID, ...ID, ...KEY])],
      [/too few items/, signedItems([...all, utf8("tcp")])],
      [/above 65535/, signedItems([...all, utf8("tcp"), encodeUint(65_536)])],
      [/leading zero/, signedItems([...all, utf8("udp"), encodeBytes(fromHex("0050"))])],
      [/expected 4 bytes/, signedItems([seq, ...ID, utf8("ip"), utf8("abc"), ...KEY])],
      [/expected a list/, signedItems([seq, utf8("eth"), utf8("abc"), ...ID, ...KEY])],
      [/too many/, Buffer.concat([signedItems(all), Uint8Array.of(0)])],
      [/more than 8 bytes/, signedItems([encodeUint(2n ** 64n), ...ID, ...KEY])],
      [
        /more than 300/,
        signedItems([...all, utf8("zz"), encodeBytes(new Uint8Array(200).fill(1))]),
      ],
    ]
    assert.strictEqual(reason(readEnr(signedItems(all))), "a good record")
    for (const [why, record] of refusals) assert.match(reason(readEnr(record)), why)
  })

  it("is refused when any bit of it is another", () => {
    const { record } = good(decodeEnr(EXAMPLE))
    fc.assert(
      fc.property(fc.nat(record.length * 8 - 1), (bit) => {
        const changed = record.slice()
        changed[bit >>> 3]! ^= 1 << (bit & 7)
        assert.isTrue(isEnrInvalid(readEnr(changed)))
      }),
    )
  })

  it("is refused as text that is no base64url, has padding or another scheme", () => {
    assert.match(reason(decodeEnr(EXAMPLE.slice(1))), /does not begin/)
    assert.match(reason(decodeEnr(`${EXAMPLE}=`)), /base64url/)
    assert.match(reason(decodeEnr(EXAMPLE.replace("_", "/"))), /base64url/)
    assert.match(reason(decodeEnr("enr:AAAAA")), /base64url/)
    assert.match(reason(decodeEnr(`enr:${"A".repeat(404)}`)), /more than 300/)
    assert.match(reason(decodeEnr("enr:")), /RLP/)
  })

  it("never throws on arbitrary bytes or text", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 320 }), fc.string(), (bytes, text) => {
        assert.isTrue(isEnrInvalid(readEnr(bytes)))
        assert.isTrue(isEnrInvalid(decodeEnr(formatEnr(bytes))))
        assert.isTrue(isEnrInvalid(decodeEnr(`enr:${text}`)))
      }),
    )
  })

  it("cannot be made with more than 300 bytes, without a key or with a wrong address", () => {
    const large: ReadonlyArray<readonly [string, Uint8Array]> = [
      ["zz", encodeBytes(new Uint8Array(200).fill(1))],
    ]
    assert.throws(() => signEnr({ seq: 1n }, EXAMPLE_KEY, large), RangeError)
    assert.throws(() => signEnr({ seq: 1n }, new Uint8Array(32)), RangeError)
    assert.throws(() => signEnr({ seq: 1n, ip: "1.2.3" }, EXAMPLE_KEY), RangeError)
  })
})

const enodeOf = (fields: Omit<EnrFields, "seq">) => {
  const enode = enodeOfEnr(good(readEnr(signEnr({ seq: 1n, ...fields }, EXAMPLE_KEY))))
  return enode && [enode.host, enode.tcpPort, enode.udpPort]
}

describe("the enode of a record", () => {
  it("is at its IPv4 address where it has one", () => {
    const both = { ip: "10.1.2.3", tcpPort: 1, udpPort: 2, ip6: "2001:db8::1", tcp6Port: 3 }
    assert.deepEqual(enodeOf(both), ["10.1.2.3", 1, 2])
  })

  it("is at its IPv6 address otherwise, with the ports of IPv4 where it has no others", () => {
    const ip6 = "2001:db8::1"
    assert.deepEqual(enodeOf({ ip6, tcp6Port: 3, udp6Port: 4, tcpPort: 1 }), [ip6, 3, 4])
    assert.deepEqual(enodeOf({ ip6, tcpPort: 1, udpPort: 2 }), [ip6, 1, 2])
  })

  it("has UDP port 0 where the record names none", () => {
    assert.deepEqual(enodeOf({ ip: "10.1.2.3", tcpPort: 1 }), ["10.1.2.3", 1, 0])
  })

  it("is none without a port, without an address, or with one of no single host", () => {
    for (const fields of [
      { ip: "10.1.2.3", udpPort: 2 },
      { ip: "10.1.2.3", tcpPort: 0 },
      { tcpPort: 1 },
      { ip: "0.0.0.0", tcpPort: 1 },
      { ip: "239.1.2.3", tcpPort: 1 },
      { ip: "255.255.255.255", tcpPort: 1 },
      { ip6: "::", tcpPort: 1 },
      { ip6: "ff02::1", tcpPort: 1 },
    ]) {
      assert.isUndefined(enodeOf(fields))
    }
  })
})
