/**
 * Makes a command line fit for the parser of @effect/cli, which drops or misreads some of what
 * people write: it ignores a repeated flag without a value, takes the next flag for a value, does
 * not see `--log-level` behind other flags, and reads no environment for repeated flags.
 *
 * In: the arguments as given, the environment, the flags of each command. Out: that help is asked
 * for; or arguments in which every flag is known, `--flag=value` is two words, each value passed
 * its flag's own check, and the environment has filled in what was not given; or one line that
 * says what is wrong.
 *
 * Invariants: a flag on the command line wins over its variable; `--help` wins over everything,
 * then `--version`; no argument is dropped in silence.
 */
import { accept, refuse, type Checked } from "./checked.ts"
import { badValue, environmentName, oneOf, parseSwitch, type Flag, type Flags } from "./flags.ts"

/** Variables by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The flags of each command by the command's name. */
export type Commands = Readonly<Record<string, Flags>>

/** The words of `--log-level`, from the library. */
export const logLevels: ReadonlyArray<string> = [
  "all",
  "trace",
  "debug",
  "info",
  "warning",
  "error",
  "fatal",
  "none",
]

/** Flags that every command has; the library acts on them. */
const builtIns = {
  "log-level": { kind: "choice", choices: logLevels, description: "" },
  completions: { kind: "choice", choices: ["sh", "bash", "fish", "zsh"], description: "" },
} satisfies Flags

/** Flags that were given, with their values, in the order of the command line. */
type Given = Map<string, Array<string>>

/** What a command line asks for. */
export type Prepared =
  | { readonly kind: "help"; readonly command: string | undefined }
  | { readonly kind: "parse"; readonly words: ReadonlyArray<string> }

const parse = (...words: ReadonlyArray<string>): Checked<Prepared> =>
  accept({ kind: "parse", words })

/** Prepares `argv` (without the runtime and the script) for the parser, or says what is wrong. */
export const prepareCommandLine = (
  argv: ReadonlyArray<string>,
  environment: Environment,
  commands: Commands,
): Checked<Prepared> => {
  if (argv.includes("--help") || argv.includes("-h")) {
    return accept({ kind: "help", command: argv.find((word) => Object.hasOwn(commands, word)) })
  }
  if (argv.includes("--version")) return parse("--version")
  const walked = walk(argv, commands)
  if (!walked.ok) return walked
  const { command, flags, given } = walked.value
  if (given.has("completions")) return parse("--completions", ...given.get("completions")!)
  if (command === undefined) {
    return refuse(`a command is needed: ${oneOf(Object.keys(commands))}; see annals --help`)
  }
  for (const [name, flag] of Object.entries(flags)) {
    if (given.has(name) || name === "completions") continue
    const filled = fromEnvironment(name, flag, environment)
    if (!filled.ok) return filled
    if (filled.value.length > 0) given.set(name, [...filled.value])
  }
  return parse(command, ...arrange(given, flags))
}

interface Walked {
  readonly command: string | undefined
  readonly flags: Flags
  readonly given: Given
}

const walk = (argv: ReadonlyArray<string>, commands: Commands): Checked<Walked> => {
  let command: string | undefined
  let flags: Flags = builtIns
  const given: Given = new Map()
  for (let at = 0; at < argv.length;) {
    const word = argv[at]!
    if (!word.startsWith("-")) {
      if (command !== undefined) return refuse(`unexpected argument "${word}"`)
      if (!Object.hasOwn(commands, word)) {
        return refuse(`unknown command "${word}"; there is ${Object.keys(commands).join(", ")}`)
      }
      command = word
      flags = { ...builtIns, ...commands[word] }
      at += 1
      continue
    }
    const taken = takeFlag(argv, at, flags, command)
    if (!taken.ok) return taken
    const { name, values, next } = taken.value
    const flag = flags[name]!
    if (given.has(name) && flag.kind !== "list") return refuse(`--${name} is given twice`)
    given.set(name, [...(given.get(name) ?? []), ...values])
    at = next
  }
  return accept({ command, flags, given })
}

interface Taken {
  readonly name: string
  readonly values: ReadonlyArray<string>
  /** Index of the first word behind the flag and its values. */
  readonly next: number
}

/** The flag at `argv[at]` with its values, each checked. */
const takeFlag = (
  argv: ReadonlyArray<string>,
  at: number,
  flags: Flags,
  command: string | undefined,
): Checked<Taken> => {
  const word = argv[at]!
  const equals = word.startsWith("--") ? word.indexOf("=") : -1
  const written = equals < 0 ? word : word.slice(0, equals)
  const name = written.startsWith("--") ? written.slice(2) : ""
  if (!Object.hasOwn(flags, name)) return refuse(unknownFlag(written, flags, command))
  const flag = flags[name]!
  const { values, next } =
    equals >= 0
      ? { values: [word.slice(equals + 1)], next: at + 1 }
      : followingValues(argv, at + 1, flag)
  if (values.length === 0 || values.includes("")) return refuse(`--${name} needs a value`)
  for (const value of values) {
    const reason = badValue(`--${name}`, flag, value)
    if (reason !== undefined) return refuse(reason)
  }
  return accept({ name, values, next })
}

const followingValues = (
  argv: ReadonlyArray<string>,
  from: number,
  flag: Flag,
): { readonly values: ReadonlyArray<string>; readonly next: number } => {
  if (flag.kind === "switch") return { values: ["true"], next: from }
  const most = flag.kind === "list" && flag.severalValues === true ? argv.length : from + 1
  let next = from
  while (next < most && next < argv.length && looksLikeValue(argv[next]!, flag)) next += 1
  return { values: argv.slice(from, next), next }
}

/** A negative number is passed on, so that the flag's own check can say what is wrong with it. */
const looksLikeValue = (word: string, flag: Flag): boolean =>
  !word.startsWith("-") || (flag.kind === "integer" && /^-\d/.test(word))

const unknownFlag = (written: string, flags: Flags, command: string | undefined): string => {
  const nearest = Object.keys(flags)
    .map((name) => ({ name, distance: editDistance(written.toLowerCase(), `--${name}`) }))
    .sort((a, b) => a.distance - b.distance)[0]
  const hint =
    nearest !== undefined && nearest.distance <= 2
      ? `; is --${nearest.name} meant?`
      : `; see annals ${command === undefined ? "" : `${command} `}--help`
  return `unknown flag ${written}${hint}`
}

/** Levenshtein's distance: how many letters to insert, delete or replace between two words. */
const editDistance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** The values that the environment gives a flag: none when its variable is unset or empty. */
const fromEnvironment = (
  name: string,
  flag: Flag,
  environment: Environment,
): Checked<ReadonlyArray<string>> => {
  const variable = environmentName(name)
  const text = (environment[variable] ?? "").trim()
  const parts = flag.kind === "list" ? text.split(",").map((part) => part.trim()) : [text]
  const values = parts.filter((part) => part !== "")
  for (const value of values) {
    const reason = badValue(variable, flag, value)
    if (reason !== undefined) return refuse(reason)
  }
  return accept(values)
}

const placeOf = (name: string): number => (Object.hasOwn(builtIns, name) ? 0 : 1)

/** The words for the parser: the built-in flags in front, where alone it finds them. */
const arrange = (given: Given, flags: Flags): ReadonlyArray<string> => {
  return [...given]
    .sort(([a], [b]) => placeOf(a) - placeOf(b))
    .flatMap(([name, values]) => values.flatMap((value) => wordsOf(name, flags[name]!, value)))
}

const wordsOf = (name: string, flag: Flag, value: string): ReadonlyArray<string> => {
  if (flag.kind !== "switch") return [`--${name}`, value]
  return parseSwitch(value) === true ? [`--${name}`] : []
}
