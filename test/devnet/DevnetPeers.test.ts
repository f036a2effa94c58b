import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { genesisHead, localStatus } from "../../src/chain/status.ts"
import { type DevnetPeerOptions, startDevnetPeer } from "../../src/devnet/DevnetPeers.ts"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { measureHead } from "../../src/peers/HeadProbe.ts"
import { openSession } from "../../src/wire/Session.ts"

const chain = generatedChainSpec()
const served = generateChain({ blocks: 20, shape: "tiny", seed: 3 })

/** Starts a peer and opens a session with it. */
const sessionWith = (more: Partial<DevnetPeerOptions>) =>
  Effect.gen(function* () {
    const enode = yield* startDevnetPeer({
      chain,
      served,
      ethVersions: [69],
      port: 0,
      latencyMs: 0,
      bandwidthMbit: undefined,
      fault: undefined,
      discovery: undefined,
      ...more,
    })
    return yield* openSession(
      { host: enode.host, port: enode.tcpPort, nodeId: fromHex(enode.nodeId) },
      {
        privateKey: new Uint8Array(32).fill(9),
        clientId: "test",
        listenPort: 0,
        ethVersions: [68, 69, 70],
        localStatus: (version) => localStatus(chain, genesisHead(chain), version),
        checkStatus: () => undefined,
      },
    )
  })

const query = { start: 0, limit: 30, skip: 0, reverse: false }

describe("a devnet peer", () => {
  for (const zeros of [0, 1, 2]) {
    it.scopedLive(
      `is reached by a key with ${zeros} leading zero bytes, and serves its chain`,
      () =>
        Effect.gen(function* () {
          const privateKey = new Uint8Array(32).fill(7)
          privateKey.fill(0, 0, zeros)
          const session = yield* sessionWith({ privateKey })
          const { headers } = yield* session.getBlockHeaders(query, 5_000)
          assert.strictEqual(headers.length, 21)
        }),
    )
  }

  for (const version of [69, 70] as const) {
    it.scopedLive(`that boasts announces blocks that it does not have, on eth/${version}`, () =>
      Effect.gen(function* () {
        const session = yield* sessionWith({ fault: "boast", ethVersions: [version] })
        assert.include(session.announcedRange(), { earliestBlock: 0, latestBlock: 5_020 })
        const { headers } = yield* session.getBlockHeaders(query, 5_000)
        assert.strictEqual(headers.length, 21)
        const hashes = served.numbers.map((number) => served.hashAt(number)!)
        const { bodies } = yield* session.getBlockBodies(hashes, 5_000)
        assert.deepEqual(
          bodies.map((body) => toHex(body)),
          [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20].map((n) => toHex(served.bodyAt(n)!)),
        )
        const { lists } = yield* session.getReceipts(hashes, 0, 5_000)
        assert.strictEqual(lists.length, 11)
        const { header } = yield* measureHead(session, 5_000)
        assert.strictEqual(header.number, 20)
      }),
    )
  }
})
