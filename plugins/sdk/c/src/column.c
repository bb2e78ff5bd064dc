/* The flat columns of the contract. */
#include <stdlib.h>

#include "internal.h"

void wm_column_push(wm_column *column, uint8_t mark, wasmill_bytes bytes) {
    size_t end = column->data.count;
    if (mark == WM_BYTES && bytes.len > 0) {
        if (__builtin_add_overflow(end, bytes.len, &end) || end > UINT32_MAX) {
            wm_die("a column is beyond 4 GiB");
        }
        WM_RESERVE(column->data, end);
        memcpy(column->data.list + column->data.count, bytes.data, bytes.len);
        column->data.count = end;
    }
    if (mark != WM_BYTES && column->marks.count == 0 && column->ends.count > 0) {
        WM_RESERVE(column->marks, column->ends.count);
        memset(column->marks.list, WM_BYTES, column->ends.count);
        column->marks.count = column->ends.count;
    }
    if (mark != WM_BYTES || column->marks.count > 0) {
        WM_PUSH(column->marks, mark);
    }
    WM_PUSH(column->ends, (uint32_t)end);
}

void wm_column_fill(wm_column *column, size_t count) {
    while (column->ends.count < count) {
        wm_column_push(column, WM_INHERITED, wasmill_null());
    }
}

void wm_column_truncate(wm_column *column, size_t count) {
    if (column->ends.count <= count) {
        return;
    }
    column->ends.count = count;
    column->data.count = count == 0 ? 0 : column->ends.list[count - 1];
    if (column->marks.count > count) {
        column->marks.count = count;
    }
}

void wm_column_free(wm_column *column) {
    free(column->data.list);
    free(column->ends.list);
    free(column->marks.list);
    memset(column, 0, sizeof *column);
}

wasmill_plugin_types_column_t wm_column_view(const wm_column *column) {
    wasmill_plugin_types_column_t view = {
        {column->data.list, column->data.count},
        {column->ends.list, column->ends.count},
        {column->marks.list, column->marks.count},
    };
    return view;
}

wasmill_bytes wm_entry(const wasmill_plugin_types_column_t *column, size_t i) {
    if (i >= column->ends.len || (i < column->marks.len && column->marks.ptr[i] != WM_BYTES)) {
        return wasmill_null();
    }
    size_t start = i == 0 ? 0 : column->ends.ptr[i - 1];
    size_t end = column->ends.ptr[i];
    if (start > end || end > column->data.len) {
        return wasmill_null();
    }
    return start == end ? wasmill_bytes_of("", 0)
                        : wasmill_bytes_of(column->data.ptr + start, end - start);
}

void wm_fetched_free(wasmill_plugin_types_column_t *column) {
    if (column->data.len > 0) {
        free(column->data.ptr);
    }
    if (column->ends.len > 0) {
        free(column->ends.ptr);
    }
    if (column->marks.len > 0) {
        free(column->marks.ptr);
    }
    memset(column, 0, sizeof *column);
}
