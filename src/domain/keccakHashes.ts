/**
 * What `keccak.ts` needs of an implementation, and the two that there are: the native one of this
 * project, and hash-wasm's. They give the same digests; which of them runs is `keccak.ts`'s choice.
 */
import type { IHasher } from "hash-wasm"
import { NATIVE_STATE_BYTES, type Native } from "./native.ts"

/** Bytes of a digest. */
const DIGEST_BYTES = 32

/** A Keccak-256 sponge that goes on after it was read. */
export interface Sponge {
  /** Absorbs `data`. */
  update(data: Uint8Array): this
  /** The digest of all that was absorbed so far; absorbing may go on afterwards. */
  digest(): Uint8Array
}

/** An implementation. */
export interface KeccakHashes {
  /** Of the concatenation of `parts`; a fresh array of 32 bytes. */
  readonly hash: (parts: ReadonlyArray<Uint8Array>) => Uint8Array
  /** Of `data`; a fresh array of 32 bytes. */
  readonly hashOne: (data: Uint8Array) => Uint8Array
  /** An empty sponge. */
  readonly sponge: new () => Sponge
}

/** By the addon: a state is an array of its own, and nothing is shared. */
export const nativeHashes = (native: Native): KeccakHashes => {
  class NativeSponge implements Sponge {
    readonly #state = new Uint8Array(NATIVE_STATE_BYTES)

    update(data: Uint8Array): this {
      native.update(this.#state, data)
      return this
    }

    digest(): Uint8Array {
      const digest = new Uint8Array(DIGEST_BYTES)
      native.digest(this.#state, digest)
      return digest
    }
  }
  return {
    sponge: NativeSponge,
    hash: (parts) => {
      const sponge = new NativeSponge()
      for (const part of parts) sponge.update(part)
      return sponge.digest()
    },
    hashOne: (data) => {
      const digest = new Uint8Array(DIGEST_BYTES)
      native.hash(data, digest)
      return digest
    },
  }
}

/**
 * By hash-wasm. One WASM instance serves the whole thread: one-shot hashes start it afresh, running
 * states are swapped in and out of it, so that hundreds of sessions cost a few hundred bytes each
 * and not a WASM memory each.
 */
export const wasmHashes = (hasher: IHasher): KeccakHashes => {
  /** The running state that the instance holds just now; null when it holds nothing of worth. */
  let resident: WasmSponge | null = null

  /** Puts what the instance holds back to its owner, so that another hash may use it. */
  const evict = (): void => {
    if (resident !== null) {
      resident.park(hasher.save())
      resident = null
    }
  }
  const seat = (sponge: WasmSponge): void => {
    resident = sponge
  }

  class WasmSponge implements Sponge {
    #parked: Uint8Array

    constructor() {
      evict()
      this.#parked = hasher.init().save()
    }

    update(data: Uint8Array): this {
      this.#enter()
      hasher.update(data)
      return this
    }

    digest(): Uint8Array {
      this.#enter()
      // Reading is destructive in the instance: keep the state, read, and leave it parked.
      this.#parked = hasher.save()
      resident = null
      return hasher.digest("binary")
    }

    /** Takes back the state that the instance held. */
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
  return {
    sponge: WasmSponge,
    hash: (parts) => {
      evict()
      hasher.init()
      for (const part of parts) hasher.update(part)
      return hasher.digest("binary")
    },
    hashOne: (data) => {
      evict()
      return hasher.init().update(data).digest("binary")
    },
  }
}
