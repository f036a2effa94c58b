/**
 * Lists of nodes in DNS (EIP-1459): a signed root, `enrtree-root:v1 …`, at a domain, and below it a
 * Merkle tree of texts, each at the subdomain that is its hash: branches, node records, and links to
 * other lists.
 *
 * In: texts of TXT records. Out: what they say, or a {@link TreeInvalid} with the reason; nothing
 * throws. {@link makeTree} is the other way round, for our own lists and for tests.
 *
 * Invariants: a text counts only below a subdomain that {@link isHashOf} it, and a root only with
 * its owner's signature; so everything reached from a tree's URL is its owner's word. Node records
 * are not read here (`enr.ts`), and are signed once more by their nodes.
 */
import { compressedKey } from "./enr.ts"
import { keccak256 } from "../domain/keccak.ts"
import { concatBytes } from "../domain/rlp.ts"
import { decompress, publicKey, sign, verify } from "../domain/secp256k1.ts"

/** Where a list is and whose signature it must bear. */
export interface TreeUrl {
  /** Public key: 64 bytes, without the leading 04. */
  readonly key: Uint8Array
  /** In lower case, without a dot at the end. */
  readonly domain: string
}

/** A root whose signature was checked. */
export interface TreeRoot {
  /** Subdomain of the tree of node records. */
  readonly nodes: string
  /** Subdomain of the tree of links. */
  readonly links: string
  /** Rises with each change of the list. */
  readonly seq: bigint
}

/** What stands at a subdomain. */
export type TreeEntry =
  | { readonly kind: "branch"; readonly children: ReadonlyArray<string> }
  /** The text form of a node record, unchecked. */
  | { readonly kind: "node"; readonly enr: string }
  | { readonly kind: "link"; readonly tree: TreeUrl }

/** Why a text is no part of a list. The list's owner, or who stands between, is to blame. */
export interface TreeInvalid {
  readonly _tag: "TreeInvalid"
  /** One clause in plain words. */
  readonly reason: string
}

const ROOT_PREFIX = "enrtree-root:v1"
const BRANCH_PREFIX = "enrtree-branch:"
const LINK_PREFIX = "enrtree://"
const NODE_PREFIX = "enr:"
/** Far above what fits a DNS answer over UDP, to which EIP-1459 keeps entries. */
const MAX_TEXT_LENGTH = 4_096
const ROOT =
  /^(enrtree-root:v1 e=([A-Z2-7]+) l=([A-Z2-7]+) seq=(\d{1,20})) sig=([A-Za-z0-9_-]{86,88})$/
const DOMAIN = /^(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/
/** With the longest subdomain and its dot before it a domain must be a DNS name, of 253 at most. */
const MAX_DOMAIN_LENGTH = 253 - 53
/** 16 bytes of hash in a subdomain (EIP-1459, "DNS Record Structure"). */
const HASH_BYTES = 16
/** Clients take shorter and longer hashes too, down to 12 bytes. */
const MIN_HASH_BYTES = 12
const MAX_HASH_BYTES = 32
/** So many subdomains make a branch of less than 370 characters, which fits an answer over UDP. */
const BRANCH_CHILDREN = 13
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

/** Whether a result of this module is the refusal. */
export const isTreeInvalid = (
  result: TreeUrl | TreeRoot | TreeEntry | TreeInvalid,
): result is TreeInvalid => "_tag" in result

/** Reads `enrtree://<key>@<domain>` (EIP-1459, "URL Scheme"). */
export const parseTreeUrl = (text: string): TreeUrl | TreeInvalid => {
  if (!text.startsWith(LINK_PREFIX)) return invalid(`it does not begin with ${LINK_PREFIX}`)
  const at = text.indexOf("@")
  if (at < 0) return invalid("the @ and the domain after the key are missing")
  const short = decodeBase32(text.slice(LINK_PREFIX.length, at))
  const key = short && decompress(short)
  if (key === undefined) return invalid("the key before the @ is no secp256k1 key in base32")
  const domain = text
    .slice(at + 1)
    .replace(/\.$/, "")
    .toLowerCase()
  if (domain.length > MAX_DOMAIN_LENGTH || !DOMAIN.test(domain)) {
    return invalid("what stands after the @ is no domain, or a longer one than a list can have")
  }
  return { key, domain }
}

/** Writes {@link parseTreeUrl}'s text. */
export const formatTreeUrl = ({ key, domain }: TreeUrl): string =>
  `${LINK_PREFIX}${encodeBase32(compressedKey(key))}@${domain}`

/** Whether a TXT record beside others at a list's domain is meant as its root. */
export const isRootText = (text: string): boolean => text.startsWith(`${ROOT_PREFIX} `)

/** Reads a root and checks its signature by `key`, of 64 bytes. */
export const readRoot = (text: string, key: Uint8Array): TreeRoot | TreeInvalid => {
  const match = text.length > MAX_TEXT_LENGTH ? null : ROOT.exec(text)
  if (match === null) return invalid("it is no root, enrtree-root:v1 e=… l=… seq=… sig=…")
  const [, signed = "", nodes = "", links = "", seq = "", signature = ""] = match
  if (!isSubdomain(nodes) || !isSubdomain(links)) return invalid("e or l is no hash in base32")
  const bytes = Uint8Array.from(Buffer.from(signature, "base64url"))
  // The recovery bit at the end of the 65 bytes says nothing that the key does not.
  if (bytes.length !== 65 || !verify(textHash(signed), bytes.subarray(0, 64), key)) {
    return invalid("its signature is not that of the list's key")
  }
  return { nodes, links, seq: BigInt(seq) }
}

/** Reads what stands at a subdomain; its hash is checked by {@link isHashOf}. */
export const parseEntry = (text: string): TreeEntry | TreeInvalid => {
  if (text.length > MAX_TEXT_LENGTH)
    return invalid(`it has more than ${MAX_TEXT_LENGTH} characters`)
  if (text.startsWith(NODE_PREFIX)) return { kind: "node", enr: text }
  if (text.startsWith(LINK_PREFIX)) {
    const tree = parseTreeUrl(text)
    return isTreeInvalid(tree) ? tree : { kind: "link", tree }
  }
  if (!text.startsWith(BRANCH_PREFIX)) return invalid("it is neither branch, link nor node record")
  const list = text.slice(BRANCH_PREFIX.length)
  const children = list === "" ? [] : list.split(",")
  return children.every(isSubdomain)
    ? { kind: "branch", children }
    : invalid("a branch with a child that is no hash in base32")
}

/** The subdomain at which a text stands: base32 of the first 16 bytes of its keccak256. */
export const subdomainOf = (text: string): string =>
  encodeBase32(textHash(text).subarray(0, HASH_BYTES))

/** Whether `subdomain` is the beginning, of 12 bytes or more, of the text's hash. */
export const isHashOf = (subdomain: string, text: string): boolean => {
  const bytes = decodeBase32(subdomain)
  if (bytes === undefined || bytes.length < MIN_HASH_BYTES) return false
  return encodeBase32(textHash(text).subarray(0, bytes.length)) === subdomain
}

/** What a list is made of. */
export interface TreeContent {
  readonly domain: string
  readonly seq: bigint
  /** Text forms of node records. */
  readonly enrs: ReadonlyArray<string>
  /** Other lists. */
  readonly links: ReadonlyArray<TreeUrl>
}

/** A list that is ready to be published. */
export interface SignedTree {
  readonly url: TreeUrl
  /** The text of each TXT record by its full name. */
  readonly records: ReadonlyMap<string, string>
}

/**
 * Makes a list and signs it. Throws a RangeError when `privateKey` is none. Equal content makes
 * equal records.
 */
export const makeTree = (content: TreeContent, privateKey: Uint8Array): SignedTree => {
  const key = publicKey(privateKey)
  const records = new Map<string, string>()
  const place = (text: string): string => {
    const subdomain = subdomainOf(text)
    records.set(`${subdomain}.${content.domain}`, text)
    return subdomain
  }
  const nodes = placeTree(content.enrs, place)
  const links = placeTree(content.links.map(formatTreeUrl), place)
  const text = `${ROOT_PREFIX} e=${nodes} l=${links} seq=${content.seq}`
  const { signature, recovery } = sign(textHash(text), privateKey)
  const bytes = concatBytes([signature, Uint8Array.of(recovery)])
  records.set(content.domain, `${text} sig=${Buffer.from(bytes).toString("base64url")}`)
  return { url: { key, domain: content.domain }, records }
}

/** Places the leaves and the branches above them, and gives the subdomain of the topmost. */
const placeTree = (leaves: ReadonlyArray<string>, place: (text: string) => string): string => {
  // A list of one leaf has a branch above it all the same, as one of none has.
  let level = leaves.map(place)
  do {
    const branches: Array<string> = []
    for (let from = 0; from < Math.max(level.length, 1); from += BRANCH_CHILDREN) {
      const children = level.slice(from, from + BRANCH_CHILDREN)
      branches.push(place(BRANCH_PREFIX + children.join(",")))
    }
    level = branches
  } while (level.length > 1)
  return level[0]!
}

const invalid = (reason: string): TreeInvalid => ({ _tag: "TreeInvalid", reason })

const textHash = (text: string): Uint8Array => keccak256(Buffer.from(text, "utf8"))

const isSubdomain = (text: string): boolean => {
  const bytes = decodeBase32(text)
  return bytes !== undefined && bytes.length >= MIN_HASH_BYTES && bytes.length <= MAX_HASH_BYTES
}

/** Base32 without padding (RFC 4648, section 6). */
const encodeBase32 = (bytes: Uint8Array): string => {
  let text = ""
  let buffer = 0
  let bits = 0
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xfff
    bits += 8
    for (; bits >= 5; bits -= 5) text += BASE32[(buffer >>> (bits - 5)) & 31]
  }
  return bits === 0 ? text : text + BASE32[(buffer << (5 - bits)) & 31]
}

/** Undefined for what {@link encodeBase32} does not write, so that each hash has one form. */
const decodeBase32 = (text: string): Uint8Array | undefined => {
  const bytes: Array<number> = []
  let buffer = 0
  let bits = 0
  for (const digit of text) {
    const value = BASE32.indexOf(digit)
    if (value < 0) return undefined
    buffer = ((buffer << 5) | value) & 0xfff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes.push((buffer >>> bits) & 255)
    }
  }
  const decoded = Uint8Array.from(bytes)
  return encodeBase32(decoded) === text ? decoded : undefined
}
