/** Names of nodes: enode URLs, node records, lists in DNS. */
import { formatEnode, isEnodeInvalid, parseEnode } from "../../../src/chain/enode.ts"
import {
  decodeEnr,
  enodeOfEnr,
  formatEnr,
  isEnrInvalid,
  readEnr,
  signEnr,
} from "../../../src/chain/enr.ts"
import {
  formatTreeUrl,
  isHashOf,
  isTreeInvalid,
  makeTree,
  parseEntry,
  parseTreeUrl,
  readRoot,
  subdomainOf,
} from "../../../src/chain/dnsTree.ts"
import { keccak256 } from "../../../src/domain/keccak.ts"
import { concatBytes, encodeBytes, encodeList, RlpReader } from "../../../src/domain/rlp.ts"
import { publicKey, sign } from "../../../src/domain/secp256k1.ts"
import { candidateOf } from "../../../src/peers/dnsCandidate.ts"
import { mainnet } from "../../../src/chain/networks.ts"
import { agree, agreeBytes, bytesOf, type FuzzTarget, textOf } from "../target.ts"

const key = new Uint8Array(32).fill(7)
const nodeId = "a".repeat(128)

export const enode: FuzzTarget = {
  name: "enode",
  kind: "text",
  seeds: () =>
    [
      `enode://${nodeId}@10.0.0.1:30303`,
      `enode://${nodeId}@[2001:db8::1]:30303?discport=30301`,
      `enode://${nodeId.toUpperCase()}@node.example.org:0?discport=1&x=y`,
      ...mainnet.bootnodes,
    ].map((text) => bytesOf(text)),
  tokens: [
    "@",
    "[::]",
    "[::ffff:1.2.3.4]",
    ":65535",
    ":65536",
    "?discport=0",
    "?",
    "&",
    "%00",
    "::1%eth0",
    "1.2.3.400",
    "-",
    ".",
    "_",
    "é",
    "\0",
    "enode://",
    "/",
  ],
  run: (input) => {
    const read = parseEnode(textOf(input))
    if (isEnodeInvalid(read)) return agree(read.reason !== "", "a refusal has a reason")
    agree(/^[0-9a-f]{128}$/.test(read.nodeId), "a node id is hexadecimal")
    agree(read.tcpPort <= 65_535 && read.udpPort <= 65_535, "ports are ports")
    agree(same(parseEnode(formatEnode(read)), read), "written and read it stays the same")
  },
}

const fields = {
  seq: 3n,
  ip: "10.1.2.3",
  tcpPort: 30_303,
  udpPort: 30_304,
  ip6: "2001:db8::1",
  tcp6Port: 30_305,
  forkId: { hash: Uint8Array.of(1, 2, 3, 4), next: 5n },
}
const records = [
  signEnr(fields, key),
  signEnr({ seq: 0n }, key),
  signEnr({ seq: 2n ** 64n - 1n, ip: "1.2.3.4" }, key, [["snap", encodeList([])]]),
]

export const enrText: FuzzTarget = {
  name: "enr-text",
  kind: "text",
  seeds: () => records.map((record) => bytesOf(formatEnr(record))),
  tokens: ["enr:", "=", "-", "_", "A", "AAAA"],
  run: (input) => {
    const read = decodeEnr(textOf(input))
    if (isEnrInvalid(read)) return
    agreeBytes(readAgain(formatEnr(read.record)).record, read.record, "written and read it stays")
  },
}

const readAgain = (text: string) => {
  const read = decodeEnr(text)
  agree(!isEnrInvalid(read), "what was read once is read again")
  return read
}

export const enrRecord: FuzzTarget = {
  name: "enr-record",
  kind: "rlp",
  seeds: () => records,
  run: (input) => checkEnr(input),
}

/** Everything after the signature, signed by us. */
export const enrContent: FuzzTarget = {
  name: "enr-content",
  testInputs: 1_200,
  kind: "rlp",
  seeds: () =>
    records.map((record) => {
      const list = RlpReader.list(record)
      list.next()
      return list.rest()
    }),
  run: (input) => {
    const { signature } = sign(keccak256(encodeList([input])), key)
    checkEnr(encodeList([encodeBytes(signature), input]))
  },
}

const checkEnr = (record: Uint8Array): void => {
  const read = readEnr(record)
  if (isEnrInvalid(read)) return agree(read.reason !== "", "a refusal has a reason")
  agree(record.length <= 300, "a record has at most 300 bytes")
  agreeBytes(readAgain(formatEnr(record)).record, record, "as text it is the same record")
  candidateOf(mainnet, read, 1_800_000_000)
  const address = enodeOfEnr(read)
  if (address === undefined) return
  agree(same(parseEnode(formatEnode(address)), address), "its address is one")
}

const listKey = publicKey(key)
const tree = makeTree(
  {
    domain: "nodes.example.org",
    seq: 4n,
    enrs: Array.from({ length: 30 }, (_, seq) => formatEnr(signEnr({ seq: BigInt(seq) }, key))),
    links: [{ key: listKey, domain: "other.example.org" }],
  },
  key,
)

export const dnsEntry: FuzzTarget = {
  name: "dns-entry",
  kind: "text",
  seeds: () => [
    ...[...tree.records.values()].slice(0, 12).map((text) => bytesOf(text)),
    bytesOf(tree.records.get("nodes.example.org")!),
    bytesOf(formatTreeUrl(tree.url)),
    ...mainnet.dnsTrees.map((text) => bytesOf(text)),
  ],
  tokens: [
    "enrtree://",
    "enrtree-branch:",
    "enrtree-root:v1 ",
    "enr:",
    "@",
    ",",
    ".",
    "A",
    "=",
    "ß",
    "İ",
    " sig=",
    " e=",
    "-",
  ],
  run: (input) => {
    const text = textOf(input)
    const entry = parseEntry(text)
    agree(isHashOf(subdomainOf(text), text), "a text stands at its hash")
    isHashOf(text, "")
    readRoot(text, listKey)
    readRoot(text, input.subarray(0, 64))
    const url = parseTreeUrl(text)
    if (!isTreeInvalid(url)) {
      agree(same(parseTreeUrl(formatTreeUrl(url)), url), "written and read it stays the same")
    }
    if (isTreeInvalid(entry) || entry.kind !== "branch") return
    agree(`enrtree-branch:${entry.children.join(",")}` === text, "a branch is written as it came")
  },
}

/** The text of a root, signed by us. */
export const dnsRoot: FuzzTarget = {
  name: "dns-root",
  kind: "text",
  seeds: () => [bytesOf(tree.records.get("nodes.example.org")!.replace(/ sig=.*$/, ""))],
  tokens: [" e=", " l=", " seq=", "99999999999999999999", "A", "=", "enrtree-root:v1"],
  run: (input) => {
    const text = textOf(input)
    const { signature, recovery } = sign(keccak256(Buffer.from(text, "utf8")), key)
    const signed = Buffer.from(concatBytes([signature, Uint8Array.of(recovery)]))
    const root = readRoot(`${text} sig=${signed.toString("base64url")}`, listKey)
    if (isTreeInvalid(root)) return
    const { nodes, links, seq } = root
    agree(seq < 10n ** 20n, "a sequence number is bounded")
    agree(text.startsWith(`enrtree-root:v1 e=${nodes} l=${links} seq=`), "what was signed is read")
  },
}

const same = (a: object, b: object): boolean => text(a) === text(b)

const text = (value: object): string =>
  JSON.stringify(value, (_, each: unknown) => (each instanceof Uint8Array ? [...each] : each))
