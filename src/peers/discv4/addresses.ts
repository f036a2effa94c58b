/**
 * Which addresses may be told by whom (IPv4). A node that is far away must not make us send to
 * hosts of our own network, nor to those that no host has.
 *
 * In: IPv4 addresses as text. Out: judgements. Pure.
 */

/** How far an address reaches; `none` is the address of no single host. */
export type Reach = "loopback" | "private" | "public" | "none"

/** Below this line system services live, no Ethereum node: nobody shall make us knock there. */
const LOWEST_RELAYED_PORT = 1_025

/** The reach of an IPv4 address (IANA's special-purpose registry, RFC 6890). */
export const reachOf = (ip: string): Reach => {
  const [a = 0, b = 0] = ip.split(".").map(Number)
  if (a === 127) return "loopback"
  if (a === 10 || (a === 172 && b >= 16 && b <= 31) || (a === 192 && b === 168)) return "private"
  if (a === 169 && b === 254) return "private"
  if (a === 100 && b >= 64 && b <= 127) return "private"
  return a === 0 || a >= 224 ? "none" : "public"
}

/** Whether a node at `teller` may name `told`: only hosts of its own reach or a wider one. */
export const mayTell = (teller: string, told: string): boolean => {
  const reach = reachOf(told)
  if (reach === "none") return false
  if (reach === "public") return true
  const from = reachOf(teller)
  return from === "loopback" || (from === "private" && reach === "private")
}

/** Whether a UDP port that another node named may be sent to. */
export const mayBePort = (port: number): boolean => port >= LOWEST_RELAYED_PORT

/** What is shared by neighbours at one provider: the first 24 bits. */
export const subnetOf = (ip: string): string => ip.slice(0, ip.lastIndexOf("."))

/**
 * Under which key an address is held to its rate. On loopback the nodes of a whole network share
 * one address and are told apart by their ports; elsewhere ports are free for the taking.
 */
export const rateKey = (ip: string, port: number): string =>
  reachOf(ip) === "loopback" ? `${ip}:${port}` : ip
