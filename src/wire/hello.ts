/**
 * The base protocol of RLPx (devp2p `rlpx.md`, "p2p" capability): hello, disconnect, ping, pong,
 * and the choice of what to speak above it.
 *
 * In: RLP payloads without the message code, already decompressed. Out: plain values, or
 * {@link RlpError}, whose blame is the sender's. Text that comes from a peer is cut and stripped
 * here, so that nothing further up has to be wary of it.
 */
import { encodeBytes, encodeList, encodeUint, RlpReader } from "../domain/rlp.ts"

/** Message codes of the base protocol. */
export const P2P = { hello: 0x00, disconnect: 0x01, ping: 0x02, pong: 0x03 } as const

/** The code from which shared capabilities are numbered (devp2p `rlpx.md`, "Message Contents"). */
export const FIRST_CAPABILITY_CODE = 0x10

/** The version of the base protocol that we announce; from 5 on messages are compressed (EIP-706). */
export const P2P_VERSION = 5

/** The payload of ping and pong. */
export const EMPTY_LIST = Uint8Array.of(0xc0)

const MAX_CAPABILITIES = 64
/** Eight ASCII characters at most by the book (devp2p `rlpx.md`, "Hello"); these get printed. */
const CAPABILITY_NAME = /^[!-~]{1,32}$/
const MAX_CLIENT_CHARS = 256

const REASONS = [
  ["requested", 0x00],
  ["tcp_error", 0x01],
  ["protocol_error", 0x02],
  ["useless_peer", 0x03],
  ["too_many_peers", 0x04],
  ["already_connected", 0x05],
  ["incompatible_version", 0x06],
  ["null_identity", 0x07],
  ["client_quitting", 0x08],
  ["unexpected_identity", 0x09],
  ["self_connection", 0x0a],
  ["ping_timeout", 0x0b],
  ["subprotocol_error", 0x10],
] as const

/** Why a session ends, in the words of devp2p `rlpx.md`, "Disconnect". */
export type DisconnectReason = (typeof REASONS)[number][0] | "unknown"

/** The code of a reason; an unknown one is sent as "requested". */
export const disconnectCode = (reason: DisconnectReason): number =>
  REASONS.find(([name]) => name === reason)?.[1] ?? 0x00

/** The reason that a code stands for. */
export const disconnectReason = (code: number): DisconnectReason =>
  REASONS.find(([, value]) => value === code)?.[0] ?? "unknown"

/** A disconnect payload, `[reason]`. */
export const encodeDisconnect = (reason: DisconnectReason): Uint8Array =>
  encodeList([encodeUint(disconnectCode(reason))])

/**
 * Reads a disconnect payload: `[reason]`, the bare integer that some clients send, or nothing.
 * Never throws: a peer that leaves may do so badly.
 */
export const decodeDisconnect = (payload: Uint8Array): DisconnectReason => {
  try {
    const reader = new RlpReader(payload)
    if (reader.done) return "unknown"
    reader.next()
    if (!reader.isList) return reasonOf(reader.payload())
    const inner = reader.enter()
    return inner.done ? "unknown" : reasonOf(inner.nextBytes())
  } catch {
    return "unknown"
  }
}

/** A protocol that can be spoken over a connection, such as eth/69. */
export interface Capability {
  readonly name: string
  readonly version: number
}

/** What a node says of itself first. */
export interface Hello {
  readonly p2pVersion: number
  /** At most 256 characters, none of them control characters. */
  readonly clientId: string
  readonly capabilities: ReadonlyArray<Capability>
  /** Zero when the node does not listen or does not say. */
  readonly listenPort: number
  /** The public key, 64 bytes. */
  readonly nodeId: Uint8Array
}

/** A hello payload. */
export const encodeHello = (hello: Hello): Uint8Array =>
  encodeList([
    encodeUint(hello.p2pVersion),
    encodeBytes(Buffer.from(hello.clientId, "utf8")),
    encodeList(
      hello.capabilities.map(({ name, version }) =>
        encodeList([encodeBytes(Buffer.from(name, "utf8")), encodeUint(version)]),
      ),
    ),
    encodeUint(hello.listenPort),
    encodeBytes(hello.nodeId),
  ])

/**
 * Reads a hello payload. Fields after the node id are ignored (EIP-8), capabilities after the 64th
 * and those whose name is no printable ASCII too. Throws {@link RlpError}.
 */
export const decodeHello = (payload: Uint8Array): Hello => {
  const reader = new RlpReader(payload).nextList()
  const p2pVersion = reader.nextUint()
  const clientId = cleanText(reader.nextBytes())
  const list = reader.nextList()
  const capabilities: Array<Capability> = []
  while (!list.done && capabilities.length < MAX_CAPABILITIES) {
    const item = list.nextList()
    const name = Buffer.from(item.nextBytes()).toString("latin1")
    const version = item.nextUint()
    if (CAPABILITY_NAME.test(name)) capabilities.push({ name, version })
  }
  const listenPort = reader.nextUint()
  return { p2pVersion, clientId, capabilities, listenPort, nodeId: reader.nextFixed(64).slice() }
}

/** The versions of eth that this program speaks. */
export type EthVersion = 68 | 69 | 70

/** All of them, the best first. */
export const ETH_VERSIONS: ReadonlyArray<EthVersion> = [70, 69, 68]

/** How many message codes a version of eth takes (devp2p `caps/eth.md`, EIP-7642, EIP-7975). */
export const ethCodeCount = (version: EthVersion): number => (version === 68 ? 17 : 18)

/** The highest version of eth that both sides offer, and the code of its first message. */
export interface EthChannel {
  readonly version: EthVersion
  readonly offset: number
}

/**
 * Chooses the version of eth. Codes are given out from 0x10 to the *shared* capabilities by the
 * alphabet (devp2p `rlpx.md`, "Capability Messaging"); as we offer eth alone, whatever else the
 * peer offers takes none. Undefined when no version is shared.
 */
export const chooseEth = (
  ours: ReadonlyArray<EthVersion>,
  theirs: ReadonlyArray<Capability>,
): EthChannel | undefined => {
  let best: EthVersion | undefined
  for (const version of ours) {
    if (best !== undefined && version < best) continue
    if (theirs.some((each) => each.name === "eth" && each.version === version)) best = version
  }
  return best === undefined ? undefined : { version: best, offset: FIRST_CAPABILITY_CODE }
}

const reasonOf = (bytes: Uint8Array): DisconnectReason =>
  bytes.length > 1 ? "unknown" : disconnectReason(bytes[0] ?? 0)

/** Text of a peer, without what could steer a terminal or break a line. */
const cleanText = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 4 * MAX_CLIENT_CHARS))
    .toString("utf8")
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "")
    .slice(0, MAX_CLIENT_CHARS)
