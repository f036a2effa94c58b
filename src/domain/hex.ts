/** Bytes as hexadecimal text and back. */

const HEX = /^(0x)?[0-9a-fA-F]*$/

/** Lower-case hex of `bytes`, without 0x. */
export const toHex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")

/** Lower-case hex of `bytes`, with 0x. */
export const toHex0x = (bytes: Uint8Array): string => `0x${toHex(bytes)}`

/** The bytes of a hex text, with or without 0x; undefined when it is none. */
export const parseHex = (text: string): Uint8Array | undefined =>
  text.length % 2 === 0 && HEX.test(text)
    ? Uint8Array.from(Buffer.from(text.replace(/^0x/, ""), "hex"))
    : undefined

/** The bytes of a hex text that is known to be one (a constant in the source). */
export const fromHex = (text: string): Uint8Array => {
  const bytes = parseHex(text)
  if (bytes === undefined) throw new Error(`not hex: ${text}`)
  return bytes
}

/** Whether two byte arrays hold the same bytes. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
