/**
 * Values as SQLite gives them back, with the type that their column has. What a column cannot hold
 * by its definition is a bug and throws a TypeError.
 */

/** A row of a query: its values in the order of the columns. */
export type Row = ReadonlyArray<unknown>

/** The number in a column of integers. */
export const numberAt = (row: Row | undefined, column: number): number => {
  const value = row?.[column]
  if (typeof value !== "number") throw new TypeError(`column ${column} holds no number`)
  return value
}

/** The text in a column of texts. */
export const textAt = (row: Row | undefined, column: number): string => {
  const value = row?.[column]
  if (typeof value !== "string") throw new TypeError(`column ${column} holds no text`)
  return value
}

/** The bytes in a column of blobs, as a plain view. */
export const bytesAt = (row: Row | undefined, column: number): Uint8Array => {
  const value = row?.[column]
  if (!(value instanceof Uint8Array)) throw new TypeError(`column ${column} holds no bytes`)
  return new Uint8Array(value.buffer, value.byteOffset, value.length)
}
