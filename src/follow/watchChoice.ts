/**
 * Which peers are watched where there are more than can be. Pure.
 *
 * Trusted peers have a place in any case. Of the others those keep theirs that have a say; who was not
 * watched yet, or not for long, comes before those that are far behind, show no chain or fail. So peers
 * that still sync themselves, however many and however early, leave the places to those that do not.
 * Now and then one place more changes hands ({@link rotated}), since peers may have a say and still lag.
 */

/** A peer that could be watched. */
export interface Candidate {
  readonly peerId: string
  readonly trusted: boolean
  readonly watched: boolean
  /** What was heard of it shows that it has no say, or it fails. */
  readonly out: boolean
  /** When it lost its place, in ms; undefined: it had none, or has one. */
  readonly leftMs: number | undefined
  /** Its measured head; -1 where that is not known. */
  readonly head: number
}

/** The peers that have a place now; `restMs` is how long who lost one stands behind all others. */
export const chooseWatched = (
  candidates: ReadonlyArray<Candidate>,
  places: number,
  nowMs: number,
  restMs: number,
): ReadonlyArray<Candidate> => {
  const standing = ({ trusted, watched, out, leftMs }: Candidate): number => {
    if (trusted) return 3
    if (watched) return out ? 0 : 2
    return leftMs !== undefined && nowMs - leftMs < restMs ? 0 : 1
  }
  const order = (a: Candidate, b: Candidate): number =>
    standing(b) - standing(a) || Number(b.watched) - Number(a.watched) || b.head - a.head
  return candidates.toSorted(order).slice(0, places)
}

/**
 * The same with one place changed: who was away longest takes it from who has the lowest head, of
 * those that are not trusted. As it was where nobody waits.
 */
export const rotated = (
  chosen: ReadonlyArray<Candidate>,
  candidates: ReadonlyArray<Candidate>,
): ReadonlyArray<Candidate> => {
  const ids = new Set(chosen.map(({ peerId }) => peerId))
  const [next] = candidates
    .filter(({ peerId }) => !ids.has(peerId))
    .sort((a, b) => (a.leftMs ?? -1) - (b.leftMs ?? -1) || b.head - a.head)
  const [goes] = chosen.filter(({ trusted }) => !trusted).sort((a, b) => a.head - b.head)
  if (next === undefined || goes === undefined) return chosen
  return chosen.map((one) => (one === goes ? next : one))
}
