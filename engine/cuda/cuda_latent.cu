/* cuda_latent.cu - attention to latents, of few rows: each head's keys multiplied into its query
 * before attention, and its values with what attention gives after it.
 *
 * A head's matrix has short rows, so a group of lanes shares an output, as many as hold its
 * vectors, and asks for four outputs at once, the first of them before the previous kernel has
 * ended.
 */
#include "engine/cuda/cuda_latent.cuh"

enum {
    THREADS = 256,
    WARPS = THREADS / WARP,
    OUTPUTS = 4, /* of a group of lanes at once */
    BLOCKS = 2,  /* of a multiprocessor, at least */
};

/* ---- products of a head ---- */

/* A lane's outputs, which its group shares, and its first vector of each. */
struct Group {
    int lanes, part; /* lanes of an output; the place among them */
    int first;       /* of OUTPUTS */
};

/* Lanes of an output whose row has `vecs` vectors. */
__host__ __device__ inline int lanes_of(int vecs)
{
    int lanes = 1;
    while (lanes < vecs && lanes < WARP) lanes *= 2;
    return lanes;
}

/* Outputs of a block. */
__host__ __device__ inline int outputs_of(int vecs)
{
    return WARPS * (WARP / lanes_of(vecs)) * OUTPUTS;
}

__device__ __forceinline__ Group find_group(int vecs)
{
    const int lane = threadIdx.x % WARP, lanes = lanes_of(vecs);
    const int group = (int)threadIdx.x / WARP * (WARP / lanes) + lane / lanes;
    return {lanes, lane & (lanes - 1), (int)blockIdx.x * outputs_of(vecs) + group * OUTPUTS};
}

/* Vector v of the group's outputs of a head's matrix, which has n_out; zeros where there is none.
 */
template <typename W>
__device__ __forceinline__ void ask_outputs(const W *matrix, size_t stride, int n_out,
                                            const Group &me, int v, Raw<W> (&raw)[OUTPUTS])
{
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++) {
        raw[o] = Raw<W>();
        if (v < (int)(stride / VEC) && me.first + o < n_out)
            load_raw(matrix + (me.first + o) * stride + v * VEC, &raw[o]);
    }
}

/* sum[o][r], for all lanes of the group: output o times vector r of those in shared memory
 * (place_of, `floats` apart). `now` has the lane's first vectors. */
template <typename W, int R>
__device__ __forceinline__ void sum_outputs(const W *matrix, size_t stride, int n_out,
                                            const Group &me, Raw<W> (&now)[OUTPUTS], const float *x,
                                            size_t floats, float (&sum)[OUTPUTS][R])
{
    const int vecs = (int)(stride / VEC);
    set_zero(sum);
#pragma unroll 1
    for (int v = me.part; v < vecs; v += me.lanes) {
        Raw<W> next[OUTPUTS];
        ask_outputs(matrix, stride, n_out, me, v + me.lanes, next);
        add_vectors(now, x + v / WARP * SWEEP + v % WARP * 4, floats, sum);
#pragma unroll
        for (int o = 0; o < OUTPUTS; o++) now[o] = next[o];
    }
#pragma unroll 1
    for (int by = me.lanes / 2; by > 0; by /= 2)
#pragma unroll
        for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
            for (int r = 0; r < R; r++) sum[o][r] += __shfl_xor_sync(ALL, sum[o][r], by);
}

/* The group's outputs of head h to `to`, which begins with the head's first of row 0. */
template <typename W, int R, bool ROUND>
__device__ __forceinline__ void
keep_outputs(const gm_cuda_latents &p, const void *all, size_t stride, int n_out, int h,
             const Group &me, const float (&sum)[OUTPUTS][R], float *to, size_t to_stride)
{
    const size_t rows = (size_t)p.n_heads * n_out;
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++) {
        const int n = me.first + o;
        if (n >= n_out) break;
        const float scale = scale_of((const W *)all, rows, stride, h * n_out + n);
#pragma unroll
        for (int r = 0; r < R; r++) {
            if (r >= p.n_rows || ((o * R + r) & (me.lanes - 1)) != me.part) continue;
            const float y = sum[o][r] * scale;
            to[r * to_stride + n] = ROUND ? rounded<W>(y) : y;
        }
    }
}

/* ---- before attention ---- */

/* Launch: (blocks of outputs, H + 1), THREADS; the last head is the latents, a warp a row. */
template <typename W, int R>
__global__ static void __launch_bounds__(THREADS, BLOCKS) latent_keys_kernel(gm_cuda_latents p)
{
    float *x = dynamic_shared(); /* (R, floats) */
    const int h = (int)blockIdx.y, warp = threadIdx.x / WARP;
    const int floats = (int)placed_floats(p.plain_stride);
    const W *matrix = (const W *)p.key_up + (size_t)h * p.kv * p.plain_stride;
    const Group me = find_group((int)(p.plain_stride / VEC));
    Raw<W> now[OUTPUTS];
    float sum[OUTPUTS][R];
    if (h < p.n_heads) ask_outputs(matrix, p.plain_stride, p.kv, me, me.part, now);
    wait_for_previous();
    let_next_start();
    if (h == p.n_heads) {
        if (blockIdx.x == 0 && warp < p.n_rows) append_latent<typename Input<W>::type>(p, warp);
        return;
    }
    for (int i = threadIdx.x; i < R * floats; i += THREADS) {
        const int r = i / floats, k = i % floats;
        const float *from = p.queries + r * p.queries_stride + h * (p.plain + p.turning);
        x[r * floats + place_of(k)] =
            r < p.n_rows && k < p.plain ? rounded<W>(from[k] * growth_of(p, (int)p.row[r].position))
                                        : 0.0f;
    }
    if (blockIdx.x == 0 && warp < p.n_rows) turn_query<W>(p, warp, h, threadIdx.x % WARP, WARP);
    __syncthreads();
    sum_outputs(matrix, p.plain_stride, p.kv, me, now, x, floats, sum);
    keep_outputs<W, R, true>(p, p.key_up, p.plain_stride, p.kv, h, me, sum,
                             p.query + h * p.head_stride, p.n_heads * p.head_stride);
}

/* ---- after attention ---- */

/* What each split of a row's head counts in the sum of all, by a warp. */
__device__ __forceinline__ void weigh_splits(const gm_cuda_latents &p, const float *parts, int n,
                                             float *factor)
{
    enum { EACH = GM_CUDA_MOST_SPLITS / WARP };
    const int lane = threadIdx.x % WARP, stride = (int)p.head_stride;
    const size_t apart = p.n_heads * (p.head_stride + 4);
    float top[EACH], weight[EACH], most = -INFINITY, total = 0.0f;
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        const int i = lane + k * WARP;
        top[k] = i < n ? parts[i * apart + stride] : -INFINITY;
        weight[k] = i < n ? parts[i * apart + stride + 1] : 0.0f;
        most = fmaxf(most, top[k]);
    }
    most = warp_max(most);
    if (most == -INFINITY) most = 0.0f; /* NaN alone */
#pragma unroll
    for (int k = 0; k < EACH; k++) {
        top[k] = expf(top[k] - most);
        total = fmaf(top[k], weight[k], total);
    }
    total = warp_sum(total);
#pragma unroll
    for (int k = 0; k < EACH; k++) factor[lane + k * WARP] = top[k] / total;
}

/* What attention gives head h of each row, its splits in their order, into shared memory. */
template <typename W, int R>
__device__ __forceinline__ void merge_splits(const gm_cuda_latents &p, int h, float *x, int floats)
{
    __shared__ float factor[WARPS][GM_CUDA_MOST_SPLITS];
    const int warp = threadIdx.x / WARP;
    const size_t each = p.head_stride + 4, apart = p.n_heads * each;
    const float *parts = p.part + h * each; /* of row 0 */
    if (warp < p.n_rows)
        weigh_splits(p, parts + warp * p.n_splits * apart, count_splits((int)p.row[warp].position),
                     factor[warp]);
    __syncthreads();
#pragma unroll 1
    for (int r = 0; r < R; r++) {
        const int n = r < p.n_rows ? count_splits((int)p.row[r].position) : 0;
        const float *from = parts + r * p.n_splits * apart;
        for (int k = threadIdx.x; k < floats; k += THREADS) {
            float sum = 0.0f;
            if (k < p.kv) {
#pragma unroll 8
                for (int i = 0; i < n; i++) sum = fmaf(factor[r][i], from[i * apart + k], sum);
            }
            x[r * floats + place_of(k)] = rounded<W>(sum);
        }
    }
    __syncthreads();
}

/* Launch: (blocks of outputs, H), THREADS. */
template <typename W, int R>
__global__ static void __launch_bounds__(THREADS, BLOCKS) latent_values_kernel(gm_cuda_latents p)
{
    float *x = dynamic_shared(); /* (R, floats) */
    const int h = (int)blockIdx.y, floats = (int)placed_floats(p.kv_stride);
    const W *matrix = (const W *)p.value_up + (size_t)h * p.value * p.kv_stride;
    const Group me = find_group((int)(p.kv_stride / VEC));
    Raw<W> now[OUTPUTS];
    float sum[OUTPUTS][R];
    ask_outputs(matrix, p.kv_stride, p.value, me, me.part, now);
    wait_for_previous();
    let_next_start();
    merge_splits<W, R>(p, h, x, floats);
    sum_outputs(matrix, p.kv_stride, p.value, me, now, x, floats, sum);
    keep_outputs<W, R, false>(p, p.value_up, p.kv_stride, p.value, h, me, sum,
                              p.heads + h * p.value, p.heads_stride);
}

/* ---- launching ---- */

static_assert((int)GM_CUDA_FEW <= (int)WARPS, "a warp a row");

template <typename W, int R>
static cudaError_t keys(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    const dim3 grid(blocks_for((size_t)p->kv, (size_t)outputs_of((int)(p->plain_stride / VEC))),
                    (unsigned)p->n_heads + 1);
    const size_t shared = R * placed_floats(p->plain_stride) * sizeof(float);
    return launch(how, latent_keys_kernel<W, R>, grid, THREADS, shared, *p);
}

template <typename W, int R>
static cudaError_t values(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    const dim3 grid(blocks_for((size_t)p->value, (size_t)outputs_of((int)(p->kv_stride / VEC))),
                    (unsigned)p->n_heads);
    const size_t shared = R * placed_floats(p->kv_stride) * sizeof(float);
    return launch(how, latent_values_kernel<W, R>, grid, THREADS, shared, *p);
}

template <typename W>
static cudaError_t keys_of_rows(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    if (p->n_rows == 1) return keys<W, 1>(how, p);
    return p->n_rows <= 4 ? keys<W, 4>(how, p) : keys<W, GM_CUDA_FEW>(how, p);
}

template <typename W>
static cudaError_t values_of_rows(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    if (p->n_rows == 1) return values<W, 1>(how, p);
    return p->n_rows <= 4 ? values<W, 4>(how, p) : values<W, GM_CUDA_FEW>(how, p);
}

extern "C" cudaError_t gm_cuda_latent_keys_few(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    switch (p->dtype) {
    case GM_F32: return keys_of_rows<float>(how, p);
    case GM_I8: return keys_of_rows<int8>(how, p);
    case GM_FP8: return keys_of_rows<fp8>(how, p);
    default: return keys_of_rows<bf16>(how, p);
    }
}

extern "C" cudaError_t gm_cuda_latent_values_few(const gm_cuda_how *how, const gm_cuda_latents *p)
{
    switch (p->dtype) {
    case GM_F32: return values_of_rows<float>(how, p);
    case GM_I8: return values_of_rows<int8>(how, p);
    case GM_FP8: return values_of_rows<fp8>(how, p);
    default: return values_of_rows<bf16>(how, p);
    }
}

/* Only a query's plain part can be so wide that it has to be asked for. */
template <typename W> static cudaError_t allow_keys(void)
{
    cudaError_t e = allow_shared(latent_keys_kernel<W, 1>);
    if (e == cudaSuccess) e = allow_shared(latent_keys_kernel<W, 4>);
    return e != cudaSuccess ? e : allow_shared(latent_keys_kernel<W, GM_CUDA_FEW>);
}

extern "C" cudaError_t gm_cuda_latent_prepare(void)
{
    cudaError_t e = allow_keys<float>();
    if (e == cudaSuccess) e = allow_keys<bf16>();
    if (e == cudaSuccess) e = allow_keys<int8>();
    return e != cudaSuccess ? e : allow_keys<fp8>();
}
