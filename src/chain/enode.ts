/**
 * enode URLs, the text form of a node's address:
 * `enode://<128 hex>@<host>:<TCP port>?discport=<UDP port>` (devp2p, `enode.md`).
 *
 * In: text from a person or a list. Out: an {@link Enode}, or an {@link EnodeInvalid} that says in
 * plain words what is wrong with it; nothing throws. Whether the node id is a point on the curve is
 * found out by the handshake, not here.
 *
 * Invariant: what {@link formatEnode} writes, {@link parseEnode} reads back unchanged.
 */
import { isIPv4, isIPv6 } from "node:net"

/** Where a node is and with which key it answers. */
export interface Enode {
  /** The public key without its leading 04: 128 lower-case hex digits. */
  readonly nodeId: string
  /** An IPv4 address, an IPv6 address without brackets, or a DNS name. */
  readonly host: string
  /** 1 to 65535, or 0 for a node that only does discovery (a bootnode). */
  readonly tcpPort: number
  /** 1 to 65535, or 0 for a node that does no discovery; the TCP port unless told otherwise. */
  readonly udpPort: number
}

/** Why a text is no enode URL. Whoever wrote the text is to blame. */
export interface EnodeInvalid {
  readonly _tag: "EnodeInvalid"
  readonly text: string
  /** One clause in plain words, without the text itself. */
  readonly reason: string
}

const SCHEME = "enode://"
const NODE_ID_DIGITS = 128
const MAX_PORT = 65_535
const DNS_LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i

/** A port number, or undefined when the text is none. */
const parsePort = (text: string): number | undefined => {
  if (!/^\d{1,5}$/.test(text)) return undefined
  const port = Number(text)
  return port <= MAX_PORT ? port : undefined
}

const isDnsName = (host: string): boolean =>
  host.length <= 253 && host.split(".").every((label) => DNS_LABEL.test(label))

/** What is wrong with a node id; undefined when nothing is. */
const nodeIdFault = (nodeId: string): string | undefined => {
  if (nodeId.length !== NODE_ID_DIGITS) {
    return `the node id before the @ has ${nodeId.length} characters, it must have ${NODE_ID_DIGITS} hex digits`
  }
  return /^[0-9a-f]*$/i.test(nodeId) ? undefined : "the node id before the @ is not hexadecimal"
}

/** Splits `host:port`; a fault is a text. */
const parseAddress = (address: string): { host: string; port: string } | string => {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(address)
  if (bracketed !== null) {
    const [, host = "", port] = bracketed
    if (!isIPv6(host)) return `"${host}" in brackets is no IPv6 address`
    return port === undefined ? "the port after the host is missing" : { host, port }
  }
  const colon = address.lastIndexOf(":")
  const host = colon < 0 ? address : address.slice(0, colon)
  if (host === "") return "the host after the @ is missing"
  if (host.includes(":")) return "an IPv6 address must stand in brackets"
  // Digits and dots alone are meant as IPv4, so that 1.2.3.400 does not pass for a name.
  const known = /^[\d.]+$/.test(host) ? isIPv4(host) : isDnsName(host)
  if (!known) return `"${host}" is neither an IP address nor a host name`
  return colon < 0 ? "the port after the host is missing" : { host, port: address.slice(colon + 1) }
}

/** The ports of a URL whose query is `query`; a fault is a text. */
const parsePorts = (port: string, query: string): { tcp: number; udp: number } | string => {
  const tcp = parsePort(port)
  if (tcp === undefined) return `the port "${port}" is not a number from 1 to ${MAX_PORT}`
  const discport = new URLSearchParams(query).get("discport")
  const udp = discport === null ? tcp : parsePort(discport)
  if (udp === undefined) return `discport "${discport}" is not a number from 0 to ${MAX_PORT}`
  return tcp === 0 && udp === 0 ? "the port is 0 and there is no discport" : { tcp, udp }
}

/**
 * Reads an enode URL. Upper-case hex is accepted, IPv6 in brackets too; query parameters other than
 * `discport` are passed over. Source: devp2p, `enode.md`.
 */
export const parseEnode = (text: string): Enode | EnodeInvalid => {
  const invalid = (reason: string): EnodeInvalid => ({ _tag: "EnodeInvalid", text, reason })
  if (!text.startsWith(SCHEME)) return invalid(`it does not begin with ${SCHEME}`)
  const [url = "", ...query] = text.slice(SCHEME.length).split("?")
  const at = url.indexOf("@")
  const nodeId = at < 0 ? url : url.slice(0, at)
  const idFault = nodeIdFault(nodeId)
  if (idFault !== undefined) return invalid(idFault)
  if (at < 0) return invalid("the @ and the host after the node id are missing")
  const address = parseAddress(url.slice(at + 1).replace(/\/$/, ""))
  if (typeof address === "string") return invalid(address)
  const ports = parsePorts(address.port, query.join("?"))
  if (typeof ports === "string") return invalid(ports)
  return {
    nodeId: nodeId.toLowerCase(),
    host: address.host,
    tcpPort: ports.tcp,
    udpPort: ports.udp,
  }
}

/** Whether a result of {@link parseEnode} is the refusal. */
export const isEnodeInvalid = (result: Enode | EnodeInvalid): result is EnodeInvalid =>
  "_tag" in result

/** Writes an enode URL, with `discport` only where the ports differ (devp2p, `enode.md`). */
export const formatEnode = (enode: Enode): string => {
  const host = isIPv6(enode.host) ? `[${enode.host}]` : enode.host
  const discport = enode.udpPort === enode.tcpPort ? "" : `?discport=${enode.udpPort}`
  return `${SCHEME}${enode.nodeId}@${host}:${enode.tcpPort}${discport}`
}
