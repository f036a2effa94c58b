import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { genesisHead, localStatus } from "../../src/chain/status.ts"
import { startDevnetPeer } from "../../src/devnet/DevnetPeers.ts"
import { generateChain, generatedChainSpec } from "../../src/devnet/generatedChain.ts"
import { fromHex } from "../../src/domain/hex.ts"
import { openSession } from "../../src/wire/Session.ts"

const chain = generatedChainSpec()
const served = generateChain({ blocks: 20, shape: "tiny", seed: 3 })

describe("a devnet peer", () => {
  for (const zeros of [0, 1, 2]) {
    it.scopedLive(
      `is reached by a key with ${zeros} leading zero bytes, and serves its chain`,
      () =>
        Effect.gen(function* () {
          const privateKey = new Uint8Array(32).fill(7)
          privateKey.fill(0, 0, zeros)
          const enode = yield* startDevnetPeer({
            chain,
            served,
            ethVersions: [69],
            port: 0,
            latencyMs: 0,
            bandwidthMbit: undefined,
            fault: undefined,
            discovery: undefined,
            privateKey,
          })
          const session = yield* openSession(
            { host: enode.host, port: enode.tcpPort, nodeId: fromHex(enode.nodeId) },
            {
              privateKey: new Uint8Array(32).fill(9),
              clientId: "test",
              listenPort: 0,
              ethVersions: [69],
              localStatus: (version) => localStatus(chain, genesisHead(chain), version),
              checkStatus: () => undefined,
            },
          )
          const query = { start: 0, limit: 30, skip: 0, reverse: false }
          const { headers } = yield* session.getBlockHeaders(query, 5_000)
          assert.strictEqual(headers.length, 21)
        }),
    )
  }
})
