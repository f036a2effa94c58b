/**
 * Which connections are counted together, by where they come from. Pure.
 */
import { isIP } from "node:net"

/** Groups of an IPv6 address that a provider gives to one customer: a /64. */
const GROUPS_OF_ONE = 4

/**
 * What stands for everybody who shares an address: an IPv4 address as it is, of an IPv6 address the
 * first 64 bits. Undefined on loopback, where the nodes of a whole network live.
 */
export const originOf = (host: string): string | undefined => {
  if (isIP(host) === 4) return host.startsWith("127.") ? undefined : host
  if (host === "::1") return undefined
  const [head = "", tail] = host.split("%")[0]!.split("::")
  const groups = head === "" ? [] : head.split(":")
  const missing =
    tail === undefined ? 0 : 8 - groups.length - (tail === "" ? 0 : tail.split(":").length)
  const zeros = Array.from({ length: Math.max(missing, 0) }, () => "0")
  const all = [...groups, ...zeros, ...(tail ?? "").split(":")]
  return `${all.slice(0, GROUPS_OF_ONE).join(":")}::/64`
}
