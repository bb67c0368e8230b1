// Models of the Llama family on processors with AVX-512: VNNI for the matrices, BF16 for attention.
// Where the processor has AMX as well, it multiplies matrices with many rows, to the same bits.
//
// A step is one call. Its threads go through all layers together and meet after each part of a
// layer; within a part they take tasks from a common counter. What is computed for a row depends
// on nothing but its own sequence: not on the other rows, nor on how a prompt is cut into chunks.
//
// Weights are unsigned bytes with a step and a lowest value for each output; activations are
// quantized row by row to signed bytes, with a scale for each group of inputs. Sums of products are
// exact integers within a group. The residual stream, the norms and the softmax are float32.

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

// Arrays stay in registers only where every loop over them is unrolled.
#define ALL _Pragma("GCC unroll 16")
// The two ways to multiply, inlined into one function, spill: 32 rows took a fifth longer by VNNI.
#define APART __attribute__((noinline))

namespace {

constexpr int kPanel = 16;      // outputs of a matrix whose weights lie together
constexpr int kTileRows = 6;    // rows that share the weights in registers
constexpr int kTaskTiles = 16;  // tiles of rows in one task
constexpr int kAmxLines = 16;   // lines of a register of AMX: rows that share its weights
constexpr int kAmxRows = 2 * kAmxLines;  // rows that are multiplied together by AMX
constexpr int kTaskAmxRows = 3;          // times so many rows in one task
constexpr int kLine = 64;       // bytes that the processor fetches together
constexpr int kSmallestGroup = 64;  // inputs that share a scale
constexpr int kBlock = 32;      // tokens in a block of the cache
constexpr int kSpins = 500;     // looks at a flag before a thread sleeps: some 9 microseconds

// ---------------------------------------------------------------------------- threads

// Threads that run the same function and share out its loops.
class Team {
 public:
  explicit Team(int size) : size_(size) {
    for (int i = 1; i < size; ++i) {
      threads_.emplace_back([this] {
        for (int seen = 0;; ++seen) {
          await(started_, seen);
          if (stopping_) return;
          job_();
          meet();
        }
      });
    }
  }

  ~Team() {
    stopping_ = true;
    start();
    for (auto& thread : threads_) thread.join();
  }

  // Runs the job on every thread.
  void run(std::function<void()> job) {
    job_ = std::move(job);
    start();
    job_();
    meet();
  }

  // Gives the tasks to whichever thread is free; returns when all are done.
  template <class Body>
  void share(int tasks, Body&& body) {
    for (int task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < tasks;) body(task);
    meet();
  }

  int size() const { return size_; }

 private:
  // Waits for all threads; the last one to come sets the counter back.
  void meet() {
    const int turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      next_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      turn_.notify_all();
    } else {
      await(turn_, turn);
    }
  }

  void start() {
    started_.fetch_add(1, std::memory_order_release);
    started_.notify_all();
  }

  static void await(const std::atomic<int>& flag, int old) {
    for (int i = 0; i < kSpins; ++i) {
      if (flag.load(std::memory_order_acquire) != old) return;
      _mm_pause();
    }
    flag.wait(old, std::memory_order_acquire);
  }

  const int size_;
  std::vector<std::thread> threads_;
  std::function<void()> job_;
  bool stopping_ = false;
  alignas(64) std::atomic<int> started_{0};
  alignas(64) std::atomic<int> next_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<int> turn_{0};
};

// Memory that grows and is never cleared.
template <class T>
class Buffer {
 public:
  T* at_least(size_t count) {
    if (count > count_) {
      data_.reset(static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 63) / 64 * 64)));
      count_ = count;
    }
    return data_.get();
  }
  T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* pointer) const { std::free(pointer); }
  };
  std::unique_ptr<T, Free> data_;
  size_t count_ = 0;
};

// ---------------------------------------------------------------------------- numbers

inline __m512 exp_of(__m512 x) {
  // 2^(n + f) with f in [-1/2, 1/2]: the power series of 2^f to the sixth order, error below 2^-22.
  const __m512 y = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(y, n);
  __m512 p = _mm512_set1_ps(1.54035304e-4f);
  for (float c : {1.33335581e-3f, 9.61812911e-3f, 5.55041087e-2f, 2.40226507e-1f, 6.93147181e-1f,
                  1.0f}) {
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(c));
  }
  const __mmask16 counts = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0f), _CMP_GT_OQ);
  return _mm512_maskz_scalef_ps(counts, p, n);  // exactly 0 for what is masked
}

inline __m512 silu(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  return _mm512_div_ps(x, _mm512_add_ps(one, exp_of(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

inline void store_bf16(uint16_t* place, __m512 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(place),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}

inline __m512 from_bf16(const uint16_t* x) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

inline __m512i pairs(const void* x) {
  return _mm512_loadu_si512(x);
}

// The intrinsic of this one makes GCC 12 copy every sum at every step; assembly does not.
inline void add_products(__m512i& sum, __m512i bytes, __m512i signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(signed_bytes));
}

inline void add_products(__m512& sum, __m512i pairs, __m512i other_pairs) {
  sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(pairs),
                         reinterpret_cast<__m512bh>(other_pairs));
}

inline __m512i same_four(const int8_t* x) {
  return _mm512_set1_epi32(*reinterpret_cast<const int*>(x));
}

inline __m512i same_pair(const uint16_t* x) {
  return _mm512_set1_epi32(*reinterpret_cast<const int*>(x));
}

// ---------------------------------------------------------------------------- matrices

struct Matrix {
  const uint8_t* weights;  // by panel, four inputs, output, input
  const float* step;
  const float* low;
  const float* bias;  // null if there is none
  int outputs, inputs, group;
};

// Rows of activations as a matrix takes them.
struct Quantized {
  Buffer<int8_t> values;
  Buffer<float> scales;  // of each group of each row
  Buffer<float> sums;    // of each row, of what the bytes stand for

  void at_least(int rows, int width) {
    const int lines = (rows + kAmxLines - 1) / kAmxLines * kAmxLines;  // AMX reads whole registers
    values.at_least(size_t(lines) * width);
    scales.at_least(size_t(rows) * width / kSmallestGroup);
    sums.at_least(rows);
  }
};

// Quantizes a row, after RMSNorm if `norm` has its weights.
void quantize(const float* x, const float* norm, float epsilon, const Matrix& next, int row,
              Quantized& out) {
  const int width = next.inputs, group = next.group;
  __m512 factor = _mm512_set1_ps(1.0f);
  if (norm) {
    __m512 squares = _mm512_setzero_ps();
    for (int i = 0; i < width; i += 16) {
      const __m512 v = _mm512_loadu_ps(x + i);
      squares = _mm512_fmadd_ps(v, v, squares);
    }
    factor = _mm512_set1_ps(1.0f / std::sqrt(_mm512_reduce_add_ps(squares) / width + epsilon));
  }
  const auto value = [&](int i) {
    const __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), factor);
    return norm ? _mm512_mul_ps(v, _mm512_loadu_ps(norm + i)) : v;
  };
  int8_t* bytes = out.values.get() + size_t(row) * width;
  float* scales = out.scales.get() + size_t(row) * (width / group);
  float sum = 0;
  for (int begin = 0; begin < width; begin += group) {
    __m512 most = _mm512_setzero_ps();
    for (int i = begin; i < begin + group; i += 16) {
      most = _mm512_max_ps(most, _mm512_abs_ps(value(i)));
    }
    const float largest = _mm512_reduce_max_ps(most);
    const __m512 per_unit = _mm512_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
    __m512i total = _mm512_setzero_si512();
    for (int i = begin; i < begin + group; i += 16) {
      const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(value(i), per_unit));
      total = _mm512_add_epi32(total, q);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes + i), _mm512_cvtsepi32_epi8(q));
    }
    scales[begin / group] = largest / 127.0f;
    sum += scales[begin / group] * float(_mm512_reduce_add_epi32(total));
  }
  out.sums.get()[row] = sum;
}

// Weights to fetch from memory while others are multiplied: so many lines with every four inputs.
struct Ahead {
  const uint8_t* weights;
  int lines;
};

// From sums of products by group, in units of a step, to results; hands them on.
template <int P, class Store>
inline __attribute__((always_inline)) void finish(const Matrix& w, int first_panel,
                                                  const Quantized& x, int row,
                                                  const __m512* results, Store&& store) {
  const __m512 sum = _mm512_set1_ps(x.sums.get()[row]);
  __m512 y[P];
  ALL for (int p = 0; p < P; ++p) {
    const int output = (first_panel + p) * kPanel;
    y[p] = _mm512_fmadd_ps(results[p], _mm512_loadu_ps(w.step + output),
                           _mm512_mul_ps(sum, _mm512_loadu_ps(w.low + output)));
    if (w.bias) y[p] = _mm512_add_ps(y[p], _mm512_loadu_ps(w.bias + output));
  }
  store(row, first_panel, y);
}

// R rows times P panels. `store` is given each row, the panel and its sixteen results.
template <int R, int P, class Store>
inline void multiply_tile(const Matrix& w, int first_panel, const Quantized& x, int first_row,
                          Ahead ahead, Store&& store) {
  const int groups = w.inputs / w.group;
  const size_t panel_bytes = size_t(kPanel) * w.inputs;
  const uint8_t* weights = w.weights + first_panel * panel_bytes;
  const int8_t* values = x.values.get() + size_t(first_row) * w.inputs;
  const float* scales = x.scales.get() + size_t(first_row) * groups;
  __m512 results[R][P] = {};
  for (int g = 0; g < groups; ++g) {
    __m512i sums[R][P];
    ALL for (int r = 0; r < R; ++r) {
      ALL for (int p = 0; p < P; ++p) sums[r][p] = _mm512_setzero_si512();
    }
    for (int k = g * w.group; k < (g + 1) * w.group; k += 4) {
      for (int i = 0; i < ahead.lines; ++i, ahead.weights += kLine) {
        _mm_prefetch(ahead.weights, _MM_HINT_T1);
      }
      __m512i panel[P];
      ALL for (int p = 0; p < P; ++p) {
        panel[p] = _mm512_load_si512(weights + p * panel_bytes + k * kPanel);
      }
      ALL for (int r = 0; r < R; ++r) {
        const __m512i four = same_four(values + size_t(r) * w.inputs + k);
        ALL for (int p = 0; p < P; ++p) add_products(sums[r][p], panel[p], four);
      }
    }
    ALL for (int r = 0; r < R; ++r) {
      const __m512 scale = _mm512_set1_ps(scales[r * groups + g]);
      ALL for (int p = 0; p < P; ++p) {
        results[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][p]), scale, results[r][p]);
      }
    }
  }
  ALL for (int r = 0; r < R; ++r) finish<P>(w, first_panel, x, first_row + r, results[r], store);
}

template <int P, class Store>
void multiply_rows(const Matrix& w, int panel, const Quantized& x, int row, int rows, Ahead ahead,
                   Store&& store) {
  switch (rows) {
    case 1: return multiply_tile<1, P>(w, panel, x, row, ahead, store);
    case 2: return multiply_tile<2, P>(w, panel, x, row, ahead, store);
    case 3: return multiply_tile<3, P>(w, panel, x, row, ahead, store);
    case 4: return multiply_tile<4, P>(w, panel, x, row, ahead, store);
    case 5: return multiply_tile<5, P>(w, panel, x, row, ahead, store);
    case 6: return multiply_tile<6, P>(w, panel, x, row, ahead, store);
  }
}

template <int P, class Store>
void multiply_panels(Team& team, const Matrix& w, const Quantized& x, int rows, Store&& store) {
  const int tiles = (rows + kTileRows - 1) / kTileRows;  // of nearly equal height
  const int stretches = (tiles + kTaskTiles - 1) / kTaskTiles;
  // While a task's first tile waits for memory, the others do not. So they fetch the weights of the
  // task that this thread probably gets next, each its part.
  const int lines = stretches > 1 || tiles == 1 ? 0 : (P + tiles - 2) / (tiles - 1);
  team.share(w.outputs / (kPanel * P) * stretches, [&](int task) {
    const int panel = task / stretches * P, stretch = task % stretches;
    const uint8_t* next = w.weights + size_t(panel + P * team.size()) * kPanel * w.inputs;
    for (int t = stretch * tiles / stretches; t < (stretch + 1) * tiles / stretches; ++t) {
      const int begin = t * rows / tiles, end = (t + 1) * rows / tiles;
      const int fetched = (t - 1) * lines * (w.inputs / 4);
      const Ahead ahead = t == 0 ? Ahead{} : Ahead{next + size_t(fetched) * kLine, lines};
      multiply_rows<P>(w, panel, x, begin, end - begin, ahead, store);
    }
  });
}

// Multiplies all rows. `store` is given a row, the first of its panels, and their results.
template <class Store>
APART void multiply_by_vnni(Team& team, const Matrix& w, const Quantized& x, int rows,
                            Store&& store) {
  // Wide tiles are faster, if there are enough of them to keep all threads busy to the end.
  const int tasks = w.outputs / (kPanel * 4) * (rows / (kTileRows * kTaskTiles) + 1);
  if (w.outputs % (kPanel * 4) == 0 && tasks >= 16 * team.size()) {
    multiply_panels<4>(team, w, x, rows, [&](int row, int panel, const __m512* y) {
      store(row, panel, y);
      store(row, panel + 2, y + 2);
    });
  } else {
    multiply_panels<2>(team, w, x, rows, store);
  }
}

// ---------------------------------------------------------------------------- AMX
// Eight registers of sixteen lines of 64 bytes. One instruction multiplies sixteen rows by a panel
// for 64 inputs: a line of weights holds four inputs of each output, as the panels do.

#ifdef VEDETTE_PLAIN_AMX  // loops that do what the instructions do, for tests elsewhere

alignas(64) thread_local uint8_t registers[8][kAmxLines][kLine];

bool allow_amx() { return true; }
void begin_amx() {}
void end_amx() {}

template <int T>
void clear_amx() {
  std::memset(registers[T], 0, sizeof registers[T]);
}

template <int T>
void load_amx(const void* from, size_t stride) {
  for (int line = 0; line < kAmxLines; ++line) {
    std::memcpy(registers[T][line], static_cast<const char*>(from) + line * stride, kLine);
  }
}

template <int T>
void store_amx(void* to) {
  std::memcpy(to, registers[T], sizeof registers[T]);
}

template <int Sums, int Rows, int Weights>
void add_amx_products() {
  int32_t(*sums)[kAmxLines] = reinterpret_cast<int32_t(*)[kAmxLines]>(registers[Sums]);
  for (int row = 0; row < kAmxLines; ++row) {
    for (int i = 0; i < kLine; ++i) {
      const int value = int8_t(registers[Rows][row][i]);
      for (int output = 0; output < kPanel; ++output) {
        sums[row][output] += value * registers[Weights][i / 4][output * 4 + i % 4];
      }
    }
  }
}

#else

// Asks Linux for the registers; without its leave their first use ends the process.
bool allow_amx() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

void begin_amx() {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes_a_line[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t lines[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } shapes;
  asm volatile("ldtilecfg %0" : : "m"(shapes));
}

void end_amx() { asm volatile("tilerelease"); }

template <int T>
inline void clear_amx() {
  asm volatile("tilezero %%tmm%c0" : : "i"(T));
}

template <int T>
inline void load_amx(const void* from, size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(T) : "memory");
}

template <int T>
inline void store_amx(void* to) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)"
               : : "r"(to), "r"(size_t(kLine)), "i"(T) : "memory");
}

// Signed bytes times unsigned ones.
template <int Sums, int Rows, int Weights>
inline void add_amx_products() {
  asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(Rows), "i"(Weights));
}

#endif

// Up to H times sixteen rows times two panels.
template <int H, class Store>
void multiply_amx_rows(const Matrix& w, int first_panel, const Quantized& x, int first_row,
                       int rows, Store&& store) {
  const int groups = w.inputs / w.group;
  const size_t panel_bytes = size_t(kPanel) * w.inputs;
  const uint8_t* weights = w.weights + first_panel * panel_bytes;
  const int8_t* values = x.values.get() + size_t(first_row) * w.inputs;
  const float* scales = x.scales.get() + size_t(first_row) * groups;
  alignas(64) int32_t sums[H][2][kAmxLines][kPanel];
  __m512 results[H * kAmxLines][2] = {};
  for (int g = 0; g < groups; ++g) {
    clear_amx<0>(), clear_amx<1>();
    if constexpr (H == 2) clear_amx<2>(), clear_amx<3>();
    for (int k = g * w.group; k < (g + 1) * w.group; k += kLine) {
      load_amx<6>(weights + k * kPanel, kLine);
      load_amx<7>(weights + panel_bytes + k * kPanel, kLine);
      load_amx<4>(values + k, w.inputs);
      add_amx_products<0, 4, 6>(), add_amx_products<1, 4, 7>();
      if constexpr (H == 2) {
        load_amx<5>(values + size_t(kAmxLines) * w.inputs + k, w.inputs);
        add_amx_products<2, 5, 6>(), add_amx_products<3, 5, 7>();
      }
    }
    store_amx<0>(sums[0][0]), store_amx<1>(sums[0][1]);
    if constexpr (H == 2) store_amx<2>(sums[1][0]), store_amx<3>(sums[1][1]);
    for (int r = 0; r < rows; ++r) {
      const __m512 scale = _mm512_set1_ps(scales[r * groups + g]);
      for (int p = 0; p < 2; ++p) {
        const __m512i sum = _mm512_load_si512(sums[r / kAmxLines][p][r % kAmxLines]);
        results[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, results[r][p]);
      }
    }
  }
  for (int r = 0; r < rows; ++r) finish<2>(w, first_panel, x, first_row + r, results[r], store);
}

// As `multiply_by_vnni`, to the same bits: a group's sums are exact, and added in the same order.
template <class Store>
APART void multiply_by_amx(Team& team, const Matrix& w, const Quantized& x, int rows,
                           Store&& store) {
  const int blocks = (rows + kAmxRows - 1) / kAmxRows;
  const int stretches = (blocks + kTaskAmxRows - 1) / kTaskAmxRows;
  begin_amx();
  team.share(w.outputs / (2 * kPanel) * stretches, [&](int task) {
    const int panel = task / stretches * 2, stretch = task % stretches;
    for (int b = stretch * blocks / stretches; b < (stretch + 1) * blocks / stretches; ++b) {
      const int begin = b * kAmxRows, left = std::min(kAmxRows, rows - begin);
      if (left > kAmxLines) {
        multiply_amx_rows<2>(w, panel, x, begin, left, store);
      } else {
        multiply_amx_rows<1>(w, panel, x, begin, left, store);
      }
    }
  });
  end_amx();
}

// Multiplies all rows by whichever is faster for so many.
template <class Store>
void multiply(Team& team, bool amx, const Matrix& w, const Quantized& x, int rows,
              Store&& store) {
  if (amx && rows >= kAmxLines) return multiply_by_amx(team, w, x, rows, store);
  multiply_by_vnni(team, w, x, rows, store);
}

// ---------------------------------------------------------------------------- the model

struct Layer {
  const float *attention_norm, *mlp_norm;
  Matrix qkv, output, gate_up, down;
};

// A stretch of one sequence in a step.
struct Stretch {
  int first_row, rows, start;  // `start`: tokens of the sequence before it
  const int32_t* blocks;
};

// Some of the rows of queries that look at one stretch; a token has one for each head that shares
// keys.
struct Tile {
  int stretch, first, count;
};

class Model {
 public:
  Model(int threads, bool amx, int layers, int hidden, int heads, int kv_heads, int head_size,
        float epsilon, const uint16_t* embedding, const float* cos, const float* sin,
        uint16_t* cache)
      : amx_(amx), team_(threads), layers_(layers), hidden_(hidden), heads_(heads),
        kv_heads_(kv_heads), head_size_(head_size), epsilon_(epsilon), embedding_(embedding),
        cos_(cos), sin_(sin), cache_(cache) {}

  void set_layer(int index, const Layer& layer) { layers_[index] = layer; }
  void set_head(const float* norm, const Matrix& head) { final_norm_ = norm; head_ = head; }

  void step(const std::vector<Stretch>& stretches, const int32_t* tokens,
            const std::vector<int>& deciding, float* logits) {
    const int rows = stretches.back().first_row + stretches.back().rows;
    reserve(rows);
    arrange(stretches);
    team_.run([&] {
      team_.share(rows, [&](int row) { embed(tokens[row], row); });
      for (const Layer& layer : layers_) compute_layer(layer, rows, stretches);
      decide(deciding, logits);
    });
  }

 private:
  int query_width() const { return heads_ * head_size_; }
  int qkv_width() const { return (heads_ + 2 * kv_heads_) * head_size_; }
  int tile_rows() const { return head_size_ == 64 ? 6 : 3; }

  void reserve(int rows) {
    const int inner = layers_[0].down.inputs;
    hidden_states_.at_least(size_t(rows) * hidden_);
    qkv_.at_least(size_t(rows) * qkv_width());
    queries_.at_least(size_t(rows) * query_width());
    inner_.at_least(size_t(rows) * std::max(inner, query_width()));
    quantized_.at_least(rows, std::max({inner, query_width(), hidden_}));
  }

  void arrange(const std::vector<Stretch>& stretches) {
    tiles_.clear();
    stretch_of_.clear();
    int longest = 0;
    for (size_t i = 0; i < stretches.size(); ++i) {
      stretch_of_.resize(stretch_of_.size() + stretches[i].rows, int(i));
      const int total = stretches[i].rows * (heads_ / kv_heads_);
      for (int first = 0; first < total; first += tile_rows()) {
        tiles_.push_back({int(i), first, std::min(tile_rows(), total - first)});
      }
      longest = std::max(longest, stretches[i].start + stretches[i].rows);
    }
    places_ = size_t(longest + kBlock - 1) / kBlock * kBlock;
  }

  void embed(int token, int row) {
    const uint16_t* values = embedding_ + size_t(token) * hidden_;
    float* out = hidden_states_.get() + size_t(row) * hidden_;
    for (int i = 0; i < hidden_; i += 16) _mm512_storeu_ps(out + i, from_bf16(values + i));
  }

  void compute_layer(const Layer& layer, int rows, const std::vector<Stretch>& stretches) {
    const int index = int(&layer - layers_.data());
    float *hidden = hidden_states_.get(), *inner = inner_.get();
    const auto quantize_all = [&](const float* x, const float* norm, const Matrix& next) {
      team_.share(rows, [&](int row) {
        quantize(x + size_t(row) * next.inputs, norm, epsilon_, next, row, quantized_);
      });
    };
    const auto add_to_hidden = [&](int row, int panel, const __m512* y) {
      float* place = hidden + size_t(row) * hidden_ + panel * kPanel;
      for (int p = 0; p < 2; ++p) {
        _mm512_storeu_ps(place + 16 * p, _mm512_add_ps(_mm512_loadu_ps(place + 16 * p), y[p]));
      }
    };
    quantize_all(hidden, layer.attention_norm, layer.qkv);
    multiply(team_, amx_, layer.qkv, quantized_, rows, [&](int row, int panel, const __m512* y) {
      float* place = qkv_.get() + size_t(row) * qkv_width() + panel * kPanel;
      for (int p = 0; p < 2; ++p) _mm512_storeu_ps(place + 16 * p, y[p]);
    });
    team_.share(rows, [&](int row) { place(index, stretches[stretch_of_[row]], row); });
    team_.share(int(tiles_.size()) * kv_heads_, [&](int task) {
      const Tile& tile = tiles_[task / kv_heads_];
      attend(index, task % kv_heads_, stretches[tile.stretch], tile, inner);
    });
    quantize_all(inner, nullptr, layer.output);
    multiply(team_, amx_, layer.output, quantized_, rows, add_to_hidden);
    quantize_all(hidden, layer.mlp_norm, layer.gate_up);
    // Panels of the gate and of what it multiplies take turns.
    const auto gate = [&](int row, int panel, const __m512* y) {
      float* place = inner + size_t(row) * layer.down.inputs + panel / 2 * kPanel;
      _mm512_storeu_ps(place, _mm512_mul_ps(silu(y[0]), y[1]));
    };
    multiply(team_, amx_, layer.gate_up, quantized_, rows, gate);
    quantize_all(inner, nullptr, layer.down);
    multiply(team_, amx_, layer.down, quantized_, rows, add_to_hidden);
  }

  void decide(const std::vector<int>& deciding, float* logits) {
    team_.share(int(deciding.size()), [&](int i) {
      quantize(hidden_states_.get() + size_t(deciding[i]) * hidden_, final_norm_, epsilon_, head_,
               i, quantized_);
    });
    multiply(team_, amx_, head_, quantized_, int(deciding.size()),
             [&](int row, int panel, const __m512* y) {
               float* place = logits + size_t(row) * head_.outputs + panel * kPanel;
               for (int p = 0; p < 2; ++p) _mm512_storeu_ps(place + 16 * p, y[p]);
             });
  }

  // ---- attention
  // A block of keys is laid out by pairs of dimensions, then token; a block of values by pairs of
  // tokens, then dimension: as the instruction that multiplies pairs wants them.

  // All of a block lies together, so that memory which no block has used is never touched.
  uint16_t* block(int layer, int kind, int kv_head, int block) const {
    const size_t part = ((size_t(block) * layers_.size() + layer) * 2 + kind) * kv_heads_ + kv_head;
    return cache_ + part * kBlock * head_size_;
  }

  // Turns a token's query and key by its position; keeps its keys and values.
  void place(int layer, const Stretch& stretch, int row) {
    const int position = stretch.start + row - stretch.first_row;
    const int slot = position % kBlock, half = head_size_ / 2;
    const int32_t held = stretch.blocks[position / kBlock];
    const float *cos = cos_ + size_t(position) * half, *sin = sin_ + size_t(position) * half;
    const float scale = 1.0f / std::sqrt(float(head_size_));
    const float* qkv = qkv_.get() + size_t(row) * qkv_width();
    uint16_t* query = queries_.get() + size_t(row) * query_width();
    alignas(64) uint16_t halves[128];
    const auto turn = [&](const float* x, float by, uint16_t* out) {
      for (int i = 0; i < half; i += 16) {
        const __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + half + i);
        const __m512 c = _mm512_mul_ps(_mm512_loadu_ps(cos + i), _mm512_set1_ps(by));
        const __m512 s = _mm512_mul_ps(_mm512_loadu_ps(sin + i), _mm512_set1_ps(by));
        store_bf16(out + i, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        store_bf16(out + half + i, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
      }
    };
    for (int head = 0; head < heads_; ++head) {
      turn(qkv + head * head_size_, scale, query + head * head_size_);
    }
    for (int head = 0; head < kv_heads_; ++head) {
      turn(qkv + (heads_ + head) * head_size_, 1.0f, halves);
      uint16_t* keys = block(layer, 0, head, held);
      for (int i = 0; i < head_size_; ++i) keys[(i / 2 * kBlock + slot) * 2 + i % 2] = halves[i];
      const float* value = qkv + (heads_ + kv_heads_ + head) * head_size_;
      for (int i = 0; i < head_size_; i += 16) store_bf16(halves + i, _mm512_loadu_ps(value + i));
      uint16_t* values = block(layer, 1, head, held);
      for (int i = 0; i < head_size_; ++i) {
        values[(slot / 2 * head_size_ + i) * 2 + slot % 2] = halves[i];
      }
    }
  }

  void attend(int layer, int kv_head, const Stretch& stretch, const Tile& tile, float* out) {
    if (head_size_ == 64) {
      attend_rows<64>(layer, kv_head, stretch, tile, out);
    } else {
      attend_rows<128>(layer, kv_head, stretch, tile, out);
    }
  }

  template <int D>
  void attend_rows(int layer, int kv_head, const Stretch& stretch, const Tile& tile, float* out) {
    switch (tile.count) {
      case 1: return attend_tile<1, D>(layer, kv_head, stretch, tile, out);
      case 2: return attend_tile<2, D>(layer, kv_head, stretch, tile, out);
      case 3: return attend_tile<3, D>(layer, kv_head, stretch, tile, out);
    }
    if constexpr (D == 64) {
      switch (tile.count) {
        case 4: return attend_tile<4, D>(layer, kv_head, stretch, tile, out);
        case 5: return attend_tile<5, D>(layer, kv_head, stretch, tile, out);
        case 6: return attend_tile<6, D>(layer, kv_head, stretch, tile, out);
      }
    }
  }

  // R rows of queries against all places that they may look at.
  template <int R, int D>
  void attend_tile(int layer, int kv_head, const Stretch& stretch, const Tile& tile, float* out) {
    const int sharing = heads_ / kv_heads_;
    thread_local Scratch scratch;
    scratch.scores.at_least(R * places_);
    scratch.weights.at_least(R * places_);
    const uint16_t* query[R];
    float* result[R];
    int lengths[R], longest = 0;
    for (int r = 0; r < R; ++r) {
      const int offset = (tile.first + r) / sharing;
      const int head = kv_head * sharing + (tile.first + r) % sharing;
      const size_t at = size_t(stretch.first_row + offset) * query_width() + head * D;
      query[r] = queries_.get() + at;
      result[r] = out + at;
      lengths[r] = stretch.start + offset + 1;
      longest = std::max(longest, lengths[r]);
    }
    const int blocks = (longest + kBlock - 1) / kBlock;
    for (int b = 0; b < blocks; ++b) {
      const uint16_t* keys = block(layer, 0, kv_head, stretch.blocks[b]);
      __m512 sums[R][2];
      ALL for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
      for (int d = 0; d < D; d += 2) {
        const __m512i k0 = pairs(keys + d * kBlock), k1 = pairs(keys + d * kBlock + 32);
        ALL for (int r = 0; r < R; ++r) {
          const __m512i q = same_pair(query[r] + d);
          add_products(sums[r][0], k0, q);
          add_products(sums[r][1], k1, q);
        }
      }
      ALL for (int r = 0; r < R; ++r) {
        float* scores = scratch.scores.get() + r * places_ + b * kBlock;
        _mm512_storeu_ps(scores, sums[r][0]);
        _mm512_storeu_ps(scores + 16, sums[r][1]);
      }
    }
    float totals[R];
    for (int r = 0; r < R; ++r) {
      totals[r] = soften(scratch.scores.get() + r * places_, lengths[r], blocks * kBlock,
                         scratch.weights.get() + r * places_);
    }
    __m512 sums[R][D / 16];
    ALL for (int r = 0; r < R; ++r) {
      ALL for (int i = 0; i < D / 16; ++i) sums[r][i] = _mm512_setzero_ps();
    }
    for (int b = 0; b < blocks; ++b) {
      const uint16_t* values = block(layer, 1, kv_head, stretch.blocks[b]);
      for (int t = 0; t < kBlock; t += 2) {
        __m512i v[D / 16];
        ALL for (int i = 0; i < D / 16; ++i) v[i] = pairs(values + t * D + i * 32);
        ALL for (int r = 0; r < R; ++r) {
          const __m512i p = same_pair(scratch.weights.get() + r * places_ + b * kBlock + t);
          ALL for (int i = 0; i < D / 16; ++i) add_products(sums[r][i], v[i], p);
        }
      }
    }
    ALL for (int r = 0; r < R; ++r) {
      const __m512 share = _mm512_set1_ps(1.0f / totals[r]);
      ALL for (int i = 0; i < D / 16; ++i) {
        _mm512_storeu_ps(result[r] + i * 16, _mm512_mul_ps(sums[r][i], share));
      }
    }
  }

  // The exponentials of scores below the highest, 0 beyond `length`; returns their sum.
  static float soften(float* scores, int length, int padded, uint16_t* weights) {
    std::fill(scores + length, scores + padded, -INFINITY);
    __m512 most = _mm512_set1_ps(-INFINITY), total = _mm512_setzero_ps();
    for (int i = 0; i < padded; i += 16) most = _mm512_max_ps(most, _mm512_loadu_ps(scores + i));
    most = _mm512_set1_ps(_mm512_reduce_max_ps(most));
    for (int i = 0; i < padded; i += 16) {
      const __m512 e = exp_of(_mm512_sub_ps(_mm512_loadu_ps(scores + i), most));
      total = _mm512_add_ps(total, e);
      store_bf16(weights + i, e);
    }
    return _mm512_reduce_add_ps(total);
  }

  struct Scratch {
    Buffer<float> scores;
    Buffer<uint16_t> weights;
  };

  const bool amx_;
  Team team_;
  std::vector<Layer> layers_;
  const int hidden_, heads_, kv_heads_, head_size_;
  const float epsilon_;
  const uint16_t* embedding_;
  const float *cos_, *sin_;
  uint16_t* cache_;
  const float* final_norm_ = nullptr;
  Matrix head_{};
  Buffer<float> hidden_states_, qkv_, inner_;
  Buffer<uint16_t> queries_;
  Quantized quantized_;
  std::vector<Tile> tiles_;
  std::vector<int> stretch_of_;  // each row
  size_t places_ = 0;  // of the longest sequence of the step, in whole blocks
};

// ---------------------------------------------------------------------------- a trial of AMX

// Multiplies numbers drawn at random both ways on one thread; what AMX took as a share of
// what VNNI took, each at its best, or -1 if a bit differs.
double try_amx(int rows, int outputs, int inputs, int group) {
  std::mt19937 dice(1);
  std::normal_distribution<float> normal;
  Buffer<uint8_t> weights;
  std::vector<float> step(outputs), low(outputs), x(size_t(rows) * inputs);
  std::generate_n(weights.at_least(size_t(outputs) * inputs), size_t(outputs) * inputs, dice);
  for (auto* numbers : {&step, &low, &x}) {
    std::generate(numbers->begin(), numbers->end(), [&] { return normal(dice); });
  }
  const Matrix w{weights.get(), step.data(), low.data(), nullptr, outputs, inputs, group};
  Quantized quantized;
  quantized.at_least(rows, inputs);
  for (int row = 0; row < rows; ++row) {
    quantize(x.data() + size_t(row) * inputs, nullptr, 0, w, row, quantized);
  }
  Team team(1);
  std::vector<float> results[2];
  double best[2] = {INFINITY, INFINITY};
  for (int turn = 0; turn < 10; ++turn) {
    const bool amx = turn % 2;
    results[amx].assign(size_t(rows) * outputs, 0);
    const auto began = std::chrono::steady_clock::now();
    multiply(team, amx, w, quantized, rows, [&](int row, int panel, const __m512* y) {
      float* place = results[amx].data() + size_t(row) * outputs + panel * kPanel;
      for (int p = 0; p < 2; ++p) _mm512_storeu_ps(place + 16 * p, y[p]);
    });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    best[amx] = std::min(best[amx], took.count());
  }
  const size_t bytes = results[0].size() * sizeof(float);
  return std::memcmp(results[0].data(), results[1].data(), bytes) ? -1 : best[1] / best[0];
}

}  // namespace

extern "C" {

// Whether this process may use AMX from now on.
int vedette_allow_amx() { return allow_amx(); }

double vedette_try_amx(int rows, int outputs, int inputs, int group) {
  return try_amx(rows, outputs, inputs, group);
}

Model* vedette_new(int threads, int amx, int layers, int hidden, int heads, int kv_heads,
                   int head_size, float epsilon, const uint16_t* embedding, const float* cos,
                   const float* sin, uint16_t* cache) {
  return new Model(threads, amx, layers, hidden, heads, kv_heads, head_size, epsilon,
                   embedding, cos, sin, cache);
}

void vedette_delete(Model* model) { delete model; }

void vedette_set_layer(Model* model, int index, const Layer* layer) {
  model->set_layer(index, *layer);
}

void vedette_set_head(Model* model, const float* norm, const Matrix* head) {
  model->set_head(norm, *head);
}

// For each stretch: its number of rows, the tokens before it, whether it wants logits, and where
// its blocks begin in `blocks`.
void vedette_step(Model* model, int num_stretches, const int32_t* shapes, const int32_t* tokens,
                  const int32_t* blocks, float* logits) {
  std::vector<Stretch> stretches;
  std::vector<int> deciding;
  int row = 0;
  for (int i = 0; i < num_stretches; ++i, shapes += 4) {
    stretches.push_back({row, shapes[0], shapes[1], blocks + shapes[3]});
    row += shapes[0];
    if (shapes[2]) deciding.push_back(row - 1);
  }
  model->step(stretches, tokens, deciding, logits);
}

}  // extern "C"
