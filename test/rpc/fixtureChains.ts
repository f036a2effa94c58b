/** The chains of the fixtures as a store holds them, from genesis on, with their rules. */
import { readFileSync } from "node:fs"
import { chainRulesText, parseChainRules } from "../../src/chain/chainRules.ts"
import type { ChainSpec } from "../../src/chain/chainSpec.ts"
import { parseGenesis } from "../../src/chain/genesis.ts"
import { readChainFiles } from "../../src/devnet/chainFiles.ts"
import type { ServedChain } from "../../src/devnet/servedChain.ts"
import type { StoredBlock } from "../../src/rpc/ChainReader.ts"
import { fixture } from "../support/fixtures.ts"
import type { MemoryFacts } from "./memoryReader.ts"

/** A chain of `chains/`: its blocks that have receipts, and the facts of a store of it. */
export interface FixtureChain {
  readonly chain: ChainSpec
  readonly blocks: ReadonlyArray<StoredBlock>
  readonly facts: MemoryFacts
}

/** Reads `chains/<name>`; the rules go through the text that a store keeps. */
export const fixtureChain = async (name: string): Promise<FixtureChain> => {
  const text = readFileSync(fixture(`chains/${name}/genesis.json`), "utf8")
  const { chain, header } = await parseGenesis(name, text)
  const served = readChainFiles([fixture(`chains/${name}/full.rlp.gz`)], { genesisHeader: header })
  const rules = parseChainRules(chainRulesText(chain))!
  const facts = { chainId: Number(chain.chainId), network: name, rules }
  return { chain, blocks: storedBlocks(served), facts }
}

/** The blocks of a chain in memory that have receipts. */
export const storedBlocks = (chain: ServedChain): ReadonlyArray<StoredBlock> =>
  chain.numbers.flatMap((blockNumber) => {
    const receipts = chain.receipts69At(blockNumber)
    if (receipts === undefined) return []
    const header = chain.headerAt(blockNumber)!
    const body = chain.bodyAt(blockNumber)!
    return [{ blockNumber, hash: chain.hashAt(blockNumber)!, header, body, receipts }]
  })
