/**
 * A node of discv4 among strangers that sign whatever they like: a script of datagrams, each from
 * one of two strangers and a little later than the one before. Some answer our pings truly, so that
 * they become known.
 *
 * Inputs: one byte for who sends and whether our pings are answered, one for the time, two for the
 * length, then `type ‖ rlp` of a packet; and so on.
 */
import { signEnr } from "../../../src/chain/enr.ts"
import { toHex } from "../../../src/domain/hex.ts"
import { keccak256 } from "../../../src/domain/keccak.ts"
import { concatBytes } from "../../../src/domain/rlp.ts"
import { publicKey, sign } from "../../../src/domain/secp256k1.ts"
import { readPacket, wireEndpoint, writePacket } from "../../../src/peers/discv4/packet.ts"
import { Discv4Protocol, type UdpEndpoint } from "../../../src/peers/discv4/protocol.ts"
import { agree, type FuzzTarget } from "../target.ts"
import { HEAD_BYTES, messages } from "./discv4.ts"

const START_MS = 1_799_999_990_000
const MAX_STEPS = 12
const ourKey = new Uint8Array(32).fill(21)
const strangerKeys = [22, 23].map((fill) => new Uint8Array(32).fill(fill))
const ANSWERS_PINGS = 2
const ASKS_FOR_RECORD = 4
const ASKS_FOR_NODES = 8

export const node: FuzzTarget = {
  name: "discv4-node",
  testInputs: 600,
  kind: "bytes",
  seeds: () =>
    [0, ANSWERS_PINGS, ANSWERS_PINGS | ASKS_FOR_RECORD | ASKS_FOR_NODES | 1].map((who) =>
      concatBytes(
        messages.flatMap((message) => {
          const content = writePacket(message, ourKey).bytes.subarray(HEAD_BYTES)
          return [Uint8Array.of(who, 1, content.length >> 8, content.length & 255), content]
        }),
      ),
    ),
  run: (input) => {
    const sent: Array<{ readonly to: UdpEndpoint; readonly bytes: Uint8Array }> = []
    const protocol = new Discv4Protocol({
      privateKey: ourKey,
      nodeId: toHex(publicKey(ourKey)),
      endpoint: wireEndpoint("10.0.0.9", 30_303, 30_303),
      record: signEnr({ seq: 1n, udpPort: 30_303 }, ourKey),
      recordSeq: 1n,
      send: (to, bytes) => sent.push({ to, bytes }),
    })
    let nowMs = START_MS
    for (let at = 0, steps = 0; at + 4 <= input.length && steps < MAX_STEPS; steps++) {
      const options = input[at]!
      const length = input[at + 2]! * 256 + input[at + 3]!
      const content = input.subarray(at + 4, at + 4 + length)
      nowMs += 20 * input[at + 1]!
      at += 4 + length
      const index = options & 1
      const from = { ip: `10.0.0.${index + 1}`, port: 30_303 }
      const strangerKey = strangerKeys[index]!
      const contact = {
        nodeId: toHex(publicKey(strangerKey)),
        ip: from.ip,
        udpPort: 30_303,
        tcpPort: 0,
      }
      if ((options & ASKS_FOR_RECORD) !== 0) protocol.requestRecord(contact, nowMs, () => {})
      if ((options & ASKS_FOR_NODES) !== 0) {
        protocol.findNode(contact, publicKey(ourKey), nowMs, (contacts) =>
          agree(contacts.length <= 16, "neighbours are bounded"),
        )
      }
      sent.length = 0
      protocol.receive(from, datagramOf(content, strangerKey), nowMs)
      agree(sent.length <= 2, "a datagram has at most two in answer")
      for (const { to, bytes } of sent.splice(0)) {
        agree(to.ip === from.ip && to.port === from.port, "who sent it has the answer")
        const packet = readPacket(bytes)
        agree(packet !== undefined, "our packets can be read")
        if (packet.message._tag !== "Ping" || (options & ANSWERS_PINGS) === 0) continue
        const pong = {
          _tag: "Pong",
          to: wireEndpoint(from.ip, 1, 1),
          pingHash: packet.hash,
        } as const
        const expiration = Math.floor(nowMs / 1_000) + 20
        const answer = writePacket({ ...pong, expiration, enrSeq: undefined }, strangerKey)
        protocol.receive(from, answer.bytes, nowMs)
      }
    }
    agree(protocol.awaited <= 2 * MAX_STEPS, "what is waited for was asked")
  },
}

const datagramOf = (content: Uint8Array, privateKey: Uint8Array): Uint8Array => {
  const { signature, recovery } = sign(keccak256(content), privateKey)
  const signed = concatBytes([signature, Uint8Array.of(recovery), content])
  return concatBytes([keccak256(signed), signed])
}
