/** What the tests of the wire share: keys, a chain that does not exist, options, secrets. */
import crypto from "node:crypto"
import { Effect } from "effect"
import { fromHex } from "../../src/domain/hex.ts"
import { encodeBytes, encodeList, encodeUint } from "../../src/domain/rlp.ts"
import type { Status } from "../../src/wire/ethMessages.ts"
import type { FrameSecrets } from "../../src/wire/frames.ts"
import { nodeIdOf } from "../../src/wire/handshake.ts"
import type { EthVersion } from "../../src/wire/hello.ts"
import { type MemoryPairOptions, memoryPair } from "../../src/wire/MemoryTransport.ts"
import { acceptSession, dialSession, type SessionOptions } from "../../src/wire/Session.ts"

/** A private key and its node id. */
export const makeKey = (): { privateKey: Uint8Array; nodeId: Uint8Array } => {
  const ecdh = crypto.createECDH("secp256k1")
  ecdh.generateKeys()
  const privateKey = Buffer.concat([Buffer.alloc(32), ecdh.getPrivateKey()]).subarray(-32)
  return { privateKey: Uint8Array.from(privateKey), nodeId: nodeIdOf(privateKey) }
}

/** A hash that is easy to tell from others. */
export const hashOf = (n: number): Uint8Array => new Uint8Array(32).fill(n)

export const mainnetGenesis = fromHex(
  "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
)

/** The Status of a node of mainnet that holds nothing but genesis. */
export const statusOf = (version: EthVersion): Status => {
  const common = {
    networkId: 1n,
    genesisHash: mainnetGenesis,
    forkHash: fromHex("fc64ec04"),
    forkNext: 1_150_000n,
  }
  return version === 68
    ? { version, ...common, totalDifficulty: 17_179_869_184n, bestHash: mainnetGenesis }
    : { version, ...common, earliestBlock: 0, latestBlock: 100, latestBlockHash: hashOf(100) }
}

/** Options that accept everybody on the same chain. */
export const optionsFor = (
  privateKey: Uint8Array,
  more: Partial<SessionOptions> = {},
): SessionOptions => ({
  privateKey,
  clientId: "annals/test",
  listenPort: 0,
  ethVersions: [68, 69, 70],
  localStatus: statusOf,
  checkStatus: () => undefined,
  ...more,
})

/** Two sessions joined in memory: that of the side that dialled, and that of the other. */
export const sessionPair = (
  dialer: Partial<SessionOptions> = {},
  listener: Partial<SessionOptions> = {},
  pair: MemoryPairOptions = {},
) =>
  Effect.gen(function* () {
    const ours = makeKey()
    const theirs = makeKey()
    const [near, far] = memoryPair(pair)
    return yield* Effect.all(
      [
        dialSession(near, theirs.nodeId, optionsFor(ours.privateKey, dialer)),
        acceptSession(far, optionsFor(theirs.privateKey, listener)),
      ],
      { concurrency: 2 },
    )
  })

/** The secrets of both ends of one connection. */
export const secretPair = (): [FrameSecrets, FrameSecrets] => {
  const aesSecret = crypto.randomBytes(32)
  const macSecret = crypto.randomBytes(32)
  const there = crypto.randomBytes(200)
  const back = crypto.randomBytes(200)
  return [
    { aesSecret, macSecret, egressMacSeed: there, ingressMacSeed: back },
    { aesSecret, macSecret, egressMacSeed: back, ingressMacSeed: there },
  ]
}

/** An encoded thing with the shape of a header, of about `size` bytes. */
export const fakeHeader = (number: number, size = 500): Uint8Array =>
  encodeList([encodeUint(number), encodeBytes(new Uint8Array(size).fill(number))])

/** One encoded list of `count` receipts. */
export const fakeReceipts = (count: number): Uint8Array =>
  encodeList(Array.from({ length: count }, (_, i) => encodeList([encodeUint(1), encodeUint(i)])))

/** Cuts bytes at places that `cuts` says, over and over. */
export const cutBy =
  (cuts: ReadonlyArray<number>) =>
  (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
    const chunks: Array<Uint8Array> = []
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = Math.max(1, cuts[i % cuts.length] ?? 1)
      chunks.push(bytes.slice(at, at + size))
      at += size
    }
    return chunks
  }
