import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { encodeBytes, encodeList, encodeUint, RlpError } from "../../src/domain/rlp.ts"
import {
  chooseEth,
  decodeDisconnect,
  decodeHello,
  disconnectCode,
  disconnectReason,
  encodeDisconnect,
  encodeHello,
  ETH_VERSIONS,
  ethCodeCount,
  type EthVersion,
} from "../../src/wire/hello.ts"

const text = (value: string) => encodeBytes(Buffer.from(value))
const eth = (version: number) => ({ name: "eth", version })
const nodeId = new Uint8Array(64).fill(5)

/** A hello with chosen parts. */
const helloOf = (client: string, capabilities: ReadonlyArray<Uint8Array>) => [
  encodeUint(5),
  text(client),
  encodeList(capabilities),
  encodeUint(30_303),
  encodeBytes(nodeId),
]

describe("hello", () => {
  it("comes out as it went in", () => {
    const capability = fc.record({
      name: fc.constantFrom("eth", "snap", "les"),
      version: fc.nat(100),
    })
    const hello = fc.record({
      p2pVersion: fc.nat(10),
      clientId: fc.stringMatching(/^[ -~]{0,256}$/),
      capabilities: fc.array(capability, { maxLength: 64 }),
      listenPort: fc.nat(65_535),
      nodeId: fc.uint8Array({ minLength: 64, maxLength: 64 }),
    })
    fc.assert(fc.property(hello, (each) => assert.deepEqual(decodeHello(encodeHello(each)), each)))
  })

  it("may have more fields, which are ignored", () => {
    const items = [...helloOf("geth", []), encodeUint(7), encodeList([encodeUint(8)])]
    assert.strictEqual(decodeHello(encodeList(items)).listenPort, 30_303)
  })

  it("keeps at most 64 capabilities", () => {
    const one = encodeList([text("eth"), encodeUint(68)])
    const hello = decodeHello(
      encodeList(
        helloOf(
          "geth",
          Array.from({ length: 200 }, () => one),
        ),
      ),
    )
    assert.lengthOf(hello.capabilities, 64)
  })

  it("cuts the client's name and takes out what could steer a terminal", () => {
    const hello = decodeHello(encodeList(helloOf("\u001B[31mge\nth\u202E\u007F", [])))
    assert.strictEqual(hello.clientId, "[31mgeth")
    const long = decodeHello(encodeList(helloOf("x".repeat(5_000), [])))
    assert.lengthOf(long.clientId, 256)
  })

  it("of arbitrary bytes throws nothing but RlpError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeHello(bytes)
        } catch (error) {
          assert.instanceOf(error, RlpError)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

describe("disconnect", () => {
  it("has the codes of the devp2p specification", () => {
    const names = Array.from({ length: 18 }, (_, code) => disconnectReason(code))
    assert.deepStrictEqual(names, [
      "requested",
      "tcp_error",
      "protocol_error",
      "useless_peer",
      "too_many_peers",
      "already_connected",
      "incompatible_version",
      "null_identity",
      "client_quitting",
      "unexpected_identity",
      "self_connection",
      "ping_timeout",
      "unknown",
      "unknown",
      "unknown",
      "unknown",
      "subprotocol_error",
      "unknown",
    ])
    assert.strictEqual(disconnectCode("subprotocol_error"), 0x10)
    assert.strictEqual(disconnectCode("unknown"), 0)
  })

  it("is read as a list, as a bare integer, and when it says nothing", () => {
    assert.strictEqual(decodeDisconnect(encodeDisconnect("too_many_peers")), "too_many_peers")
    assert.strictEqual(decodeDisconnect(Uint8Array.of(0x04)), "too_many_peers")
    assert.strictEqual(decodeDisconnect(Uint8Array.of(0x80)), "requested")
    assert.strictEqual(decodeDisconnect(Uint8Array.of(0xc1, 0x80)), "requested")
    assert.strictEqual(decodeDisconnect(Uint8Array.of(0xc0)), "unknown")
    assert.strictEqual(decodeDisconnect(new Uint8Array()), "unknown")
  })

  it("of arbitrary bytes never throws", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.isString(decodeDisconnect(bytes))))
  })
})

describe("the choice of eth", () => {
  it("is the highest version that both sides offer, whatever the order", () => {
    const versions = fc.uniqueArray(fc.constantFrom<EthVersion>(68, 69, 70))
    const others = fc.array(fc.integer({ min: 60, max: 75 }))
    fc.assert(
      fc.property(versions, others, (ours, theirs) => {
        const common = ours.filter((version) => theirs.includes(version))
        const chosen = chooseEth(ours, theirs.map(eth))
        const best = common.length === 0 ? undefined : Math.max(...common)
        assert.strictEqual<number | undefined>(chosen?.version, best)
      }),
    )
  })

  it("numbers from 0x10 whatever else the peer offers, as only shared capabilities count", () => {
    const theirs = [{ name: "aaa", version: 1 }, { name: "snap", version: 1 }, eth(69), eth(68)]
    assert.deepStrictEqual(chooseEth([68, 69], theirs), { version: 69, offset: 0x10 })
  })

  it("knows how many codes a version takes", () => {
    assert.deepStrictEqual(ETH_VERSIONS.map(ethCodeCount), [18, 18, 17])
  })
})
