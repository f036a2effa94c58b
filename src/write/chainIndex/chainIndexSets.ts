/** Sets of numbers below 2^32 as rising arrays without duplicates. */

/** The numbers that are in any of the sets. */
export const union = (sets: ReadonlyArray<Uint32Array>): Uint32Array => {
  const [only] = sets
  if (only !== undefined && sets.length === 1) return only
  const all = new Uint32Array(sets.reduce((sum, { length }) => sum + length, 0))
  let end = 0
  for (const set of sets) {
    all.set(set, end)
    end += set.length
  }
  all.sort()
  let count = 0
  for (let at = 0; at < all.length; at++) {
    if (at === 0 || all[at] !== all[at - 1]) all[count++] = all[at]!
  }
  return all.subarray(0, count)
}

/** The numbers that are in both sets. */
export const intersection = (a: Uint32Array, b: Uint32Array): Uint32Array => {
  const both = new Uint32Array(Math.min(a.length, b.length))
  let count = 0
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [x, y] = [a[i]!, b[j]!]
    if (x === y) both[count++] = x
    if (x <= y) i += 1
    if (y <= x) j += 1
  }
  return both.subarray(0, count)
}
