/**
 * The help as plain text, made from the tables of flags.
 *
 * In: the commands, and which one is asked about. Out: lines of at most 80 columns without colour,
 * with the default of every flag that has one.
 */
import type { Flag, Flags } from "./flags.ts"

/** A command as the help shows it. */
export interface CommandHelp {
  /** One sentence. */
  readonly description: string
  readonly flags: Flags
}

/** What the help is made from. */
export interface HelpContents {
  readonly version: string
  /** One sentence on the program. */
  readonly description: string
  readonly commands: Readonly<Record<string, CommandHelp>>
  /** The words of `--log-level`. */
  readonly logLevels: ReadonlyArray<string>
}

const COLUMNS = 80

/** The help of one command, or of the whole program. */
export const helpText = (contents: HelpContents, command?: string): string => {
  const help = command === undefined ? undefined : contents.commands[command]
  const blocks =
    help === undefined
      ? [
          `annals ${contents.version}`,
          wrap(contents.description, 0),
          "Usage: annals COMMAND [FLAG...]",
          "Commands:",
          ...Object.entries(contents.commands).map(([name, { description }]) =>
            entry(name, description),
          ),
          everywhere(contents.logLevels),
        ]
      : [
          wrap(help.description, 0),
          `Usage: annals ${command} [FLAG...]`,
          "Flags:",
          ...Object.entries(help.flags).map(([name, flag]) => entry(title(name, flag), says(flag))),
          everywhere(contents.logLevels),
        ]
  return blocks.join("\n\n")
}

const everywhere = (logLevels: ReadonlyArray<string>): string =>
  [
    "Everywhere:",
    entry("--help, -h", "This help; with a command, the command's."),
    entry("--version", "The version."),
    entry("--completions sh|bash|fish|zsh", "A completion script for a shell."),
    entry(`--log-level ${logLevels.join("|")}`, "How much is logged on stderr. Default: info."),
    wrap(
      "Each flag can be set by a variable: ANNALS_MAX_PEERS is --max-peers; where a flag may be repeated, with commas between the values. The flag wins.",
      0,
    ),
  ].join("\n\n")

const title = (name: string, flag: Flag): string => {
  switch (flag.kind) {
    case "switch":
      return `--${name}`
    case "integer":
      return `--${name} NUMBER`
    case "choice":
      return `--${name} ${flag.choices.join("|")}`
    case "text":
      return `--${name} ${flag.placeholder}`
    case "list":
      return `--${name} ${flag.placeholder}${flag.severalValues === true ? "..." : ""}`
  }
}

const says = (flag: Flag): string => {
  const repeated = flag.kind === "list" ? " May be repeated." : ""
  const fallback =
    "default" in flag && flag.default !== undefined ? ` Default: ${flag.default}.` : ""
  return `${flag.description}${repeated}${fallback}`
}

const entry = (name: string, description: string): string => `  ${name}\n${wrap(description, 6)}`

/** Breaks `text` between words, each line behind `indent` spaces. */
const wrap = (text: string, indent: number): string => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && indent + line.length + 1 + word.length > COLUMNS) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line].map((one) => " ".repeat(indent) + one).join("\n")
}
