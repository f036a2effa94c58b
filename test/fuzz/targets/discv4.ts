/** Packets of discv4: as they are, and with the hash that belongs to them. */
import {
  expirationOf,
  MAX_PACKET_BYTES,
  packetSigner,
  readPacket,
  wireEndpoint,
  writePacket,
  type Message,
} from "../../../src/peers/discv4/packet.ts"
import { isEnrInvalid, readEnr, signEnr } from "../../../src/chain/enr.ts"
import { keccak256 } from "../../../src/domain/keccak.ts"
import { concatBytes } from "../../../src/domain/rlp.ts"
import { publicKey, sign } from "../../../src/domain/secp256k1.ts"
import { agree, agreeBytes, type FuzzTarget } from "../target.ts"

const key = new Uint8Array(32).fill(11)
const from = wireEndpoint("10.0.0.1", 30_303, 30_303)
const to = { ip: new Uint8Array(16).fill(1), udpPort: 1, tcpPort: 0 }
const expiration = 1_800_000_000

/** One of each kind. */
export const messages: ReadonlyArray<Message> = [
  { _tag: "Ping", from, to, expiration, enrSeq: 5n },
  { _tag: "Ping", from, to, expiration, enrSeq: undefined },
  { _tag: "Pong", to, pingHash: new Uint8Array(32).fill(2), expiration, enrSeq: 1n },
  { _tag: "FindNode", target: publicKey(key), expiration },
  {
    _tag: "Neighbors",
    nodes: [from, to, from].map((endpoint) => Object.assign({ id: publicKey(key) }, endpoint)),
    expiration,
  },
  { _tag: "EnrRequest", expiration },
  {
    _tag: "EnrResponse",
    requestHash: new Uint8Array(32).fill(3),
    record: signEnr({ seq: 1n, ip: "10.0.0.1", udpPort: 30_303 }, key),
  },
]

export const packet: FuzzTarget = {
  name: "discv4-packet",
  kind: "bytes",
  seeds: () => messages.map((message) => writePacket(message, key).bytes),
  run: (input) => checkPacket(input),
}

/** Hash and signature, before the type. */
export const HEAD_BYTES = 97

export const packetContent: FuzzTarget = {
  name: "discv4-content",
  testInputs: 1_500,
  kind: "rlp",
  seeds: () => messages.map((message) => writePacket(message, key).bytes.subarray(HEAD_BYTES)),
  run: (input) => {
    const { signature, recovery } = sign(keccak256(input), key)
    const signed = concatBytes([signature, Uint8Array.of(recovery), input])
    checkPacket(concatBytes([keccak256(signed), signed]), publicKey(key))
  },
}

const checkPacket = (datagram: Uint8Array, signer?: Uint8Array): void => {
  const read = readPacket(datagram)
  if (read === undefined) return
  agree(datagram.length <= MAX_PACKET_BYTES, "a packet is bounded")
  const { message } = read
  expirationOf(message)
  const recovered = packetSigner(read)
  if (signer !== undefined) agreeBytes(recovered ?? new Uint8Array(0), signer, "who signed it")
  if (message._tag === "EnrResponse") isEnrInvalid(readEnr(message.record))
  const { bytes } = writePacket(message, key)
  // What was left out may make it longer than a packet is.
  if (bytes.length > MAX_PACKET_BYTES) return
  const again = readPacket(bytes)
  agree(again !== undefined, "whatever is read can be written again")
  agreeBytes(writePacket(again.message, key).bytes, bytes, "written and read it stays the same")
}
