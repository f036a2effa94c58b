/**
 * Chance from a seed: the same numbers for the same seed, on every machine.
 *
 * Every part of a simulation has dice of its own, split off by name, so that one that is thrown once
 * more elsewhere does not change all the others.
 */
import { makeRandom, type Random } from "../fuzz/random.ts"

/** See the module. */
export class Dice {
  readonly #random: Random
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = seed | 0
    this.#random = makeRandom(this.#seed)
  }

  /** Dice that have nothing to do with these from now on. */
  split(name: string): Dice {
    return new Dice(mixed(`${this.#seed} ${name}`))
  }

  /** An integer between the two, both inclusive. */
  between(from: number, to: number): number {
    return from + this.#random.below(to - from + 1)
  }

  /** True that often, of 1. */
  chance(probability: number): boolean {
    return this.#random.below(1_000_000) < probability * 1_000_000
  }

  /** One of these. */
  pick<A>(choices: ReadonlyArray<A>): A {
    return this.#random.pick(choices)
  }

  /** Some of the bytes that there are. */
  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.#random.below(256))
  }
}

/** FNV-1a of a text, 32 bits, stirred once more: near seeds are to have nothing in common. */
export const mixed = (text: string): number => {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return hash ^ (hash >>> 12)
}
