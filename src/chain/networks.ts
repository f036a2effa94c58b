/**
 * The public networks that annals knows by name: genesis, forks, blob schedules, anchors and where
 * to find their peers. Pure data, in effect as of August 2026.
 *
 * Invariants: forks rise and leave out those at genesis, as EIP-2124 and EIP-6122 count them; the
 * fork hashes that follow from them are tested against the published ones. Anchors rise too.
 */
import type { Anchor, BlobParameters, ChainSpec } from "./chainSpec.ts"
import { fromHex } from "../domain/hex.ts"

/** One tree a network, all signed with the same key (EIP-1459, the discv4 DNS lists). */
const dnsTree = (network: string): string =>
  `enrtree://AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE@all.${network}.ethdisco.net`

const anchor = (blockNumber: number, hash: string): Anchor => ({ blockNumber, hash: fromHex(hash) })

/** When the forks came that set a network's blob parameters, in Unix seconds. */
interface BlobForkTimes {
  readonly cancun: number
  readonly prague: number
  readonly osaka: number
  readonly bpo1: number
  readonly bpo2: number
}

/** The public networks share their parameters and differ only in when they came into effect. */
const blobSchedule = (times: BlobForkTimes): ReadonlyArray<BlobParameters> => [
  { fromTime: times.cancun, baseFeeUpdateFraction: 3_338_477n },
  { fromTime: times.prague, baseFeeUpdateFraction: 5_007_716n },
  { fromTime: times.osaka, baseFeeUpdateFraction: 5_007_716n },
  { fromTime: times.bpo1, baseFeeUpdateFraction: 8_346_193n },
  { fromTime: times.bpo2, baseFeeUpdateFraction: 11_684_671n },
]

/** Ethereum mainnet, chain 1. */
export const mainnet: ChainSpec = {
  name: "mainnet",
  networkId: 1n,
  chainId: 1n,
  genesisHash: fromHex("0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
  genesisTime: 0,
  forkBlocks: [
    1_150_000, 1_920_000, 2_463_000, 2_675_000, 4_370_000, 7_280_000, 9_069_000, 9_200_000,
    12_244_000, 12_965_000, 13_773_000, 15_050_000,
  ],
  forkTimes: [
    1_681_338_455, 1_710_338_135, 1_746_612_311, 1_764_798_551, 1_765_290_071, 1_767_747_671,
  ],
  blobSchedule: blobSchedule({
    cancun: 1_710_338_135,
    prague: 1_746_612_311,
    osaka: 1_764_798_551,
    bpo1: 1_765_290_071,
    bpo2: 1_767_747_671,
  }),
  finalTotalDifficulty: 58_750_003_716_598_352_816_469n,
  anchors: [
    anchor(15_537_393, "0x55b11b918355b1ef9c5db810302ebad0bf2544255b530cdce90674d5887bb286"),
    anchor(22_431_084, "0x50c8cab760b2948349c590461b166773c45d8f4858cccf5a43025ab2960152e8"),
  ],
  bootnodes: [
    "enode://d860a01f9722d78051619d1e2351aba3f43f943f6f00718d1b9baa4101932a1f5011f16bb2b1bb35db20d6fe28fa0bf09636d26a87d31de9ec6203eeedb1f666@18.138.108.67:30303",
    "enode://22a8232c3abc76a16ae9d6c3b164f98775fe226f0917b0ca871128a74a8e9630b458460865bab457221f1d448dd9791d24c4e5d88786180ac185df813a68d4de@3.209.45.79:30303",
    "enode://2b252ab6a1d0f971d9722cb839a42cb81db019ba44c08754628ab4a823487071b5695317c8ccd085219c3a03af063495b2f1da8d18218da2d6a82981b45e6ffc@65.108.70.101:30303",
    "enode://4aeb4ab6c14b23e2c4cfdce879c04b0748a20d8e9b59e25ded2a08143e265c6c25936e74cbc8e641e3312ca288673d91f2f93f8e277de3cfa444ecdaaf982052@157.90.35.166:30303",
  ],
  dnsTrees: [dnsTree("mainnet")],
}

/** The Sepolia test network, chain 11155111; its one block fork is the merge's network split. */
export const sepolia: ChainSpec = {
  name: "sepolia",
  networkId: 11_155_111n,
  chainId: 11_155_111n,
  genesisHash: fromHex("0x25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"),
  genesisTime: 1_633_267_481,
  forkBlocks: [1_735_371],
  forkTimes: [
    1_677_557_088, 1_706_655_072, 1_741_159_776, 1_760_427_360, 1_761_017_184, 1_761_607_008,
  ],
  blobSchedule: blobSchedule({
    cancun: 1_706_655_072,
    prague: 1_741_159_776,
    osaka: 1_760_427_360,
    bpo1: 1_761_017_184,
    bpo2: 1_761_607_008,
  }),
  finalTotalDifficulty: 17_000_018_015_853_232n,
  anchors: [
    anchor(1_450_409, "0x229f6b18ca1552f1d5146deceb5387333f40dc6275aebee3f2c5c4ece07d02db"),
    anchor(7_836_331, "0xe6571beb68bf24dbd8a6ba354518996920c55a3f8d8fdca423e391b8ad071f22"),
  ],
  bootnodes: [
    "enode://4e5e92199ee224a01932a377160aa432f31d0b351f84ab413a8e0a42f4f36476f8fb1cbe914af0d9aef0d51665c214cf653c651c4bbd9d5550a934f241f1682b@138.197.51.181:30303",
    "enode://143e11fb766781d22d92a2e33f8f104cddae4411a122295ed1fdb6638de96a6ce65f5b7c964ba3763bba27961738fef7d3ecc739268f3e5e771fb4c87b6234ba@146.190.1.103:30303",
  ],
  dnsTrees: [dnsTree("sepolia")],
}

/** The Hoodi test network, chain 560048; it began with Cancun. */
export const hoodi: ChainSpec = {
  name: "hoodi",
  networkId: 560_048n,
  chainId: 560_048n,
  genesisHash: fromHex("0xbbe312868b376a3001692a646dd2d7d1e4406380dfd86b98aa8a34d1557c971b"),
  genesisTime: 1_742_212_800,
  forkBlocks: [],
  forkTimes: [1_742_999_832, 1_761_677_592, 1_762_365_720, 1_762_955_544],
  blobSchedule: blobSchedule({
    cancun: 0,
    prague: 1_742_999_832,
    osaka: 1_761_677_592,
    bpo1: 1_762_365_720,
    bpo2: 1_762_955_544,
  }),
  finalTotalDifficulty: 0n,
  anchors: [anchor(60_412, "0x1562792812ef418eaafc8f1f093d84d9634971e9dd6b0771302eb5b9fd4d2c46")],
  bootnodes: [
    "enode://2112dd3839dd752813d4df7f40936f06829fc54c0e051a93967c26e5f5d27d99d886b57b4ffcc3c475e930ec9e79c56ef1dbb7d86ca5ee83a9d2ccf36e5c240c@134.209.138.84:30303",
    "enode://60203fcb3524e07c5df60a14ae1c9c5b24023ea5d47463dfae051d2c9f3219f309657537576090ca0ae641f73d419f53d8e8000d7a464319d4784acd7d2abc41@209.38.124.160:30303",
  ],
  dnsTrees: [dnsTree("hoodi")],
}

/** The networks of this module, by the name that `--network` takes. */
export const knownNetworks: ReadonlyMap<string, ChainSpec> = new Map(
  [mainnet, sepolia, hoodi].map((chain) => [chain.name, chain] as const),
)
