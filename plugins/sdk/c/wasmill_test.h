/* Runs a plugin as a plain function, for unit tests with a native compiler.
 *
 *     wasmill_test *t = wasmill_test_new(wasmill_exported(), "{}", 0);
 *     wasmill_test_record records[] = {{.key = wasmill_text("a"), .value = wasmill_text("x")}};
 *     wasmill_test_run(t, records, 1);
 *     WASMILL_CHECK(wasmill_test_output_count(t) == 1);
 *     WASMILL_CHECK_TEXT(wasmill_test_output_at(t, 0).value, "1");
 *     wasmill_test_free(t);
 *     return wasmill_test_result();
 *
 * State and timers are kept from run to run. What a run gives lives until the next one.
 */
#ifndef WASMILL_TEST_H
#define WASMILL_TEST_H

#include "wasmill.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A configured plugin with its state. Stream time starts at -1, the wall clock at 0. */
typedef struct wasmill_test wasmill_test;

/* A record to give to a plugin. All 0: no key, no value, time 0. */
typedef struct wasmill_test_record {
    wasmill_bytes key;
    wasmill_bytes value;
    int64_t timestamp; /* -1 for none */
    uint32_t input;
    const wasmill_header *headers;
    size_t header_count;
} wasmill_test_record;

/* A record that a plugin has emitted, with what it inherits filled in. */
typedef struct wasmill_test_output {
    size_t parent;     /* the index of the record in its run; 0 for a timer */
    const char *timer; /* the name of the timer that emitted it; NULL for a record */
    const char *port;
    wasmill_bytes key;
    wasmill_bytes value;
    int64_t timestamp;
    const wasmill_header *headers; /* those that the plugin gave */
    size_t header_count;
} wasmill_test_output;

/* A record, or a timer, that failed. */
typedef struct wasmill_test_failure {
    size_t index;
    const char *timer; /* NULL for a record */
    const char *code;
    const char *message;
    const char *detail;
} wasmill_test_failure;

/* A timer that is set. */
typedef struct wasmill_test_timer {
    wasmill_clock clock;
    wasmill_bytes key;
    wasmill_bytes name;
    int64_t time;
} wasmill_test_timer;

/* What a store holds. */
typedef struct wasmill_test_entry {
    uint32_t store;
    wasmill_bytes key;
    wasmill_bytes value;
} wasmill_test_entry;

/* A plugin with this config table, as JSON. With problems it runs nothing. */
wasmill_test *wasmill_test_new(const wasmill_plugin *plugin, const char *config, int64_t lateness_ms);
void wasmill_test_free(wasmill_test *t);

/* What is wrong in the config: how often, where (a JSON Pointer), and what. */
size_t wasmill_test_problem_count(const wasmill_test *t);
const char *wasmill_test_problem_pointer(const wasmill_test *t, size_t i);
const char *wasmill_test_problem_message(const wasmill_test *t, size_t i);

/* Runs records, in one batch or, where a timer comes between, in several. An event-time timer
 * fires before the record that brings the watermark to its time. */
void wasmill_test_run(wasmill_test *t, const wasmill_test_record *records, size_t count);
/* Raises the stream time, as a record would, and fires the timers that are due. */
void wasmill_test_advance(wasmill_test *t, int64_t stream_time);
/* Sets the wall clock and fires the timers that are due. */
void wasmill_test_set_clock(wasmill_test *t, int64_t now);

/* What came of the last run, advance or set_clock, in order. */
size_t wasmill_test_output_count(const wasmill_test *t);
wasmill_test_output wasmill_test_output_at(const wasmill_test *t, size_t i);
size_t wasmill_test_failure_count(const wasmill_test *t);
wasmill_test_failure wasmill_test_failure_at(const wasmill_test *t, size_t i);

/* What a plugin has answered. Lives until the next run or question. */
typedef struct wasmill_test_answer {
    int status; /* 0: the plugin failed, and why is the one failure */
    const char *content_type;
    wasmill_bytes body;
} wasmill_test_answer;
/* Asks the plugin, as GET .../query/TRANSFORM/ with this path does, such as "items/7?n=3". Nothing is decoded. */
wasmill_test_answer wasmill_test_ask(wasmill_test *t, const char *path);
/* Stores a value in a store of another transform of the pipeline, for queries. */
void wasmill_test_store_of(
    wasmill_test *t, const char *transform, const char *store, wasmill_bytes key, wasmill_bytes value);

/* Lets the plugin change what wasmill_test_store has put there as an earlier state version. False: it failed, why
 * is the one failure, and the state is as it was. */
bool wasmill_test_migrate(wasmill_test *t, uint32_t from);

/* Stores a value, as if an earlier run had; null removes. */
void wasmill_test_store(wasmill_test *t, uint32_t store, wasmill_bytes key, wasmill_bytes value);
/* What is stored now; null for nothing. */
wasmill_bytes wasmill_test_stored(const wasmill_test *t, uint32_t store, wasmill_bytes key);
size_t wasmill_test_entry_count(const wasmill_test *t);
wasmill_test_entry wasmill_test_entry_at(const wasmill_test *t, size_t i);
/* The timers that are set now, in the order in which they fire. */
size_t wasmill_test_timer_count(const wasmill_test *t);
wasmill_test_timer wasmill_test_timer_at(const wasmill_test *t, size_t i);
/* What a metric of this name has come to: a counter's sum, otherwise the last value. */
double wasmill_test_metric(const wasmill_test *t, const char *name);
/* How often the host was asked for state: a batch costs one read and one write per store. */
size_t wasmill_test_host_calls(const wasmill_test *t);

/* Tells what is wrong and goes on; wasmill_test_result is what `main` returns. */
#define WASMILL_CHECK(condition) wasmill_test_check((condition), #condition, __FILE__, __LINE__)
#define WASMILL_CHECK_TEXT(bytes, text) wasmill_test_check_text((bytes), (text), #bytes, __FILE__, __LINE__)
void wasmill_test_check(bool holds, const char *what, const char *file, int line);
void wasmill_test_check_text(wasmill_bytes bytes, const char *text, const char *what, const char *file, int line);
/* Says how many checks there were; 0 when all of them held. */
int wasmill_test_result(void);

#ifdef __cplusplus
}
#endif
#endif
