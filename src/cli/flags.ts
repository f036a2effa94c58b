/**
 * Flags as data: what a command accepts, from which its help, its parser, its environment
 * variables and the check of single values are made.
 *
 * In: tables of flags by name, without the dashes. Out: the type of what a user gave for them
 * ({@link RawOptions}) and reasons why a value cannot be used. Rules that concern several flags
 * at once are each command's own (`syncOptions.ts`, `devnetOptions.ts`).
 */

/** A flag that takes any text. */
export interface TextFlag {
  readonly kind: "text"
  readonly placeholder: string
  readonly description: string
  readonly default?: string
}

/** A flag that takes one of a few words. */
export interface ChoiceFlag<Choice extends string = string> {
  readonly kind: "choice"
  readonly choices: ReadonlyArray<Choice>
  readonly description: string
  readonly default?: string
}

/** A flag that takes a whole number from `min` to `max`, both at most 2^53 - 1. */
export interface IntegerFlag {
  readonly kind: "integer"
  readonly min: number
  readonly max: number
  readonly description: string
  readonly default?: number
}

/** A flag that is there or not. */
export interface SwitchFlag {
  readonly kind: "switch"
  readonly description: string
}

/** A flag that may be repeated; `severalValues` lets one mention take values up to the next flag. */
export interface ListFlag {
  readonly kind: "list"
  readonly placeholder: string
  readonly description: string
  readonly severalValues?: boolean
}

/** Any flag. */
export type Flag = TextFlag | ChoiceFlag | IntegerFlag | SwitchFlag | ListFlag

/** The flags of a command by name, without dashes, in the order in which the help shows them. */
export type Flags = Readonly<Record<string, Flag>>

/** What a user gave for one flag; undefined, false and the empty list say nothing was given. */
export type RawValue<F extends Flag> = F extends IntegerFlag
  ? number | undefined
  : F extends SwitchFlag
    ? boolean
    : F extends ListFlag
      ? ReadonlyArray<string>
      : F extends ChoiceFlag<infer Choice>
        ? Choice | undefined
        : string | undefined

/** What a user gave for each flag of a table. Single values passed {@link badValue}. */
export type RawOptions<F extends Flags> = { readonly [Name in keyof F]: RawValue<F[Name]> }

/** The raw values of a command line without any flag. */
export const nothingGiven = <F extends Flags>(flags: F): RawOptions<F> => {
  const entries = Object.entries(flags).map(([name, flag]) => [name, blank(flag)] as const)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the record was made from the very table that the type is computed from
  return Object.fromEntries(entries) as RawOptions<F>
}

const blank = (flag: Flag): false | ReadonlyArray<string> | undefined => {
  if (flag.kind === "switch") return false
  return flag.kind === "list" ? [] : undefined
}

/** The largest whole number that a flag can take. */
export const maxInteger = Number.MAX_SAFE_INTEGER

/** The longest time in milliseconds that a timer of Node can wait. */
export const maxTimerMs = 2 ** 31 - 1

/** The environment variable that stands in for a flag: `max-peers` is `ANNALS_MAX_PEERS`. */
export const environmentName = (flagName: string): string =>
  `ANNALS_${flagName.toUpperCase().replaceAll("-", "_")}`

const INTEGER = /^-?\d+$/
const TRUE = new Set(["true", "yes", "on", "1"])
const FALSE = new Set(["false", "no", "off", "0"])

/** What a text says of a switch; undefined when it says neither. */
export const parseSwitch = (text: string): boolean | undefined => {
  const word = text.toLowerCase()
  if (TRUE.has(word)) return true
  return FALSE.has(word) ? false : undefined
}

/**
 * Why `text` is no value of `flag`, as one line; undefined when it is one. `source` is what the
 * user wrote it to: `--max-peers` or `ANNALS_MAX_PEERS`.
 */
export const badValue = (source: string, flag: Flag, text: string): string | undefined => {
  switch (flag.kind) {
    case "integer":
      return badInteger(source, flag, text)
    case "choice":
      return flag.choices.includes(text)
        ? undefined
        : `${source} must be ${oneOf(flag.choices)}, not "${text}"`
    case "switch":
      return parseSwitch(text) === undefined
        ? `${source} must be true or false, not "${text}"`
        : undefined
    case "text":
    case "list":
      return text.startsWith("-") ? `${source} needs a value, and "${text}" is none` : undefined
  }
}

const badInteger = (source: string, flag: IntegerFlag, text: string): string | undefined => {
  if (INTEGER.test(text)) {
    const value = Number(text)
    if (value >= flag.min && value <= flag.max) return undefined
  }
  const range =
    flag.max === maxInteger ? `of at least ${flag.min}` : `from ${flag.min} to ${flag.max}`
  const limit = Number(text) > maxInteger ? ` and at most ${maxInteger}` : ""
  return `${source} must be a whole number ${range}${limit}, not "${text}"`
}

/** Words as "a, b or c". */
export const oneOf = (words: ReadonlyArray<string>): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)!}`
