/*
 * RLPx frames (devp2p rlpx.md, "Framing" and "MAC"), opened and sealed where they lie: AES-256 in
 * counter mode by the processor's own instructions, which take the same time whatever the key and
 * the bytes, and the chained keccak of the MAC. One call a header and one a body, so that nothing is
 * allocated for either.
 *
 * Sources: FIPS 197, section 5.2 (key expansion); NIST SP 800-38A, section 6.5 (counter mode).
 */
#include "frames.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define WITH_AES __attribute__((target("aes,sse4.1,ssse3")))

enum {
  ROUNDS = 14,
  /* Blocks that are worked on at once: as many as hide how long an instruction takes. */
  WIDTH = 8,
  /* Bytes that are absorbed and then decrypted while they are in the first cache. */
  STRIDE_BYTES = 64 * FRAME_BLOCK_BYTES,
};

bool frames_supported(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1") &&
         __builtin_cpu_supports("ssse3");
}

/* Each word of a round key is the sum of all words up to its place, and of `last`. */
WITH_AES static __m128i next_round_key(__m128i key, __m128i last) {
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, last);
}

WITH_AES static void expand_key(const uint8_t *key, uint8_t *round_keys) {
  __m128i even = _mm_loadu_si128((const __m128i *)key);
  __m128i odd = _mm_loadu_si128((const __m128i *)(key + 16));
  uint8_t *to = round_keys;
#define PUT(round_key) (_mm_storeu_si128((__m128i *)to, round_key), to += 16)
/* The constant must be one of the instruction. */
#define EVEN(constant)                                                                             \
  even = next_round_key(even, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(odd, constant), 0xff)),  \
  PUT(even)
#define ODD                                                                                        \
  odd = next_round_key(odd, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(even, 0), 0xaa)), PUT(odd)
  PUT(even), PUT(odd);
  EVEN(0x01), ODD, EVEN(0x02), ODD, EVEN(0x04), ODD, EVEN(0x08), ODD;
  EVEN(0x10), ODD, EVEN(0x20), ODD, EVEN(0x40);
#undef PUT
#undef EVEN
#undef ODD
}

WITH_AES static __m128i round_key(const uint8_t *round_keys, int round) {
  return _mm_loadu_si128((const __m128i *)(round_keys + 16 * round));
}

WITH_AES static __m128i encrypt_block(const uint8_t *round_keys, __m128i block) {
  block = _mm_xor_si128(block, round_key(round_keys, 0));
  for (int i = 1; i < ROUNDS; i++) block = _mm_aesenc_si128(block, round_key(round_keys, i));
  return _mm_aesenclast_si128(block, round_key(round_keys, ROUNDS));
}

/* The counter is 128 bits, big-endian; its upper half would change after 2^64 blocks. */
WITH_AES static __m128i counter_block(uint64_t count) {
  return _mm_set_epi64x((long long)__builtin_bswap64(count), 0);
}

/* Encrypts, or decrypts, `length` bytes where they are: a multiple of 16. */
WITH_AES static void apply_key_stream(FrameState *state, uint8_t *bytes, size_t length) {
  const uint8_t *keys = state->frame_keys;
  uint64_t count = state->blocks;
  uint8_t *const end = bytes + length;
  for (; (size_t)(end - bytes) >= WIDTH * FRAME_BLOCK_BYTES; bytes += WIDTH * FRAME_BLOCK_BYTES) {
    __m128i blocks[WIDTH];
    const __m128i first = round_key(keys, 0), last = round_key(keys, ROUNDS);
    for (int i = 0; i < WIDTH; i++) blocks[i] = _mm_xor_si128(counter_block(count++), first);
    for (int round = 1; round < ROUNDS; round++) {
      const __m128i key = round_key(keys, round);
      for (int i = 0; i < WIDTH; i++) blocks[i] = _mm_aesenc_si128(blocks[i], key);
    }
    __m128i *at = (__m128i *)bytes;
    for (int i = 0; i < WIDTH; i++) {
      const __m128i stream = _mm_aesenclast_si128(blocks[i], last);
      _mm_storeu_si128(at + i, _mm_xor_si128(_mm_loadu_si128(at + i), stream));
    }
  }
  for (; bytes != end; bytes += FRAME_BLOCK_BYTES) {
    __m128i *at = (__m128i *)bytes;
    const __m128i stream = encrypt_block(keys, counter_block(count++));
    _mm_storeu_si128(at, _mm_xor_si128(_mm_loadu_si128(at), stream));
  }
  state->blocks = count;
}

static void read_digest(FrameState *state) {
  KeccakSponge sponge = state->mac;
  keccak_squeeze(&sponge, state->digest);
}

/* What both MACs end with: the digest, encrypted and mixed with `other`, goes into the state. */
WITH_AES static void absorb_seed(FrameState *state, const uint8_t *other) {
  const __m128i digest = _mm_loadu_si128((const __m128i *)state->digest);
  const __m128i mixed = _mm_loadu_si128((const __m128i *)other);
  uint8_t seed[FRAME_BLOCK_BYTES];
  _mm_storeu_si128((__m128i *)seed, _mm_xor_si128(encrypt_block(state->mac_keys, digest), mixed));
  keccak_absorb(&state->mac, seed, sizeof seed);
  read_digest(state);
}

/* Looks at all bytes, wherever the first is that differs. */
static bool same_mac(const uint8_t *digest, const uint8_t *mac) {
  uint8_t differences = 0;
  for (int i = 0; i < FRAME_MAC_BYTES; i++) differences |= digest[i] ^ mac[i];
  return differences == 0;
}

void frames_start(FrameState *state, const uint8_t *aes_key, const uint8_t *mac_key,
                  const uint8_t *seed, size_t seed_bytes) {
  memset(state, 0, sizeof *state);
  expand_key(aes_key, state->frame_keys);
  expand_key(mac_key, state->mac_keys);
  keccak_absorb(&state->mac, seed, seed_bytes);
  read_digest(state);
}

bool frames_open_header(FrameState *state, uint8_t *header) {
  absorb_seed(state, header);
  if (!same_mac(state->digest, header + FRAME_HEADER_BYTES)) return false;
  apply_key_stream(state, header, FRAME_HEADER_BYTES);
  return true;
}

bool frames_open_body(FrameState *state, uint8_t *body, size_t length) {
  for (size_t at = 0; at < length; at += STRIDE_BYTES) {
    const size_t stride = length - at < STRIDE_BYTES ? length - at : STRIDE_BYTES;
    keccak_absorb(&state->mac, body + at, stride);
    apply_key_stream(state, body + at, stride);
  }
  read_digest(state);
  uint8_t digest[FRAME_BLOCK_BYTES];
  memcpy(digest, state->digest, sizeof digest);
  absorb_seed(state, digest);
  return same_mac(state->digest, body + length);
}

void frames_seal(FrameState *state, uint8_t *frame, size_t length) {
  apply_key_stream(state, frame, FRAME_HEADER_BYTES);
  absorb_seed(state, frame);
  memcpy(frame + FRAME_HEADER_BYTES, state->digest, FRAME_MAC_BYTES);
  uint8_t *body = frame + FRAME_HEADER_BYTES + FRAME_MAC_BYTES;
  apply_key_stream(state, body, length);
  keccak_absorb(&state->mac, body, length);
  read_digest(state);
  uint8_t digest[FRAME_BLOCK_BYTES];
  memcpy(digest, state->digest, sizeof digest);
  absorb_seed(state, digest);
  memcpy(body + length, state->digest, FRAME_MAC_BYTES);
}

#else

bool frames_supported(void) { return false; }

void frames_start(FrameState *state, const uint8_t *aes_key, const uint8_t *mac_key,
                  const uint8_t *seed, size_t seed_bytes) {
  (void)state, (void)aes_key, (void)mac_key, (void)seed, (void)seed_bytes;
}

bool frames_open_header(FrameState *state, uint8_t *header) {
  (void)state, (void)header;
  return false;
}

bool frames_open_body(FrameState *state, uint8_t *body, size_t length) {
  (void)state, (void)body, (void)length;
  return false;
}

void frames_seal(FrameState *state, uint8_t *frame, size_t length) {
  (void)state, (void)frame, (void)length;
}

#endif
