/** Entries of the peer cache for tests, told apart by a number. */
import type { CacheEntry } from "../../src/peers/cacheEntries.ts"

export const nodeIdOf = (id: number): string => id.toString(16).padStart(128, "0")

/** A peer of which hardly anything is known, with some fields replaced. */
export const cacheEntry = (id: number, fields: Partial<CacheEntry> = {}): CacheEntry => ({
  enode: { nodeId: nodeIdOf(id), host: "10.0.0.1", tcpPort: 30_303, udpPort: 30_304 },
  client: "geth/v1",
  ethVersion: 69,
  lastSeenMs: 0,
  head: undefined,
  blocksServed: 0,
  failures: 0,
  roundTripMs: undefined,
  blocksPerMinute: undefined,
  bannedUntilMs: 0,
  ...fields,
})
