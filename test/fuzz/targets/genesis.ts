/** genesis.json. */
import { allForkIds, checkForkId } from "../../../src/chain/forkId.ts"
import { GenesisInvalid, parseGenesis } from "../../../src/chain/genesis.ts"
import { readHeader } from "../../../src/domain/header.ts"
import { agree, bytesOf, type FuzzTarget, textOf } from "../target.ts"

const small = {
  config: {
    chainId: 7,
    homesteadBlock: 0,
    londonBlock: 0,
    shanghaiTime: 0,
    cancunTime: "0x10",
    pragueTime: 1_800_000_000,
    bpo1Time: 1_900_000_000,
    terminalTotalDifficulty: "0x0",
    blobSchedule: { cancun: { target: 3, max: 6, baseFeeUpdateFraction: 3_338_477 } },
  },
  nonce: "0x42",
  timestamp: "0x0",
  gasLimit: "0x1388",
  difficulty: "0x400000000",
  mixHash: `0x${"00".repeat(32)}`,
  coinbase: `0x${"00".repeat(20)}`,
  extraData: "0x1234",
  baseFeePerGas: "1000",
  alloc: {
    ["0x" + "11".repeat(20)]: { balance: "0x10", nonce: "0x1", code: "0x6000" },
    ["22".repeat(20)]: { balance: "5", storage: { "0x01": "0x02", "0x03": "0x00" } },
  },
}

export const genesis: FuzzTarget = {
  name: "genesis",
  kind: "text",
  // Every account costs the library's trie a millisecond; the file is the user's own.
  cpuMs: 2_000,
  seeds: ({ genesisFiles }) => [
    bytesOf(JSON.stringify(small)),
    bytesOf(JSON.stringify(small, undefined, 1)),
    ...genesisFiles.map((text) => bytesOf(text)),
  ],
  tokens: [
    ...'null true false 0 -1 1e400 1e21 0.5 -0 9007199254740992 [] {} [[]] "" "0x" "0x0"'.split(
      " ",
    ),
    `"0x${"f".repeat(64)}"`,
    `"0x${"f".repeat(65)}"`,
    `"${"9".repeat(400)}"`,
    ...'"__proto__":{} "constructor":1 "ALLOC":{} "Config":{} "storage":{} "code":"0x0"'.split(" "),
    ...'"londonBlock":1 "amsterdamTime":0 "pragueTime":0 "excessBlobGas":1 "number":1'.split(" "),
    ...'Block Time osakaTime , : { } [ ] \\u0000 \\ud800 "'.split(" "),
    '"blobSchedule":{"prague":{}}',
  ],
  run: async (input) => {
    const made = await parseGenesis("fuzz", textOf(input)).catch((error: unknown) => {
      if (error instanceof GenesisInvalid) return undefined
      throw error
    })
    if (made === undefined) return
    const { chain, header } = made
    for (const forkId of allForkIds(chain)) {
      checkForkId(chain, { number: 0, time: chain.genesisTime }, forkId)
    }
    agree(chain.genesisHash.length === 32, "a genesis has a hash")
    // A difficulty and the like may be larger than any header that peers send may have.
    if (readsNumbers(header)) agree(readHeader(header).number === 0, "a genesis has the number 0")
  },
}

/** Gas and time fit 64 bits in a genesis.json, and 53 in a header that we read. */
const readsNumbers = (header: Uint8Array): boolean => {
  try {
    readHeader(header)
    return true
  } catch {
    return false
  }
}
