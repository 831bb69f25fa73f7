/* emulated_device.cpp - a block of a kernel on the CPU: its threads are fibers.
 *
 * A fiber runs until it waits: at a warp function for the other 31 lanes, at __syncthreads
 * for the block. A wait that cannot end (lanes that have left, or wait elsewhere) stops the
 * program with a sentence: on a GPU it would hang or compute with what is not there.
 */
#include "cuda_runtime.h"

#include "emulation.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace
{

enum { WARP = 32, STACK_BYTES = 96 * 1024 };
enum State { RUNS, WAITS_FOR_WARP, WAITS_FOR_BLOCK, LEFT };

struct Warp {
    unsigned arrived, generation;
    uint64_t given[2][WARP];
    unsigned vote[2];
};

struct Fiber {
    void *sp;
    const void *stack;
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
    State state;
    unsigned lane;
    Warp *warp;
    dim3 index;
};

std::vector<Fiber> &fibers = *new std::vector<Fiber>; /* their stacks live as long as the program */
std::vector<Warp> warps;
Fiber scheduler, *running = &scheduler, *left; /* `left` for the one that runs */
size_t n_threads, n_at_barrier;
bool any_at_barrier, any_before; /* of what threads brought to this barrier, and to the last one */
const std::function<void()> *kernel;
char *shared_block; /* of exactly the size asked for, so that an overrun is seen */

[[noreturn]] void stop(const char *what)
{
    fprintf(stderr, "emulated GPU: block (%u,%u,%u): %s\n", blockIdx.x, blockIdx.y, blockIdx.z,
            what);
    abort();
}

} // namespace

/* ---- switching ---- */

#if defined(__x86_64__)
/* Save what a call must keep, take another stack, go on where it waits. */
extern "C" void emulated_switch(void **save, void *load);
asm(R"(
.text
.type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulated_switch, .-emulated_switch
)");
#else
#error "the emulation switches stacks on x86-64 only"
#endif

/* What a stack does first once it runs (again). */
static void arrive(void *fake_stack)
{
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, &left->stack, &left->stack_bytes);
#else
    (void)fake_stack;
#endif
}

static void go_on_with(Fiber &next)
{
    Fiber &self = *running;
    left = &self;
    running = &next;
    threadIdx = next.index;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(self.state == LEFT ? nullptr : &self.fake_stack, next.stack,
                                   next.stack_bytes);
#endif
    emulated_switch(&self.sp, next.sp);
    arrive(self.fake_stack);
}

/* Let the next lane of the warp that can run do so; the scheduler, when there is none. */
static void leave(State state)
{
    Fiber &self = *running, *first = &self - self.lane, *next = &scheduler;
    self.state = state;
    for (unsigned k = 1; k < WARP && next == &scheduler; k++) {
        Fiber *other = first + (self.lane + k) % WARP;
        if (other->state == RUNS) next = other;
    }
    go_on_with(*next);
}

static void fiber_main()
{
    arrive(nullptr);
    (*kernel)();
    leave(LEFT);
    abort(); /* nobody returns here */
}

static void prepare(Fiber &f, unsigned i)
{
    if (f.stack == nullptr) f.stack = aligned_alloc(64, STACK_BYTES), f.stack_bytes = STACK_BYTES;
    void **top = (void **)((uintptr_t)f.stack + STACK_BYTES);
    *--top = nullptr; /* where a return address would be: aligned as after a call */
    *--top = (void *)fiber_main;
    for (int r = 0; r < 6; r++) *--top = nullptr;
    f.sp = top;
    f.fake_stack = nullptr;
    f.state = RUNS;
    f.lane = i % WARP;
    f.warp = &warps[i / WARP];
    f.index = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y));
}

/* ---- meeting ---- */

unsigned emulated_lane()
{
    return running->lane;
}

/* Meet the warp; gives the generation in which what was given can be read. */
static unsigned meet_warp(unsigned mask, uint64_t given, bool vote)
{
    Fiber &self = *running;
    Warp &w = *self.warp;
    const unsigned lane = self.lane, generation = w.generation;
    if (mask != 0xffffffffu) stop("a warp function without all lanes");
    w.given[generation & 1][lane] = given;
    if (w.arrived == 0) w.vote[generation & 1] = 0;
    if (vote) w.vote[generation & 1] |= 1u << lane;
    if (++w.arrived < WARP) {
        leave(WAITS_FOR_WARP);
        return generation & 1;
    }
    w.arrived = 0;
    w.generation++;
    for (Fiber *f = &self - lane, *end = f + WARP; f < end; f++)
        if (f->state == WAITS_FOR_WARP) f->state = RUNS;
    return generation & 1;
}

uint64_t emulated_exchange(unsigned mask, uint64_t mine, unsigned from)
{
    unsigned at = meet_warp(mask, mine, false);
    return running->warp->given[at][from];
}

unsigned emulated_ballot(unsigned mask, bool mine)
{
    unsigned at = meet_warp(mask, 0, mine);
    return running->warp->vote[at];
}

void __syncthreads()
{
    n_at_barrier++;
    leave(WAITS_FOR_BLOCK);
}

int __syncthreads_or(int mine)
{
    any_at_barrier = any_at_barrier || mine;
    __syncthreads();
    return any_before;
}

void *emulated_dynamic_shared()
{
    return shared_block;
}

/* ---- running ---- */

/* Run the lanes of a warp for as long as one can go on; false: none could. */
static bool run_warp(size_t first)
{
    for (size_t i = first; i < first + WARP; i++) {
        if (fibers[i].state != RUNS) continue;
        go_on_with(fibers[i]); /* and from lane to lane */
        return true;
    }
    return false;
}

static void run_block()
{
    size_t n_left = 0;
    for (unsigned i = 0; i < n_threads; i++) prepare(fibers[i], i);
    for (Warp &w : warps) w = Warp{};
    n_at_barrier = 0;
    while (n_left < n_threads) {
        bool ran = false;
        for (size_t i = 0; i < n_threads; i += WARP) ran = run_warp(i) || ran;
        n_left = 0;
        for (size_t i = 0; i < n_threads; i++) n_left += fibers[i].state == LEFT;
        if (n_at_barrier == n_threads) {
            n_at_barrier = 0;
            any_before = any_at_barrier, any_at_barrier = false;
            for (size_t i = 0; i < n_threads; i++) fibers[i].state = RUNS;
            ran = true;
        }
        if (!ran && n_left < n_threads)
            stop("threads wait for others that have left or wait elsewhere");
    }
}

/* The i-th of n blocks in an order drawn from `order`: i times a number prime to n. */
static size_t block_number(size_t i, size_t n, unsigned long order)
{
    if (order == 0) return i;
    size_t step = order * 2654435761u % n | 1u, a = step, b = n;
    while (b) {
        size_t rest = a % b;
        a = b, b = rest;
    }
    return (a == 1 ? i * step + order : n - 1 - i) % n;
}

/* Run all blocks of a kernel; called by the runtime when its turn in the stream comes. */
void emulated_run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &thread)
{
    n_threads = (size_t)block.x * block.y * block.z;
    const size_t n = (size_t)grid.x * grid.y * grid.z;
    if (n_threads == 0 || n_threads > 1024 || n_threads % WARP) stop("a block of odd size");
    if (fibers.size() < n_threads) fibers.resize(n_threads);
    warps.assign(n_threads / WARP, Warp{});
    gridDim = grid, blockDim = block, kernel = &thread;
    shared_block = (char *)aligned_alloc(16, (shared_bytes + 16) / 16 * 16);
    for (size_t i = 0; i < n; i++) {
        size_t b = block_number(i, n, gm_emulation.order);
        blockIdx = dim3((unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                        (unsigned)(b / ((size_t)grid.x * grid.y)));
        memset(shared_block, 0xff, shared_bytes); /* NaN: shared memory starts with anything */
        run_block();
    }
    free(shared_block);
    shared_block = nullptr;
}
