/** What a node of discv4 answers, to whom, and what it believes: the invariants P1 to P5. */
import { createHash } from "node:crypto"
import { FastCheck as fc } from "effect"
import { assert, describe, it } from "vitest"
import { toHex } from "../../src/domain/hex.ts"
import { publicKey } from "../../src/domain/secp256k1.ts"
import { signEnr } from "../../src/chain/enr.ts"
import type { Contact } from "../../src/peers/discv4/nodeTable.ts"
import {
  type Message,
  readPacket,
  wireEndpoint,
  writePacket,
} from "../../src/peers/discv4/packet.ts"
import { Discv4Protocol, type UdpEndpoint } from "../../src/peers/discv4/protocol.ts"

const NOW_MS = 1_800_000_000_000
const SOON_S = NOW_MS / 1000 + 20
const HOUR_MS = 3_600_000

const keyOf = (seed: string): Uint8Array =>
  new Uint8Array(createHash("sha256").update(seed).digest())

const idOf = (seed: string): string => toHex(publicKey(keyOf(seed)))

interface Sent {
  readonly to: UdpEndpoint
  readonly bytes: Uint8Array
  readonly message: Message
  readonly hash: Uint8Array
}

/** A node whose datagrams are kept, not sent. */
const makeNode = (seed: string, ip = "127.0.0.1", port = 30_303) => {
  const sent: Array<Sent> = []
  const privateKey = keyOf(seed)
  const record = signEnr({ seq: 1n, udpPort: port }, privateKey)
  const protocol = new Discv4Protocol({
    privateKey,
    nodeId: idOf(seed),
    endpoint: wireEndpoint(ip, port, port),
    record,
    recordSeq: 1n,
    send: (to, bytes) => {
      const { message, hash } = readPacket(bytes)!
      sent.push({ to, bytes, message, hash })
    },
  })
  const contact: Contact = { nodeId: idOf(seed), ip, udpPort: port, tcpPort: port }
  return { protocol, sent, record, contact, endpoint: { ip, port } }
}

type Node = ReturnType<typeof makeNode>

const stranger: UdpEndpoint = { ip: "127.0.0.1", port: 40_001 }
const where = wireEndpoint("127.0.0.1", 40_001, 40_001)
const ping: Message = {
  _tag: "Ping",
  from: where,
  to: where,
  expiration: SOON_S,
  enrSeq: undefined,
}

/** `seed` says something to the node from `from`; gives the packet's hash. */
const say = (node: Node, seed: string, message: Message, from = stranger, nowMs = NOW_MS) => {
  const { bytes, hash } = writePacket(message, keyOf(seed))
  node.protocol.receive(from, bytes, nowMs)
  return hash
}

/** `seed` proves `from` to the node: it pings and answers the ping that comes back. */
const prove = (node: Node, seed: string, from = stranger): void => {
  say(node, seed, ping, from)
  const back = node.sent.findLast(({ message }) => message._tag === "Ping")
  assert.isDefined(back)
  say(
    node,
    seed,
    { _tag: "Pong", to: where, pingHash: back.hash, expiration: SOON_S, enrSeq: undefined },
    from,
  )
  node.sent.length = 0
}

const tags = (node: Node): ReadonlyArray<string> => node.sent.map(({ message }) => message._tag)

const questions: ReadonlyArray<Message> = [
  { _tag: "FindNode", target: new Uint8Array(64), expiration: SOON_S },
  { _tag: "EnrRequest", expiration: SOON_S },
]

describe("a node of discv4", () => {
  it("answers a stranger's ping with one pong and one ping, and nothing else (P2)", () => {
    const node = makeNode("a")
    for (const question of questions) say(node, "b", question)
    assert.deepEqual(tags(node), [])
    const hash = say(node, "b", ping)
    assert.deepEqual(tags(node), ["Pong", "Ping"])
    const [pong] = node.sent
    assert(pong?.message._tag === "Pong")
    assert.deepEqual(pong.message.pingHash, hash)
    for (const question of questions) say(node, "b", question)
    assert.deepEqual(tags(node), ["Pong", "Ping"])
  })

  it("sends a stranger at most a pong for each ping and five pings, whatever it says (P1, P2)", () => {
    const messages = fc.oneof(
      fc.constantFrom<Message>(ping, ...questions, {
        _tag: "Neighbors",
        nodes: [{ ...wireEndpoint("127.0.0.1", 40_009, 1), id: new Uint8Array(64) }],
        expiration: SOON_S,
      }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((hash): Message => ({
        _tag: "Pong",
        to: where,
        pingHash: hash,
        expiration: SOON_S,
        enrSeq: undefined,
      })),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((hash): Message => ({
        _tag: "EnrResponse",
        requestHash: hash,
        record: Uint8Array.of(0xc0),
      })),
    )
    const moves = fc.array(fc.tuple(messages, fc.constantFrom("b", "c"), fc.nat(2_000)), {
      maxLength: 40,
      size: "max",
    })
    fc.assert(
      fc.property(moves, fc.array(fc.uint8Array({ maxLength: 300 })), (said, noise) => {
        const node = makeNode("a", "203.0.113.1")
        const from = { ip: "198.51.100.7", port: 30_303 }
        let [nowMs, pings] = [NOW_MS, 0]
        for (const [message, seed, restMs] of said) {
          nowMs += Math.min(restMs, 400)
          if (nowMs < SOON_S * 1000 && message._tag === "Ping") pings += 1
          say(node, seed, message, from, nowMs)
        }
        for (const bytes of noise) node.protocol.receive(from, bytes, nowMs)
        const count = (tag: string): number => tags(node).filter((one) => one === tag).length
        assert.isAtMost(count("Pong"), pings)
        assert.isAtMost(count("Ping"), 5 + 0.2 * 16)
        assert.equal(node.sent.length, count("Pong") + count("Ping"))
        assert.equal(node.protocol.table.size, 0)
      }),
      { numRuns: 40 },
    )
  })

  it("answers FindNode and ENRRequest of an endpoint that has proved itself, by its key only", () => {
    const node = makeNode("a")
    prove(node, "b")
    const [find, request] = questions
    say(node, "b", find!)
    assert.deepEqual(tags(node), ["Neighbors"])
    const hash = say(node, "b", request!)
    const answer = node.sent.at(-1)!.message
    assert(answer._tag === "EnrResponse")
    assert.deepEqual(answer.requestHash, hash)
    assert.deepEqual(answer.record, node.record)
    say(node, "c", find!)
    say(node, "b", find!, { ...stranger, port: 40_002 })
    assert.equal(node.sent.length, 2)
  })

  it("takes no pong of another key, from elsewhere, or for a ping of nobody's (P3)", () => {
    const node = makeNode("a")
    say(node, "b", ping)
    const pong: Message = {
      _tag: "Pong",
      to: where,
      pingHash: node.sent.at(-1)!.hash,
      expiration: SOON_S,
      enrSeq: undefined,
    }
    say(node, "c", pong)
    say(node, "b", pong, { ip: "127.0.0.1", port: 40_002 })
    say(node, "b", { ...pong, pingHash: new Uint8Array(32) })
    assert.equal(node.protocol.table.size, 0)
    say(node, "b", pong)
    assert.deepEqual(
      node.protocol.table.contacts().map(({ nodeId }) => nodeId),
      [idOf("b")],
    )
  })

  it("hands on neighbours only from whom they were asked, and only those that may be named (P3)", () => {
    const node = makeNode("a", "203.0.113.1")
    const asked: Contact = { nodeId: idOf("b"), ip: "198.51.100.7", udpPort: 30_303, tcpPort: 1 }
    const from = { ip: asked.ip, port: asked.udpPort }
    const named = (ip: string, udpPort = 30_303) => ({
      ...wireEndpoint(ip, udpPort, 30_303),
      id: publicKey(keyOf(`${ip}:${udpPort}`)),
    })
    const neighbors: Message = {
      _tag: "Neighbors",
      nodes: [
        named("192.0.2.9"),
        named("127.0.0.1"),
        named("10.0.0.1"),
        named("224.0.0.1"),
        named("0.0.0.0"),
        named("192.0.2.10", 53),
        { ...named("192.0.2.11"), id: publicKey(keyOf("a")) },
      ],
      expiration: SOON_S,
    }
    const heard: Array<ReadonlyArray<Contact>> = []
    say(node, "b", neighbors, from)
    const cancel = node.protocol.findNode(asked, new Uint8Array(64), NOW_MS, (contacts) => {
      heard.push(contacts)
    })
    say(node, "c", neighbors, from)
    say(node, "b", neighbors, { ...from, port: 30_304 })
    assert.deepEqual(heard, [])
    say(node, "b", neighbors, from)
    assert.deepEqual(
      heard.map((contacts) => contacts.map(({ ip }) => ip)),
      [["192.0.2.9"]],
    )
    cancel()
    say(node, "b", neighbors, from)
    assert.equal(heard.length, 1)
    assert.equal(node.protocol.awaited, 0)
  })

  it("tells the records of two nodes apart that were asked within one second", () => {
    const node = makeNode("a")
    const others = ["b", "c"].map((seed, i) => makeNode(seed, "127.0.0.1", 41_000 + i))
    const got: Array<string> = []
    for (const [i, { contact }] of others.entries()) {
      node.protocol.requestRecord(contact, NOW_MS, () => got.push(["b", "c"][i]!))
    }
    const [first, second] = node.sent
    assert.deepEqual(first!.hash, second!.hash)
    for (const [i, { endpoint, record }] of others.entries()) {
      const answer: Message = { _tag: "EnrResponse", requestHash: first!.hash, record }
      say(node, ["b", "c"][i]!, answer, endpoint)
    }
    assert.deepEqual(got, ["b", "c"])
  })

  it("passes over what has expired", () => {
    const node = makeNode("a")
    say(node, "b", { ...ping, expiration: NOW_MS / 1000 - 1 })
    assert.deepEqual(tags(node), [])
    prove(node, "b")
    for (const question of questions) say(node, "b", question, stranger, NOW_MS + 21_000)
    assert.deepEqual(tags(node), [])
  })

  it("forgets a proof after 12 hours", () => {
    const node = makeNode("a")
    prove(node, "b")
    const contact = node.protocol.table.contacts()[0]!
    assert.isTrue(node.protocol.isBonded(contact, NOW_MS + 11 * HOUR_MS))
    assert.isFalse(node.protocol.isBonded(contact, NOW_MS + 12 * HOUR_MS))
    const late: Message = {
      _tag: "EnrRequest",
      expiration: SOON_S + (12 * HOUR_MS) / 1000,
    }
    say(node, "b", late, stranger, NOW_MS + 12 * HOUR_MS)
    assert.deepEqual(tags(node), [])
  })

  it("names at most 16 neighbours in packets that fit, none that the asker may not know", () => {
    const node = makeNode("a", "203.0.113.1")
    for (let i = 0; i < 80; i++) {
      node.protocol.table.seen({
        nodeId: idOf(`n${i}`),
        ip: i % 2 === 0 ? `192.0.${i}.1` : "10.0.0.1",
        udpPort: 30_303,
        tcpPort: 30_303,
      })
    }
    const ask = (from: UdpEndpoint, seed: string): ReadonlyArray<string> => {
      prove(node, seed, from)
      say(node, seed, questions[0]!, from)
      return node.sent.flatMap(({ message }) =>
        message._tag === "Neighbors" ? message.nodes.map(({ ip }) => ip.join(".")) : [],
      )
    }
    const told = ask({ ip: "198.51.100.7", port: 30_303 }, "b")
    assert.equal(told.length, 16)
    assert.isFalse(told.includes("10.0.0.1"))
    assert.isTrue(node.sent.every(({ bytes }) => bytes.length <= 1_280))
    assert.isTrue(ask({ ip: "10.0.0.9", port: 30_303 }, "c").includes("10.0.0.1"))
  })

  it("stays within its rates when ten thousand addresses ping at once (P4, P5)", () => {
    const node = makeNode("a", "203.0.113.1")
    const { bytes } = writePacket(ping, keyOf("b"))
    for (let i = 0; i < 10_000; i++) {
      const ip = `198.${i >> 8}.${i & 255}.1`
      node.protocol.receive({ ip, port: 30_303 }, bytes, NOW_MS)
    }
    assert.isAtMost(tags(node).filter((tag) => tag === "Pong").length, 300)
    assert.isAtMost(node.sent.length, 600)
    assert.equal(node.protocol.awaited, 0)
  })

  it("holds one address to its rate", () => {
    const node = makeNode("a", "203.0.113.1")
    const { bytes } = writePacket(ping, keyOf("b"))
    for (let i = 0; i < 1_000; i++) {
      node.protocol.receive({ ip: "198.51.100.7", port: 30_000 + i }, bytes, NOW_MS)
    }
    assert.equal(tags(node).filter((tag) => tag === "Pong").length, 60)
    assert.isAtMost(tags(node).filter((tag) => tag === "Ping").length, 5)
  })
})
