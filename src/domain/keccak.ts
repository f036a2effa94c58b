/**
 * Keccak-256 (the padding of before FIPS 202, as Ethereum uses it), in WebAssembly.
 *
 * In: bytes. Out: 32-byte digests. One WASM instance serves the whole thread: one-shot hashes
 * start it afresh, running states ({@link KeccakState}) are swapped in and out of it, so that
 * hundreds of sessions cost a few hundred bytes each and not a WASM memory each.
 *
 * Tested against @noble/hashes.
 */
import { createKeccak } from "hash-wasm"

const hasher = await createKeccak(256)

/** The running state that the instance holds just now; null when it holds nothing of worth. */
let resident: KeccakState | null = null

/** Puts what the instance holds back to its owner, so that another hash may use it. */
const evict = (): void => {
  if (resident !== null) {
    resident.park(hasher.save())
    resident = null
  }
}

const seat = (state: KeccakState): void => {
  resident = state
}

/** Keccak-256 of `data`; the digest is a fresh 32-byte array. */
export const keccak256 = (data: Uint8Array): Uint8Array => {
  evict()
  return hasher.init().update(data).digest("binary")
}

/** Keccak-256 of the concatenation of `parts`, without concatenating them. */
export const keccak256Parts = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  evict()
  hasher.init()
  for (const part of parts) hasher.update(part)
  return hasher.digest("binary")
}

/**
 * A Keccak-256 sponge that goes on after it was read: RLPx chains its MACs that way
 * (devp2p `rlpx.md`, "MAC"). Not for use from two threads; within one, any number may be used in
 * any order.
 */
export class KeccakState {
  #parked: Uint8Array

  constructor() {
    evict()
    this.#parked = hasher.init().save()
  }

  /** Absorbs `data`. */
  update(data: Uint8Array): this {
    this.#enter()
    hasher.update(data)
    return this
  }

  /** The digest of all that was absorbed so far; absorbing may go on afterwards. */
  digest(): Uint8Array {
    this.#enter()
    // Reading is destructive in the instance: keep the state, read, and leave it parked.
    this.#parked = hasher.save()
    resident = null
    return hasher.digest("binary")
  }

  /** For this module: takes back the state that the instance held. */
  park(state: Uint8Array): void {
    this.#parked = state
  }

  #enter(): void {
    if (resident === this) return
    evict()
    hasher.load(this.#parked)
    seat(this)
  }
}
