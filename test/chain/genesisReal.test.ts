import { asJson } from "./genesisFiles.ts"
import { assert, describe, it } from "vitest"
import { fixture, fixturesDir } from "../support/fixtures.ts"
import { forkIdAt } from "../../src/chain/forkId.ts"
import { fromHex, toHex } from "../../src/domain/hex.ts"
import { keccak256 } from "../../src/domain/keccak.ts"
import { parseGenesis } from "../../src/chain/genesis.ts"
import { readFileSync } from "node:fs"
import { RlpReader } from "../../src/domain/rlp.ts"

const read = (chain: string) =>
  parseGenesis(chain, readFileSync(fixture(`chains/${chain}/genesis.json`), "utf8"))

/** Genesis hash and fork id in the first Status that geth sent. */
const statusOf = (file: string, genesisAt: number) => {
  const lines = readFileSync(fixture(`wire/${file}`), "utf8").split("\n")
  const line = lines.find((text) => text.startsWith('{"dir":"<","code":0,'))
  const { payload } = asJson(JSON.parse(line!))
  const status = RlpReader.list(fromHex(String(payload)))
  for (let i = 0; i < genesisAt; i++) status.next()
  const genesisHash = toHex(status.nextFixed(32))
  const forkId = status.nextList()
  return { genesisHash, hash: toHex(forkId.nextFixed(4)), next: forkId.nextBigUint(8) }
}

describe.skipIf(fixturesDir === undefined)("the genesis of a real chain", () => {
  const chains = ["ethtest", "execapis", "nimb", "rethcompat"]

  it.each(chains)("%s: its hash is the parent hash of block 1", async (name) => {
    const { chain, header } = await read(name)
    const blocks = new RlpReader(readFileSync(fixture(`chains/${name}/chain.rlp`)))
    const parentHash = blocks.nextList().nextList().nextFixed(32)
    assert.strictEqual(toHex(chain.genesisHash), toHex(parentHash))
    assert.strictEqual(toHex(keccak256(header)), toHex(parentHash))
    assert.deepStrictEqual(chain.genesisHeader, header)
  })

  it.each(["ethtest", "execapis", "rethcompat"])(
    "%s: its forks and blob parameters are those it was made with",
    async (name) => {
      const env = asJson(JSON.parse(readFileSync(fixture(`chains/${name}/forkenv.json`), "utf8")))
      const numbers = (pattern: RegExp): ReadonlyArray<number> =>
        [
          ...new Set(
            Object.entries(env)
              .filter(([key]) => pattern.test(key))
              .map(([, value]) => Number(value)),
          ),
        ]
          .filter((fork) => fork > 0)
          .sort((a, b) => a - b)
      const { chain } = await read(name)
      assert.deepStrictEqual(chain.forkBlocks, numbers(/^HIVE_(FORK_|MERGE_BLOCK_ID$)/))
      assert.deepStrictEqual(chain.forkTimes, numbers(/^HIVE_[A-Z0-9]+_TIMESTAMP$/))
      assert.strictEqual(String(chain.chainId), env["HIVE_CHAIN_ID"])
      assert.strictEqual(String(chain.networkId), env["HIVE_NETWORK_ID"])
      const fractions = chain.blobSchedule.map((blob) => Number(blob.baseFeeUpdateFraction))
      assert.deepStrictEqual(
        [...new Set(fractions)],
        numbers(/^HIVE_[A-Z0-9]+_BLOB_BASE_FEE_UPDATE_FRACTION$/),
      )
    },
  )

  it.each([
    ["eth/68", "rpccompat-geth1.17.0.eth68.transcript.jsonl", 4],
    ["eth/69", "rpccompat-geth1.17.3.eth69.transcript.jsonl", 2],
  ])("rethcompat: its fork id is the one geth announced over %s", async (_eth, file, genesisAt) => {
    const { chain } = await read("rethcompat")
    // The head is past the last fork, as the transcript's FORK_NEXT of 0 says.
    const { hash, next } = forkIdAt(chain, { number: 45, time: 450 })
    assert.deepStrictEqual(statusOf(file, genesisAt), {
      genesisHash: toHex(chain.genesisHash),
      hash: toHex(hash),
      next,
    })
  })
})
