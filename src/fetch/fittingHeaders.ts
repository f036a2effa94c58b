/**
 * How much of a headers answer is kept. Pure.
 */

/** Headers that are kept, and what they hold of the budget of bytes. */
export interface FittingHeaders {
  readonly headers: ReadonlyArray<Uint8Array>
  readonly heldBytes: number
}

/**
 * The first headers of an answer that weigh `mostBytes` together, one at least: a batch holds them
 * while it waits for room for its parts, so a peer that makes them large must not fill the room.
 * Those of an answer that is cut are copies: a view would keep the whole answer in memory.
 */
export const fittingHeaders = (
  { headers, bytes }: { readonly headers: ReadonlyArray<Uint8Array>; readonly bytes: number },
  mostBytes: number,
): FittingHeaders => {
  if (bytes <= mostBytes) return { headers, heldBytes: bytes }
  const kept: Array<Uint8Array> = []
  let heldBytes = 0
  for (const header of headers) {
    if (kept.length > 0 && heldBytes + header.length > mostBytes) break
    kept.push(header.slice())
    heldBytes += header.length
  }
  return { headers: kept, heldBytes }
}
