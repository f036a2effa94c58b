import { ACCOUNT, type Json, asJson, small, withConfig } from "./genesisFiles.ts"
import { assert, describe, it } from "vitest"
import { keccak256 } from "../../src/domain/keccak.ts"
import { parseGenesis } from "../../src/chain/genesis.ts"
import { RlpReader } from "../../src/domain/rlp.ts"
import { sepolia } from "../../src/chain/networks.ts"
import { toHex, toHex0x } from "../../src/domain/hex.ts"

/** Sepolia's genesis: balances only, known by its hash to everyone. */
const sepoliaGenesis: Json = {
  config: {
    chainId: 11155111,
    homesteadBlock: 0,
    eip150Block: 0,
    londonBlock: 0,
    mergeNetsplitBlock: 1735371,
    terminalTotalDifficulty: 17000000000000000,
    shanghaiTime: 1677557088,
    cancunTime: 1706655072,
    pragueTime: 1741159776,
    osakaTime: 1760427360,
    bpo1Time: 1761017184,
    bpo2Time: 1761607008,
    amsterdamTime: null,
  },
  timestamp: 1633267481,
  extraData: toHex0x(Buffer.from("Sepolia, Athens, Attica, Greece!")),
  gasLimit: "0x1c9c380",
  difficulty: "0x20000",
  alloc: {
    "0000006916a87b82333f4245046623b23794c65c": { balance: "0x84595161401484a000000" },
    "10f5d45854e038071485ac9e402308cf80d2d2fe": { balance: "100000000000000000000000000" },
    "799d329e5f583419167cd722962485926e338f4a": { balance: "1000000000000000000" },
    "7cf5b79bfe291a67ab02b393e456ccc4c266f753": { balance: "1000000000000000000000000" },
    "8b7f0977bb4f0fbe7076fa22bc24aca043583f5e": { balance: "1000000000000000000000000" },
    a2a6d93439144ffe4d27c9e088dcd8b783946263: { balance: "1000000000000000000000000" },
    aaec86394441f915bce3e6ab399977e9906f3b69: { balance: "1000000000000000000000000" },
    b21c33de1fab3fa15499c62b59fe0cc3250020d1: { balance: "100000000000000000000000000" },
    bc11295936aa79d594139de1b2e12629414f3bdb: { balance: "1000000000000000000000000" },
    beef32ca5b9a198d27b4e02f4c70439fe60356cf: { balance: "1000000000000000000000000" },
    d7d76c58b3a519e9fa6cc4d22dc017259bc49f1e: { balance: "100000000000000000000000000" },
    d7eddb78ed295b3c9629240e8924fb8d8874ddd8: { balance: "1000000000000000000000000" },
    "0xd9a5179f091d85051d3c982785efd1455cec8699": { balance: "1000000000000000000000000" },
    "0xE2E2659028143784d557bcec6ff3a0721048880a": { balance: "1000000000000000000000000" },
    f47cae1cf79ca6758bfc787dbd21e6bdbe7112b8: { balance: "1000000000000000000000000" },
  },
}

const parse = (genesis: unknown) => parseGenesis("test", JSON.stringify(genesis))

const stateRootOf = async (genesis: Json): Promise<string> => {
  const { header } = await parse(genesis)
  const fields = RlpReader.list(header)
  fields.nextFixed(32)
  fields.nextFixed(32)
  fields.nextFixed(20)
  return toHex(fields.nextFixed(32))
}

/** `digit` as a storage word written out in full. */
const longWord = (digit: number): string => `${"0".repeat(63)}${digit}`

describe("a genesis.json", () => {
  it("gives the hash, forks and blob parameters of Sepolia", async () => {
    const { chain, header } = await parseGenesis(
      "some/genesis.json",
      JSON.stringify(sepoliaGenesis),
    )
    assert.strictEqual(toHex0x(chain.genesisHash), toHex0x(sepolia.genesisHash))
    assert.deepStrictEqual(keccak256(header), chain.genesisHash)
    // Where a chain's work ended is not in its genesis.
    const { finalTotalDifficulty: _finalTotalDifficulty, ...known } = sepolia
    assert.deepStrictEqual(chain, {
      ...known,
      name: "some/genesis.json",
      genesisHeader: header,
      // Without an entry of its own Osaka keeps Prague's parameters.
      blobSchedule: sepolia.blobSchedule.filter((blob) => blob.fromTime !== 1_760_427_360),
      anchors: [],
      bootnodes: [],
      dnsTrees: [],
    })
  })

  it("counts every fork once, known or not, and none at or before genesis", async () => {
    const { chain } = await parse(
      withConfig({
        homesteadBlock: 0,
        eip155Block: 7,
        eip158Block: 7,
        daoForkBlock: 3,
        mergeNetsplitBlock: 12,
        someDayBlock: "0x64",
        constantinopleBlock: null,
        shanghaiTime: 99,
        cancunTime: 100,
        pragueTime: 101,
        bpo5Time: 300,
        somedayTime: 200,
        laterTime: "200",
        terminalTotalDifficulty: 5,
        ethash: {},
      }),
    )
    assert.deepStrictEqual(chain.forkBlocks, [3, 7, 12, 100])
    assert.deepStrictEqual(chain.forkTimes, [101, 200, 300])
    assert.strictEqual(chain.genesisTime, 100)
    assert.strictEqual(chain.chainId, 1337n)
    assert.strictEqual(chain.networkId, 1337n)
  })

  it("takes blob parameters from its schedule, and the later fork's of two at one time", async () => {
    const { chain } = await parse(
      withConfig({
        shanghaiTime: 0,
        bpo1Time: 400,
        pragueTime: 200,
        cancunTime: 200,
        osakaTime: 300,
        moonTime: 500,
        blobSchedule: {
          prague: { target: 6, max: 9, baseFeeUpdateFraction: 77 },
          moon: { target: 1, max: 2, baseFeeUpdateFraction: "0x10" },
          never: { target: 1, max: 2, baseFeeUpdateFraction: 1 },
        },
      }),
    )
    assert.deepStrictEqual(chain.blobSchedule, [
      { fromTime: 200, baseFeeUpdateFraction: 77n },
      { fromTime: 400, baseFeeUpdateFraction: 8_346_193n },
      { fromTime: 500, baseFeeUpdateFraction: 16n },
    ])
  })

  it.each([
    ["before London", { londonBlock: 1 }, 15],
    ["in London", {}, 16],
    ["in Shanghai", { shanghaiTime: 100 }, 17],
    ["in Cancun", { shanghaiTime: 0, cancunTime: 100 }, 20],
    ["in Cancun, Prague one second later", { shanghaiTime: 0, cancunTime: 0, pragueTime: 101 }, 20],
    ["in Prague", { shanghaiTime: 0, cancunTime: 0, pragueTime: 100 }, 21],
    ["in Amsterdam", { shanghaiTime: 0, cancunTime: 0, pragueTime: 0, amsterdamTime: 0 }, 23],
  ])("has the header fields of a genesis %s", async (_when, config, fieldCount) => {
    const { header } = await parse(withConfig(config))
    assert.strictEqual(RlpReader.list(header).countRest(), fieldCount)
  })

  it("puts the requests hash of no requests last in Prague", async () => {
    const config = { shanghaiTime: 0, cancunTime: 0, pragueTime: 0 }
    const { header } = await parse({ ...withConfig(config), excessBlobGas: 5, blobGasUsed: "0x6" })
    const tail = RlpReader.list(header).restItems().slice(15).map(toHex)
    assert.deepStrictEqual(tail, [
      "843b9aca00",
      "a056e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
      "06",
      "05",
      `a0${"00".repeat(32)}`,
      "a0e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ])
  })

  it("puts each of its fields into its place in the header", async () => {
    const { header } = await parse({
      ...small,
      parentHash: `0x${"11".repeat(32)}`,
      coinbase: `0x${"22".repeat(20)}`,
      difficulty: "0x33",
      gasLimit: "0x44",
      gasUsed: "0x55",
      timestamp: "0x66",
      extraData: "0x7777",
      mixHash: `0x${"88".repeat(32)}`,
      nonce: "0x99",
      baseFeePerGas: "0xaa",
    })
    const fields = RlpReader.list(header).restItems().map(toHex)
    assert.strictEqual(fields[0], `a0${"11".repeat(32)}`)
    assert.strictEqual(fields[2], `94${"22".repeat(20)}`)
    assert.deepStrictEqual(fields.slice(7), [
      "33",
      "80",
      "44",
      "55",
      "66",
      "827777",
      `a0${"88".repeat(32)}`,
      `88${"00".repeat(7)}99`,
      "81aa",
    ])
  })

  it("takes a gas limit of zero for 4,712,388, as geth does", async () => {
    const { header } = await parse({ ...small, gasLimit: 0 })
    assert.strictEqual(toHex(RlpReader.list(header).restItems()[9]!), "8347e7c4")
  })

  it("has the empty trie's root when nobody owns anything", async () => {
    assert.strictEqual(
      await stateRootOf({ ...small, alloc: {} }),
      "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    )
  })

  it("has a state root that depends on balance, nonce, code and storage, not on spelling", async () => {
    const account = asJson(asJson(small["alloc"])[ACCOUNT])
    const rootWith = (changed: Json, key = ACCOUNT): Promise<string> =>
      stateRootOf({ ...small, alloc: { [key]: { ...account, ...changed } } })
    const root = await rootWith({})
    for (const other of [{ balance: "0x11" }, { nonce: 2 }, { code: "0x" }, { storage: {} }]) {
      assert.notStrictEqual(await rootWith(other), root)
    }
    assert.strictEqual(await rootWith({ balance: "16", nonce: 1 }, `0x${ACCOUNT}`), root)
    const unused = `0x${"ff".repeat(32)}`
    assert.strictEqual(
      await rootWith({ storage: { [longWord(1)]: `0x${longWord(2)}`, [unused]: "0x00" } }),
      root,
    )
  })

  it("keeps accounts that are empty", async () => {
    const empty = await stateRootOf({ ...small, alloc: { [ACCOUNT]: { balance: "0" } } })
    assert.notStrictEqual(empty, await stateRootOf({ ...small, alloc: {} }))
  })

  it("may spell its own keys in another case", async () => {
    const mixHash = `0x${"17".repeat(32)}`
    const { chain } = await parse({ ...small, mixHash })
    assert.deepStrictEqual((await parse({ ...small, mixhash: mixHash })).chain, chain)
    assert.notDeepEqual((await parse(small)).chain.genesisHash, chain.genesisHash)
  })
})
