/**
 * Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats, 0.0.4).
 * Pure: families of samples in, text out.
 */

/** One line. */
export interface Sample {
  /** Behind the family's name: `_bucket`, `_sum`, `_count` of a histogram. */
  readonly suffix?: "_bucket" | "_sum" | "_count"
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

/** What goes by one name. */
export interface Family {
  readonly name: string
  /** One line. */
  readonly help: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly samples: ReadonlyArray<Sample>
}

/** What the answer to a scrape is declared as. */
export const prometheusType = "text/plain; version=0.0.4; charset=utf-8"

/** The families as text; those without samples are left out. */
export const prometheusText = (families: ReadonlyArray<Family>): string =>
  families
    .filter(({ samples }) => samples.length > 0)
    .map(
      ({ name, help, type, samples }) =>
        `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n` +
        `# TYPE ${name} ${type}\n` +
        samples.map((sample) => line(name, sample)).join(""),
    )
    .join("")

/** The samples of a histogram: `buckets` are upper bounds and how many values are not above them. */
export const histogramSamples = (
  labels: Readonly<Record<string, string>>,
  buckets: ReadonlyArray<readonly [bound: number, count: number]>,
  { sum, count }: { readonly sum: number; readonly count: number },
): ReadonlyArray<Sample> => [
  ...buckets
    .filter(([bound]) => Number.isFinite(bound))
    .map(([bound, value]): Sample => ({
      suffix: "_bucket",
      labels: { ...labels, le: String(bound) },
      value,
    })),
  { suffix: "_bucket", labels: { ...labels, le: "+Inf" }, value: count },
  { suffix: "_sum", labels, value: sum },
  { suffix: "_count", labels, value: count },
]

const line = (name: string, { suffix, labels = {}, value }: Sample): string => {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
  return `${name}${suffix ?? ""}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}\n`
}

const escaped = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
