/* test_cuda_wide_heads.c - test_cuda_attention.c with heads of more elements than attention's
 * kernels are usually compiled for.
 * label: slow
 * label: long */
#define HEAD_ELEMENTS 330
#include "test_cuda_attention.c" /* NOLINT(bugprone-suspicious-include): the same tests again */
