/**
 * The WebAssembly module behind `keccakBatch.ts`, put together byte by byte: Keccak-256 of many
 * messages, two at a time in the halves of 128-bit registers.
 *
 * In: nothing. Out: the binary of a module that imports a memory `env.memory` and exports
 * `hashAll(jobs, jobsEnd)`. It works through a table of jobs in that memory, each three 32-bit
 * integers: where a message starts, its length, and where its 32-byte digest goes. Whichever half
 * is through with its message takes the next job, so messages of unlike lengths keep both busy.
 *
 * Invariants: a message is padded in place, so the bytes after it, up to the next multiple of 136
 * counted from its start, must be nobody's; digests may not overlap messages that are still to be
 * read. The first {@link RESERVED_BYTES} of the memory are the module's own.
 *
 * Sources: Keccak reference 3.0, section 1.2 (theta, rho, pi, chi, iota); the padding of before
 * FIPS 202; WebAssembly core specification 2.0, binary format.
 */

/** Bytes that a permutation absorbs: the rate of Keccak-256. */
export const RATE_BYTES = 136

/** Where a caller's part of the memory begins. */
export const RESERVED_BYTES = 512

/** Bytes of one job in the table. */
export const JOB_BYTES = 12

const LANES = 25
const ROUNDS = 24
/** The round constants lie at 0; a block of zeros, for a half that has no message, behind them. */
const ROUND_CONSTANTS = 0
const ZERO_BLOCK = 256

type Code = ReadonlyArray<number>

const join = (...parts: ReadonlyArray<Code>): Code => parts.flat()

// --------------------------------------------------------------------------- the binary format

const unsigned = (value: number): Code => {
  const bytes: Array<number> = []
  let rest = value
  do {
    const low = rest & 0x7f
    rest >>>= 7
    bytes.push(rest === 0 ? low : low | 0x80)
  } while (rest !== 0)
  return bytes
}

const signed = (value: number): Code => {
  const bytes: Array<number> = []
  let rest = value
  for (;;) {
    const low = rest & 0x7f
    rest >>= 7
    if ((rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40)) return [...bytes, low]
    bytes.push(low | 0x80)
  }
}

const section = (id: number, content: Code): Code => [id, ...unsigned(content.length), ...content]
const name = (text: string): Code => [text.length, ...new TextEncoder().encode(text)]

const I32 = 0x7f
const V128 = 0x7b
const VOID = 0x40

const get = (local: number): Code => [0x20, ...unsigned(local)]
const set = (local: number): Code => [0x21, ...unsigned(local)]
const tee = (local: number): Code => [0x22, ...unsigned(local)]
const constant = (value: number): Code => [0x41, ...signed(value)]
const block = (...body: ReadonlyArray<Code>): Code => [0x02, VOID, ...body.flat(), 0x0b]
const loop = (...body: ReadonlyArray<Code>): Code => [0x03, VOID, ...body.flat(), 0x0b]
const when = (then: Code, otherwise: Code = []): Code =>
  otherwise.length === 0
    ? [0x04, VOID, ...then, 0x0b]
    : [0x04, VOID, ...then, 0x05, ...otherwise, 0x0b]
/** Alignment is a hint in WebAssembly; none is given. */
const loadI32 = (offset: number): Code => [0x28, 0, ...unsigned(offset)]
const LOAD_BYTE: Code = [0x2d, 0, 0]
const STORE_BYTE: Code = [0x3a, 0, 0]
const ADD: Code = [0x6a]
const SUBTRACT: Code = [0x6b]
const REMAINDER: Code = [0x70]
const OR: Code = [0x72]
const IS_ZERO: Code = [0x45]
const EQUAL: Code = [0x46]
const BELOW: Code = [0x49]
const FILL: Code = [0xfc, 0x0b, 0]
const againIf = (depth: number): Code => [0x0d, depth]
const again = (depth: number): Code => [0x0c, depth]

const vector = (operation: number): Code => [0xfd, ...unsigned(operation)]
const loadSplat: Code = [...vector(0x0a), 0, 0]
const loadLow = (offset: number): Code => [...vector(0x5d), 0, ...unsigned(offset)]
const loadHigh = (offset: number): Code => [...vector(0x57), 0, ...unsigned(offset), 1]
const storeHalf = (offset: number, half: number): Code =>
  join(vector(0x5b), [0], unsigned(offset), [half])
const zeroHalf = (half: number): Code => [0x42, 0, ...vector(0x1e), half]
const XOR = vector(0x51)
const V_OR = vector(0x50)
const AND_NOT = vector(0x4f)
const SHIFT_LEFT = vector(0xcb)
const SHIFT_RIGHT = vector(0xcd)
const SHUFFLE = vector(0x0d)

// -------------------------------------------------------------------------------- the function

/** The locals; the first two are the parameters. A half is where its message is and ends, its digest. */
const JOBS = 0
const JOBS_END = 1
const HALVES = [
  { at: 2, end: 3, digest: 4 },
  { at: 5, end: 6, digest: 7 },
] as const
const ROUND = 8
const SCRATCH = 9
const LAST_I32 = 9
const STATE = 10
const NEXT = STATE + LANES
const PARITY = NEXT + LANES
const DELTA = PARITY + 5
const TURNED = DELTA + 1
const LAST_V128 = TURNED

/** Turns the 64-bit halves of what is on the stack left by `bits`. */
const rotate = (bits: number): Code => {
  if (bits === 0) return []
  if (bits % 8 === 0) {
    const shift = bits / 8
    const bytes = Array.from({ length: 16 }, (_, i) => (i & 8) + ((i - shift + 8) & 7))
    return [...tee(TURNED), ...get(TURNED), ...SHUFFLE, ...bytes]
  }
  return join(
    join(tee(TURNED), constant(bits), SHIFT_LEFT),
    join(get(TURNED), constant(64 - bits), SHIFT_RIGHT, V_OR),
  )
}

/** By how much rho turns lane x + 5y: the triangular numbers along the path that pi takes. */
const rotations = (): ReadonlyArray<number> => {
  const bits = Array.from({ length: LANES }, () => 0)
  let [x, y] = [1, 0]
  for (let step = 1; step < LANES; step++) {
    bits[x + 5 * y] = ((step * (step + 1)) / 2) % 64
    ;[x, y] = [y, (2 * x + 3 * y) % 5]
  }
  return bits
}

const roundCode = (): Code => {
  const code: Array<number> = []
  const emit = (...parts: ReadonlyArray<Code>) => code.push(...parts.flat())
  const turns = rotations()
  for (let x = 0; x < 5; x++) {
    emit(get(STATE + x))
    for (let y = 1; y < 5; y++) emit(get(STATE + x + 5 * y), XOR)
    emit(set(PARITY + x))
  }
  for (let x = 0; x < 5; x++) {
    emit(get(PARITY + ((x + 4) % 5)), get(PARITY + ((x + 1) % 5)), rotate(1), XOR, set(DELTA))
    for (let y = 0; y < 5; y++) {
      const lane = x + 5 * y
      emit(get(STATE + lane), get(DELTA), XOR, rotate(turns[lane]!))
      emit(set(NEXT + y + 5 * ((2 * x + 3 * y) % 5)))
    }
  }
  for (let y = 0; y < LANES; y += 5) {
    for (let x = 0; x < 5; x++) {
      const [after, afterThat] = [NEXT + y + ((x + 1) % 5), NEXT + y + ((x + 2) % 5)]
      emit(get(NEXT + y + x), get(afterThat), get(after), AND_NOT, XOR)
      if (x + y === 0) emit(get(ROUND), loadSplat, XOR)
      emit(set(STATE + y + x))
    }
  }
  return code
}

const permute = (): Code =>
  join(
    constant(ROUND_CONSTANTS),
    set(ROUND),
    loop(
      roundCode(),
      join(get(ROUND), constant(8), ADD, tee(ROUND)),
      join(constant(ROUND_CONSTANTS + 8 * ROUNDS), BELOW, againIf(0)),
    ),
  )

type Half = (typeof HALVES)[number]

/** Gives a half the next job and pads its message; without a job it idles over zeros for ever. */
const takeJob = ({ at, end, digest }: Half): Code => {
  const padding = SCRATCH
  const take = join(
    join(get(JOBS), loadI32(0), set(at)),
    join(get(JOBS), loadI32(8), set(digest)),
    // The padding begins where the message ends, and is 1 to 136 bytes.
    join(get(at), get(JOBS), loadI32(4), tee(padding), ADD, set(end)),
    join(constant(RATE_BYTES), get(padding), constant(RATE_BYTES), REMAINDER),
    join(SUBTRACT, set(padding)),
    join(get(end), constant(0), get(padding), FILL),
    join(get(end), constant(0x01), STORE_BYTE),
    join(get(end), get(padding), ADD, set(end)),
    join(get(end), constant(1), SUBTRACT, tee(padding)),
    join(get(padding), LOAD_BYTE, constant(0x80), OR, STORE_BYTE),
    join(get(JOBS), constant(JOB_BYTES), ADD, set(JOBS)),
  )
  const idle = join(constant(ZERO_BLOCK), set(at), constant(0), set(digest))
  return join(get(JOBS), get(JOBS_END), BELOW, when(take, idle))
}

/** Lets both halves absorb a block; an idle one absorbs the same zeros each time. */
const absorb = (): Code => {
  const code: Array<number> = []
  const [low, high] = HALVES
  for (let lane = 0; lane < RATE_BYTES / 8; lane++) {
    code.push(...get(STATE + lane), ...get(high.at), ...get(low.at))
    code.push(...loadLow(8 * lane), ...loadHigh(8 * lane), ...XOR, ...set(STATE + lane))
  }
  return code
}

/** Moves a half on by a block; at its message's end writes the digest and takes the next job. */
const advance = (index: 0 | 1): Code => {
  const half = HALVES[index]
  const finish: Array<number> = []
  for (let lane = 0; lane < 4; lane++) {
    finish.push(...get(half.digest), ...get(STATE + lane), ...storeHalf(8 * lane, index))
  }
  for (let lane = 0; lane < LANES; lane++) {
    finish.push(...get(STATE + lane), ...zeroHalf(index), ...set(STATE + lane))
  }
  const step = join(get(half.at), constant(RATE_BYTES), ADD, tee(half.at))
  const ended = join(step, get(half.end), EQUAL, when(join(finish, takeJob(half))))
  return join(get(half.digest), when(ended))
}

const hashAll = (): Code =>
  join(
    takeJob(HALVES[0]),
    takeJob(HALVES[1]),
    block(
      loop(
        // A digest never lies at 0: that is how a half says that it idles.
        join(get(HALVES[0].digest), get(HALVES[1].digest), OR, IS_ZERO, againIf(1)),
        absorb(),
        permute(),
        advance(0),
        advance(1),
        again(0),
      ),
    ),
  )

/** The round constants: bits of a shift register over x^8 + x^6 + x^5 + x^4 + 1, one a 2^j - 1. */
const roundConstants = (): Uint8Array => {
  const bytes = new Uint8Array(8 * ROUNDS)
  let register = 1
  for (let round = 0; round < ROUNDS; round++) {
    for (let j = 0; j < 7; j++) {
      const bit = 2 ** j - 1
      if ((register & 1) === 1) bytes[8 * round + (bit >> 3)]! |= 1 << (bit & 7)
      register = (register << 1) ^ (register >= 0x80 ? 0x171 : 0)
    }
  }
  return bytes
}

/** The module's binary; the same bytes each time. Building it takes about a millisecond. */
export const keccakModule = (): Uint8Array => {
  const locals = [2, ...unsigned(LAST_I32 - 1), I32, ...unsigned(LAST_V128 - LAST_I32), V128]
  const body = [...locals, ...hashAll(), 0x0b]
  const constants = roundConstants()
  return Uint8Array.from(
    join(
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, [1, 0x60, 2, I32, I32, 0]),
      section(2, join([1], name("env"), name("memory"), [2, 0, 1])),
      section(3, [1, 0]),
      section(7, join([1], name("hashAll"), [0, 0])),
      section(10, join([1], unsigned(body.length), body)),
      section(
        11,
        join([1, 0], constant(ROUND_CONSTANTS), [0x0b], unsigned(constants.length), [...constants]),
      ),
    ),
  )
}
