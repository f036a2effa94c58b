/*
 * Keccak-256: one message, a running state, and many messages at once in the lanes of vector
 * registers, eight with AVX-512, four with AVX2. What is exported is described in keccak.h.
 *
 * Sources: Keccak reference 3.0, section 1.2 (theta, rho, pi, chi, iota); the padding of before
 * FIPS 202, as Ethereum uses it.
 */
#include "keccak.h"

#include <stdbool.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines"
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#define WITH_VECTORS 1
#include <immintrin.h>
#define TARGET(features) __attribute__((target(features)))
#else
#define WITH_VECTORS 0
#define TARGET(features)
#endif

enum {
  RATE_BYTES = 136,
  RATE_LANES = RATE_BYTES / 8,
  LANES = KECCAK_STATE_LANES,
  ROUNDS = 24,
  DIGEST_BYTES = KECCAK_DIGEST_BYTES,
  MOST_VECTOR_LANES = 8,
};

static const uint64_t ROUND_CONSTANTS[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

/*
 * A round from A to B, written once for every kind of word W. What a word can do is defined before
 * it is used: XOR, XOR3, CHI (a ^ (~b & c)) and ROL. PLANE makes one plane of B out of five lanes
 * of A, each named with the parities before and after its own and by how much rho turns it.
 */
#define TURNED(A, lane, before, after, bits) ROL(XOR3(A[lane], before, after), bits)
#define PLANE(B, first)                                                                            \
  B[first] = CHI(b0, b1, b2), B[first + 1] = CHI(b1, b2, b3), B[first + 2] = CHI(b2, b3, b4),      \
  B[first + 3] = CHI(b3, b4, b0), B[first + 4] = CHI(b4, b0, b1)
#define PARITY(A, x) XOR3(XOR3(A[x], A[x + 5], A[x + 10]), A[x + 15], A[x + 20])
#define ROUND(W, A, B, CONSTANT)                                                                   \
  do {                                                                                             \
    W c0 = PARITY(A, 0), c1 = PARITY(A, 1), c2 = PARITY(A, 2), c3 = PARITY(A, 3);                  \
    W c4 = PARITY(A, 4);                                                                           \
    W r0 = ROL(c0, 1), r1 = ROL(c1, 1), r2 = ROL(c2, 1), r3 = ROL(c3, 1), r4 = ROL(c4, 1);         \
    W b0 = XOR3(A[0], c4, r1), b1 = TURNED(A, 6, c0, r2, 44), b2 = TURNED(A, 12, c1, r3, 43);      \
    W b3 = TURNED(A, 18, c2, r4, 21), b4 = TURNED(A, 24, c3, r0, 14);                              \
    PLANE(B, 0);                                                                                   \
    B[0] = XOR(B[0], CONSTANT);                                                                    \
    b0 = TURNED(A, 3, c2, r4, 28), b1 = TURNED(A, 9, c3, r0, 20), b2 = TURNED(A, 10, c4, r1, 3);   \
    b3 = TURNED(A, 16, c0, r2, 45), b4 = TURNED(A, 22, c1, r3, 61);                                \
    PLANE(B, 5);                                                                                   \
    b0 = TURNED(A, 1, c0, r2, 1), b1 = TURNED(A, 7, c1, r3, 6), b2 = TURNED(A, 13, c2, r4, 25);    \
    b3 = TURNED(A, 19, c3, r0, 8), b4 = TURNED(A, 20, c4, r1, 18);                                 \
    PLANE(B, 10);                                                                                  \
    b0 = TURNED(A, 4, c3, r0, 27), b1 = TURNED(A, 5, c4, r1, 36), b2 = TURNED(A, 11, c0, r2, 10);  \
    b3 = TURNED(A, 17, c1, r3, 15), b4 = TURNED(A, 23, c2, r4, 56);                                \
    PLANE(B, 15);                                                                                  \
    b0 = TURNED(A, 2, c1, r3, 62), b1 = TURNED(A, 8, c2, r4, 55), b2 = TURNED(A, 14, c3, r0, 39);  \
    b3 = TURNED(A, 15, c4, r1, 41), b4 = TURNED(A, 21, c0, r2, 2);                                 \
    PLANE(B, 20);                                                                                  \
  } while (0)

/* -------------------------------------------------------------------------------- one message */

#define XOR(a, b) ((a) ^ (b))
#define XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define CHI(a, b, c) ((a) ^ (~(b) & (c)))
#define ROL(a, n) (((a) << (n)) | ((a) >> (64 - (n))))
#define PERMUTE                                                                                    \
  uint64_t a[LANES], b[LANES];                                                                     \
  memcpy(a, state, sizeof a);                                                                      \
  for (int round = 0; round < ROUNDS; round += 2) {                                                \
    ROUND(uint64_t, a, b, ROUND_CONSTANTS[round]);                                                 \
    ROUND(uint64_t, b, a, ROUND_CONSTANTS[round + 1]);                                             \
  }                                                                                                \
  memcpy(state, a, sizeof a);

static void permute_plain(uint64_t *state) { PERMUTE }
#if WITH_VECTORS
TARGET("bmi,bmi2") static void permute_bmi(uint64_t *state) { PERMUTE }
#endif
#undef PERMUTE
#undef XOR
#undef XOR3
#undef CHI
#undef ROL

static void (*permute)(uint64_t *state) = permute_plain;

static void absorb_block(uint64_t *lanes, const uint8_t *block) {
  for (int i = 0; i < RATE_LANES; i++) {
    uint64_t word;
    memcpy(&word, block + 8 * i, 8);
    lanes[i] ^= word;
  }
  permute(lanes);
}

void keccak_absorb(KeccakSponge *sponge, const uint8_t *data, size_t length) {
  uint8_t *bytes = (uint8_t *)sponge->lanes;
  sponge->filled %= RATE_BYTES;
  while (length > 0) {
    if (sponge->filled == 0 && length >= RATE_BYTES) {
      absorb_block(sponge->lanes, data);
      data += RATE_BYTES;
      length -= RATE_BYTES;
      continue;
    }
    if (sponge->filled % 8 == 0 && length >= 8) {
      uint64_t word;
      memcpy(&word, data, 8);
      sponge->lanes[sponge->filled / 8] ^= word;
      sponge->filled += 8;
      data += 8;
      length -= 8;
    } else {
      bytes[sponge->filled++] ^= *data++;
      length -= 1;
    }
    if (sponge->filled == RATE_BYTES) {
      permute(sponge->lanes);
      sponge->filled = 0;
    }
  }
}

void keccak_squeeze(KeccakSponge *sponge, uint8_t *digest) {
  uint8_t *bytes = (uint8_t *)sponge->lanes;
  sponge->filled %= RATE_BYTES;
  bytes[sponge->filled] ^= 0x01;
  bytes[RATE_BYTES - 1] ^= 0x80;
  permute(sponge->lanes);
  memcpy(digest, sponge->lanes, DIGEST_BYTES);
}

/* ------------------------------------------------------------------------------- many messages */

#if WITH_VECTORS

/* A state for each vector lane: words[i][lane]. */
typedef struct {
  uint64_t words[LANES][MOST_VECTOR_LANES];
} __attribute__((aligned(64))) States;

#define XOR(a, b) _mm512_xor_si512(a, b)
#define XOR3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define CHI(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xd2)
#define ROL(a, n) _mm512_rol_epi64(a, n)
/* Absorbs a block of each of eight messages, unless there are none, and permutes. */
TARGET("avx512f") static void step_8(States *states, const uint8_t *const *blocks) {
  __m512i a[LANES], b[LANES];
  for (int i = 0; i < LANES; i++) a[i] = _mm512_load_si512(states->words[i]);
  const __m512i at = blocks == NULL ? _mm512_setzero_si512() : _mm512_loadu_si512(blocks);
  for (int i = 0; blocks != NULL && i < RATE_LANES; i++) {
    const __m512i words = _mm512_i64gather_epi64(at, (const void *)(uintptr_t)(8 * i), 1);
    a[i] = XOR(a[i], words);
  }
  for (int round = 0; round < ROUNDS; round += 2) {
    ROUND(__m512i, a, b, _mm512_set1_epi64((long long)ROUND_CONSTANTS[round]));
    ROUND(__m512i, b, a, _mm512_set1_epi64((long long)ROUND_CONSTANTS[round + 1]));
  }
  for (int i = 0; i < LANES; i++) _mm512_store_si512(states->words[i], a[i]);
}
#undef XOR
#undef XOR3
#undef CHI
#undef ROL

#define XOR(a, b) _mm256_xor_si256(a, b)
#define XOR3(a, b, c) XOR(XOR(a, b), c)
#define CHI(a, b, c) XOR(a, _mm256_andnot_si256(b, c))
#define ROL(a, n) _mm256_or_si256(_mm256_slli_epi64(a, n), _mm256_srli_epi64(a, 64 - (n)))
/* Absorbs a block of each of four messages, unless there are none, and permutes. */
TARGET("avx2") static void step_4(States *states, const uint8_t *const *blocks) {
  __m256i a[LANES], b[LANES];
  for (int i = 0; i < LANES; i++) a[i] = _mm256_load_si256((const __m256i *)states->words[i]);
  for (int i = 0; blocks != NULL && i < RATE_LANES; i++) {
    long long words[4];
    for (int lane = 0; lane < 4; lane++) memcpy(&words[lane], blocks[lane] + 8 * i, 8);
    a[i] = XOR(a[i], _mm256_set_epi64x(words[3], words[2], words[1], words[0]));
  }
  for (int round = 0; round < ROUNDS; round += 2) {
    ROUND(__m256i, a, b, _mm256_set1_epi64x((long long)ROUND_CONSTANTS[round]));
    ROUND(__m256i, b, a, _mm256_set1_epi64x((long long)ROUND_CONSTANTS[round + 1]));
  }
  for (int i = 0; i < LANES; i++) _mm256_store_si256((__m256i *)states->words[i], a[i]);
}
#undef XOR
#undef XOR3
#undef CHI
#undef ROL

/* The message that a vector lane is in the middle of; without one it idles over zeros. */
typedef struct {
  const uint8_t *end;
  uint8_t *digest;
} Message;

static const uint8_t ZEROS[RATE_BYTES] = {0};

/*
 * Works through the table. A lane that is through with its message takes the next, so that
 * messages of unlike lengths keep all of them busy. Messages are padded in place.
 */
static void hash_many(uint8_t *memory, size_t memory_bytes, const KeccakJob *job,
                      const KeccakJob *jobs_end, int lanes,
                      void (*step)(States *, const uint8_t *const *)) {
  States states;
  Message messages[MOST_VECTOR_LANES] = {{0}};
  const uint8_t *blocks[MOST_VECTOR_LANES];
  int busy = 0;
  memset(&states, 0, sizeof states);
  for (int lane = 0; lane < MOST_VECTOR_LANES; lane++) blocks[lane] = ZEROS;
  do {
    for (int lane = 0; lane < lanes; lane++) {
      Message *message = &messages[lane];
      if (message->digest == NULL) {
        if (job == jobs_end) continue;
        /* A copy: padding that runs into the table must not change what was looked at. */
        KeccakJob now;
        memcpy(&now, job, sizeof now);
        job += 1;
        const size_t length = now.length;
        const size_t padded = length - length % RATE_BYTES + RATE_BYTES;
        /* A job outside the memory is the caller's fault; it may cost a digest, not the process. */
        if ((size_t)now.at + padded > memory_bytes ||
            (size_t)now.digest_at + DIGEST_BYTES > memory_bytes) {
          lane -= 1;
          continue;
        }
        uint8_t *start = memory + now.at;
        memset(start + length, 0, padded - length);
        start[length] = 0x01;
        start[padded - 1] |= 0x80;
        blocks[lane] = start;
        message->end = start + padded;
        message->digest = memory + now.digest_at;
        for (int i = 0; i < LANES; i++) states.words[i][lane] = 0;
        busy += 1;
      }
    }
    if (busy == 0) return;
    step(&states, blocks);
    for (int lane = 0; lane < lanes; lane++) {
      Message *message = &messages[lane];
      if (message->digest == NULL) continue;
      blocks[lane] += RATE_BYTES;
      if (blocks[lane] != message->end) continue;
      for (int i = 0; i < DIGEST_BYTES / 8; i++) {
        memcpy(message->digest + 8 * i, &states.words[i][lane], 8);
      }
      message->digest = NULL;
      blocks[lane] = ZEROS;
      busy -= 1;
    }
  } while (busy > 0 || job != jobs_end);
}

/* Sets the three bits that a digest stands for (yellow paper 4.3.1, formulas 26 to 30). */
static void set_bits(uint8_t *filter, uint64_t digest) {
  for (int i = 0; i < 3; i++) {
    const unsigned high = (digest >> (16 * i)) & 0xff, low = (digest >> (16 * i + 8)) & 0xff;
    const unsigned bit = (high << 8 | low) & 2047;
    filter[KECCAK_BLOOM_BYTES - 1 - (bit >> 3)] |= (uint8_t)(1u << (bit & 7));
  }
}

static bool fits(const KeccakItem *item, size_t source_bytes, size_t filters_bytes) {
  return item->length <= KECCAK_ITEM_BYTES && (size_t)item->at + item->length <= source_bytes &&
         (size_t)item->filter_at + KECCAK_BLOOM_BYTES <= filters_bytes;
}

void keccak_blooms(const uint8_t *source, size_t source_bytes, const KeccakItem *items,
                   size_t count, uint8_t *filters, size_t filters_bytes, uint8_t *total,
                   int lanes) {
  States states;
  for (size_t first = 0; first < count; first += (size_t)lanes) {
    const KeccakItem *group = items + first;
    const int busy = count - first < (size_t)lanes ? (int)(count - first) : lanes;
    memset(&states, 0, sizeof states);
    /* An item and its padding are one block, of which only the ends are not zeros. */
    for (int lane = 0; lane < busy; lane++) {
      uint8_t block[KECCAK_ITEM_BYTES + 8] = {0};
      if (!fits(&group[lane], source_bytes, filters_bytes)) continue;
      memcpy(block, source + group[lane].at, group[lane].length);
      block[group[lane].length] = 0x01;
      for (size_t i = 0; i < sizeof block / 8; i++) memcpy(&states.words[i][lane], block + 8 * i, 8);
      states.words[RATE_LANES - 1][lane] = (uint64_t)1 << 63;
    }
    if (lanes == 8) step_8(&states, NULL);
    else step_4(&states, NULL);
    for (int lane = 0; lane < busy; lane++) {
      if (!fits(&group[lane], source_bytes, filters_bytes)) continue;
      set_bits(filters + group[lane].filter_at, states.words[0][lane]);
      set_bits(total, states.words[0][lane]);
    }
  }
}

int keccak_lanes(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return 8;
  if (__builtin_cpu_supports("avx2")) return 4;
  return 1;
}

void keccak_hash_many(uint8_t *memory, size_t memory_bytes, const KeccakJob *jobs,
                      const KeccakJob *jobs_end, int lanes) {
  hash_many(memory, memory_bytes, jobs, jobs_end, lanes, lanes == 8 ? step_8 : step_4);
}

void keccak_init(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")) permute = permute_bmi;
}

#else

int keccak_lanes(void) { return 1; }

void keccak_hash_many(uint8_t *memory, size_t memory_bytes, const KeccakJob *jobs,
                      const KeccakJob *jobs_end, int lanes) {
  (void)memory, (void)memory_bytes, (void)jobs, (void)jobs_end, (void)lanes;
}

void keccak_blooms(const uint8_t *source, size_t source_bytes, const KeccakItem *items,
                   size_t count, uint8_t *filters, size_t filters_bytes, uint8_t *total,
                   int lanes) {
  (void)source, (void)source_bytes, (void)items, (void)count;
  (void)filters, (void)filters_bytes, (void)total, (void)lanes;
}

void keccak_init(void) {}

#endif
