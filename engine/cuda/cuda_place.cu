/* cuda_place.cu - weights in their final form, made on the GPU: rows of a tensor as the
 * checkpoint has them, or random values, become rows of a matrix; and the other way round, weights
 * of 4 and 8 bits as the bf16 that cuBLAS reads. */
#include "engine/cuda/cuda_elements.cuh"

enum { THREADS = 256, WARPS = THREADS / WARP };

/* Where element k of row r of the tensor is. */
__device__ __forceinline__ size_t index_of(const gm_cuda_place &p, size_t r, size_t k)
{
    const size_t i = p.stored == GM_STORED_COLUMNS ? k * p.rows + r : r * p.cols + k;
    return p.period ? (p.first + i) % p.period : i;
}

/* Two codes of MXFP4, those of numbers 2 i and 2 i + 1; and the scale of block i. */
__device__ __forceinline__ unsigned codes_of(const gm_cuda_place &p, size_t i)
{
    if (p.period == 0) return ((const uint8_t *)p.from)[i];
    const unsigned both = ((const uint16_t *)p.from)[(p.first + i / 2) % p.period];
    return i % 2 ? both >> 8 : both & 0xffu;
}

__device__ __forceinline__ unsigned scale_at(const gm_cuda_place &p, size_t i)
{
    return p.scales ? p.scales[i] : (unsigned)GM_RANDOM_SCALE;
}

/* A number of four bits times its block's scale (stored.h): the bits, moved, are those of a half
 * that is 2^14 times smaller. */
__device__ __forceinline__ float number_of(const gm_cuda_place &p, size_t r, size_t k)
{
    const unsigned both = codes_of(p, (r * p.cols + k) / 2), code = k % 2 ? both >> 4 : both & 15u;
    const float number = half_value((code & 8u) << 12 | (code & 7u) << 9) * 0x1p14f;
    return number * scale_of_block(scale_at(p, (r * p.cols + k) / GM_MX_BLOCK));
}

/* A number of F8_E4M3 times its block's scale (stored.h): the bits, moved, are those of a half that
 * is 2^8 times smaller. */
__device__ __forceinline__ float eight_of(const gm_cuda_place &p, size_t r, size_t k)
{
    const unsigned code = ((const uint8_t *)p.from)[index_of(p, r, k)], size = code & 0x7fu;
    const bool columns = p.stored == GM_STORED_COLUMNS;
    const unsigned row = (unsigned)(p.grid.first + (columns ? k : r)) / (unsigned)p.grid.rows;
    const unsigned column = (unsigned)(columns ? r : k) / (unsigned)p.grid.cols;
    const float number = size == 0x7fu ? NAN : half_value((code & 0x80u) << 8 | size << 7) * 0x1p8f;
    return number * p.grid.scale[row * p.grid.per_row + column];
}

/* A code of four bits less its group's zero times its scale (stored.h). */
__device__ __forceinline__ float packed_of(const gm_cuda_place &p, size_t r, size_t k)
{
    enum { IN_WORD = 8 };
    const gm_grid &g = p.grid;
    const bool columns = p.stored == GM_STORED_COLUMNS;
    const size_t n = columns ? k : r, in = columns ? r : k, out = g.first + n, j = out % IN_WORD;
    size_t at = n * g.inputs + in;
    if (g.packing == GM_PACKING_GPTQ)
        at = (in / IN_WORD * g.outputs + out) * IN_WORD + in % IN_WORD;
    else if (g.packing == GM_PACKING_AWQ)
        at = in * g.outputs + out - j + j / 2 + j % 2 * 4;
    const unsigned code = ((const uint8_t *)p.from)[at / 2] >> at % 2 * 4 & 15u;
    const size_t group = g.group ? (size_t)g.group[in] : in / g.cols;
    const size_t of = out * g.per_row + group * g.per_col;
    return ((float)code - g.zero[of]) * g.scale[of];
}

__device__ __forceinline__ float source(const gm_cuda_place &p, size_t r, size_t k)
{
    if (p.stored == GM_STORED_MXFP4) return number_of(p, r, k);
    if (p.from_dtype == GM_FP8) return eight_of(p, r, k);
    if (p.from_dtype == GM_I32) return packed_of(p, r, k);
    const size_t i = index_of(p, r, k);
    if (p.from_dtype == GM_F32) return ((const float *)p.from)[i];
    const unsigned bits = ((const uint16_t *)p.from)[i];
    return p.from_dtype == GM_BF16 ? __uint_as_float(bits << 16) : half_value(bits);
}

/* What becomes f32; a zero keeps its sign. */
__device__ __forceinline__ float exact(const gm_cuda_place &p, size_t r, size_t k)
{
    const float x = source(p, r, k);
    return p.centred ? x + 1.0f : x;
}

/* Its bits, where they stay as they are. */
__device__ __forceinline__ uint16_t source_bits(const gm_cuda_place &p, size_t r, size_t k)
{
    return ((const uint16_t *)p.from)[index_of(p, r, k)];
}

/* The row that row r becomes. */
__device__ __forceinline__ size_t row_of(const gm_cuda_place &p, size_t r)
{
    return p.every > 1 ? r / p.every + r % p.every * p.apart : r;
}

/* A thread eight neighbours of a row; zeros after the columns. Threads side by side read side by
 * side. Launch: THREADS. */
__global__ static void place_kernel(gm_cuda_place p)
{
    const size_t each = (p.stride + VEC - 1) / VEC;
    const size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    wait_for_previous();
    if (at >= p.rows * each) return;
    const bool columns = p.stored == GM_STORED_COLUMNS;
    const size_t r = columns ? at % p.rows : at / each;
    const size_t c = (columns ? at / p.rows : at % each) * VEC;
    for (size_t k = c; k < c + VEC && k < p.stride; k++) {
        const size_t to = row_of(p, r) * p.stride + k;
        const bool there = k < p.cols;
        if (p.to_dtype == GM_F32)
            ((float *)p.to)[to] = there ? exact(p, r, k) : 0.0f;
        else if (p.to_dtype == p.from_dtype)
            ((uint16_t *)p.to)[to] = there ? source_bits(p, r, k) : (uint16_t)0;
        else
            store((bf16 *)p.to + to, there ? source(p, r, k) : 0.0f);
    }
}

/* e4m3 of x, |x| < 465: to nearest even (base/half.c). */
__device__ __forceinline__ uint8_t to_fp8(float x)
{
    const unsigned bits = __float_as_uint(x), sign = bits >> 24 & 0x80u, size = bits & 0x7fffffffu;
    if (size >= 0x43e00000u) return (uint8_t)(sign | 0x7eu);
    if (size < 0x3a800000u) return (uint8_t)sign;
    const bool normal = size >= 0x3c800000u;
    const unsigned by = normal ? 20u : 141u - (size >> 23);
    const unsigned whole = normal ? size - (120u << 23) : (size & 0x7fffffu) | 0x800000u;
    return (uint8_t)(sign | (whole + (1u << (by - 1)) - 1u + (whole >> by & 1u)) >> by);
}

/* A warp a row: its scale, then its bytes, as gm_pack_row does. Launch: THREADS. */
__global__ static void place_scaled_kernel(gm_cuda_place p)
{
    const size_t r = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    const int lane = threadIdx.x % WARP;
    wait_for_previous();
    if (r >= p.rows) return; /* a whole warp */
    float most = 0.0f;
    bool wrong = false;
    for (size_t k = lane; k < p.cols; k += WARP) {
        const float x = source(p, r, k);
        wrong = wrong || !(fabsf(x) < INFINITY);
        most = fmaxf(most, fabsf(x));
    }
    most = warp_max(most);
    wrong = __ballot_sync(ALL, wrong) != 0;
    float scale = wrong ? NAN : most / (p.to_dtype == GM_I8 ? 127.0f : 448.0f);
    if (scale < 0x1p-100f) scale = 0.0f;
    const float by = scale > 0.0f ? 1.0f / scale : 0.0f;
    uint8_t *to = (uint8_t *)p.to + row_of(p, r) * p.stride;
    for (size_t k = lane; k < p.stride; k += WARP) {
        const float x = !wrong && k < p.cols ? source(p, r, k) * by : 0.0f;
        to[k] = p.to_dtype == GM_I8 ? (uint8_t)(int8_t)fminf(fmaxf(rintf(x), -127.0f), 127.0f)
                                    : to_fp8(x);
    }
    if (lane == 0) p.scale[row_of(p, r)] = scale;
}

/* MXFP4 as it is: a thread a block of 32. Launch: THREADS. */
__global__ static void place_mxfp4_kernel(gm_cuda_place p)
{
    enum { BYTES = GM_MX_BLOCK / 2 };
    const size_t blocks = p.cols / GM_MX_BLOCK;
    const size_t at = (size_t)blockIdx.x * THREADS + threadIdx.x;
    wait_for_previous();
    if (at >= p.rows * blocks) return;
    const size_t to = row_of(p, at / blocks) * (p.stride / GM_MX_BLOCK) + at % blocks;
    for (size_t i = 0; i < BYTES; i++)
        ((uint8_t *)p.to)[to * BYTES + i] = (uint8_t)codes_of(p, at * BYTES + i);
    p.to_scales[to] = (uint8_t)scale_at(p, at);
}

extern "C" cudaError_t gm_cuda_place_rows(const gm_cuda_how *how, const gm_cuda_place *p)
{
    if (p->to_dtype == GM_U8)
        return launch(how, place_mxfp4_kernel, blocks_for(p->rows * p->cols / GM_MX_BLOCK, THREADS),
                      THREADS, 0, *p);
    if (gm_is_scaled(p->to_dtype))
        return launch(how, place_scaled_kernel, blocks_for(p->rows, WARPS), THREADS, 0, *p);
    const size_t each = (p->stride + VEC - 1) / VEC;
    return launch(how, place_kernel, blocks_for(p->rows * each, THREADS), THREADS, 0, *p);
}

/* ---- 4 and 8 bits for cuBLAS ---- */

template <typename W> __device__ __forceinline__ void widen(const Raw<W> &raw, float out[VEC])
{
    expand(raw, out);
}

__device__ __forceinline__ void widen(const Raw<mxfp4> &raw, float out[VEC])
{
    expand(raw, out);
    for (int i = 0; i < VEC; i++) out[i] = scaled(raw, out[i]);
}

/* A thread eight weights. Launch: THREADS. */
template <typename W> __global__ static void widen_kernel(gm_cuda_widen p)
{
    wait_for_previous();
    const size_t at = ((size_t)blockIdx.x * THREADS + threadIdx.x) * VEC;
    if (at >= p.n) return;
    Raw<W> raw;
    float value[VEC];
    load_raw(Pointer<W>::to(p.from, p.n) + at, &raw);
    widen(raw, value);
    for (int i = 0; i < VEC; i++) store((bf16 *)p.to + at + i, value[i]);
}

extern "C" cudaError_t gm_cuda_widen_weights(const gm_cuda_how *how, const gm_cuda_widen *p)
{
    const unsigned blocks = blocks_for(p->n, THREADS * VEC);
    if (p->dtype == GM_U8) return launch(how, widen_kernel<mxfp4>, blocks, THREADS, 0, *p);
    return p->dtype == GM_I8 ? launch(how, widen_kernel<int8>, blocks, THREADS, 0, *p)
                             : launch(how, widen_kernel<fp8>, blocks, THREADS, 0, *p);
}

/* Launch: (rows, count), THREADS. */
template <typename W> __global__ static void scale_kernel(gm_cuda_scale p)
{
    wait_for_previous();
    const float *from = p.from + blockIdx.x * p.from_stride + blockIdx.y * p.apart;
    float *to = p.to + blockIdx.x * p.to_stride + blockIdx.y * p.apart;
    const int first = (int)blockIdx.y * p.n_out;
    const size_t rows = (size_t)gridDim.y * p.n_out;
    for (int n = threadIdx.x; n < p.n_out; n += THREADS) {
        const float y = from[n] * scale_of((const W *)p.matrix, rows, p.stride, first + n);
        to[n] = p.add ? to[n] + y : y;
    }
}

extern "C" cudaError_t gm_cuda_scale_rows(const gm_cuda_how *how, const gm_cuda_scale *p)
{
    const dim3 grid((unsigned)p->n_rows, p->count > 1 ? (unsigned)p->count : 1);
    return p->dtype == GM_I8 ? launch(how, scale_kernel<int8>, grid, THREADS, 0, *p)
                             : launch(how, scale_kernel<fp8>, grid, THREADS, 0, *p);
}

/* ---- of all kernels ---- */

extern "C" cudaError_t gm_cuda_kernels_wait(bool *wait)
{
    cudaFuncAttributes about = {};
    const cudaError_t e = cudaFuncGetAttributes(&about, widen_kernel<int8>);
    *wait = e == cudaSuccess && about.ptxVersion >= 90;
    return e;
}
