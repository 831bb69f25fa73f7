/* emulated_runtime.cpp - streams, events, graphs and memory of the emulated GPU.
 *
 * Work waits in its stream and is done as late as it may be: when the host waits for the
 * stream or for an event, one piece at each query, or because another stream waits for it.
 * So a dependency that somebody forgot is seen. Fresh memory holds NaN, and lies in blocks of
 * exactly the size asked for, so that AddressSanitizer sees what leaves them.
 */
#include "cuda_runtime.h"

#include "emulation.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <vector>

void emulated_run(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread);

typedef std::function<void()> Work;

struct emulated_graph {
    std::vector<Work> nodes;
};
struct emulated_exec {
    std::vector<Work> nodes;
};
struct emulated_stream {
    std::deque<Work> waiting;
    emulated_graph *capture;
};
struct emulated_event {
    emulated_stream *stream; /* where it was recorded last; NULL: nowhere */
    unsigned long recorded, reached;
    double ms;
};

emulation gm_emulation;

namespace
{
const size_t MOST_FILLED = 1 << 24; /* cuBLAS's workspaces are larger, tests' models are not */

std::recursive_mutex lock; /* weights are loaded by several threads */
std::map<const void *, size_t> device_blocks;
std::set<const void *> pinned_blocks;
std::vector<emulated_stream *> streams;
std::map<const void *, size_t> allowed; /* more than 48 KiB of shared memory, kernel by kernel */
cudaError_t last_error, sticky_error;
thread_local int current; /* device; their memory is one */
} // namespace

void emulation_reset(void)
{
    const size_t used = gm_emulation.used;
    const long n_blocks = gm_emulation.n_blocks, n_taken = gm_emulation.n_taken;
    gm_emulation = emulation{};
    allowed.clear();
    gm_emulation.driver_version = 13000;
    gm_emulation.n_devices = 1;
    gm_emulation.major = 9;
    gm_emulation.code = 90;
    gm_emulation.multiprocessors = 4;
    gm_emulation.memory = (size_t)1 << 30;
    gm_emulation.fail_after = -1;
    gm_emulation.used = gm_emulation.most_used = used;
    gm_emulation.n_blocks = n_blocks;
    gm_emulation.n_taken = n_taken;
    last_error = sticky_error = cudaSuccess;
}

namespace
{
/* A program that knows nothing of emulation.h is told by the environment. */
struct Start {
    Start()
    {
        emulation_reset();
        if (getenv("GM_EMULATED_NO_DRIVER")) gm_emulation.driver_version = 0;
        const char *small = getenv("GM_EMULATED_SMALL");
        if (small == nullptr) return;
        gm_emulation.memory = (size_t)atoi(small) << 20;
        gm_emulation.multiprocessors = 1;
        gm_emulation.skip_products = true;
    }
} start;

bool is_sticky(cudaError_t e)
{
    return e == cudaErrorIllegalAddress || e == cudaErrorECCUncorrectable;
}

/* Every call goes through here: the failure that a test has ordered. */
cudaError_t enter()
{
    if (sticky_error != cudaSuccess) return last_error = sticky_error;
    if (gm_emulation.fail_after < 0 || gm_emulation.fail_after-- > 0) return cudaSuccess;
    last_error = (cudaError_t)gm_emulation.fail_with;
    if (is_sticky(last_error)) sticky_error = last_error;
    return last_error;
}

/* For what a program does not ask about: the real one returns an error. */
[[noreturn]] void stop(const char *what)
{
    fprintf(stderr, "emulated GPU: %s\n", what);
    abort();
}

cudaError_t fail(cudaError_t e)
{
    return last_error = e;
}

void run_one(emulated_stream *s)
{
    Work work = std::move(s->waiting.front());
    s->waiting.pop_front();
    work();
}

void drain(emulated_stream *s)
{
    while (!s->waiting.empty()) run_one(s);
}

void reach(emulated_event *e, unsigned long version)
{
    while (e->stream && e->reached < version && !e->stream->waiting.empty()) run_one(e->stream);
}

cudaError_t add(emulated_stream *s, Work work)
{
    if (s->capture)
        s->capture->nodes.push_back(std::move(work));
    else
        s->waiting.push_back(std::move(work));
    return cudaSuccess;
}

/* Whether n bytes lie in a block of device memory. */
bool on_device(const void *at, size_t n)
{
    const auto after = device_blocks.upper_bound(at);
    if (after == device_blocks.begin()) return false;
    const auto block = std::prev(after);
    return (size_t)((const char *)at - (const char *)block->first) + n <= block->second;
}
} // namespace

#define LOCK() std::lock_guard<std::recursive_mutex> hold(lock)
#define ENTER() \
    LOCK();     \
    if (cudaError_t e_ = enter()) return e_

cudaError_t emulated_allow_shared(const void *kernel, int n_bytes)
{
    ENTER();
    if (n_bytes < 0 || n_bytes > 227 * 1024) return fail(cudaErrorInvalidValue);
    allowed[kernel] = (size_t)n_bytes;
    return cudaSuccess;
}

cudaError_t emulated_attributes(cudaFuncAttributes *out)
{
    ENTER();
    out->ptxVersion = gm_emulation.code;
    return cudaSuccess;
}

cudaError_t emulated_launch(const void *kernel, const cudaLaunchConfig_t *c,
                            std::function<void()> thread)
{
    ENTER();
    const auto asked = allowed.find(kernel);
    const size_t most = asked == allowed.end() ? 48 * 1024 : asked->second;
    if (c->dynamicSmemBytes > most || c->gridDim.x == 0 || c->gridDim.y == 0 || c->gridDim.z == 0 ||
        c->gridDim.y > 65535 || c->gridDim.z > 65535)
        return fail(cudaErrorInvalidValue);
    const dim3 grid = c->gridDim, block = c->blockDim;
    const size_t shared = c->dynamicSmemBytes;
    return add(c->stream, [=] {
        gm_emulation.n_launches++;
        emulated_run(grid, block, shared, thread);
    });
}

/* ---- the device ---- */

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = gm_emulation.driver_version;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 0;
    if (gm_emulation.driver_version < 13000) return fail(cudaErrorInsufficientDriver);
    if (gm_emulation.n_devices == 0) return fail(cudaErrorNoDevice);
    *n = gm_emulation.n_devices;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device)
{
    if (device < 0 || device >= gm_emulation.n_devices) return fail(cudaErrorInvalidDevice);
    *out = cudaDeviceProp{};
    strcpy(out->name, "emulated GPU");
    out->totalGlobalMem = gm_emulation.memory;
    const bool old = gm_emulation.old_devices >> device & 1;
    out->major = old ? 7 : gm_emulation.major;
    out->minor = old ? 5 : gm_emulation.minor;
    out->multiProcessorCount = gm_emulation.multiprocessors;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    ENTER();
    if (device < 0 || device >= gm_emulation.n_devices) return fail(cudaErrorInvalidDevice);
    current = device;
    gm_emulation.n_taken++;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *n_free, size_t *total)
{
    ENTER();
    *total = gm_emulation.memory;
    const size_t taken = gm_emulation.used + (current == 0 ? gm_emulation.taken_of_first : 0);
    *n_free = taken < gm_emulation.memory ? gm_emulation.memory - taken : 0;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    LOCK();
    cudaError_t e = last_error;
    last_error = cudaSuccess;
    return e;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInsufficientDriver: return "CUDA driver version is insufficient";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    case cudaErrorECCUncorrectable: return "uncorrectable ECC error encountered";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    default: return "emulated error";
    }
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **out, size_t n)
{
    *out = nullptr;
    ENTER();
    if (n > gm_emulation.memory - gm_emulation.used) return fail(cudaErrorMemoryAllocation);
    *out = malloc(n);
    memset(*out, 0xff, n < MOST_FILLED ? n : MOST_FILLED);
    device_blocks[*out] = n;
    gm_emulation.used += n;
    gm_emulation.n_blocks++;
    if (gm_emulation.used > gm_emulation.most_used) gm_emulation.most_used = gm_emulation.used;
    return cudaSuccess;
}

cudaError_t cudaFree(void *at)
{
    if (at == nullptr) return cudaSuccess;
    LOCK();
    const auto block = device_blocks.find(at);
    if (block == device_blocks.end()) stop("cudaFree of what is not device memory");
    cudaDeviceSynchronize();
    gm_emulation.used -= block->second;
    device_blocks.erase(block);
    gm_emulation.n_blocks--;
    free(at);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t n)
{
    *out = nullptr;
    ENTER();
    *out = malloc(n);
    memset(*out, 0xff, n);
    pinned_blocks.insert(*out);
    gm_emulation.n_blocks++;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *at)
{
    if (at == nullptr) return cudaSuccess;
    LOCK();
    if (pinned_blocks.erase(at) == 0) stop("cudaFreeHost of what is not pinned memory");
    cudaDeviceSynchronize(); /* as the real one does */
    gm_emulation.n_blocks--;
    free(at);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    ENTER();
    if (on_device(to, n) != (kind != cudaMemcpyDeviceToHost) ||
        on_device(from, n) != (kind != cudaMemcpyHostToDevice))
        return fail(cudaErrorInvalidValue);
    return add(stream, [=] { memcpy(to, from, n); });
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t n, cudaStream_t stream)
{
    ENTER();
    return add(stream, [=] { memset(to, value, n); });
}

/* ---- streams and events ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    *out = nullptr;
    ENTER();
    streams.push_back(*out = new emulated_stream{});
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    LOCK();
    drain(stream);
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == stream) streams.erase(streams.begin() + (long)i--);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    ENTER();
    drain(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    ENTER();
    if (stream->waiting.empty()) return cudaSuccess;
    run_one(stream);
    return cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    ENTER();
    const unsigned long version = event->recorded;
    return add(stream, [=] { reach(event, version); });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    *out = nullptr;
    ENTER();
    *out = new emulated_event{};
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    LOCK();
    static std::vector<cudaEvent_t> &gone = *new std::vector<cudaEvent_t>;
    gone.push_back(event); /* what waits in a stream may still record it, as on a GPU */
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    ENTER();
    const unsigned long version = ++event->recorded;
    event->stream = stream;
    return add(stream, [=] {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        event->ms = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
        event->reached = version;
    });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    ENTER();
    reach(event, event->recorded);
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    *ms = (float)(to->ms - from->ms);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    LOCK();
    for (emulated_stream *s : streams) drain(s);
    return sticky_error;
}

/* ---- graphs: the list of what was captured from one stream ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode)
{
    ENTER();
    stream->capture = new emulated_graph{};
    gm_emulation.n_captures++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    LOCK();
    *out = stream->capture;
    stream->capture = nullptr;
    cudaError_t e = enter();
    if (e == cudaSuccess) return e;
    delete *out;
    *out = nullptr;
    return e;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
    (void)nodes; /* callers here ask for the number only */
    *n = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    *out = nullptr;
    ENTER();
    *out = new emulated_exec{graph->nodes};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    ENTER();
    gm_emulation.n_graph_launches++;
    for (const Work &node : exec->nodes) stream->waiting.push_back(node);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

/* For emulated_cublas.c. */
extern "C" void emulated_call(cudaStream_t stream, void (*call)(void *), void *argument)
{
    LOCK();
    if (gm_emulation.skip_products)
        free(argument);
    else
        add(stream, [=] { call(argument); });
}
