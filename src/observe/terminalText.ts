/**
 * Text made fit for a terminal.
 *
 * In: text that may hold what a peer sent (a client's name, a reason to disconnect). Out: one line
 * that moves no cursor, changes no colour and reorders no letters.
 */

/** Colour and cursor sequences (ECMA-48 CSI and OSC), so that they go as a whole. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const ESCAPES = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)?/g
/** What ends or splits a line, or stands in for a space. */
const BREAKS = /[\t\n\v\f\r\u0085\u2028\u2029]+/g
/** Other control characters, and those that reorder text (Unicode, Bidi_Control). */
const CONTROLS = /[\p{Cc}\p{Bidi_Control}]/gu

/** `text` without colour codes; line ends stay. */
export const stripEscapes = (text: string): string => text.replace(ESCAPES, "")

/** `text` as one line: breaks become one space, sequences and control characters are dropped. */
export const toLine = (text: string): string =>
  stripEscapes(text).replace(BREAKS, " ").replace(CONTROLS, "").trimEnd()

/** The part of `line` that fits `columns` cells with one left free, where the cursor stands. */
export const fitColumns = (line: string, columns: number): string => {
  const letters = Array.from(line)
  return letters.length < columns ? line : letters.slice(0, Math.max(0, columns - 1)).join("")
}
