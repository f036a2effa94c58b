/** Floods, silence, and other ways to behave. */
import crypto from "node:crypto"
import {
  encodeBlockRangeUpdate,
  encodeGetBlockBodies,
  encodeGetBlockHeaders,
  ETH,
} from "../../../src/wire/ethMessages.ts"
import { EMPTY_LIST, encodeDisconnect, P2P } from "../../../src/wire/hello.ts"
import type { HostileScript } from "../HostilePeer.ts"
import { hashOf, MILLION, isHeaders, flood } from "./parts.ts"

/** See the module. */
export const conductScripts: ReadonlyArray<HostileScript> = [
  {
    name: "flood-of-pings",
    opened: (line) => flood(line, 20_000, () => line.message(P2P.ping, EMPTY_LIST)),
    expected: { breach: "flood" },
  },
  {
    name: "flood-of-hashes",
    opened: (line) =>
      flood(line, 20_000, () => line.eth(ETH.newPooledTransactionHashes, EMPTY_LIST)),
    expected: { breach: "flood" },
  },
  {
    name: "flood-of-transactions",
    opened: (line) => {
      const megabyte = crypto.randomBytes(MILLION)
      flood(line, 40, () => line.packed(ETH.transactions, megabyte))
    },
    expected: { breach: "flood" },
  },
  {
    name: "flood-of-ranges",
    opened: (line) => {
      const range = { earliestBlock: 0, latestBlock: 9, latestBlockHash: hashOf(1) }
      flood(line, 5_000, () => line.eth(ETH.blockRangeUpdate, encodeBlockRangeUpdate(range)))
    },
    expected: { breach: "flood" },
  },
  {
    name: "flood-of-pool-requests",
    opened: (line) =>
      flood(line, 20_000, (nth) =>
        line.eth(ETH.getPooledTransactions, encodeGetBlockBodies(BigInt(nth), [hashOf(1)])),
      ),
    expected: { breach: "flood" },
  },
  {
    name: "flood-of-requests",
    opened: (line) =>
      flood(line, 1_000, (nth) =>
        line.eth(
          ETH.getBlockHeaders,
          encodeGetBlockHeaders(BigInt(nth), { start: nth, limit: 1_024, skip: 0, reverse: false }),
        ),
      ),
    expected: { served: 50 },
  },
  {
    name: "request-of-a-megabyte",
    opened: (line) => {
      const hashes = Array.from({ length: 32_000 }, () => hashOf(1))
      line.send(line.eth(ETH.getBlockBodies, encodeGetBlockBodies(1n, hashes)))
    },
    expected: { breach: "message_too_large" },
  },
  {
    name: "asks-and-never-reads",
    opened: (line) => {
      line.socket.pause()
      const hashes = Array.from({ length: 1_000 }, () => line.chain.hashAt(1)!)
      flood(line, 200, (nth) =>
        line.eth(ETH.getBlockBodies, encodeGetBlockBodies(BigInt(nth), hashes)),
      )
    },
    expected: { failure: "timeout" },
  },
  { name: "silent", answer: () => undefined, expected: { failure: "timeout" } },
  {
    // It has headers, and so is given work; the rest of it never comes.
    name: "silent-parts",
    answer: (_line, request, honest) => (isHeaders(request) ? honest : undefined),
    expected: { failure: "timeout" },
  },
  {
    name: "leaves-when-asked",
    answer: (line) => {
      line.send(line.message(P2P.disconnect, encodeDisconnect("requested")))
      line.socket.end()
      return undefined
    },
    expected: { closed: "peer: requested" },
  },
  {
    name: "control-characters",
    hello: { clientId: "evil\u001b[2J\u001b]0;title\u0007\r\nannals: all is well\u202e\u2028/v1" },
    expected: { harmless: true },
  },
  {
    name: "control-characters-and-a-lie",
    hello: { clientId: `\u001b[31mliar\u0000\u009b\r\nannals: all is well\u202e/v1` },
    opened: (line) => line.send(line.eth(ETH.status, EMPTY_LIST)),
    expected: { breach: "unexpected_message" },
  },
]
