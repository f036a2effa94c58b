/**
 * Keccak-256 (the padding of before FIPS 202, as Ethereum uses it): natively where this project's
 * addon was compiled, in WebAssembly elsewhere.
 *
 * In: bytes. Out: 32-byte digests. Tested against @noble/hashes, either way. For many messages at
 * once see `keccakBatch.ts`.
 */
import { createKeccak } from "hash-wasm"
import { nativeHashes, type Sponge, wasmHashes } from "./keccakHashes.ts"
import { native } from "./native.ts"

const hashes = native === undefined ? wasmHashes(await createKeccak(256)) : nativeHashes(native)

/** Keccak-256 of `data`; the digest is a fresh 32-byte array. */
export const keccak256: (data: Uint8Array) => Uint8Array = hashes.hashOne

/** Keccak-256 of the concatenation of `parts`, without concatenating them. */
export const keccak256Parts: (parts: ReadonlyArray<Uint8Array>) => Uint8Array = hashes.hash

/**
 * A Keccak-256 sponge that goes on after it was read: RLPx chains its MACs that way
 * (devp2p `rlpx.md`, "MAC"). Not for use from two threads; within one, any number may be used in
 * any order.
 */
export const KeccakState: new () => KeccakState = hashes.sponge
/** See the value of this name. */
export type KeccakState = Sponge
