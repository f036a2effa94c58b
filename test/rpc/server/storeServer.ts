/** A server over a real store of a chain, as `annals serve` puts the two together. */
import { mkdtemp, rm } from "node:fs/promises"
import os from "node:os"
import path from "node:path"
import { Effect, Layer } from "effect"
import { chainRulesText } from "../../../src/chain/chainRules.ts"
import { layerIndexerInline } from "../../../src/write/chainIndex/ChainIndexer.ts"
import { layerChainReaderOver } from "../../../src/write/ChainReaderSession.ts"
import { syncOptions, withStore, writeNow } from "../../write/support.ts"
import type { FixtureChain } from "../fixtureChains.ts"
import {
  eventually,
  startServerOver,
  statusOf,
  type TestServer,
  type TestServerOptions,
} from "./support.ts"

/** Writes the chain into a store that is gone when the server stops, and serves it, indexed. */
export const serveStored = async (
  { chain, blocks }: FixtureChain,
  options: TestServerOptions = {},
): Promise<TestServer> => {
  const directory = await mkdtemp(path.join(os.tmpdir(), "annals-served-"))
  const head = blocks.at(-1)!
  const purpose = {
    network: chain.name,
    chainId: chain.chainId,
    genesisHash: chain.genesisHash,
    chainRules: chainRulesText(chain),
    trusted: [{ blockNumber: head.blockNumber, hash: head.hash }],
  }
  await Effect.runPromise(
    withStore(syncOptions(directory, purpose), (store) =>
      Effect.gen(function* () {
        for (let at = 0; at < blocks.length; at += 100) {
          yield* writeNow(store, blocks.slice(at, at + 100))
        }
      }),
    ),
  )
  const reader = Layer.provide(layerChainReaderOver(directory), layerIndexerInline(directory))
  const server = await startServerOver(reader, options)
  await eventually(async () => (await statusOf(server.url)).store.unindexed_blocks === 0)
  return {
    ...server,
    stop: async () => {
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
