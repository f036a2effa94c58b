import { assert, describe, it } from "vitest"
import { type Enode, formatEnode, isEnodeInvalid, parseEnode } from "../../src/chain/enode.ts"
import { FastCheck as fc } from "effect"

const ID = "d860a01f9722d78051619d1e2351aba3".repeat(4)

const reasonOf = (text: string): string => {
  const result = parseEnode(text)
  assert.isTrue(isEnodeInvalid(result), `accepted: ${text}`)
  return isEnodeInvalid(result) ? result.reason : ""
}

describe("parseEnode", () => {
  it("takes both ports from one number", () => {
    assert.deepStrictEqual(parseEnode(`enode://${ID}@18.138.108.67:30303`), {
      nodeId: ID,
      host: "18.138.108.67",
      tcpPort: 30_303,
      udpPort: 30_303,
    })
  })

  it.each([
    ["discport", `enode://${ID}@10.3.58.6:30303?discport=30301`, "10.3.58.6", 30_303, 30_301],
    ["no discovery", `enode://${ID}@10.3.58.6:30303?discport=0`, "10.3.58.6", 30_303, 0],
    ["discovery only", `enode://${ID}@127.0.0.1:0?discport=30301`, "127.0.0.1", 0, 30_301],
    ["IPv6", `enode://${ID}@[2001:db8::1]:30303`, "2001:db8::1", 30_303, 30_303],
    ["IPv6 and discport", `enode://${ID}@[::1]:1?discport=2`, "::1", 1, 2],
    ["a DNS name", `enode://${ID}@boot-1.example.org:65535`, "boot-1.example.org", 65_535, 65_535],
    ["other parameters", `enode://${ID}@1.2.3.4:5?x=1&discport=6`, "1.2.3.4", 5, 6],
    ["a slash at the end", `enode://${ID}@1.2.3.4:5/`, "1.2.3.4", 5, 5],
    ["upper-case hex", `enode://${ID.toUpperCase()}@1.2.3.4:5`, "1.2.3.4", 5, 5],
  ])("reads %s", (_what, text, host, tcpPort, udpPort) => {
    assert.deepStrictEqual(parseEnode(text), { nodeId: ID, host, tcpPort, udpPort })
  })

  it.each([
    ["nothing", "", "it does not begin with enode://"],
    ["another scheme", `enr://${ID}@1.2.3.4:5`, "it does not begin with enode://"],
    ["a short key", `enode://${ID.slice(2)}@1.2.3.4:5`, "the node id before the @ has 126"],
    ["a key with its 04", `enode://04${ID}@1.2.3.4:5`, "the node id before the @ has 130"],
    [
      "a key that is no hex",
      `enode://g${ID.slice(1)}@1.2.3.4:5`,
      "the node id before the @ is not",
    ],
    ["no host", `enode://${ID}`, "the @ and the host after the node id are missing"],
    ["an empty host", `enode://${ID}@:30303`, "the host after the @ is missing"],
    ["no port", `enode://${ID}@1.2.3.4`, "the port after the host is missing"],
    ["no port after IPv6", `enode://${ID}@[::1]`, "the port after the host is missing"],
    ["an empty port", `enode://${ID}@1.2.3.4:`, 'the port "" is not'],
    ["port 0", `enode://${ID}@1.2.3.4:0`, "the port is 0 and there is no discport"],
    ["port 65536", `enode://${ID}@1.2.3.4:65536`, 'the port "65536" is not'],
    ["a port in hex", `enode://${ID}@1.2.3.4:0x10`, 'the port "0x10" is not'],
    ["a bad discport", `enode://${ID}@1.2.3.4:5?discport=x`, 'discport "x" is not'],
    ["bare IPv6", `enode://${ID}@2001:db8::1:30303`, "an IPv6 address must stand in brackets"],
    ["IPv4 in brackets", `enode://${ID}@[1.2.3.4]:5`, '"1.2.3.4" in brackets is no IPv6'],
    ["IPv4 out of range", `enode://${ID}@1.2.3.400:5`, '"1.2.3.400" is neither'],
    ["a host with a blank", `enode://${ID}@exa mple.org:5`, '"exa mple.org" is neither'],
  ])("refuses %s and says why", (_what, text, reason) => {
    assert.isTrue(reasonOf(text).startsWith(reason), reasonOf(text))
  })

  it("never throws", () => {
    const pieces = fc.constantFrom("enode://", ID, "@", "1.2.3.4", "[", "]", "::1", ":", "?", "0")
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 9 }).map((parts) => parts.join("")),
    )
    fc.assert(
      fc.property(texts, (text) => {
        const result = parseEnode(text)
        assert.isTrue(isEnodeInvalid(result) ? result.text === text : result.nodeId.length === 128)
      }),
      { numRuns: 1000 },
    )
  })
})

describe("formatEnode", () => {
  const ports = fc.integer({ min: 0, max: 65_535 })
  const enodes: fc.Arbitrary<Enode> = fc
    .record({
      nodeId: fc
        .uint8Array({ minLength: 64, maxLength: 64 })
        .map((id) => Buffer.from(id).toString("hex")),
      host: fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()),
      tcpPort: ports,
      udpPort: ports,
    })
    .filter((enode) => enode.tcpPort !== 0 || enode.udpPort !== 0)

  it("is read back by parseEnode", () => {
    fc.assert(
      fc.property(enodes, (enode) => {
        assert.deepStrictEqual(parseEnode(formatEnode(enode)), enode)
      }),
    )
  })

  it("leaves discport out where it says nothing new", () => {
    const enode = { nodeId: ID, host: "::1", tcpPort: 1, udpPort: 1 }
    assert.strictEqual(formatEnode(enode), `enode://${ID}@[::1]:1`)
  })
})
