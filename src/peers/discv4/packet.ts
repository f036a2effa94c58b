/**
 * Packets of discv4 (devp2p, `discv4.md`; EIP-868 for node records): one datagram is
 * `hash ‖ signature ‖ type ‖ rlp`, at most 1280 bytes.
 *
 * In: messages and a key, or bytes from anybody. Out: packets, or messages. Reading is in two
 * steps, so that a flood costs a hash and not a curve operation: {@link readPacket} checks size,
 * hash and shape; {@link packetSigner} recovers who signed, once the caller wants the packet.
 *
 * Invariants: nothing throws for bytes from outside; whatever is read can be written again; list
 * elements and bytes beyond those known are passed over, and so is ping's version (EIP-8).
 */
import { isIPv4 } from "node:net"
import { equalBytes } from "../../domain/hex.ts"
import { keccak256 } from "../../domain/keccak.ts"
import {
  RlpError,
  RlpReader,
  concatBytes,
  encodeBytes,
  encodeList,
  encodeUint,
} from "../../domain/rlp.ts"
import { recover, sign } from "../../domain/secp256k1.ts"

/** Larger datagrams are not discv4 (`discv4.md`, "Wire Protocol"). */
export const MAX_PACKET_BYTES = 1_280

/** Neighbours that fit a packet when every address is an IPv6 one. */
export const MAX_NEIGHBORS_IN_PACKET = 12

/** An endpoint as packets carry it. A node writes what it likes: never believe an address here. */
export interface WireEndpoint {
  /** 4 or 16 bytes. */
  readonly ip: Uint8Array
  readonly udpPort: number
  /** 0 for a node that takes no TCP connections. */
  readonly tcpPort: number
}

/** A node as Neighbors names it. */
export interface WireNode extends WireEndpoint {
  /** Public key without its leading 04, 64 bytes. */
  readonly id: Uint8Array
}

/** What a packet says. Expirations are Unix seconds (`discv4.md`). */
export type Message =
  | {
      readonly _tag: "Ping"
      readonly from: WireEndpoint
      readonly to: WireEndpoint
      readonly expiration: number
      /** Sequence number of the sender's node record (EIP-868). */
      readonly enrSeq: bigint | undefined
    }
  | {
      readonly _tag: "Pong"
      readonly to: WireEndpoint
      /** The hash of the ping's packet, 32 bytes. */
      readonly pingHash: Uint8Array
      readonly expiration: number
      readonly enrSeq: bigint | undefined
    }
  | {
      readonly _tag: "FindNode"
      /** A public key, 64 bytes. */
      readonly target: Uint8Array
      readonly expiration: number
    }
  | {
      readonly _tag: "Neighbors"
      readonly nodes: ReadonlyArray<WireNode>
      readonly expiration: number
    }
  | { readonly _tag: "EnrRequest"; readonly expiration: number }
  | {
      readonly _tag: "EnrResponse"
      /** The hash of the request's packet, 32 bytes. */
      readonly requestHash: Uint8Array
      /** The node record's RLP, not yet verified (EIP-778). */
      readonly record: Uint8Array
    }

/** A packet whose hash is right and whose message is well formed; not yet known: who signed it. */
export interface Packet {
  /** 32 bytes; answers name it. */
  readonly hash: Uint8Array
  readonly message: Message
  /** 65 bytes: r, s, recovery id. */
  readonly signature: Uint8Array
  /** Type and data: what is hashed and signed. */
  readonly signed: Uint8Array
}

const HASH_BYTES = 32
const SIGNATURE_BYTES = 65
const HEAD_BYTES = HASH_BYTES + SIGNATURE_BYTES
const NODE_ID_BYTES = 64
const MAX_PORT = 65_535
/** discv4 of today; receivers do not look at it. */
const VERSION = 4

const typeBytes: Record<Message["_tag"], number> = {
  Ping: 0x01,
  Pong: 0x02,
  FindNode: 0x03,
  Neighbors: 0x04,
  EnrRequest: 0x05,
  EnrResponse: 0x06,
}

/** The endpoint of an IPv4 address in text. */
export const wireEndpoint = (ip: string, udpPort: number, tcpPort: number): WireEndpoint => ({
  ip: isIPv4(ip) ? Uint8Array.from(ip.split("."), Number) : new Uint8Array(4),
  udpPort,
  tcpPort,
})

/** The text of an IPv4 address; undefined for every other one. */
export const ipv4Text = (ip: Uint8Array): string | undefined =>
  ip.length === 4 ? ip.join(".") : undefined

/**
 * A signed packet, and its hash. The message must fit {@link MAX_PACKET_BYTES}; throws a RangeError
 * when `privateKey` is none.
 */
export const writePacket = (
  message: Message,
  privateKey: Uint8Array,
): { readonly bytes: Uint8Array; readonly hash: Uint8Array } => {
  const typed = concatBytes([Uint8Array.of(typeBytes[message._tag]), encodeMessage(message)])
  const { signature, recovery } = sign(keccak256(typed), privateKey)
  const signed = concatBytes([signature, Uint8Array.of(recovery), typed])
  const hash = keccak256(signed)
  return { bytes: concatBytes([hash, signed]), hash }
}

/** Reads a datagram; undefined when it is no discv4 packet. The sender is to blame. */
export const readPacket = (datagram: Uint8Array): Packet | undefined => {
  if (datagram.length <= HEAD_BYTES || datagram.length > MAX_PACKET_BYTES) return undefined
  // Views live as long as the packet: a copy keeps them from a buffer that is used again.
  const bytes = Uint8Array.from(datagram)
  const hash = bytes.subarray(0, HASH_BYTES)
  if (!equalBytes(hash, keccak256(bytes.subarray(HASH_BYTES)))) return undefined
  const message = decodeMessage(bytes[HEAD_BYTES]!, bytes.subarray(HEAD_BYTES + 1))
  if (message === undefined) return undefined
  return {
    hash,
    message,
    signature: bytes.subarray(HASH_BYTES, HEAD_BYTES),
    signed: bytes.subarray(HEAD_BYTES),
  }
}

/** The public key that signed, 64 bytes; undefined when the signature belongs to none. */
export const packetSigner = (packet: Packet): Uint8Array | undefined => {
  const { signature, signed } = packet
  return recover(keccak256(signed), signature.subarray(0, 64), signature[64]!)
}

/** When the packet expires, in Unix seconds; undefined for a kind that does not. */
export const expirationOf = (message: Message): number | undefined =>
  message._tag === "EnrResponse" ? undefined : message.expiration

const encodeMessage = (message: Message): Uint8Array => {
  switch (message._tag) {
    case "Ping":
      return encodeList([
        encodeUint(VERSION),
        encodeEndpoint(message.from),
        encodeEndpoint(message.to),
        encodeUint(message.expiration),
        ...encodeOptional(message.enrSeq),
      ])
    case "Pong":
      return encodeList([
        encodeEndpoint(message.to),
        encodeBytes(message.pingHash),
        encodeUint(message.expiration),
        ...encodeOptional(message.enrSeq),
      ])
    case "FindNode":
      return encodeList([encodeBytes(message.target), encodeUint(message.expiration)])
    case "Neighbors":
      return encodeList([encodeList(message.nodes.map(encodeNode)), encodeUint(message.expiration)])
    case "EnrRequest":
      return encodeList([encodeUint(message.expiration)])
    case "EnrResponse":
      return encodeList([encodeBytes(message.requestHash), message.record])
  }
}

const endpointItems = ({ ip, udpPort, tcpPort }: WireEndpoint): Array<Uint8Array> => [
  encodeBytes(ip),
  encodeUint(udpPort),
  encodeUint(tcpPort),
]

const encodeEndpoint = (endpoint: WireEndpoint): Uint8Array => encodeList(endpointItems(endpoint))

const encodeNode = (node: WireNode): Uint8Array =>
  encodeList([...endpointItems(node), encodeBytes(node.id)])

const encodeOptional = (value: bigint | undefined): Array<Uint8Array> =>
  value === undefined ? [] : [encodeUint(value)]

const decodeMessage = (type: number, data: Uint8Array): Message | undefined => {
  try {
    // The list's end may come before the data's: what follows is passed over.
    return readMessage(type, new RlpReader(data).nextList())
  } catch (error) {
    if (error instanceof RlpError) return undefined
    throw error
  }
}

/** Every case reads in the order of the wire. Throws {@link RlpError}. */
const readMessage = (type: number, fields: RlpReader): Message | undefined => {
  switch (type) {
    case typeBytes.Ping:
      fields.next()
      return {
        _tag: "Ping",
        from: readEndpoint(fields.nextList()),
        to: readEndpoint(fields.nextList()),
        expiration: fields.nextUint(),
        enrSeq: readOptional(fields),
      }
    case typeBytes.Pong:
      return {
        _tag: "Pong",
        to: readEndpoint(fields.nextList()),
        pingHash: fields.nextFixed(HASH_BYTES),
        expiration: fields.nextUint(),
        enrSeq: readOptional(fields),
      }
    case typeBytes.FindNode:
      return {
        _tag: "FindNode",
        target: fields.nextFixed(NODE_ID_BYTES),
        expiration: fields.nextUint(),
      }
    case typeBytes.Neighbors:
      return {
        _tag: "Neighbors",
        nodes: readNodes(fields.nextList()),
        expiration: fields.nextUint(),
      }
    case typeBytes.EnrRequest:
      return { _tag: "EnrRequest", expiration: fields.nextUint() }
    case typeBytes.EnrResponse:
      return {
        _tag: "EnrResponse",
        requestHash: fields.nextFixed(HASH_BYTES),
        record: fields.next().item(),
      }
    default:
      return undefined
  }
}

const readEndpoint = (fields: RlpReader): WireEndpoint => ({
  ip: readIp(fields),
  udpPort: readPort(fields),
  tcpPort: fields.done ? 0 : readPort(fields),
})

const readNodes = (list: RlpReader): ReadonlyArray<WireNode> => {
  const nodes: Array<WireNode> = []
  while (!list.done) {
    const fields = list.nextList()
    nodes.push({ ...readEndpoint(fields), id: fields.nextFixed(NODE_ID_BYTES) })
  }
  return nodes
}

/** A node that does not know its address may leave it empty. */
const readIp = (fields: RlpReader): Uint8Array => {
  const ip = fields.nextBytes()
  if (ip.length !== 0 && ip.length !== 4 && ip.length !== 16) {
    throw new RlpError("an address of neither 4 nor 16 bytes", fields.itemStart)
  }
  return ip
}

/** Some clients pad ports to two bytes: canonical or not, it is the number that counts. */
const readPort = (fields: RlpReader): number => {
  const bytes = fields.nextBytes()
  let port = 0
  for (const byte of bytes.subarray(0, 4)) port = port * 256 + byte
  if (bytes.length > 4 || port > MAX_PORT) throw new RlpError("no port", fields.itemStart)
  return port
}

/** EIP-868 appends the number; what another extension puts there is passed over. */
const readOptional = (fields: RlpReader): bigint | undefined => {
  if (fields.done) return undefined
  fields.next()
  const bytes = fields.payload()
  if (fields.isList || bytes.length > 8 || bytes[0] === 0) return undefined
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return value
}
