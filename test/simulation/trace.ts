/**
 * What happened in a simulated run, in order: a digest that tells two runs apart, and, where it is
 * asked for, lines to read.
 */

/** See the module. */
export class Trace {
  readonly lines: Array<string> = []
  readonly #keep: boolean
  readonly #now: () => number
  /** A text that differs from one process to another: the store's folder. */
  readonly #hidden: string
  #digest = 0x811c9dc5
  /** Events so far. */
  count = 0

  constructor(keep: boolean, now: () => number, hidden: string) {
    this.#keep = keep
    this.#now = now
    this.#hidden = hidden
  }

  /** Something happened: who, what. */
  note(who: string, said: string): void {
    this.count += 1
    const what = said.replaceAll(this.#hidden, "STORE")
    this.#mix(this.#now())
    for (let at = 0; at < who.length; at++) this.#mix(who.charCodeAt(at))
    for (let at = 0; at < what.length; at++) this.#mix(what.charCodeAt(at))
    if (this.#keep) this.lines.push(`${String(this.#now()).padStart(8)} ms  ${who}: ${what}`)
  }

  /** The same for two runs in which the same happened. */
  get digest(): string {
    return (this.#digest >>> 0).toString(16).padStart(8, "0")
  }

  #mix(value: number): void {
    this.#digest = Math.imul(this.#digest ^ (value | 0), 0x01000193)
  }
}
