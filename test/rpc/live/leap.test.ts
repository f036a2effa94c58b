/** A leap of many blocks that is told, and taken back before anything else is looked at. */
import { afterEach, assert, it } from "vitest"
import { generateChain, generateFork } from "../../../src/devnet/generatedChain.ts"
import type { StoredBlock } from "../../../src/rpc/ChainReader.ts"
import { logObject } from "../../../src/rpc/logObject.ts"
import { storedBlocks } from "../fixtureChains.ts"
import { blockLogs, memoryChain } from "../memoryReader.ts"
import { result, startServer, type TestServer, upFrom } from "../server/support.ts"

const served = generateChain({ shape: "tiny", seed: 3, blocks: 90 })
const main = storedBlocks(served)
const fork = storedBlocks(generateFork(served, 21, { shape: "tiny", seed: 4, blocks: 90 }))

let server: TestServer | undefined
afterEach(async () => server?.stop())

const logsOf = (blocks: ReadonlyArray<StoredBlock>, removed: boolean): ReadonlyArray<unknown> =>
  blocks.flatMap((block) => blockLogs(block).map((log) => logObject(log, removed)))

it("a filter takes back all of a leap that it has just told", async () => {
  const chain = memoryChain(main.slice(0, 21))
  server = await startServer(chain.reader)
  const { url } = server
  const id = await result(url, "eth_newFilter", {})
  const leap = main.slice(21, 85)
  chain.add(leap)
  assert.deepEqual(await result(url, "eth_getFilterChanges", id), logsOf(leap, false))
  const winners = fork.slice(21, 86)
  chain.replace(upFrom(winners, 21))
  assert.deepEqual(await result(url, "eth_getFilterChanges", id), [
    ...logsOf(leap.toReversed(), true),
    ...logsOf(winners, false),
  ])
})
