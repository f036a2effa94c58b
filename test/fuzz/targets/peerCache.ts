/** Files of the peer cache. */
import { bestEntries, type CacheEntry } from "../../../src/peers/cacheEntries.ts"
import {
  decodePeerCache,
  encodePeerCache,
  isPeerCacheInvalid,
} from "../../../src/peers/peerCacheFile.ts"
import { cacheEntry } from "../../support/cacheEntry.ts"
import { agree, bytesOf, type FuzzTarget, textOf } from "../target.ts"

const GENESIS = `0x${"1".repeat(64)}`

const entries: ReadonlyArray<CacheEntry> = [
  cacheEntry(1),
  cacheEntry(2, { head: 20_000_000, roundTripMs: 40, blocksPerMinute: 300, blocksServed: 5 }),
  cacheEntry(3, { bannedUntilMs: 1_900_000_000_000, failures: 9, client: "reth/v2.5 ü" }),
]

export const peerCache: FuzzTarget = {
  name: "peer-cache",
  kind: "text",
  seeds: () => [
    bytesOf(encodePeerCache(GENESIS, entries)),
    bytesOf(encodePeerCache(GENESIS, [])),
    bytesOf(""),
  ],
  tokens: [
    "null",
    "-1",
    "1e3",
    "1e400",
    "9007199254740992",
    "0.5",
    "[]",
    "{}",
    '""',
    "\n",
    '"__proto__":1',
    "\\u0007",
    "true",
    "[::1]",
    "-0",
  ],
  run: (input) => {
    const read = decodePeerCache(GENESIS, textOf(input))
    if (isPeerCacheInvalid(read)) return agree(read.reason !== "", "a refusal has a reason")
    bestEntries(read, 1_800_000_000_000)
    const written = encodePeerCache(GENESIS, read)
    const again = decodePeerCache(GENESIS, written)
    agree(!isPeerCacheInvalid(again), "what was read can be written")
    agree(encodePeerCache(GENESIS, again) === written, "written and read it stays the same")
  },
}
