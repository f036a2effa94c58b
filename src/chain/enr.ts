/**
 * Node records (EIP-778): what a node says of itself, signed, at most 300 bytes of RLP,
 * `[signature, seq, key, value, key, value, …]`; as text `enr:` and base64url. The `eth` entry with
 * the fork id is that of EIP-868 and EIP-2124.
 *
 * In: bytes or text from peers and lists. Out: an {@link Enr} whose signature by the "v4" identity
 * scheme holds, or an {@link EnrInvalid} with the reason; nothing throws. Other way round:
 * {@link signEnr}. A signature costs more to check than all the rest, up to 1.4 ms.
 *
 * Invariants: keys rise strictly; entries known to us have the form that their EIP demands, others
 * are passed over; what {@link signEnr} makes, {@link readEnr} reads back with the same fields.
 */
import { isIPv4 } from "node:net"
import type { Enode } from "./enode.ts"
import type { ForkId } from "./forkId.ts"
import { toHex } from "../domain/hex.ts"
import { keccak256 } from "../domain/keccak.ts"
import {
  concatBytes,
  encodeBytes,
  encodeList,
  encodeUint,
  RlpError,
  RlpReader,
} from "../domain/rlp.ts"
import { decompress, publicKey, sign, verify } from "../domain/secp256k1.ts"

/** What a record may say; all but the sequence number may be missing. */
export interface EnrFields {
  /** Rises with each change of the record; a uint64. */
  readonly seq: bigint
  /** IPv4, dotted. */
  readonly ip?: string
  readonly tcpPort?: number
  readonly udpPort?: number
  /** IPv6, in its shortest form, without brackets. */
  readonly ip6?: string
  readonly tcp6Port?: number
  readonly udp6Port?: number
  /** The first fork id of the `eth` entry. */
  readonly forkId?: ForkId
}

/** A record whose signature was checked. */
export interface Enr extends EnrFields {
  /** Its RLP. */
  readonly record: Uint8Array
  /** The public key without its leading 04: 128 lower-case hex digits. */
  readonly nodeId: string
}

/** Why bytes or text are no record. Whoever sent them is to blame. */
export interface EnrInvalid {
  readonly _tag: "EnrInvalid"
  /** One clause in plain words. */
  readonly reason: string
}

/** The most bytes that a record may have (EIP-778, "RLP Encoding"). */
export const MAX_ENR_BYTES = 300

const SCHEME = "enr:"
/** Longer texts are not even decoded: four characters for three bytes, without padding. */
const MAX_TEXT_LENGTH = SCHEME.length + Math.ceil((MAX_ENR_BYTES * 4) / 3)
const BASE64URL = /^[A-Za-z0-9_-]*$/
const SIGNATURE_BYTES = 64
const KEY_BYTES = 33

/** Whether a result of {@link decodeEnr} or {@link readEnr} is the refusal. */
export const isEnrInvalid = (result: Enr | EnrInvalid): result is EnrInvalid => "_tag" in result

/** Reads the text form of a record, `enr:…` (EIP-778, "Text Encoding"), and checks it. */
export const decodeEnr = (text: string): Enr | EnrInvalid => {
  if (!text.startsWith(SCHEME)) return invalid(`it does not begin with ${SCHEME}`)
  if (text.length > MAX_TEXT_LENGTH) return invalid(`it has more than ${MAX_ENR_BYTES} bytes`)
  const base64 = text.slice(SCHEME.length)
  if (!BASE64URL.test(base64) || base64.length % 4 === 1) return invalid("it is not base64url")
  return readEnr(Uint8Array.from(Buffer.from(base64, "base64url")))
}

/** Reads the RLP of a record, keeps it, and checks size, form, key and signature. */
export const readEnr = (record: Uint8Array): Enr | EnrInvalid => {
  if (record.length > MAX_ENR_BYTES) return invalid(`it has more than ${MAX_ENR_BYTES} bytes`)
  const parts = readParts(record)
  if ("_tag" in parts) return parts
  const key = decompress(parts.shortKey)
  if (key === undefined) return invalid("its secp256k1 key is no point of the curve")
  if (!verify(keccak256(parts.content), parts.signature, key)) {
    return invalid("its signature is not that of its key")
  }
  return { ...parts.fields, record, nodeId: toHex(key) }
}

/** The text form of a record's RLP. */
export const formatEnr = (record: Uint8Array): string =>
  SCHEME + Buffer.from(record).toString("base64url")

/**
 * Makes a record and gives its RLP. `others` are further keys with the RLP of their values. Throws a
 * RangeError, the caller's fault, when the record would have more than {@link MAX_ENR_BYTES} bytes,
 * an address is none, or `privateKey` is none.
 */
export const signEnr = (
  fields: EnrFields,
  privateKey: Uint8Array,
  others: ReadonlyArray<readonly [key: string, value: Uint8Array]> = [],
): Uint8Array => {
  const entries = [
    ["id", encodeBytes(Buffer.from("v4"))] as const,
    ["secp256k1", encodeBytes(compressedKey(publicKey(privateKey)))] as const,
    ...fieldEntries(fields),
    ...others,
  ].sort(([a], [b]) => (a < b ? -1 : 1))
  const content = [
    encodeUint(fields.seq),
    ...entries.flatMap(([name, value]) => [encodeBytes(Buffer.from(name, "latin1")), value]),
  ]
  const { signature } = sign(keccak256(encodeList(content)), privateKey)
  const record = encodeList([encodeBytes(signature), ...content])
  if (record.length > MAX_ENR_BYTES) throw new RangeError(`a record of ${record.length} bytes`)
  return record
}

/**
 * The short form in which records and lists name a key of 64 bytes: the parity of y, then x, 33
 * bytes (SEC 1 2.3.3).
 */
export const compressedKey = (key: Uint8Array): Uint8Array =>
  concatBytes([Uint8Array.of(2 + (key[63]! & 1)), key.subarray(0, 32)])

/**
 * Where the record's node can be dialled: by IPv4 where it has that, else by IPv6; undefined when
 * it names no TCP port or no address of a single host. Without a port of its own IPv6 has that of
 * IPv4 (EIP-778, "Record Structure").
 */
export const enodeOfEnr = (enr: Enr): Enode | undefined => {
  const { nodeId, ip, ip6, tcpPort, udpPort } = enr
  if (ip !== undefined && isHostAddress(ip)) return enodeAt(nodeId, ip, tcpPort, udpPort)
  if (ip6 === undefined || ip6 === "::" || ip6.startsWith("ff")) return undefined
  return enodeAt(nodeId, ip6, enr.tcp6Port ?? tcpPort, enr.udp6Port ?? udpPort)
}

const enodeAt = (
  nodeId: string,
  host: string,
  tcpPort: number | undefined,
  udpPort: number | undefined,
): Enode | undefined =>
  tcpPort === undefined || tcpPort === 0
    ? undefined
    : { nodeId, host, tcpPort, udpPort: udpPort ?? 0 }

/** 0.x means this machine, from 224 on come groups and what is reserved (RFC 6890). */
const isHostAddress = (ip: string): boolean => {
  const network = Number.parseInt(ip, 10)
  return network > 0 && network < 224
}

const invalid = (reason: string): EnrInvalid => ({ _tag: "EnrInvalid", reason })

/** A record taken apart, before its signature is checked. */
interface RecordParts {
  /** What is signed: the list without the signature. */
  readonly content: Uint8Array
  readonly signature: Uint8Array
  /** 33 bytes. */
  readonly shortKey: Uint8Array
  readonly fields: EnrFields
}

/** Where in the record each value is, by its key as latin1 text. */
type Entries = ReadonlyMap<string, Uint8Array>

const readParts = (record: Uint8Array): RecordParts | EnrInvalid => {
  try {
    const list = RlpReader.list(record)
    const signature = list.nextFixed(SIGNATURE_BYTES)
    const content = encodeList([list.rest()])
    const seq = list.nextBigUint(8)
    const entries = readEntries(list)
    const id = entries.get("id")
    const key = entries.get("secp256k1")
    if (id === undefined || Buffer.from(itemBytes(id)).toString("latin1") !== "v4") {
      return invalid("its identity scheme is not v4")
    }
    if (key === undefined) return invalid("it has no secp256k1 key")
    const shortKey = new RlpReader(key).nextFixed(KEY_BYTES)
    return { content, signature, shortKey, fields: readFields(seq, entries) }
  } catch (error) {
    if (error instanceof RlpError) return invalid(error.message)
    throw error
  }
}

const readEntries = (list: RlpReader): Entries => {
  const entries = new Map<string, Uint8Array>()
  let previous: string | undefined
  while (!list.done) {
    const key = Buffer.from(list.nextBytes()).toString("latin1")
    if (previous !== undefined && key <= previous) {
      throw new RlpError("keys of a record that do not rise", list.itemStart)
    }
    entries.set(key, list.next().item())
    previous = key
  }
  return entries
}

const readFields = (seq: bigint, entries: Entries): EnrFields => {
  const read = <A>(key: string, reader: (item: Uint8Array) => A): A | undefined => {
    const item = entries.get(key)
    return item && reader(item)
  }
  return withoutUndefined({
    seq,
    ip: read("ip", (item) => new RlpReader(item).nextFixed(4).join(".")),
    tcpPort: read("tcp", readPort),
    udpPort: read("udp", readPort),
    ip6: read("ip6", (item) => formatIp6(new RlpReader(item).nextFixed(16))),
    tcp6Port: read("tcp6", readPort),
    udp6Port: read("udp6", readPort),
    forkId: read("eth", readForkId),
  })
}

type Sparse<A> = { readonly [K in keyof A]: A[K] | undefined }

/** The fields that are there: an absent key and one that is undefined are not the same type. */
const withoutUndefined = (fields: Sparse<Required<EnrFields>> & { seq: bigint }): EnrFields => {
  const there: { seq: bigint } & Partial<EnrFields> = { seq: fields.seq }
  return Object.assign(
    there,
    Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)),
  )
}

const itemBytes = (item: Uint8Array): Uint8Array => new RlpReader(item).nextBytes()

const readPort = (item: Uint8Array): number => {
  const port = new RlpReader(item).nextUint()
  if (port > 65_535) throw new RlpError("a port above 65535", 0)
  return port
}

/** `[[forkHash, forkNext], …]`: what follows the fork id belongs to EIPs to come. */
const readForkId = (item: Uint8Array): ForkId => {
  const forkId = RlpReader.list(item).nextList()
  const hash = forkId.nextFixed(4)
  const next = forkId.nextBigUint(8)
  forkId.finish()
  return { hash, next }
}

const fieldEntries = (fields: EnrFields): ReadonlyArray<readonly [string, Uint8Array]> => {
  const { forkId } = fields
  const entries: ReadonlyArray<readonly [string, Uint8Array | undefined]> = [
    ["ip", fields.ip === undefined ? undefined : encodeBytes(parseIp4(fields.ip))],
    ["tcp", portItem(fields.tcpPort)],
    ["udp", portItem(fields.udpPort)],
    ["ip6", fields.ip6 === undefined ? undefined : encodeBytes(parseIp6(fields.ip6))],
    ["tcp6", portItem(fields.tcp6Port)],
    ["udp6", portItem(fields.udp6Port)],
    [
      "eth",
      forkId && encodeList([encodeList([encodeBytes(forkId.hash), encodeUint(forkId.next)])]),
    ],
  ]
  return entries.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]))
}

const portItem = (port: number | undefined): Uint8Array | undefined =>
  port === undefined ? undefined : encodeUint(port)

const parseIp4 = (text: string): Uint8Array => {
  if (!isIPv4(text)) throw new RangeError(`no IPv4 address: ${text}`)
  return Uint8Array.from(text.split("."), Number)
}

/** A URL's host is kept in the shortest form, whatever form it was given in (WHATWG URL). */
const shortestIp6 = (text: string): string => new URL(`http://[${text}]`).hostname.slice(1, -1)

const formatIp6 = (bytes: Uint8Array): string => {
  const groups = Array.from({ length: 8 }, (_, i) => bytes[2 * i]! * 256 + bytes[2 * i + 1]!)
  return shortestIp6(groups.map((group) => group.toString(16)).join(":"))
}

const parseIp6 = (text: string): Uint8Array => {
  const [head = "", tail] = shortestIp6(text).split("::")
  const front = head === "" ? [] : head.split(":")
  const back = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => "0")
  return Uint8Array.from(
    [...front, ...zeros, ...back].flatMap((group) => {
      const value = Number.parseInt(group, 16)
      return [value >>> 8, value & 255]
    }),
  )
}
