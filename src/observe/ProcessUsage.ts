/**
 * What this process has used: a service, so that a test can give exact figures.
 */
import { Context, Layer } from "effect"

/** Readings of the whole process, all threads. */
export interface ProcessUsageShape {
  /** Processor time since the process began, user and system, in milliseconds. */
  readonly cpuMs: () => number
  /** The most memory that was resident at once, in MiB. */
  readonly maxRssMib: () => number
}

/** See {@link ProcessUsageShape}. */
export class ProcessUsage extends Context.Tag("annals/ProcessUsage")<
  ProcessUsage,
  ProcessUsageShape
>() {
  /** What the operating system says. */
  static readonly layer: Layer.Layer<ProcessUsage> = Layer.sync(ProcessUsage, () => ({
    cpuMs: () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1000
    },
    // Linux and macOS through libuv: kibibytes.
    maxRssMib: () => process.resourceUsage().maxRSS / 1024,
  }))

  /** Readings of a test. */
  static readonly layerWith = (usage: ProcessUsageShape): Layer.Layer<ProcessUsage> =>
    Layer.succeed(ProcessUsage, usage)
}
