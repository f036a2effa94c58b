/**
 * The encryption and the MAC of RLPx frames (devp2p `rlpx.md`, "Framing" and "MAC"), one direction
 * of a connection at a time: natively where this project's addon was compiled and the processor can,
 * by node:crypto elsewhere. Both give the same bytes.
 *
 * In: headers and bodies with the MACs behind them, each exactly once and in the order of the wire.
 * The native one works on the bytes where they are; what the other one opens lies in fresh memory,
 * which for large bodies costs more than decrypting them.
 */
import crypto from "node:crypto"
import { KeccakState } from "../domain/keccak.ts"
import { native, NATIVE_FRAME_STATE_BYTES, type Native } from "../domain/native.ts"

/** What one direction starts with. */
export interface DirectionSecrets {
  /** AES-256 key of the frames, 32 bytes. */
  readonly aesSecret: Uint8Array
  /** AES-256 key of the MAC's seeds, 32 bytes. */
  readonly macSecret: Uint8Array
  /** What the MAC starts with. */
  readonly macSeed: Uint8Array
}

/** Bytes of a header, of a MAC, and what bodies are padded to. */
export const FRAME_BLOCK_BYTES = 16

/**
 * Opens frames. `sealed` is what was encrypted and 16 bytes of MAC; it may be altered. The result is
 * without the MAC, and may be a part of `sealed`; undefined where the MAC is another one: the peer,
 * or someone on the way, is to blame, and there is no opening of anything after it.
 */
export interface FrameOpener {
  /** A header of 16 bytes. */
  readonly header: (sealed: Uint8Array) => Uint8Array | undefined
  /** A body, padded to a multiple of 16 bytes. */
  readonly body: (sealed: Uint8Array) => Uint8Array | undefined
}

/**
 * Seals a frame where it is: 16 bytes of header, 16 for their MAC, a body padded to a multiple of 16
 * bytes, 16 for its MAC.
 */
export type FrameSealer = (frame: Uint8Array) => void

/** Both directions of an implementation. */
export interface FrameCiphers {
  readonly opener: (secrets: DirectionSecrets) => FrameOpener
  readonly sealer: (secrets: DirectionSecrets) => FrameSealer
}

const opened = (sealed: Uint8Array): Uint8Array =>
  sealed.subarray(0, sealed.length - FRAME_BLOCK_BYTES)

/** By the addon. */
export const nativeCiphers = (addon: Native): FrameCiphers => {
  const start = ({ aesSecret, macSecret, macSeed }: DirectionSecrets): Uint8Array => {
    const state = new Uint8Array(NATIVE_FRAME_STATE_BYTES)
    addon.frameStart(state, aesSecret, macSecret, macSeed)
    return state
  }
  return {
    opener: (secrets) => {
      const state = start(secrets)
      return {
        header: (sealed) => (addon.frameOpenHeader(state, sealed) ? opened(sealed) : undefined),
        body: (sealed) => (addon.frameOpenBody(state, sealed) ? opened(sealed) : undefined),
      }
    },
    sealer: (secrets) => {
      const state = start(secrets)
      return (frame) => addon.frameSeal(state, frame)
    },
  }
}

const ZERO_IV = new Uint8Array(16)

/** By node:crypto, and keccak as `domain/keccak.ts` has it. */
export const nodeCiphers: FrameCiphers = {
  opener: (secrets) => {
    const mac = new ChainedMac(secrets)
    const decipher = crypto.createDecipheriv("aes-256-ctr", secrets.aesSecret, ZERO_IV)
    const open = (sealed: Uint8Array, macOf: (bytes: Uint8Array) => Uint8Array) => {
      const end = sealed.length - FRAME_BLOCK_BYTES
      const bytes = sealed.subarray(0, end)
      if (!crypto.timingSafeEqual(macOf(bytes), sealed.subarray(end))) return undefined
      return decipher.update(bytes)
    }
    return {
      header: (sealed) => open(sealed, (bytes) => mac.header(bytes)),
      body: (sealed) => open(sealed, (bytes) => mac.body(bytes)),
    }
  },
  sealer: (secrets) => {
    const mac = new ChainedMac(secrets)
    const cipher = crypto.createCipheriv("aes-256-ctr", secrets.aesSecret, ZERO_IV)
    return (frame) => {
      const header = cipher.update(frame.subarray(0, FRAME_BLOCK_BYTES))
      const end = frame.length - FRAME_BLOCK_BYTES
      const body = cipher.update(frame.subarray(2 * FRAME_BLOCK_BYTES, end))
      frame.set(header)
      frame.set(mac.header(header), FRAME_BLOCK_BYTES)
      frame.set(body, 2 * FRAME_BLOCK_BYTES)
      frame.set(mac.body(body), end)
    }
  },
}

/** The MAC of one direction, which goes on from frame to frame. */
class ChainedMac {
  readonly #state = new KeccakState()
  readonly #seedCipher: crypto.Cipher
  /** The digest of the state as it is. */
  #digest: Uint8Array

  constructor({ macSecret, macSeed }: DirectionSecrets) {
    // ECB has no state: one cipher serves all seeds.
    this.#seedCipher = crypto.createCipheriv("aes-256-ecb", macSecret, null)
    this.#seedCipher.setAutoPadding(false)
    this.#digest = this.#state.update(macSeed).digest()
  }

  /** The MAC of the 16 encrypted bytes of a header. */
  header(sealed: Uint8Array): Uint8Array {
    return this.#absorbSeed(sealed)
  }

  /** The MAC of an encrypted body. */
  body(sealed: Uint8Array): Uint8Array {
    this.#digest = this.#state.update(sealed).digest()
    return this.#absorbSeed(this.#digest)
  }

  #absorbSeed(other: Uint8Array): Uint8Array {
    const seed = this.#seedCipher.update(this.#digest.subarray(0, 16))
    for (let i = 0; i < seed.length; i++) seed[i]! ^= other[i]!
    this.#digest = this.#state.update(seed).digest()
    return this.#digest.subarray(0, FRAME_BLOCK_BYTES)
  }
}

/** What this process opens and seals frames with. */
export const frameCiphers: FrameCiphers = native?.frames ? nativeCiphers(native) : nodeCiphers
