/* session.c - creating sessions, and the sequences and edits they hold. */
#include "engine/session.h"

#include "engine/layer_stream.h"

/* How many sequences a session of such options has. */
static int sequences_of(const gm_arch *arch, const gm_session_options *o)
{
    enum { LEAST = 8 };
    const int64_t most_bytes = (int64_t)4 << 30;
    int64_t each = (int64_t)gm_kv_state_bytes(arch);
    if (!o->fewer_do || each == 0) return o->max_sequences;
    if (o->piece_rows > 0) each /= arch->n_delta; /* layer by layer, states are of one only */
    const int64_t most = most_bytes / each > LEAST ? most_bytes / each : LEAST;
    return o->max_sequences < most ? o->max_sequences : (int)most;
}

/* Options with 0 threads resolved. GM_EARG when something is out of range. */
static gm_status check_options(const gm_arch *arch, const gm_session_options *asked,
                               gm_session_options *out, gm_error *err)
{
    *out = *asked;
    out->max_sequences = sequences_of(arch, asked);
    if (out->piece_rows == 0 || out->piece_rows > out->max_rows) out->piece_rows = out->max_rows;
    if (out->threads == 0) out->threads = gm_team_processors();
    if (out->threads < 1)
        return gm_fail(err, GM_EARG, "a session of %d threads, expected 0 or more", asked->threads);
    if (out->max_rows < 1 || out->max_rows > UINT32_MAX / 2)
        return gm_fail(err, GM_EARG, "a session of %zu rows per step, expected 1 or more",
                       out->max_rows);
    if (out->kv_rows < 1 || out->kv_rows > UINT32_MAX / 2)
        return gm_fail(err, GM_EARG, "a session of %zu rows of cache, expected 1 or more",
                       out->kv_rows);
    if (out->max_sequences < 1)
        return gm_fail(err, GM_EARG, "a session of %d sequences, expected 1 or more",
                       out->max_sequences);
    return GM_OK;
}

/* Positions that a row can have. */
static size_t positions_of(const gm_arch *arch, const gm_session_options *o)
{
    size_t context = (size_t)arch->max_context;
    return o->kv_rows < context ? o->kv_rows : context;
}

gm_session_sizes gm_session_sizes_of(const gm_arch *arch, const gm_session_options *o)
{
    return (gm_session_sizes){.max_rows = o->max_rows,
                              .positions = positions_of(arch, o),
                              .kv_rows = o->kv_rows,
                              .max_sequences = (size_t)sequences_of(arch, o)};
}

/* Steps that are worked off layer by layer keep rows of their own between the layers. */
static gm_status create_pieces(gm_session *s, const gm_session_options *o, gm_error *err)
{
    const size_t n = (o->max_rows + o->piece_rows - 1) / o->piece_rows;
    s->piece_rows = o->piece_rows;
    s->n_pieces = n;
    s->step = gm_alloc(n, sizeof *s->step);
    s->piece = gm_alloc(n, sizeof *s->piece);
    if (!s->step || !s->piece) return gm_fail(err, GM_EMEM, "no memory for steps of %zu pieces", n);
    if (!s->by_layer) return GM_OK;
    s->x = gm_buf_spread_rows(GM_F32, 1, o->max_rows, (size_t)s->model->arch.width);
    s->bad = gm_buf_rows(GM_U8, 1, 1, o->max_rows);
    gm_status status = gm_buf_create(&s->x, "the hidden states of a step", err);
    return status == GM_OK ? gm_buf_create(&s->bad, "a step", err) : status;
}

static gm_work_sizes work_sizes(const gm_arch *arch, const gm_session_options *o)
{
    return (gm_work_sizes){.rows = o->piece_rows,
                           .positions = positions_of(arch, o),
                           .threads = (size_t)o->threads,
                           .norms = o->norms};
}

/* Where keys, values and work space lie, and who computes. */
static gm_status create_memory(gm_session *s, const gm_session_options *o, gm_error *err)
{
    gm_status status = GM_OK;
    const gm_arch *arch = &s->model->arch;
    const gm_weights *weights = s->model->weights;
    const gm_session_sizes sizes = gm_session_sizes_of(arch, o);
    const gm_work_sizes work = work_sizes(arch, o);
    s->accelerator = weights->ops->accelerator;
    if (s->accelerator && (s->by_layer || s->norms))
        return gm_fail(err, GM_EABSENT, "device '%s' cannot %s; use '--device cpu'",
                       weights->device,
                       s->by_layer ? "run steps layer by layer" : "record what experts give");
    if (s->norms && arch->router.scales_input)
        return gm_fail(err, GM_EABSENT,
                       "'%s' multiplies what its experts read by their gates, so that what they "
                       "give has no norm before it",
                       s->model->folder);
    if (s->accelerator)
        return s->accelerator->session_create(&s->own, arch, weights, &s->kv, &sizes, err);
    GM_TRY(gm_kv_allocate(&s->kv, err));
    GM_TRY(gm_work_create(&s->work, arch, weights->numerics, &work, err));
    GM_TRY(gm_team_create(&s->team, o->threads, err));
out:
    return status;
}

gm_status gm_session_create(gm_session **out, const gm_model *model,
                            const gm_session_options *options, gm_error *err)
{
    gm_status status = GM_OK;
    gm_session *s = NULL;
    gm_session_options o;
    const gm_arch *arch = &model->arch;
    *out = NULL;
    GM_TRY(check_options(arch, options, &o, err));
    if (model->weights == NULL)
        GM_FAIL(GM_EARG, "model '%s' was opened without its weights", model->folder);
    s = gm_alloc(1, sizeof *s);
    if (s == NULL) GM_FAIL(GM_EMEM, "no memory for a session");
    s->model = model;
    s->stream = model->weights->stream;
    if (s->stream && !gm_layer_stream_take(s->stream)) {
        s->stream = NULL;
        GM_FAIL(GM_EARG, "the layers of model '%s' are streamed to another session", model->folder);
    }
    s->max_rows = o.max_rows;
    s->may_run_alone = options->threads == 0;
    s->by_layer = options->piece_rows > 0;
    s->norms = options->norms;
    s->watch = (gm_watch){.after_layer = o.after_layer, .context = o.context};
    s->row = gm_alloc(o.max_rows, sizeof *s->row);
    s->tile = gm_alloc(o.max_rows, sizeof *s->tile);
    s->run = arch->n_delta > 0 ? gm_alloc(o.max_rows, sizeof *s->run) : NULL;
    s->head = gm_alloc(o.max_rows, sizeof *s->head);
    s->residual = gm_alloc(o.max_rows, sizeof *s->residual);
    s->segment = gm_alloc(o.max_rows, sizeof *s->segment);
    s->decoded = gm_alloc(o.max_rows, sizeof *s->decoded);
    if (!s->row || !s->tile || !s->head || !s->residual || !s->segment || !s->decoded ||
        (arch->n_delta > 0 && !s->run))
        GM_FAIL(GM_EMEM, "no memory for steps of %zu rows", o.max_rows);
    GM_TRY(create_pieces(s, &o, err));
    GM_TRY(gm_kv_create(&s->kv, arch, model->weights->numerics, o.kv_rows, (size_t)o.max_sequences,
                        s->by_layer, err));
    GM_TRY(create_memory(s, &o, err));
    *out = s;
    s = NULL;
out:
    gm_session_free(s);
    return status;
}

size_t gm_session_sequences(const gm_session *session)
{
    return session->kv.max_sequences;
}

bool gm_session_takes_layers(const gm_session *session)
{
    return session->model->weights->ops->enter && !session->by_layer;
}

void gm_session_free(gm_session *session)
{
    if (session == NULL) return;
    if (session->stream) gm_layer_stream_give_back(session->stream);
    if (session->accelerator) session->accelerator->session_free(session->own);
    gm_team_free(session->team);
    gm_edits_clear(&session->edits);
    gm_work_clear(&session->work);
    gm_kv_clear(&session->kv);
    gm_buf_free(&session->x);
    gm_buf_free(&session->bad);
    gm_free(session->step);
    gm_free(session->piece);
    gm_free(session->row);
    gm_free(session->tile);
    gm_free(session->run);
    gm_free(session->head);
    gm_free(session->residual);
    gm_free(session->segment);
    gm_free(session->decoded);
    gm_free(session);
}

uint64_t gm_session_bytes_for(const gm_arch *arch, gm_numerics numerics,
                              const gm_session_options *options)
{
    gm_session_options o;
    const gm_session *s = NULL;
    if (check_options(arch, options, &o, NULL) != GM_OK) return 0;
    const bool by_layer = options->piece_rows > 0;
    const size_t pieces = (o.max_rows + o.piece_rows - 1) / o.piece_rows;
    const gm_buf x = gm_buf_spread_rows(GM_F32, 1, o.max_rows, (size_t)arch->width);
    const gm_work_sizes work = work_sizes(arch, &o);
    const uint64_t hidden = by_layer ? gm_buf_bytes(&x) + o.max_rows : 0;
    return sizeof *s +
           o.max_rows * (sizeof *s->row + sizeof *s->tile + sizeof *s->head + sizeof *s->residual +
                         sizeof *s->segment + sizeof *s->decoded +
                         (arch->n_delta > 0 ? sizeof *s->run : 0)) +
           pieces * (sizeof *s->step + sizeof *s->piece) + hidden +
           gm_kv_bytes(arch, numerics, o.kv_rows, (size_t)o.max_sequences, by_layer) +
           gm_work_bytes(arch, numerics, &work) + gm_team_bytes((size_t)o.threads);
}

uint64_t gm_session_bytes(const gm_model *model, const gm_session_options *options)
{
    const gm_weights *w = model->weights;
    const gm_session_sizes sizes = gm_session_sizes_of(&model->arch, options);
    if (w && w->ops->accelerator)
        return w->ops->accelerator->session_bytes(&model->arch, w->numerics, &sizes);
    return gm_session_bytes_for(&model->arch, model->info.numerics, options);
}

gm_status gm_sequence_open(gm_session *session, size_t capacity, int *id, gm_error *err)
{
    gm_status status = gm_kv_open(&session->kv, capacity, id, err);
    if (status == GM_OK) session->kv.sequence[*id].end_layer = session->model->weights->n_layers;
    return status;
}

void gm_sequence_close(gm_session *session, int id)
{
    gm_kv_close(&session->kv, id);
}

size_t gm_sequence_length(const gm_session *session, int id)
{
    return gm_kv_is_open(&session->kv, id) ? session->kv.sequence[id].length : 0;
}

gm_status gm_sequence_rewind(gm_session *session, int id, size_t n, gm_error *err)
{
    if (!gm_kv_is_open(&session->kv, id)) return GM_OK;
    gm_sequence *sequence = &session->kv.sequence[id];
    if (n >= sequence->length) return GM_OK;
    if (n > 0 && session->model->arch.n_delta > 0)
        return gm_fail(err, GM_EARG,
                       "sequence %d cannot forget %zu of its %zu tokens: layers of %s keep a "
                       "single state for all of them",
                       id, sequence->length - n, sequence->length,
                       gm_arch_recurrence(&session->model->arch));
    sequence->length = n;
    return GM_OK;
}

gm_status gm_session_set_edits(gm_session *session, const gm_edit *edits, size_t n, gm_error *err)
{
    gm_edits next;
    gm_status status = gm_edits_create(&next, &session->model->arch, edits, n, err);
    if (status == GM_OK && session->accelerator)
        status = session->accelerator->edits_set(session->own, &next, err);
    if (status != GM_OK) { /* the old ones stay */
        gm_edits_clear(&next);
        return status;
    }
    gm_edits_clear(&session->edits);
    session->edits = next;
    return GM_OK;
}
