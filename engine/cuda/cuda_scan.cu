/* cuda_scan.cu - Mamba2: of few rows convolution and state in one kernel; then, of few and of many,
 * gate and norm, which is over the heads of a group.
 */
#include "engine/cuda/cuda_delta.cuh"

enum {
    THREADS = 128,
    TILE = THREADS / LANES, /* columns of a block */
    FINISH_THREADS = 256,
};

/* Launch: (tiles of values times H, rows), THREADS. N: quads of key_stride. All that does not come
 * from the previous kernel, which projects, is asked for before that one has ended. */
template <int N> __global__ static void __launch_bounds__(THREADS) scan_few_kernel(gm_cuda_delta p)
{
    __align__(16) __shared__ float vectors[2 * N * STEP + TILE]; /* query, key, values */
    __shared__ Rates rates;
    const int tiles = (p.value + TILE - 1) / TILE, h = (int)blockIdx.x / tiles;
    const int first = (int)blockIdx.x % tiles * TILE, column = (int)threadIdx.x / LANES;
    const int n = p.value - first < TILE ? p.value - first : TILE;
    const size_t r = blockIdx.y;
    const int position = (int)read_shared_by_blocks(&p.row[r].position);
    const int sequence = read_shared_by_blocks(&p.row[r].sequence);
    const float *x = p.x + r * p.x_stride;
    const float rate = p.rate[h], bias = p.bias[h], skip = p.skip[h];
    float *state = state_of(p, sequence, h) + (first + column) * p.key_stride;
    Quads<N> s = {};
    if (position > 0 && column < n) ask_state(state, s);
    bring_history<THREADS>(p, sequence, position, h, first, n, vectors);
    wait_for_previous();
    let_next_start();
    bring_channels<THREADS>(p, x, sequence, position, h, first, n,
                            first == 0 && h % (p.n_heads / p.n_key_heads) == 0, vectors);
    if (threadIdx.x == THREADS - 1) rates = find_rates(p, x, h, rate, bias);
    __syncthreads();
    const float value = column < n ? vectors[2 * N * STEP + column] : 0.0f;
    const float y = scan_column(s, vectors, vectors + N * STEP, value, rates, skip);
    if (column >= n) return;
    keep_state(state, s);
    if (threadIdx.x % LANES == 0) p.heads[r * p.heads_stride + h * p.value + first + column] = y;
}

/* By the gate, then through the norm: into `to`, as products with W read it, or of few rows in
 * place. Of many rows also what the sequence keeps of the row.
 * Launch: (rows, groups), FINISH_THREADS. */
template <typename W, bool MANY>
__global__ static void __launch_bounds__(FINISH_THREADS) scan_finish_kernel(gm_cuda_delta p, W *to)
{
    __shared__ float scratch[WARP];
    const int width = p.n_heads / p.n_key_heads * p.value, first = (int)blockIdx.y * width;
    const int r = (int)blockIdx.x;
    wait_for_previous();
    let_next_start();
    const float *gate = p.x + r * p.x_stride + p.at_z + first, *norm = p.norm + first;
    float *given = p.heads + r * p.heads_stride + first, squares = 0.0f;
    to += r * p.heads_stride + first;
    for (int i = (int)threadIdx.x; i < width; i += FINISH_THREADS) {
        const float y = given[i] * silu(gate[i]);
        given[i] = y;
        squares = fmaf(y, y, squares);
    }
    const float factor = factor_of(block_sum(squares, scratch), width, p.epsilon);
    for (int i = (int)threadIdx.x; i < width; i += FINISH_THREADS)
        store(to + i, given[i] * factor * norm[i]);
    if (MANY)
        keep_channels(p, r, (int)(blockIdx.y * FINISH_THREADS + threadIdx.x),
                      (int)gridDim.y * FINISH_THREADS);
}

/* ---- launching ---- */

extern "C" cudaError_t gm_cuda_scan_few(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    const dim3 grid(blocks_for((size_t)p->value, TILE) * (unsigned)p->n_heads, (unsigned)p->n_rows);
    switch (p->key_stride / STEP) {
    case 2: return launch(how, scan_few_kernel<2>, grid, THREADS, 0, *p);
    case 4: return launch(how, scan_few_kernel<4>, grid, THREADS, 0, *p);
    default: return launch(how, scan_few_kernel<MOST_QUADS>, grid, THREADS, 0, *p);
    }
}

template <typename W, bool MANY>
static cudaError_t finish(const gm_cuda_how *how, const gm_cuda_delta *p, void *to)
{
    const dim3 grid((unsigned)p->n_rows, (unsigned)p->n_key_heads);
    return launch(how, scan_finish_kernel<W, MANY>, grid, FINISH_THREADS, 0, *p, (W *)to);
}

extern "C" cudaError_t gm_cuda_scan_finish_few(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    return finish<float, false>(how, p, p->heads);
}

extern "C" cudaError_t gm_cuda_scan_finish_many(const gm_cuda_how *how, const gm_cuda_delta *p)
{
    return p->wide ? finish<float, true>(how, p, p->rounded)
                   : finish<bf16, true>(how, p, p->rounded);
}
