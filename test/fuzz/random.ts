/** Numbers that look random and are the same for the same seed (mulberry32). */
export interface Random {
  /** An integer from 0 to below `end`. */
  readonly below: (end: number) => number
  /** One of these. */
  readonly pick: <A>(choices: ReadonlyArray<A>) => A
}

/** A source of numbers; `seed` is a 32-bit integer. */
export const makeRandom = (seed: number): Random => {
  let state = seed | 0
  const below = (end: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end)
  }
  return { below, pick: (choices) => choices[below(choices.length)]! }
}
